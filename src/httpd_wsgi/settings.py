"""What Apache tells a daemon group's supervisor, and the supervisor its workers (src/wire/group.h)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Preload:
    application_group: str
    script: str
    callable: str


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Settings of one daemon group; times are in seconds."""

    group: str = ""
    where: str = ""
    package_dir: str = ""
    processes: int = 1
    threads: int = 15
    log_level: int = 6
    multiprocess: bool = False
    home: str = ""
    python_path: str = ""
    display_name: str = ""
    umask: str = ""
    shutdown_timeout: float = 5.0
    startup_timeout: float = 0.0
    graceful_timeout: float = 15.0
    main_groups: tuple[str, ...] = ()
    preloads: tuple[Preload, ...] = ()
    raw: bytes = field(default=b"", repr=False)


_INTEGERS = {"processes", "threads", "log_level"}
_SECONDS = {"shutdown_timeout", "startup_timeout", "graceful_timeout"}
_TEXTS = {"group", "where", "package_dir", "home", "python_path", "display_name", "umask"}


def parse(data: bytes) -> GroupSettings:
    """Unknown records are ignored, so that an older package works with a newer module."""
    values: dict[str, object] = {}
    main_groups: list[str] = []
    preloads: list[Preload] = []
    for item in data.split(b"\0"):
        name, equals, value = os.fsdecode(item).partition("=")
        if not equals:
            continue
        if name in _INTEGERS:
            values[name] = int(value)
        elif name in _SECONDS:
            values[name] = float(value)
        elif name in _TEXTS:
            values[name] = value
        elif name == "multiprocess":
            values[name] = value == "1"
        elif name == "main_group":
            main_groups.append(value)
        elif name == "preload":
            preloads.append(Preload(*value.split("\n", 2)))
    return GroupSettings(
        **values,  # type: ignore[arg-type]
        main_groups=tuple(main_groups),
        preloads=tuple(preloads),
        raw=data,
    )


def read(fd: int) -> GroupSettings:
    """Reads to the end of fd from its start (it is a memory file that several processes share) and closes it."""
    size = os.fstat(fd).st_size
    data = os.pread(fd, size, 0)
    os.close(fd)
    return parse(data)


def runtime_settings(settings: GroupSettings) -> dict[str, object]:
    """The dictionary for `_runtime.configure()` and `interpreter.setup()`."""
    return {
        "process_group": settings.group,
        "threads": settings.threads,
        "processes": settings.processes,
        "multiprocess": settings.multiprocess,
        "main_groups": list(settings.main_groups),
        "main_is_first": not settings.preloads and not settings.main_groups,
        "embedded": False,
        "package_dir": settings.package_dir,
        "python_path": settings.python_path,
        "home": settings.home,
    }
