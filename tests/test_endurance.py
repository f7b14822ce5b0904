"""Nothing is lost while everything is replaced: a load with a long request and a large download,
restarts, reloads and kills.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, SANITIZED, Httpd, wait_until

LONG = "HTTPD_WSGI_LONG" in os.environ
CLIENTS = 50 if LONG else 12
RESTARTS = 20 if LONG else 6
DOWNLOAD = (200 if LONG else 40) << 20
FLAT_RESTARTS = 5000 if LONG else 160

APP = """
import os, time
FLAG = {flag!r}

def download():
    for _ in range({download} >> 16):
        yield b"x" * 65536

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/long":
        open(FLAG + ".long", "w").close()
        while not os.path.exists(FLAG):
            time.sleep(0.02)
    start_response("200 OK", [])
    return download() if path == "/download" else [b"{word}"]
"""
CONF = "ThreadsPerChild 25\nMaxRequestWorkers 100\nMaxKeepAliveRequests 0\nListenBacklog 1000\n"


class Load:
    """Clients with kept connections; one that finds its connection closed between two requests
    opens another.
    """

    def __init__(self, httpd: Httpd, clients: int = CLIENTS) -> None:
        self.httpd = httpd
        self.seen: Counter[object] = Counter()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]

    def note(self, what: object) -> None:
        with self.lock:
            self.seen[what] += 1

    def run(self) -> None:
        connection, fresh = None, True
        while not self.over.is_set():
            try:
                if connection is None:
                    connection, fresh = (
                        socket.create_connection(("127.0.0.1", self.httpd.port), 60),
                        True,
                    )
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = connection.recv(65536)
            except OSError as exc:
                answer = b""
                if fresh:
                    self.note(repr(exc))
            if answer:
                self.note(int(answer[9:12]))
            elif fresh:
                self.note("closed")
            if not answer or b"\r\nConnection: close" in answer:
                if connection:
                    connection.close()
                connection = None
            fresh = False
        if connection:
            connection.close()

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.seen[200] > len(self.threads), "the load has begun")
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def more(self, answers: int = 100) -> None:
        """Waits until so many more requests were answered."""
        before = self.seen.total()
        wait_until(lambda: self.seen.total() >= before + answers, "answers come", 300)


class Site:
    def __init__(self, httpd: Httpd) -> None:
        self.httpd = httpd
        self.script = httpd.app / "endurance.py"
        self.flag = httpd.root / "flag"
        self.number = 0
        if AS_ROOT:
            httpd.root.chmod(0o777)

    def write(self, word: str = "answer", more: str = "") -> None:
        self.number += 1
        new = self.script.with_suffix(".new")
        new.write_text(APP.format(flag=str(self.flag), download=DOWNLOAD, word=word) + more)
        os.utime(new, (self.number, self.number))
        new.replace(self.script)  # as deployments do: never half of a file

    def start(self, options: str, processes: int = 2) -> None:
        self.write()
        self.httpd.start(
            f"{CONF}WSGIDaemonProcess d processes={processes} threads=5 listen-backlog=500 {options}\n"
            "WSGIScriptAlias / {app}/endurance.py process-group=d\n"
        )
        wait_until(lambda: len(self.httpd.workers()) == processes, "all workers are ready")


@pytest.fixture
def site(httpd: Httpd) -> Iterator[Site]:
    yield Site(httpd)


@contextlib.contextmanager
def long_ones(site: Site) -> Iterator[None]:
    """A request and a download that last from before to after; both must complete."""
    results: dict[str, object] = {}

    def ask() -> None:
        results["long"] = requests.get(site.httpd.url("/long"), timeout=120).status_code

    def download() -> None:
        with socket.create_connection(("127.0.0.1", site.httpd.port), 120) as connection:
            connection.sendall(b"GET /download HTTP/1.0\r\n\r\n")
            size = len(connection.recv(65536))
            wait_until(site.flag.exists, "the test is over", 300)
            while chunk := connection.recv(1 << 20):
                size += len(chunk)
            results["download"] = size

    threads = [
        threading.Thread(target=ask, daemon=True),
        threading.Thread(target=download, daemon=True),
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: Path(f"{site.flag}.long").exists(), "the long request runs")
    yield
    site.flag.touch()
    for thread in threads:
        thread.join()
    assert results["long"] == 200 and int(str(results["download"])) > DOWNLOAD


def test_graceful_restarts_lose_nothing(site: Site) -> None:
    site.start("response-buffer-size=1M")
    chance = random.Random(3)
    with Load(site.httpd) as load, long_ones(site):
        for number in range(RESTARTS):
            load.more(chance.randrange(20, 200))
            if number % 3 == 0:  # two at once
                site.httpd.signal(signal.SIGUSR1)
            site.httpd.graceful()
    assert set(load.seen) == {200}, load.seen
    wait_until(
        lambda: len(site.httpd.supervisors()) == 1 and len(site.httpd.workers()) == 2,
        "the old generations have gone",
    )


@pytest.mark.parametrize("reload", ["now", "rolling"])
def test_touched_scripts_under_load_lose_nothing(site: Site, reload: str) -> None:
    site.start(f"reload={reload}")
    with Load(site.httpd) as load:
        for _ in range(RESTARTS):
            load.more()
            site.write()
            load.more(20)
    assert set(load.seen) == {200}, load.seen


def test_code_with_a_syntax_error_under_load_fails_no_request(site: Site) -> None:
    site.start("")
    with Load(site.httpd) as load:
        for _ in range(3):
            load.more()
            site.write(more="\ndef (\n")
            load.more(200)
            site.write()
    assert set(load.seen) == {200}, load.seen
    for code in ("WSGI0415", "WSGI0714"):
        site.httpd.expect(code)


def test_recycling_under_load_loses_nothing(site: Site) -> None:
    site.start("maximum-requests=50", processes=3)
    with Load(site.httpd) as load:
        wait_until(
            lambda: site.httpd.log_text().count("(maximum_requests)") >= RESTARTS,
            "workers are recycled",
            600,
        )
    assert set(load.seen) == {200}, load.seen


def test_killed_workers_cost_only_their_own_requests(site: Site) -> None:
    site.start("", processes=3)
    chance = random.Random(4)
    with Load(site.httpd) as load:
        for _ in range(RESTARTS):
            load.more(50)
            before = site.httpd.log_text().count("WSGI0702")
            os.kill(chance.choice(site.httpd.workers()), signal.SIGKILL)
            wait_until(
                lambda before=before: site.httpd.log_text().count("WSGI0702") > before,
                "it is noticed",
            )  # type: ignore[misc]
            wait_until(lambda: len(site.httpd.workers()) == 3, "it is replaced")
        load.more()
    assert set(load.seen) <= {200, 502} and load.seen[502] <= RESTARTS * 5, load.seen
    site.httpd.expected |= {"WSGI0702", "WSGI0310"}
    # Each with its line
    assert len(re.findall("WSGI0310", site.httpd.log_text())) == load.seen[502]


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer keeps freed memory for a while")
def test_crashes_leak_nothing(httpd: Httpd) -> None:
    (httpd.app / "dies.py").write_text(
        "import os\ndef application(environ, start_response):\n    os._exit(3)\n",
    )
    httpd.start("WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/dies.py process-group=d\n")
    supervisor = httpd.supervisor()

    def crash(times: int) -> tuple[int, int]:
        for _ in range(times):
            assert requests.get(httpd.url("/"), timeout=60).status_code == 502
        status = Path(f"/proc/{supervisor}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        return len(os.listdir(f"/proc/{supervisor}/fd")), int(found.group(1)) if found else 0

    before = crash(5)
    after = crash(1000 if LONG else 20)
    httpd.expected |= {"WSGI0702", "WSGI0310"}
    # At most one worker more is being started
    assert after[0] <= before[0] + 4 and after[1] <= before[1] + 300, (before, after)


def is_supervisor(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def generations(httpd: Httpd) -> int:
    """After so many restarts even this httpd's other processes have pids that supervisors had."""
    return sum(is_supervisor(pid) for pid in httpd.supervisors())


