"""Requests that wait for a thread: none waits while one is free, none is refused or late without
need, and each runs once, whoever dies meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import SANITIZED, Httpd, freeze, running, wait_until

LONG = "HTTPD_WSGI_LONG" in os.environ
ALIAS = "WSGIScriptAlias / {app}/queueing.py process-group=d\n"
# Seconds. A claim that was taken for lost cost a tenth, and a busy machine costs half of that
LATE = 0.09
ROUND = 30.0  # seconds after which a request is stuck, on a machine that is busy


def some_children(number: int) -> str:
    names = "StartServers MinSpareServers MaxSpareServers ServerLimit MaxRequestWorkers"
    return "".join(f"{name} {number}\n" for name in names.split())


def directory_of(server: Httpd) -> Path:
    """A directory in which the application may write."""
    directory = Path(tempfile.mkdtemp(dir=server.root))
    directory.chmod(0o777)
    return directory


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def send(server: Httpd, path: str, number: int = 1) -> list[socket.socket]:
    """Sends that many requests at once; path may have a place for a number."""
    clients = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(number)]
    for place, client in enumerate(clients):
        client.sendall(f"GET {path.format(place)} HTTP/1.0\r\n\r\n".encode())
    return clients


def status_of(client: socket.socket) -> int:
    with client:
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    return int(answer.split()[1]) if answer else 0


def hold_all(server: Httpd, directory: Path, rounds: int, at_once: int) -> int:
    """How many rounds failed: each holds that many requests at the same time."""
    late = 0
    for number in range(rounds):
        began, go = directory / f"began{number}", directory / f"go{number}"
        clients = send(server, f"/?note={began}&token={{}}&until={go}", at_once)
        try:
            wait_until(lambda began=began: len(lines_of(began)) == at_once, "all run", ROUND)  # type: ignore[misc]
        except AssertionError:
            late += 1
        go.touch()
        assert {status_of(client) for client in clients} == {200}
    return late


@pytest.mark.parametrize(
    ("processes", "threads", "at_once"), [(2, 2, 3), (3, 3, 4), (2, 2, 4), (4, 1, 4)]
)
def test_no_request_waits_while_a_thread_is_free(
    processes: int, threads: int, at_once: int
) -> None:
    with running(
        some_children(60)
        + f"WSGIDaemonProcess d processes={processes} threads={threads}\n"
        + ALIAS,
        mpm="prefork",
    ) as server:
        wait_until(lambda: len(server.workers()) == processes, "all workers")
        assert hold_all(server, directory_of(server), 1000 if LONG else 60, at_once) == 0


@pytest.mark.parametrize(
    ("threads", "queue", "at_once"), [(15, 1, 10), (15, 1, 15), (4, 1, 4), (15, 2, 15), (30, 3, 24)]
)
def test_a_queue_size_refuses_nothing_while_threads_are_free(
    threads: int, queue: int, at_once: int
) -> None:
    with running(
        "ServerLimit 1\nThreadsPerChild 40\nThreadLimit 40\nMaxRequestWorkers 40\n"
        f"WSGIDaemonProcess d threads={threads} queue-size={queue}\n" + ALIAS
    ) as server:
        requests.get(server.url("/"), timeout=60)  # the worker is ready
        answers: Counter[int] = Counter()
        for _ in range(1000 // at_once if LONG else 6):
            answers.update(status_of(client) for client in send(server, "/?seconds=0.05", at_once))
        assert set(answers) == {200}


@pytest.mark.skipif(SANITIZED, reason="a sanitizer slows down everything")
@pytest.mark.parametrize(("processes", "threads", "clients"), [(1, 2, 2), (2, 2, 4), (1, 2, 3)])
def test_no_request_is_late_for_want_of_a_claimed_one(
    processes: int, threads: int, clients: int
) -> None:
    late: list[float] = []

    def ask(server: Httpd, number: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), 60) as client:
            for _ in range(number):
                begin = time.monotonic()
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
                took = time.monotonic() - begin
                if took > LATE:
                    late.append(took)

    with running(
        "ServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\nMaxKeepAliveRequests 0\n"
        f"WSGIDaemonProcess d processes={processes} threads={threads}\n" + ALIAS
    ) as server:
        wait_until(lambda: len(server.workers()) == processes, "all workers")
        number = 200_000 if LONG else 12_000
        threads_ = [
            threading.Thread(target=ask, args=(server, number // clients)) for _ in range(clients)
        ]
        for thread in threads_:
            thread.start()
        for thread in threads_:
            thread.join()
    assert len(late) <= number // 10_000, sorted(late)  # any process may wait for a processor


@pytest.fixture
def two(httpd: Httpd) -> Iterator[Httpd]:
    httpd.start(
        "ServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n"
        "WSGIDaemonProcess d processes=2 threads=2\n" + ALIAS
    )
    wait_until(lambda: len(httpd.workers()) == 2, "both workers")
    for _ in range(20):
        assert status_of(send(httpd, "/")[0]) == 200
    yield httpd


def is_answered(client: socket.socket, seconds: float) -> bool:
    return bool(select.select([client], [], [], seconds)[0])


def test_a_stopped_worker_is_passed_over(two: Httpd) -> None:
    stopped = int(requests.get(two.url("/"), timeout=60).text)  # and it would get the next one
    (other,) = set(two.workers()) - {stopped}
    clients = []
    freeze(stopped)
    try:
        # Until it has not moved for a while its credits count; a request that has claimed one waits
        # for it. It may be passed over before any does.
        for _ in range(8):
            clients += send(two, "/")
            if not is_answered(clients[-1], 1.5):
                break
        for _ in range(20):
            assert requests.get(two.url("/"), timeout=60).text == str(other)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert {status_of(client) for client in clients} == {200}


def test_a_worker_that_keeps_the_interpreter_lock_is_passed_over(two: Httpd) -> None:
    spinning = send(two, "/?spin=4")
    waiting = send(two, "/?seconds=0", 2)  # one of them may wait there for the lock
    end = time.monotonic() + 4
    slow = 0
    while time.monotonic() < end:
        begin = time.monotonic()
        assert requests.get(two.url("/"), timeout=60).status_code == 200
        slow += time.monotonic() - begin > 0.5
    assert slow <= 1  # the one with which that worker's threads were all taken
    assert {status_of(client) for client in spinning + waiting} == {200}


def test_a_worker_without_its_listening_socket_ends_and_is_replaced(two: Httpd) -> None:
    before = set(two.workers())
    two.expected |= {"WSGI0310", "WSGI0342", "WSGI0702", "WSGI0735"}
    assert requests.get(two.url("/descriptors"), timeout=60).status_code == 200

    def has_ended() -> bool:  # new connections show it that it has lost something
        for client in send(two, "/", 8):
            assert status_of(client) in (200, 502)
        return len(before & set(two.workers())) < 2

    wait_until(has_ended, "it has ended")
    wait_until(lambda: len(two.workers()) == 2, "there is another one")
    for _ in range(20):
        assert requests.get(two.url("/"), timeout=60).status_code == 200


def test_a_worker_without_descriptors_says_so_once_and_serves_when_it_has_some(
    httpd: Httpd,
) -> None:
    httpd.start(
        "ServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\n"
        "WSGIDaemonProcess d threads=2\n" + ALIAS
    )
    httpd.expected.add("WSGI0340")
    assert status_of(send(httpd, "/?limit=1")[0]) == 200
    clients = send(httpd, "/?seconds=0.1", 8)
    wait_until(lambda: "WSGI0340" in httpd.log_text(), "there is no descriptor left")
    # One of them went over the keep-alive connection, as does what ends the shortage
    wait_until(lambda: any(is_answered(client, 0) for client in clients), "that is free")
    assert status_of(send(httpd, "/?limit=1024")[0]) == 200
    assert {status_of(client) for client in clients} == {200}
    assert httpd.log_text().count("WSGI0340") == 1


class Chaos:
    """Clients with requests of their own, while processes are killed."""

    def __init__(self, server: Httpd, ran: Path) -> None:
        self.server = server
        self.ran = ran
        self.outcomes: dict[str, int] = {}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(n,)) for n in range(12)]

    def ask(self, client: int) -> None:
        number = 0
        while not self.over.is_set():
            token = f"{client}-{number}"
            number += 1
            try:
                status = status_of(send(self.server, f"/?note={self.ran}&token={token}")[0])
            except OSError:
                status = 0  # its Apache child was killed
            self.outcomes[token] = status

    def __enter__(self) -> Chaos:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_each_request_runs_once_whoever_is_killed(httpd: Httpd) -> None:
    httpd.start(
        "StartServers 2\nServerLimit 3\nThreadsPerChild 8\nMaxRequestWorkers 24\nMinSpareThreads 1\n"
        "MaxSpareThreads 24\nWSGIDaemonProcess d processes=2 threads=2\n" + ALIAS
    )
    httpd.expected.update({"WSGI0702", "WSGI0310"})
    httpd.kills_children = True
    wait_until(lambda: len(httpd.workers()) == 2, "both workers")
    chance = random.Random(7)
    ran = directory_of(httpd) / "ran"
    with Chaos(httpd, ran) as chaos:
        for round_number in range(100 if LONG else 6):
            before = len(chaos.outcomes)
            wait_until(
                lambda before=before: len(chaos.outcomes) > before + 100,  # type: ignore[misc]
                "answers come",
                120,
            )
            victims = httpd.apache_children() if round_number % 3 == 2 else httpd.workers()
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
    count = Counter(lines_of(ran))
    assert max(count.values()) == 1, count.most_common(3)
    answered = {token for token, status in chaos.outcomes.items() if status == 200}
    assert not answered - set(count)
    assert set(chaos.outcomes.values()) <= {200, 502, 0}
    begin = time.monotonic()
    assert requests.get(httpd.url("/"), timeout=60).status_code == 200
    assert time.monotonic() - begin < ROUND
