"""What this machine has: httpd, its modules, users, ports. Which user may enter which directory."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpd_wsgi
from httpd_wsgi.command.errors import EXIT_NO_HTTPD, EXIT_NO_MODULE, EXIT_PORT, CommandError
from httpd_wsgi.command.settings import Bind

APACHE_USERS = ("www-data", "apache", "httpd", "http", "nobody")
HTTPD_NAMES = (
    "apache2",
    "httpd",
    "/usr/sbin/apache2",
    "/usr/sbin/httpd",
    "/usr/local/apache2/bin/httpd",
)
MODULE_DIRECTORIES = (
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/local/apache2/modules",
    "/usr/lib/apache2",
)
ESTABLISHED = ("01", "08")  # of /proc/net/tcp; 08: the client sends nothing more, but waits
MIME_TYPES = (
    "/etc/mime.types",
    "/etc/httpd/conf/mime.types",
    "/etc/apache2/mime.types",
    "/usr/local/apache2/conf/mime.types",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A user as the kernel sees it."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    def may(self, info: os.stat_result, wanted: int) -> bool:
        """wanted: 4 to read, 2 to write, 1 to enter or run."""
        if self.uid == 0:
            return True
        if info.st_uid == self.uid:
            return bool(info.st_mode >> 6 & wanted)
        if info.st_gid == self.gid or info.st_gid in self.groups:
            return bool(info.st_mode >> 3 & wanted)
        return bool(info.st_mode & wanted)


def account(name: str, group: str = "") -> Account:
    """By name or "#uid"; raises CommandError."""
    try:
        user = pwd.getpwuid(int(name[1:])) if name.startswith("#") else pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise CommandError(f"--user {name}: there is no such user") from None
    gid = user.pw_gid
    if group:
        try:
            gid = int(group[1:]) if group.startswith("#") else grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):
            raise CommandError(f"--group {group}: there is no such group") from None
    return Account(user.pw_name, user.pw_uid, gid, frozenset(os.getgrouplist(user.pw_name, gid)))


def apache_account(user: str, group: str) -> Account | None:
    """Returns the user that httpd should switch to, or None when it is not started by root and cannot
    switch.
    """
    if os.geteuid() != 0:
        if user and account(user).uid != os.geteuid():
            raise CommandError(
                f"--user {user}: only root can run a server as somebody else; run it with sudo, or without --user"
            )
        if group and account(str(pwd.getpwuid(os.geteuid()).pw_name), group).gid != os.getegid():
            raise CommandError(
                f"--group {group}: only root can change the group; run it with sudo, or without --group"
            )
        return None
    if user:
        return account(user, group)
    for name in APACHE_USERS:
        with contextlib.suppress(CommandError):
            return account(name, group)
    raise CommandError(
        "started by root, but no user to run as was found ("
        + ", ".join(APACHE_USERS)
        + "); name one with --user"
    )


def blocking(path: Path, who: Account) -> Path | None:
    """Returns the first directory above path that this user cannot enter. Links are followed."""
    for directory in reversed(Path(os.path.realpath(path)).parents):
        if not who.may(directory.stat(), 1):
            return directory
    return None


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


# ---- httpd ----


def find_httpd(given: str = "") -> str:
    if given:
        if not os.access(given, os.X_OK):
            raise CommandError(f"--httpd {given}: is not a program that can be run", EXIT_NO_HTTPD)
        return given
    for name in HTTPD_NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise CommandError(
        "Apache httpd was not found; install it (Debian: apt-get install apache2, Red Hat: dnf install httpd), "
        "or name it with --httpd",
        EXIT_NO_HTTPD,
    )


def builtin_modules(httpd: str) -> set[str]:
    listing = subprocess.run([httpd, "-l"], capture_output=True, text=True, check=False).stdout
    return {line.strip()[4:-2] for line in listing.splitlines() if line.strip().startswith("mod_")}


def compiled_in_mpm(httpd: str) -> str:
    """Returns the name of the MPM that is built into httpd, or ""."""
    listing = subprocess.run([httpd, "-l"], capture_output=True, text=True, check=False).stdout
    names = {line.strip().removesuffix(".c") for line in listing.splitlines()}
    return next((name for name in ("event", "worker", "prefork") if name in names), "")


def find_modules(
    httpd: str, names: Iterable[str], directory: str = "", useful: Iterable[str] = ()
) -> tuple[tuple[str, Path], ...]:
    """Returns names and files of the modules that are not built in. Useful modules may be missing."""
    builtin = builtin_modules(httpd)
    places = (directory,) if directory else MODULE_DIRECTORIES
    found: list[tuple[str, Path]] = []
    wanted = tuple(names)
    for name in dict.fromkeys((*wanted, *useful)):
        if name in builtin or (name.startswith("mpm_") and compiled_in_mpm(httpd) == name[4:]):
            continue
        path = next(
            (path for place in places if (path := Path(place, f"mod_{name}.so")).exists()), None
        )
        if path is None and name not in wanted:
            continue
        if path is None:
            raise CommandError(
                f"httpd's module mod_{name}.so was not found in {', '.join(places)}; install it, "
                "or name its directory with "
                "--modules-directory",
                EXIT_NO_HTTPD,
            )
        found.append((name, path))
    return tuple(found)


def modules_directory(given: str = "") -> str:
    return given or next(filter(os.path.isdir, MODULE_DIRECTORIES), "")


def find_wsgi_module() -> Path:
    """Returns the module beside the package, where pip puts it, or in a directory of the
    distribution.
    """
    package = Path(next(iter(httpd_wsgi.__path__)))
    for path in (
        package / "mod_wsgi.so",
        *(Path(place, "mod_wsgi.so") for place in MODULE_DIRECTORIES),
    ):
        if path.exists() and (
            path.parent == package or str(package).startswith("/usr/lib/python3")
        ):
            return path
    raise CommandError(
        "the Apache module was not built, because apxs was missing when httpd-wsgi was installed; install apache2-dev "
        "(Debian) or httpd-devel (Red Hat), and run: pip install --force-reinstall --no-cache-dir SOURCE, "
        "a clone of httpd-wsgi or its sdist",
        EXIT_NO_MODULE,
    )


def module_config(module: Path | None = None) -> str:
    """Returns the lines to paste into httpd.conf."""
    return (
        f'LoadModule wsgi_module "{module or find_wsgi_module()}"\nWSGIPythonHome "{sys.prefix}"\n'
    )


def python_of(home: str) -> str:
    """Returns bin/python of a prefix, or bin/python3 when there is no bin/python."""
    paths = (os.path.join(home, "bin", name) for name in ("python", "python3"))
    return next(filter(os.path.exists, paths), sys.executable)


def mime_types() -> str:
    return next((path for path in MIME_TYPES if os.path.exists(path)), "/dev/null")


# ---- addresses ----


def free_bind(bind: Bind, is_https: bool = False) -> Bind:
    """Returns the address with a free port in place of port 0. Raises CommandError when the address
    cannot be listened on.
    """
    option = "--https-port" if is_https else "--bind"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            bind.host or "0.0.0.0", bind.port, type=socket.SOCK_STREAM
        )[0]
    except OSError as exc:
        raise CommandError(
            f"{option} {bind}: {bind.host} is no address of this machine: {exc.strerror}", EXIT_PORT
        ) from exc
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as exc:
            cure = (
                "only root can listen on ports below 1024"
                if exc.errno == 13
                else "choose another port, or 0 for any that is free"
            )
            raise CommandError(
                f"{option} {bind}: cannot be listened on: {exc.strerror}; {cure}", EXIT_PORT
            ) from exc
        return Bind(bind.host, int(probe.getsockname()[1]))


def has_connections(ports: Collection[int | None], proc: Path = Path("/proc/net")) -> bool:
    """Does any client have a connection to one of these ports? Returns True when /proc does not say."""
    try:
        lines = [line for name in ("tcp", "tcp6") for line in lines_of(proc / name)]
    except OSError:
        return True
    return any(
        fields[3] in ESTABLISHED and int(fields[1].rpartition(":")[2], 16) in ports
        for fields in map(str.split, lines)
    )


def lines_of(table: Path) -> list[str]:
    """Without the head. A kernel without IPv6 has no table for it."""
    return table.read_text().splitlines()[1:] if table.exists() else []


def descendants(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """Children before their own children."""
    children: dict[int, list[int]] = {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:  # grows while it is read
        found += children.get(one, ())
    return found[1:]


def is_listening(bind: Bind) -> bool:
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host)
    with contextlib.suppress(OSError), socket.create_connection((host, bind.port), 1):
        return True
    return False
