"""`httpd-wsgi serve`: a private httpd for one application, in the foreground."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from httpd_wsgi.command import machine, relay, root, target, variables
from httpd_wsgi.command.errors import EXIT_HTTPD_FAILED, EXIT_NO_TARGET
from httpd_wsgi.command.render import Layout, render_conf, useful_modules, wanted_modules
from httpd_wsgi.command.settings import Bind, ServerSettings
from httpd_wsgi.command.target import say

PR_SET_PDEATHSIG = 1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAID_AFTER = 1.5  # seconds, after which it is clear that a stop waits for something
KILL_AFTER = 0.5
RELOAD_SIGNALS = (signal.SIGHUP, signal.SIGUSR1)


def with_ports(settings: ServerSettings) -> ServerSettings:
    """Replaces port 0 by a free port. Raises CommandError for an address that cannot be listened on."""
    binds = tuple(machine.free_bind(bind) for bind in settings.binds)
    if settings.https_port is not None:
        machine.free_bind(Bind(binds[0].host, settings.https_port), is_https=True)
    return replace(settings, binds=binds)


def make_layout(
    settings: ServerSettings, directory: Path, is_service: bool = False, copy: bool = True
) -> Layout:
    """Finds out where things are on this machine. With copy, files that httpd's user cannot read may
    be copied into the server root.
    """
    httpd = machine.find_httpd(settings.httpd)
    module = machine.find_wsgi_module()
    who = machine.apache_account(settings.user, settings.group)
    found = target.resolve(settings)
    if copy:
        found = target.for_user(
            found, directory, who, chosen=bool(settings.user) or is_service, say=say
        )
    modules = machine.find_modules(
        httpd, wanted_modules(settings), settings.modules_directory, useful_modules(settings)
    )
    user, gid = (who.name, who.gid) if who else ("", 0)
    return Layout(
        directory,
        found,
        modules,
        module,
        user,
        gid,
        machine.mime_types(),
        variables.of_mod_wsgi(settings, directory, found.home, who)
        if settings.has_variables
        else (),
        is_service,
    )


def print_config(settings: ServerSettings) -> int:
    directory = Path(settings.server_root or "/tmp/httpd-wsgi-fresh")
    sys.stdout.write(render_conf(settings, make_layout(settings, directory, copy=False)))
    return 0


def run(settings: ServerSettings, quiet: bool = False) -> int:
    settings = with_ports(settings)
    with contextlib.ExitStack() as stack:
        directory = (
            root.prepare(settings.server_root)
            if settings.server_root
            else stack.enter_context(root.fresh())
        )
        stack.enter_context(root.held(directory))
        root.refuse_running(directory, settings.pid_file)
        layout = make_layout(settings, directory)
        (directory / "htdocs").mkdir(mode=0o755, exist_ok=True)
        conf = directory / "httpd.conf"
        root.write(conf, render_conf(settings, layout), 0o600)  # it may hold secrets: --env
        command = [machine.find_httpd(settings.httpd), "-f", str(conf), "-DFOREGROUND"]
        return Foreground(settings, directory, command, quiet).run()


def urls(settings: ServerSettings) -> list[str]:
    """Returns the addresses to type into a browser."""
    found = []
    for bind in settings.binds:
        host = settings.server_name or (
            "localhost" if bind.host in ("", "0.0.0.0", "::") else str(replace(bind, port=0))[:-2]
        )
        scheme = "https" if settings.is_https_only_binds else "http"
        port = "" if bind.port == (443 if scheme == "https" else 80) else f":{bind.port}"
        found.append(f"{scheme}://{host}{port}{settings.mount_point}")
        if settings.https_port is not None:
            found.append(
                f"https://{host}{'' if settings.https_port == 443 else f':{settings.https_port}'}{settings.mount_point}"
            )
    return found


class Foreground:
    """httpd as a child process. Signals are passed on, its output is relayed, and the command ends
    when httpd ends.
    """

    def __init__(
        self, settings: ServerSettings, root: Path, command: Sequence[str], quiet: bool
    ) -> None:
        self.settings = settings
        self.root = root
        self.command = command
        self.quiet = quiet
        self.news = relay.News()
        self.stops = 0  # signals to stop that have come
        self.is_served = False
        self.timers: list[threading.Timer] = []
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        # In a session of its own: Ctrl-C and the resizing of a terminal (SIGWINCH stops httpd)
        # reach only us.
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )  # fmt: skip
        for number in STOP_SIGNALS:
            signal.signal(number, self.stop)
        for number in RELOAD_SIGNALS:
            signal.signal(number, self.reload)
        assert self.process.stdout and self.process.stderr
        is_json = self.settings.log_format == "json"
        relays = (
            relay.Relay(self.process.stdout, 1, "access", relay.accesses(is_json), self.news),
            relay.Relay(
                self.process.stderr,
                2,
                "error",
                relay.errors(self.news, self.settings.log_level, is_json, is_terminal=os.isatty(2)),
                self.news,
            ),
        )
        for thread in relays:
            thread.start()
        failed = self.watch_start()
        status = self.process.wait()
        for timer in self.timers:
            timer.cancel()
        for thread in relays:
            thread.join(2)
        if failed:
            say(f"{target.title(self.settings)} could not be loaded; the reason is above")
            return EXIT_NO_TARGET
        return 0 if self.stops else self.report_end(status)

    def report_end(self, status: int) -> int:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        say(f"httpd {how}; the reason is above, or in the error log")
        return EXIT_HTTPD_FAILED

    # ---- the start ----

    def watch_start(self) -> bool:
        """Shows how the start goes. Returns True when the application could not be loaded; httpd is
        then stopping.
        """
        assert self.process
        name = target.title(self.settings)
        has_news = (
            self.settings.error_log == "-"
            and bool(self.settings.target)
            and not self.settings.embedded
        )
        is_shown = (
            has_news and not self.quiet and not self.settings.instruments and sys.stderr.isatty()
        )
        # Not with the instruments of `express`: pdb would ask on the same line
        progress = Progress(f"loading {name} ...", enabled=is_shown)
        self.news.in_progress = is_shown
        while not self.is_there(has_news) and self.process.poll() is None and not self.stops:
            progress.show()
            self.news.changed.wait(0.1)
        progress.end()
        self.news.in_progress = False
        if self.process.poll() is not None or self.stops:
            return False
        if self.news.failed and not self.settings.reload:
            self.process.send_signal(signal.SIGTERM)
            return True
        self.is_served = True
        if not self.quiet:
            after = f" after {progress.seconds():.1f} s" if has_news else ""
            stop = " (stop with Ctrl-C)" if sys.stderr.isatty() else ""
            say(f"{name} is served on {' and '.join(urls(self.settings))}{after}{stop}")
        return False

    def is_there(self, has_news: bool) -> bool:
        if has_news:
            return self.news.ready or (self.news.hopeless and not self.settings.reload)
        return machine.is_listening(self.settings.binds[0])

    # ---- signals ----

    def stop(self, number: int, frame: object) -> None:
        """The first signal lets requests finish, within GracefulShutdownTimeout. The second ends
        them, and whatever does not end at once is killed.

        httpd takes a second for a graceful stop. Ctrl-C does without it when there is no client.
        """
        self.stops += 1
        if self.stops > 1:
            self.send(signal.SIGTERM)
            self.later(KILL_AFTER, self.kill)
        elif self.is_served and (number == signal.SIGTERM or self.has_clients()):
            self.send(signal.SIGWINCH)
            self.later(SAID_AFTER, self.say_waiting)
        else:
            self.send(signal.SIGTERM)

    def has_clients(self) -> bool:
        ports = {bind.port for bind in self.settings.binds} | {self.settings.https_port}
        return machine.has_connections(ports)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """In a thread, since the main thread waits for httpd."""
        timer = threading.Timer(seconds, work)
        timer.daemon = True
        self.timers.append(timer)
        timer.start()

    def say_waiting(self) -> None:
        again = "Ctrl-C again" if sys.stderr.isatty() else "a second signal"
        limit = f"up to {self.settings.stop_limit} s"
        if not self.quiet:
            say(f"waiting {limit} for requests that are running; {again} ends them now")

    def kill(self) -> None:
        """httpd first, so that it starts nothing again."""
        if self.process is None or self.process.poll() is not None:
            return
        for pid in (self.process.pid, *machine.descendants(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.unlink(self.settings.pid_file or self.root / "httpd.pid")

    def reload(self, number: int, frame: object) -> None:
        """A graceful restart: configuration, certificates and applications are read again, and no
        request is lost.
        """
        self.send(signal.SIGUSR1)

    def send(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)


class Progress:
    """A line on the terminal that says how long something takes."""

    def __init__(self, text: str, enabled: bool) -> None:
        self.text = text
        self.enabled = enabled
        self.started = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def show(self) -> None:
        if self.enabled:
            print(f"\r{self.text} {self.seconds():.1f} s", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.enabled:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def end_with_parent() -> Callable[[], None] | None:
    """Returns a function that makes the kernel stop httpd when the command is killed (Linux only)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def set_signal() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return set_signal
