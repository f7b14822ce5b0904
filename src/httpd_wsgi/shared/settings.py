"""What Apache tells a daemon group's supervisor, and the supervisor its workers (src/wire/group.h)."""

from __future__ import annotations

import os
from collections.abc import Callable

from httpd_wsgi.shared import wire
from httpd_wsgi.shared.records import dataclass


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
    log_level: int = wire.INFO
    apache_version: str = ""
    apache_description: str = ""
    apache_build_date: str = ""
    mpm_name: str = ""
    mpm_processes: int = 1
    mpm_threads: int = 1
    multiprocess: bool = False
    home: str = ""
    locale: str = ""
    display_name: str = ""
    case_sensitive: bool = True
    destroy_interpreter: bool = True
    optimize: int = 0
    dont_write_bytecode: bool = False
    free_threading: bool = False
    hash_seed: str = ""
    python_eggs: str = ""  # embedded mode only; workers have it in their environment
    switch_interval: str = ""
    warnings: tuple[str, ...] = ()
    interpreters: tuple[dict[str, str], ...] = ()
    maximum_requests: int = 0
    cpu_priority: int = 0
    server_metrics: bool = False
    telemetry_path: str = ""
    telemetry_interval: float = 1.0
    telemetry_user_agent: bool = False
    slow_requests: float = 0.0
    parent_pid: int = 0
    startup_timeout: float = 0.0
    shutdown_timeout: float = 5.0
    graceful_timeout: float = 600.0
    reload: str = "now"
    slow_request: float = 10.0
    slow_request_set: str = ""  # what says so instead of the option
    request_timeout_scaling: bool = False
    memory_rss_limit: int = 0
    eviction_timeout: float = 0.0
    deadlock_timeout: float = 300.0
    inactivity_timeout: float = 0.0
    request_timeout: float = 0.0
    interrupt_timeout: float = 0.0
    restart_interval: float = 0.0
    queue_timeout: float = 0.0
    cpu_time_limit: float = 0.0
    stack_size: int = 0
    send_buffer_size: int = 0
    memory_limit: int = 0
    virtual_memory_limit: int = 0
    # No application group is named: the first one that a request brings gets the main interpreter
    main_is_first: bool = False
    main_is_used: bool = False  # something is to run in the main interpreter
    main_groups: tuple[str, ...] = ()
    preloads: tuple[Preload, ...] = ()
    raw: bytes = b""


_PLAIN: dict[str, Callable[[str], object]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": lambda value: value == "1",
}
# Records that are one value each; the repeated ones have types of their own.
_CONVERTERS = {
    name: _PLAIN[kind] for name, kind in GroupSettings.__annotations__.items() if kind in _PLAIN
}


def parse_interpreter(value: str) -> dict[str, str]:
    """The options of one record; "application_group" is absent where they are for any."""
    selector, *lines = value.split("\n")
    options = dict(line.split("=", 1) for line in lines)
    if selector.startswith("="):
        options["application_group"] = selector[1:]
    return options


def parse(data: bytes) -> GroupSettings:
    """Unknown records are ignored, so that an older package works with a newer module."""
    values: dict[str, object] = {}
    main_groups: list[str] = []
    preloads: list[Preload] = []
    warnings: list[str] = []
    interpreters: list[dict[str, str]] = []
    for item in data.split(b"\0"):
        name, equals, value = os.fsdecode(item).partition("=")
        if not equals:
            continue
        if name in _CONVERTERS:
            values[name] = _CONVERTERS[name](value)
        elif name == "warning":
            warnings.append(value)
        elif name == "interpreter":
            interpreters.append(parse_interpreter(value))
        elif name == "main_group":
            main_groups.append(value)
        elif name == "preload":
            preloads.append(Preload(*value.split("\n", 2)))
    return GroupSettings(
        **values,  # type: ignore[arg-type]
        main_groups=tuple(main_groups),
        preloads=tuple(preloads),
        warnings=tuple(warnings),
        interpreters=tuple(interpreters),
        raw=data,
    )


def read(fd: int) -> GroupSettings:
    """Reads to the end of fd from its start (it is a memory file that several processes share) and
    closes it.
    """
    size = os.fstat(fd).st_size
    data = os.pread(fd, size, 0)
    os.close(fd)
    return parse(data)


def telemetry_settings(settings: GroupSettings) -> dict[str, object] | None:
    """None: not wanted. Groups without request threads have nothing to tell."""
    if not settings.telemetry_path or not settings.threads:
        return None
    return {
        "path": settings.telemetry_path,
        "interval": settings.telemetry_interval,
        "slow_requests": settings.slow_requests,
        "user_agent": settings.telemetry_user_agent,
        "parent_pid": settings.parent_pid,
    }


def runtime_settings(settings: GroupSettings) -> dict[str, object]:
    """The dictionary for `_runtime.configure()` and `setup()` of interpreter/setup.py."""
    return {
        "process_group": settings.group,
        "threads": settings.threads,
        "processes": settings.processes,
        "multiprocess": settings.multiprocess,
        "main_groups": list(settings.main_groups),
        "main_is_first": settings.main_is_first
        and not settings.preloads
        and not settings.main_groups,
        "main_is_used": settings.main_is_used,
        "embedded": False,
        "log_level": settings.log_level,
        "apache": {
            "version": settings.apache_version,
            "description": settings.apache_description,
            "build_date": settings.apache_build_date,
            "mpm_name": settings.mpm_name,
            "maximum_processes": settings.mpm_processes,
            "threads_per_process": settings.mpm_threads,
        },
        "telemetry": telemetry_settings(settings),
        "where": settings.where,
        "maximum_requests": settings.maximum_requests,
        "queue_timeout": settings.queue_timeout,
        "rolling": settings.reload == "rolling",
        "package_dir": settings.package_dir,
        "home": settings.home,
        "send_buffer_size": settings.send_buffer_size,
        "case_sensitive": settings.case_sensitive,
        "destroy_interpreter": settings.destroy_interpreter,
        "shutdown_timeout": settings.shutdown_timeout,
        "switch_interval": settings.switch_interval,
        "free_threading": settings.free_threading,
        "interpreters": list(settings.interpreters),
    }


def embedded(data: bytes, threads: int, processes: int) -> dict[str, object]:
    """The same for an Apache child."""
    settings = parse(data)
    return {
        **runtime_settings(settings),
        "slow_log": (settings.slow_request, settings.slow_request_set)
        if settings.slow_request_set
        else None,
        "threads": threads,
        "processes": processes,
        "multiprocess": True,
        "python_eggs": settings.python_eggs,
        "main_groups": [""],
        "main_is_first": False,
        "embedded": True,
    }
