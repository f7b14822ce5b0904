"""The daemon groups that running Apaches have, whether or not a supervisor of theirs runs.

The parent process of Apache holds the settings of each group in a memory file
(`settings_file()` in apache/groups/supervisors.c). Who may read it: root, and the user who runs the
parent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MEMORY = "/memfd:wsgi-settings"


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    where: str  # file and line of its WSGIDaemonProcess
    processes: int
    parent: int  # process number of Apache


def groups(name: str = "", proc: Path = Path("/proc")) -> list[Group]:
    """All groups for name "". Returns none of Apaches whose memory this user may not read."""
    holders: dict[int, dict[int, Path]] = {}  # inode of the memory → process → path
    for process in proc.glob("[0-9]*"):
        for path in memories(process):
            try:
                holders.setdefault(path.stat().st_ino, {})[int(process.name)] = path
            except OSError:
                continue
    found = set()
    for paths in holders.values():
        # Apache's children have inherited it from their parent
        parent = next((pid for pid in sorted(paths) if parent_of(proc, pid) not in paths), None)
        group = read(paths[parent], parent) if parent is not None else None
        if group and name in ("", group.name):
            found.add(group)
    return sorted(found, key=lambda group: (group.name, group.parent))


def memories(process: Path) -> Iterator[Path]:
    """Only of processes of root and of this user: others could name groups that do not exist."""
    try:
        if process.stat().st_uid not in (0, os.geteuid()):
            return
        for path in (process / "fd").iterdir():
            if os.readlink(path).startswith(MEMORY):
                yield path
    except OSError:
        return  # it has ended, or belongs to somebody else


def parent_of(proc: Path, pid: int) -> int:
    try:
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def read(path: Path, parent: int) -> Group | None:
    """Opened anew, because reading must not move the position of the parent's own descriptor."""
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except OSError:
        return None
    values = dict(record.partition("=")[::2] for record in text.split("\0"))
    if not values.get("group") or "where" not in values:
        return None
    processes = values.get("processes", "1")
    count = int(processes) if processes.isdecimal() else 1
    return Group(values["group"], values["where"], count, parent)