def parent_facts(httpd: Httpd) -> tuple[int, int]:
    assert httpd.process
    status = Path(f"/proc/{httpd.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return len(os.listdir(f"/proc/{httpd.process.pid}/fd")), int(found.group(1)) if found else 0


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer keeps freed memory for a while")
def test_many_graceful_restarts_leave_the_parent_as_it_was(httpd: Httpd) -> None:
    httpd.start("WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/hello.py process-group=d\n")

    def restart(times: int) -> tuple[int, int]:
        for number in range(times):
            httpd.graceful()
            if number % 40 == 39:  # the others come before the last one was ready
                wait_until(lambda: generations(httpd) == 1, "one generation is left")
        return parent_facts(httpd)

    def is_flat() -> bool:
        """Ends of earlier generations are noticed at a restart, so one more lets go of what is
        left. What leaks stays.
        """
        httpd.graceful()
        wait_until(lambda: generations(httpd) == 1, "one generation is left")
        after.append(parent_facts(httpd))
        return after[-1][0] <= before[0] and after[-1][1] <= before[1] + 300

    before = restart(40)  # as many generations have existed at once as ever will
    after = [restart(FLAT_RESTARTS)]
    wait_until(is_flat, f"descriptors and memory are as before: {before}, now {after}", 300)
    assert requests.get(httpd.url("/"), timeout=60).status_code == 200
