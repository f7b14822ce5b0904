"""The server root: a directory of our own that holds what is generated."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from httpd_wsgi.command.errors import EXIT_HTTPD_FAILED, CommandError


def prepare(path: str) -> Path:
    """Returns the directory of --server-root, and creates it when it is missing. A directory that
    others can write to is refused: its files decide what runs as the user of the server.
    """
    root = Path(path)
    try:
        root.mkdir(mode=0o755, exist_ok=True)
        info = root.lstat()
    except OSError as exc:
        raise CommandError(
            f"--server-root {path}: {exc.strerror}; its parent must exist, and this user must be able to write there"
        ) from exc
    if stat.S_ISLNK(info.st_mode) or not stat.S_ISDIR(info.st_mode):
        raise CommandError(f"--server-root {path}: expected a directory, and no link to one")
    if info.st_uid != os.geteuid():
        raise CommandError(
            f"--server-root {path}: belongs to uid {info.st_uid}; expected a directory of this "
            f"user's (uid {os.geteuid()})"
        )
    if info.st_mode & 0o022:
        raise CommandError(
            f"--server-root {path}: others may write to it (mode "
            f"{stat.S_IMODE(info.st_mode):04o}); run: chmod go-w {path}"
        )
    return root


def refuse_running(root: Path, pid_file: str) -> None:
    """Raises CommandError when a server runs from this directory: a second one would overwrite its
    configuration before httpd notices.
    """
    try:
        pid = int(Path(pid_file or root / "httpd.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if os.fsencode(root / "httpd.conf") in arguments:
        raise CommandError(
            f"--server-root {root}: process {pid} serves from it; stop that, or choose another directory",
            EXIT_HTTPD_FAILED,
        )


@contextlib.contextmanager
def fresh() -> Iterator[Path]:
    """Yields a new directory whose name nobody can guess. When root runs the command, Apache's user
    may enter the directory but not list it.
    """
    root = Path(tempfile.mkdtemp(prefix="httpd-wsgi-"))
    try:
        if os.geteuid() == 0:
            root.chmod(0o711)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def held(root: Path) -> Iterator[None]:
    """systemd-tmpfiles removes old files below /tmp, but nothing in a directory that has a lock."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def write(path: Path, text: str, mode: int) -> None:
    """Replaces the file in one step. It has its final mode from the start."""
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode),
        "w",
        encoding="utf-8",
        errors="surrogateescape",
    ) as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    temporary.replace(path)
