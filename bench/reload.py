"""What clients see of code being loaded: first requests, and those that fail or wait on a touch and
a graceful restart.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import contenders
import report
from options import Options
from server import MPM_LIMITS, Httpd, Work, load_modules

CLIENTS = 4
LONG_MS = 100
# Room for a second generation of children: without it httpd's new ones wait until old ones have
# gone, whichever module is loaded.
LIMITS = MPM_LIMITS.replace("ServerLimit 2", "ServerLimit 6")
STATIC = "/static/hello.py"
ALIAS = "Alias /static {apps}\nWSGIScriptAlias / {apps}/reloaded.py application-group=%{GLOBAL} process-group="

FIRSTS, EVENTS = ("after start", "after touch"), ("touch", "graceful")
COLUMNS = (
    "requests",
    "failed",
    "longest_ms",
    "static_longest_ms",
    "longest_before_ms",
    "long",
    "first_new_s",
    "last_old_s",
)
HEAD = (
    "",
    "requests",
    "failed",
    "longest ms",
    "static ms",
    "quiet ms",
    f"> {LONG_MS} ms",
    "first new s",
    "last old s",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    asked: float  # on the clock of time.time()
    took_ms: float
    loaded: float | None  # when the code was loaded that answered; None: the request failed


class Clients:
    """Threads that ask over and over, each time over a new connection, so that every failure is one
    of the server.
    """

    def __init__(self, url: str, is_static: bool = False) -> None:
        self.url = url
        self.is_static = is_static
        self.answers: list[Answer] = []  # list.append() needs no lock
        self.enough = threading.Event()
        # An interrupt does not wait
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self) -> None:
        while not self.enough.is_set():
            asked, start = time.time(), time.perf_counter()
            try:
                with urllib.request.urlopen(self.url, timeout=30) as response:
                    text = response.read()
                    loaded = 0.0 if self.is_static else int(text) / 1e9
            except (OSError, ValueError, urllib.error.HTTPError):
                loaded = None
            self.answers.append(Answer(asked, (time.perf_counter() - start) * 1000, loaded))

    def stop(self) -> list[Answer]:
        self.enough.set()
        for thread in self.threads:
            thread.join()
        return self.answers


def observe(server: Httpd, event: str, seconds: float) -> dict[str, object]:
    """A second of quiet, the event, and what follows; what clients of a static file wait meanwhile
    is httpd's own.
    """
    clients, static = Clients(server.url + "/"), Clients(server.url + STATIC, is_static=True)
    try:
        time.sleep(min(1.0, seconds))
        happened = time.time()
        if event == "touch":
            os.utime(server.work.root / "apps" / "reloaded.py")
        else:
            server.process.send_signal(signal.SIGUSR1)
        time.sleep(seconds)
    finally:
        answers, others = clients.stop(), static.stop()
    waited = judge(others, happened)
    return {
        **judge(answers, happened),
        "static_longest_ms": waited["longest_ms"],
        "static_failed": waited["failed"],
    }


def judge(answers: list[Answer], happened: float) -> dict[str, object]:
    before = [answer for answer in answers if answer.asked + answer.took_ms / 1000 < happened]
    after = [answer for answer in answers if answer.asked + answer.took_ms / 1000 >= happened]
    new = [
        answer.asked + answer.took_ms / 1000 - happened
        for answer in after
        if answer.loaded and answer.loaded >= happened
    ]
    old = [
        answer.asked - happened for answer in after if answer.loaded and answer.loaded < happened
    ]
    return {
        "requests": len(answers),
        "failed": sum(answer.loaded is None for answer in answers),
        "longest_before_ms": round(max((answer.took_ms for answer in before), default=0.0), 1),
        "longest_ms": round(max((answer.took_ms for answer in after), default=0.0), 1),
        "long": sum(answer.took_ms > LONG_MS for answer in after),
        "first_new_s": round(min(new), 2) if new else None,
        "last_old_s": round(max([0.0, *old]), 2),
    }


def first_requests(server: Httpd) -> dict[str, float]:
    """Milliseconds of the first and the second request from now on."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        urllib.request.urlopen(server.url, timeout=30).close()
        times.append(round((time.perf_counter() - start) * 1000, 1))
    return {"first_ms": times[0], "second_ms": times[1]}


def serve(name: str, module: Path, mode: str, seconds: float) -> dict[str, dict[str, object]]:
    group = "%{GLOBAL}" if mode == "embedded" else "d"
    conf = load_modules("alias") + contenders.wsgi_conf(module, [], mode) + ALIAS + group
    with Work() as work, Httpd(name, work, conf, LIMITS) as server:
        firsts: dict[str, dict[str, object]] = {"after start": dict(first_requests(server))}
        os.utime(work.root / "apps" / "reloaded.py")
        firsts["after touch"] = dict(first_requests(server))
        return {**firsts, **{event: observe(server, event, seconds) for event in EVENTS}}


def run(options: Options) -> dict[str, object]:
    found = {}
    for name in options.modes()[:1] if options.quick else options.modes():
        module = (
            contenders.install_mod_wsgi(options.state)
            if name.startswith("mod_wsgi")
            else contenders.OURS
        )
        if module:
            found[name] = serve(
                name, module, name.removeprefix("mod_wsgi-"), 0.8 if options.quick else 4.0
            )
    print("An application that takes 500 ms to load; first and second request:")
    columns = [(moment, which) for moment in FIRSTS for which in ("first_ms", "second_ms")]
    rows = [
        [name, *(str(of[moment][which]) for moment, which in columns)] for name, of in found.items()
    ]
    print(report.table(("", "after start", "second", "after touch", "second"), rows))
    for event in EVENTS:
        print(f"\n{event}, {CLIENTS} clients")
        print(
            report.table(
                HEAD,
                [
                    [name, *(str(of[event][column]) for column in COLUMNS)]
                    for name, of in found.items()
                ],
            )
        )
    return {"clients": CLIENTS, "contenders": found}
