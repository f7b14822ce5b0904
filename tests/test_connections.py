"""Connections that Apache's children keep to workers: used again, never in the way, and no request
is lost with one.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import Httpd, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Httpd]:
    httpd = Httpd()
    httpd.start(
        "ServerLimit 1\nThreadsPerChild 16\nMaxRequestWorkers 16\nWSGIDaemonProcess d processes=2 threads=2\n"
        "WSGIScriptAlias / {app}/lines.py process-group=d\n<Location /stream>\nWSGIRequestBuffering Off\n</Location>\n"
    )
    wait_until(lambda: len(httpd.workers()) == 2, "both workers")
    yield httpd
    httpd.finish()


def get(server: Httpd, path: str, **options: object) -> requests.Response:
    return requests.get(server.url(path), timeout=60, **options)  # type: ignore[arg-type]


@pytest.fixture
def shared(server: Httpd) -> Path:
    """A directory in which the application may write."""
    directory = Path(tempfile.mkdtemp(dir=server.root))
    directory.chmod(0o777)
    return directory


def sockets_of(pids: list[int]) -> set[str]:
    links = (os.readlink(fd) for pid in pids for fd in Path(f"/proc/{pid}/fd").iterdir())
    return {link for link in links if link.startswith("socket:")}


def test_requests_go_over_the_connections_that_are_there(server: Httpd, shared: Path) -> None:
    # A connection to each thread, whichever is free first afterwards
    with ThreadPoolExecutor(4) as pool:
        held = [pool.submit(get, server, f"/hold?{shared}/go") for _ in range(4)]
        wait_until(lambda: len(list(shared.glob("go.held-*"))) == 4, "all threads are held")
        (shared / "go").touch()
        assert {answer.result().status_code for answer in held} == {200}
    before = sockets_of(server.workers())
    for _ in range(20):
        assert get(server, "/").status_code == 200
    assert sockets_of(server.workers()) == before


def test_a_request_never_waits_for_a_busy_worker_while_another_has_a_free_thread(
    server: Httpd, shared: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda n: get(server, f"/?{n}"), range(100)):
            pass  # connections to all workers
        for number in range(10):
            go = shared / f"go{number}"
            held = [pool.submit(get, server, f"/hold?{go}") for _ in range(3)]
            wait_until(
                lambda go=go: len(list(shared.glob(f"{go.name}.held-*"))) == 3,
                "three of four threads are held",
            )  # type: ignore[misc]
            for quick in range(5):
                assert get(server, f"/?{quick}").text.endswith(f" {quick}")
            go.touch()
            assert {future.result().status_code for future in held} == {200}


def test_more_requests_than_threads_are_all_answered_with_their_own_answer(server: Httpd) -> None:
    with ThreadPoolExecutor(16) as pool:
        for number, response in enumerate(
            pool.map(lambda n: get(server, f"/?token{n}"), range(400))
        ):
            assert response.text.endswith(f" token{number}")


@pytest.mark.parametrize("path", ["/unread", "/some", "/stream/unread"])
@pytest.mark.parametrize("size", [100, 50_000, 300_000])
def test_what_an_application_leaves_unread_does_not_reach_the_next_request(
    server: Httpd, path: str, size: int
) -> None:
    for _ in range(3):
        assert requests.post(server.url(path), data=b"Q" * size, timeout=60).status_code == 200
        assert get(server, "/?next").text.endswith(" next")


def test_a_client_that_leaves_early_takes_no_connection_of_others_along(server: Httpd) -> None:
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", server.port), 60) as client:
            client.sendall(
                b"POST /stream/some HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx"
            )
    assert [get(server, f"/?{n}").text.split()[2] for n in range(10)] == [str(n) for n in range(10)]


def test_an_idle_worker_that_is_killed_costs_no_request(server: Httpd) -> None:
    for _ in range(20):
        get(server, "/")
    for worker in server.workers()[:1]:
        os.kill(worker, signal.SIGKILL)
        for _ in range(20):
            assert get(server, "/").status_code == 200
    wait_until(lambda: len(server.workers()) == 2, "there is another worker")


def test_workers_end_although_apache_keeps_connections_to_them(server: Httpd) -> None:
    old = set(server.workers())
    for _ in range(20):
        get(server, "/")
    os.kill(server.supervisor(), signal.SIGHUP)
    with ThreadPoolExecutor(8) as pool:
        end = time.monotonic() + 60
        while old & set(server.workers()):
            assert {
                r.status_code for r in pool.map(lambda n: get(server, f"/?{n}"), range(16))
            } == {200}
            assert time.monotonic() < end, f"workers {old} have not ended"


def test_a_process_that_the_application_forked_does_not_hide_the_death_of_a_worker(
    server: Httpd, shared: Path
) -> None:
    for _ in range(4):
        assert get(server, f"/fork?{shared}/go").status_code == 200
    assert get(server, "/die").status_code == 502
    server.expect("WSGI0310", containing="/die")
    server.expect("WSGI0702")
    (shared / "go").touch()
    assert get(server, "/").status_code == 200
