"""Whatever a daemon group's processes do, Apache lives, answers, logs, and passes on nothing that
looks like something else.

Applications run in these processes, so a broken or a hostile one may send anything
(tests/apps/hostile.py), and write anything into memory that it shares with Apache.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from apps.hostile import BYTES
from harness import SANITIZED, Httpd, wait_for, wait_until
from visitors import Answer, read_answer

CONF = """
ServerLimit 1
WSGIDaemonProcess d processes=1 threads=2 python-home={root}/home socket-timeout=2 connect-timeout=2
WSGIScriptAlias / {app}/hello.py process-group=d
<Location /server-wsgi>
    SetHandler wsgi-status
</Location>
"""
WHOLE = {
    "too-much",
    "long-times",
    "times-before-0",
    "kept-and-closed",
    "kept-and-talking",
    "nul",
    "log",
    "zero-length",
}
STATUSES = {"failure-200": 500, "failure-404": 404}
BY_HTTPD = {"split-header", "no-token"}  # which checks the headers of a response itself


@pytest.fixture(scope="module")
def server() -> Iterator[Httpd]:
    httpd = Httpd()
    python = httpd.root / "home" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {httpd.app}/hostile.py\n")
    python.chmod(0o755)
    httpd.start(CONF)
    httpd.expect("hostile: at its worst")  # Apache waits for it no longer than for any other
    yield httpd
    httpd.finish()


def ask(server: Httpd, path: str, body: bytes = b"") -> tuple[Answer | None, bytes]:
    """The answer, and whatever comes behind it."""
    with (
        socket.create_connection(("127.0.0.1", server.port), 60) as connection,
        connection.makefile("rb") as file,
    ):
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        answer = read_answer(file)
        connection.shutdown(socket.SHUT_WR)
        return answer, file.read()


def is_fine(answer: Answer | None) -> bool:
    return answer is not None and (answer.status, answer.body, answer.is_complete) == (
        200,
        b"fine",
        True,
    )


def children(server: Httpd) -> list[int]:
    """Without processes that are about to become supervisors."""
    return wait_for(
        lambda: found if len(found := server.apache_children()) == 1 else [],
        "there is one child of Apache's",
    )


def descriptors(server: Httpd) -> dict[int, int]:
    return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in children(server)}


def is_no_more(now: dict[int, int], before: dict[int, int]) -> bool:
    return now.keys() == before.keys() and all(now[pid] <= before[pid] for pid in now)


@pytest.mark.parametrize("deed", sorted(BYTES))
def test_nonsense_is_answered_with_an_error_or_cut_off(server: Httpd, deed: str) -> None:
    server.expected |= {"WSGI0310", "WSGI0312"}
    answer, behind = ask(server, f"/{deed}")
    assert answer and behind == b""
    assert b"x-injected" not in answer.headers and b"X-Injected" not in answer.body
    if deed in WHOLE:
        assert (answer.status, answer.is_complete) == (200, True)
    elif answer.status == 200:
        assert not answer.is_complete
    else:
        assert answer.status == STATUSES.get(deed, 500 if deed in BY_HTTPD else 502)


@pytest.mark.parametrize(
    ("deed", "text", "count"),
    [
        ("begun-log-at", "said with its place", 1),
        ("begun-log", "said twice", 2),
        ("refused-log", "said last", 1),
        ("log-at-lies-late", "is malformed", 0),
    ],
)
def test_the_log_holds_what_was_sent_for_it_and_nothing_else(
    server: Httpd, deed: str, text: str, count: int
) -> None:
    server.expected |= {"WSGI0310", "WSGI0312"}
    before = server.log_text()
    assert ask(server, f"/{deed}")[0]
    new = server.log_text().removeprefix(before)
    records = [line for line in new.splitlines() if "WSGI" not in line]
    assert len(records) == count and all(text in line for line in records), new
    assert new.count("WSGI031") == 1


def test_what_is_more_than_was_promised_does_not_reach_the_client(server: Httpd) -> None:
    answer, behind = ask(server, "/too-much")
    assert answer and (answer.body, behind) == (b"five!", b"")
    server.expect("WSGI0312", containing="malformed DATA")


@pytest.mark.parametrize("kind", ["pipe", "directory", "device", "socket"])
def test_only_files_are_sent_as_such(server: Httpd, kind: str) -> None:
    assert requests.get(server.url(f"/file/{kind}"), timeout=60).status_code == 502
    server.expect("WSGI0312", containing="malformed FILE")


def test_a_request_whose_body_was_read_is_not_asked_again_of_another_worker(server: Httpd) -> None:
    body = b"x" * 2_000_000  # more than is sent along
    assert requests.post(server.url("/hand-back"), data=body, timeout=60).status_code == 502
    server.expect("WSGI0312", containing="unexpected RETRY")


def test_asking_for_more_of_a_body_than_there_is_gets_nothing(server: Httpd) -> None:
    assert is_fine(ask(server, "/want")[0])
    assert is_fine(ask(server, "/want", body=b"short")[0])


def test_no_descriptor_is_left_in_apache(server: Httpd) -> None:
    def everything() -> None:
        for deed in (
            "fds",
            "file/pipe",
            "file/socket",
            "begun-garbage",
            "too-much",
            "kept-and-talking",
            "grant/1",
        ):
            ask(server, f"/{deed}")

    everything()
    before = descriptors(server)  # perhaps with a connection that is about to be closed
    for _ in range(3):
        everything()
    wait_until(
        lambda: is_no_more(descriptors(server), before), f"as few descriptors as before: {before}"
    )


@pytest.mark.skipif(SANITIZED, reason="freed memory is kept for a while")
@pytest.mark.parametrize("deed", ["hints", "lookups"])
def test_a_request_takes_no_more_memory_the_longer_it_lasts(server: Httpd, deed: str) -> None:
    (child,) = children(server)
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(f"GET /{deed} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while connection.recv(1 << 20):
            pass
    peak = next(
        line
        for line in Path(f"/proc/{child}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    assert int(peak.split()[1]) < 30_000, peak


def test_a_connection_that_is_kept_may_be_no_better_than_a_new_one(server: Httpd) -> None:
    for deed, count in (
        ("begun", 1),
        ("garbage", 5),
        ("kept-and-talking", 2**31 - 1),
        ("two-heads", -1),
        ("nothing", 2),
    ):
        assert is_fine(ask(server, f"/grant/{count}")[0])
        answer, behind = ask(server, f"/{deed}")
        assert (
            answer
            and behind == b""
            and (answer.status == 502 or deed in WHOLE or not answer.is_complete)
        )


def test_shared_memory_may_hold_anything(server: Httpd) -> None:
    """The last test of this server, which does not forget what it read."""
    for seed in range(10):
        assert is_fine(ask(server, f"/scribble/{seed}")[0])
        for form in ("html", "json", "openmetrics", "prometheus"):
            assert (
                requests.get(server.url(f"/server-wsgi?format={form}"), timeout=60).status_code
                == 200
            )
        assert ask(server, "/two-heads")[0]
    assert ask(server, "/nothing")[0]
    server.graceful()
    assert is_fine(ask(server, "/log")[0])
