"""`httpd-wsgi serve`: a private httpd for one application, in the foreground."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

APACHE_USERS = ("www-data", "apache", "httpd", "http", "nobody")
HTTPD_NAMES = ("apache2", "httpd", "/usr/sbin/apache2", "/usr/sbin/httpd", "/usr/local/apache2/bin/httpd")
MODULE_DIRECTORIES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/local/apache2/modules")
WANTED_MODULES = ("mpm_event", "authz_core", "alias", "dir", "log_config", "unixd")
COPY_LIMIT = 50 * 2**20

EXIT_USAGE = 2
EXIT_NO_TARGET = 3
EXIT_PORT = 4
EXIT_NO_HTTPD = 5
EXIT_NO_MODULE = 6


class SettingsError(Exception):
    """One sentence for the user; `code` is the exit status."""

    def __init__(self, message: str, code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the command line asks for; valid by construction."""

    target: str
    host: str = "127.0.0.1"
    port: int = 8000
    processes: int = 1
    threads: int = 15
    python_home: str = sys.prefix

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise SettingsError(f"--port {self.port}: expected a number from 1 to 65535")
        for name, value in (("processes", self.processes), ("threads", self.threads)):
            if not 1 <= value <= 10000:
                raise SettingsError(f"--{name} {value}: expected a number from 1 to 10000")
        if not os.path.exists(os.path.join(self.python_home, "bin", "python")):
            raise SettingsError(f"--python-home {self.python_home}: there is no bin/python in it")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are on this machine and in the private server root."""

    root: Path
    script: Path
    modules: tuple[tuple[str, Path], ...]  # name without mod_, file
    wsgi_module: Path
    user: str | None  # Apache's user when started as root
    working_directory: str


def quote(value: object) -> str:
    """An httpd.conf word: quotes keep spaces, a backslash keeps quotes."""
    text = str(value)
    if "\n" in text or "${" in text:
        raise SettingsError(f"{text!r} cannot be written to an Apache configuration")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_conf(settings: ServerSettings, layout: Layout) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    daemon = [
        f"WSGIDaemonProcess serve processes={settings.processes} threads={settings.threads}",
        f"python-home={quote(settings.python_home)}",
        "display-name=%{GROUP}",
    ]
    lines = [
        f"ServerRoot {quote(layout.root)}",
        "ServerName localhost",
        f"DefaultRuntimeDir {quote(layout.root)}",
        f"PidFile {quote(layout.root / 'httpd.pid')}",
        f"Listen {host}:{settings.port}",
        "ErrorLog /dev/stderr",
        "LogLevel warn wsgi:notice",
        "ServerTokens ProductOnly",
        *(f"LoadModule {name}_module {quote(path)}" for name, path in layout.modules),
        f"LoadModule wsgi_module {quote(layout.wsgi_module)}",
        *([f"User {layout.user}", f"Group {quote('#' + str(pwd.getpwnam(layout.user).pw_gid))}"] if layout.user else []),
        f"WSGISocketPrefix {quote(layout.root / 'wsgi')}",
        " ".join(daemon),
        f"WSGIScriptAlias / {quote(layout.script)} process-group=serve application-group=%{{GLOBAL}}",
        "<Directory />",
        "    Require all denied",
        "</Directory>",
        f"<Directory {quote(layout.script.parent)}>",
        "    Require all granted",
        "</Directory>",
    ]
    return "\n".join(lines) + "\n"


def render_import_script(module: str, name: str, directory: str) -> str:
    """A script for a module:callable target. The directory it was started in counts, as it does for `python -m`."""
    return (
        "import functools, importlib, sys\n"
        f"sys.path.insert(0, {directory!r})\n"
        f"application = functools.reduce(getattr, {name!r}.split('.'), importlib.import_module({module!r}))\n"
    )


# ---- this machine ----


def find_httpd() -> str:
    for name in HTTPD_NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise SettingsError("Apache httpd was not found; install it, on Debian with: apt-get install apache2", EXIT_NO_HTTPD)


def builtin_modules(httpd: str) -> set[str]:
    listing = subprocess.run([httpd, "-l"], capture_output=True, text=True, check=False).stdout
    return {line.strip()[4:-2] for line in listing.splitlines() if line.strip().startswith("mod_")}


def find_modules(httpd: str) -> tuple[tuple[str, Path], ...]:
    builtin = builtin_modules(httpd)
    found: list[tuple[str, Path]] = []
    for name in WANTED_MODULES:
        for directory in MODULE_DIRECTORIES:
            path = Path(directory, f"mod_{name}.so")
            if name not in builtin and path.exists():
                found.append((name, path))
                break
    return tuple(found)


def find_wsgi_module() -> Path:
    path = Path(__file__).with_name("mod_wsgi.so")
    if not path.exists():
        raise SettingsError(
            "the Apache module was not built, because apxs was missing when httpd-wsgi was installed; install apache2-dev "
            "(Debian) or httpd-devel (Red Hat), then run: pip install --force-reinstall --no-cache-dir httpd-wsgi",
            EXIT_NO_MODULE,
        )
    return path


def apache_user() -> str | None:
    """The user httpd shall become; None when it is not started by root and stays who it is."""
    if os.geteuid() != 0:
        return None
    for name in APACHE_USERS:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    raise SettingsError("no user to run Apache as was found (" + ", ".join(APACHE_USERS) + ")")


def blocking_directory(path: Path, uid: int, gid: int) -> Path | None:
    """The first directory of path that this user cannot enter."""
    for directory in reversed(path.resolve().parents):
        info = directory.stat()
        bit = 0o100 if info.st_uid == uid else 0o010 if info.st_gid == gid else 0o001
        if not info.st_mode & bit:
            return directory
    return None


def check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise SettingsError(f"{host}:{port} cannot be listened on: {exc.strerror}; choose another --port", EXIT_PORT) from exc


# ---- the target ----


def readable_copy(directory: Path, root: Path, user: str) -> Path:
    """The directory itself if the Apache user can get there, else a copy in the server root."""
    account = pwd.getpwnam(user)
    blocked = blocking_directory(directory / "x", account.pw_uid, account.pw_gid)
    if blocked is None:
        return directory
    size = sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())
    if size > COPY_LIMIT:
        raise SettingsError(
            f"{user} cannot enter {blocked}, and {directory} is too large to be copied; run: chmod o+x {blocked}",
            EXIT_NO_TARGET,
        )
    copy = root / "app"
    shutil.copytree(directory, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    print(f"httpd-wsgi: {user} cannot enter {blocked}: serving a copy of {directory}", file=sys.stderr)
    return copy


def place_script(target: str, root: Path, user: str | None) -> Path:
    path = Path(target)
    if path.is_file():
        directory = path.resolve().parent
        return (readable_copy(directory, root, user) if user else directory) / path.name
    module, colon, name = target.partition(":")
    if not colon or not module or not name:
        raise SettingsError(f"{target}: no such file; a target is a script file or module:callable", EXIT_NO_TARGET)
    directory = Path.cwd()
    if user:
        directory = readable_copy(directory, root, user)
    script = root / "script" / "application.py"
    script.parent.mkdir(mode=0o755)
    script.write_text(render_import_script(module, name, str(directory)))
    return script


# ---- running ----


def run(settings: ServerSettings) -> int:
    httpd = find_httpd()
    module = find_wsgi_module()
    user = apache_user()
    check_port(settings.host, settings.port)
    root = Path(tempfile.mkdtemp(prefix="httpd-wsgi-"))
    try:
        root.chmod(0o755)
        layout = Layout(root, place_script(settings.target, root, user), find_modules(httpd), module, user, os.getcwd())
        conf = root / "httpd.conf"
        conf.write_text(render_conf(settings, layout))
        print(f"httpd-wsgi: {settings.target} on http://{settings.host}:{settings.port}/ (stop with Ctrl-C)", flush=True)
        return foreground([httpd, "-f", str(conf), "-DFOREGROUND"])
    finally:
        shutil.rmtree(root, ignore_errors=True)


def foreground(command: Sequence[str]) -> int:
    """Runs httpd until it ends or a signal asks to stop; a stop that was asked for is success."""
    asked = False
    process = subprocess.Popen(command, start_new_session=True)

    def stop(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        process.send_signal(signal.SIGTERM)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    status = process.wait()
    return 0 if asked else status if status > 0 else 1
