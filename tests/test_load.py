"""Many requests, and clients that go away: everybody gets his own answer, and nothing is left
behind.
"""

from __future__ import annotations

import ast
import os
import random
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import MODES
from harness import SANITIZED, Httpd, wait_until

LONG = "HTTPD_WSGI_LONG" in os.environ
ALIAS = {
    "embedded": "WSGIScriptAlias / {app}/load.py application-group=%{GLOBAL}",
    "daemon": "WSGIDaemonProcess d threads=20 listen-backlog=500\nWSGIScriptAlias / {app}/load.py process-group=d",
}


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=("unique_id",))
    httpd.start(
        "ServerLimit 1\nThreadsPerChild 64\nThreadLimit 64\nMaxRequestWorkers 64\n"
        "MaxKeepAliveRequests 0\nListenBacklog 1000\n"
        'ErrorLogFormat "[%t] [%m:%l] [pid %P:tid %T] [%L] %M"\n' + ALIAS[request.param]
    )
    yield httpd
    httpd.finish()


def counts(server: Httpd) -> dict[str, int]:
    return dict(ast.literal_eval(requests.get(server.url("/counts"), timeout=60).text))


def resident_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) if found else 0


def apache_child(server: Httpd) -> int:
    (child,) = server.apache_children()
    return child


def test_500_requests_at_once_get_their_own_answers(server: Httpd) -> None:
    def ask(number: int) -> str:
        return requests.get(server.url(f"/?{number}"), timeout=60).text

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(ask, range(500))) == [str(n) for n in range(500)]
    connections = []
    for number in range(500):  # all of them open before any is read
        connections.append(socket.create_connection(("127.0.0.1", server.port), 60))
        connections[-1].sendall(f"GET /?{number} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    for number, connection in enumerate(connections):
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
        connection.close()
        assert data.endswith(f"\r\n\r\n{number}".encode())


def test_tracebacks_of_20_threads_do_not_interleave(server: Httpd) -> None:
    before = len(server.log_text())
    with ThreadPoolExecutor(20) as pool:
        assert set(
            pool.map(
                lambda n: requests.get(server.url(f"/traceback?{n}"), timeout=60).status_code,
                range(60),
            )
        ) == {500}
    server.expect("WSGI0401")
    lines_of: dict[str, list[str]] = {}
    changes, last = 0, ""
    for line in server.log_text()[before:].splitlines():
        found = re.fullmatch(r"\[.*?\] \[wsgi:error\] \[pid \d+:tid \d+\] \[(\S+)\] (.*)", line)
        # Of a start, or httpd says that its threads are all at work
        if re.match(r"\[[^]]*\] \[(?!wsgi:error\])", line):
            continue
        assert found, line  # one record per line, every one with its request's id
        if found.group(1) not in lines_of or last != found.group(1):
            changes += 1
        last = found.group(1)
        lines_of.setdefault(last, []).append(found.group(2))
    assert len(lines_of) == changes == 60  # each traceback is in one piece
    assert {len(lines) for lines in lines_of.values()} == {len(next(iter(lines_of.values())))}
    assert sum("ValueError: number" in lines[-1] for lines in lines_of.values()) == 60
    assert all(len(lines) > 100 for lines in lines_of.values())


def test_clients_that_go_away_leave_nothing_behind(server: Httpd) -> None:
    chance = random.Random(1)
    for _ in range(30):  # all threads have been used
        requests.post(server.url("/mixed?1000"), data=b"y" * 1000, timeout=60)
    before, child = counts(server), apache_child(server)
    fds = len(os.listdir(f"/proc/{child}/fd"))

    def visit(seed: int) -> None:
        mine = random.Random(seed)
        size = mine.choice([0, 10, 70_000, 300_000])
        head = f"POST /mixed?{mine.choice([0, 100, 200_000])} HTTP/1.1\r\nHost: x\r\n"
        kind = mine.choice(
            [
                f"Content-Length: {size}\r\n\r\n",
                f"Transfer-Encoding: chunked\r\n\r\n{max(size, 1):x}\r\n",
            ]
        )
        request = (head + kind).encode() + b"z" * size
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            try:
                connection.sendall(request[: mine.randrange(len(request) + 1)])
                if mine.random() < 0.5:
                    connection.settimeout(0.05)
                    connection.recv(mine.choice([1, 100, 100_000]))
                if mine.random() < 0.3:  # a reset instead of an orderly end
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(visit, [chance.random().__hash__() for _ in range(10_000 if LONG else 1000)]))
    wait_until(lambda: (c := counts(server))["started"] == c["closed"], "every result is closed")
    after = counts(server)
    assert after["native"] <= before["native"] and after["pid"] == before["pid"]
    wait_until(
        lambda: counts(server)["fds"] <= before["fds"],
        f"as many descriptors in the application as before: {before}",
    )
    wait_until(
        lambda: len(os.listdir(f"/proc/{child}/fd")) <= fds + 2,
        "as many descriptors in Apache as before",
    )
    assert requests.post(server.url("/mixed?3"), data=b"end", timeout=60).text == "3xxxend"


def test_a_program_the_application_starts_inherits_nothing(server: Httpd) -> None:
    listed = requests.get(server.url("/children"), timeout=60).text
    open_there = set(re.findall(r" (\d+) -> ", listed))
    assert open_there <= {"0", "1", "2", "3"}, listed  # 3 is the directory that ls reads


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer keeps freed memory for a while")
def test_memory_stays_flat_over_many_mixed_requests(server: Httpd) -> None:
    def visit(requests_each: int) -> None:
        with (
            requests.Session() as session,
            socket.create_connection(("127.0.0.1", server.port), 60) as connection,
        ):
            for number in range(requests_each):
                connection.sendall(
                    b"GET /?%d HTTP/1.1\r\nHost: x\r\nCookie: a=%d\r\n\r\n" % (number, number)
                )
                answer = b""
                while not answer.endswith(b"\r\n\r\n%d" % number):
                    part = connection.recv(65536)
                    assert part, answer
                    answer += part
                if number % 50 == 0:
                    text = session.post(
                        server.url("/mixed?70000"), data=b"y" * 100_000, timeout=60
                    ).text
                    assert len(text) == 5 + 170_000
                    assert session.get(server.url("/traceback?1"), timeout=60).status_code == 500

    def round_of(total: int) -> list[int]:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(visit, [total // 4] * 4))
        return [resident_kib(pid) for pid in (counts(server)["pid"], apache_child(server))]

    round_of(4000)
    before = round_of(4000)
    after = round_of(200_000 if LONG else 8000)
    server.expect("WSGI0401")
    assert all(now < then + 3000 for then, now in zip(before, after, strict=True)), (before, after)
