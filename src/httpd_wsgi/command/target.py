"""The TARGET: which file or module it names, and how the user of the server gets access to it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from httpd_wsgi.command.errors import EXIT_NO_TARGET, CommandError
from httpd_wsgi.command.machine import Account, blocking
from httpd_wsgi.command.settings import ServerSettings, is_module_name

COPY_LIMIT = 50 * 2**20
DEMO = Path(__file__).parent.parent / "demo" / "app.py"


@dataclass(frozen=True, slots=True)
class Target:
    """What goes into the configuration."""

    alias: str  # absolute path of a script, or module:callable; "" for files only
    callable: str  # "" unless given for a script
    home: str  # working directory; "" where the user cannot get into it
    python_path: tuple[str, ...]


def resolve(settings: ServerSettings) -> Target:
    """A script file takes precedence over a module of the same name. Raises CommandError when there
    is neither.
    """
    home = settings.working_directory or os.getcwd()
    if not settings.target:
        return Target("", "", home, settings.python_path)
    path = Path(home, settings.target)
    if path.is_file():
        return Target(str(path.absolute()), settings.callable, home, settings.python_path)
    module, colon, name = settings.target.partition(":")
    if module.endswith(".py") and colon:
        raise CommandError(f"{settings.target}: {what_else(path, settings.target)}", EXIT_NO_TARGET)
    factory = name.removesuffix("()")
    if is_module_name(module) and (
        is_module_name(factory)
        if colon
        else is_there(module, (home, *settings.python_path, *packages(settings.python_home)))
    ):
        if colon and settings.callable:
            raise CommandError(
                f"--callable {settings.callable}: {settings.target} names its callable already"
            )
        return Target(
            f"{module}:{name if colon else settings.callable or 'application'}",
            "",
            home,
            settings.python_path,
        )
    raise CommandError(
        f"{settings.target}: {what_else(path, settings.target)}; a target is a script file, "
        "module:callable or module:factory()",
        EXIT_NO_TARGET,
    )


def what_else(path: Path, target: str) -> str:
    """Returns why this is not a target."""
    file, colon, name = target.partition(":")
    if colon and file.endswith(".py") and name:
        module = file.removesuffix(".py").replace("/", ".")
        option = "" if name == "application" else f" --callable {name}"
        return f"a file has no callable behind a colon; write {file}{option}, or {module}:{name}"
    return "is a directory" if path.is_dir() else "no such file, and no module of this name"


def packages(home: str) -> tuple[str, ...]:
    """Returns the directories where this Python has packages."""
    if os.path.realpath(home) == os.path.realpath(sys.prefix):
        return tuple(filter(None, sys.path))
    return tuple(map(str, Path(home).glob("lib/python3*/*-packages")))


def is_there(module: str, directories: tuple[str, ...]) -> bool:
    """Does one of the directories have this module?"""
    parts = module.split(".")
    return any(
        Path(where, *parts).with_suffix(".py").is_file() or Path(where, *parts).is_dir()
        for where in directories
    )


def for_user(
    target: Target, root: Path, who: Account | None, chosen: bool, say: Callable[[str], None]
) -> Target:
    """Returns a target that `who` can read: a copy in the server root when the files are in a
    directory that only root can enter.

    This lets root try out a clone in its home. With --user there is no copy: that user should get
    access to the files.
    """
    if who is None:
        return target
    is_script = target.alias.startswith("/")
    source = Path(target.alias).parent if is_script else Path(target.home)
    blocked = blocking(source / "x", who) if target.alias else None
    if blocked is None:
        if target.home and blocking(Path(target.home, "x"), who):
            return Target(target.alias, target.callable, "", target.python_path)
        return target
    if chosen:
        raise CommandError(
            f"{who.name} cannot enter {blocked}; run: chmod o+x {blocked}", EXIT_NO_TARGET
        )
    copy = copy_for(source, root / "app", who, blocked)
    say(f"{who.name} cannot enter {blocked}: serving a copy of {source}")
    alias = str(copy / Path(target.alias).name) if is_script else target.alias
    same = os.path.realpath(source) == os.path.realpath(target.home)
    return Target(
        alias, target.callable, str(copy) if same or not is_script else "", target.python_path
    )


def copy_for(source: Path, copy: Path, who: Account, blocked: Path) -> Path:
    size = sum(path.lstat().st_size for path in source.rglob("*") if path.is_file())
    if size > COPY_LIMIT:
        raise CommandError(
            f"{who.name} cannot enter {blocked}, and {source} is too large to be copied; run: chmod o+x {blocked}",
            EXIT_NO_TARGET,
        )
    shutil.copytree(
        source, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__")
    )
    for path in (copy, *copy.rglob("*")):  # for that user, and nobody else
        if not path.is_symlink():
            os.chown(path, 0, who.gid)
            path.chmod(0o750 if path.is_dir() else 0o640)
    return copy


def title(settings: ServerSettings) -> str:
    if settings.target == str(DEMO):
        return "the demonstration"
    return settings.target or settings.document_root or "files"


def say(text: str) -> None:
    print(f"httpd-wsgi: {text}", file=sys.stderr, flush=True)
