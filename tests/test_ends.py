"""Responses that end before the application does: what it still does, and what of it is logged."""

from __future__ import annotations

import re
import socket
import time
import uuid
from collections.abc import Iterator

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, wait_for, wait_until

OPTIONS = {"daemon": "socket-timeout=2 response-socket-timeout=2", "embedded": ""}


@pytest.fixture(scope="module", params=list(MODES))
def ends(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    server = Httpd()
    conf = conf_for(request.param, "ends.py").replace("processes=2 threads=4", "threads=3")
    server.start(
        conf.replace("threads=3", f"threads=3 {OPTIONS[request.param]}")
        + "\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25\nTimeout 2\n"
    )
    server.mode = request.param  # type: ignore[attr-defined]
    yield server
    server.finish()


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def deeds(server: Httpd, name: str) -> list[str]:
    answer: list[str] = requests.get(server.url(f"/deeds?name={name}"), timeout=60).json()
    return answer


def go_on(server: Httpd, name: str) -> None:
    requests.get(server.url(f"/set?name={name}"), timeout=60)


def connect(server: Httpd, target: str, method: str = "GET") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


def is_closed(server: Httpd, name: str) -> bool:
    return "closed" in deeds(server, name)


# ---- enough has been sent ----


ENOUGH = {
    "HEAD": ("HEAD", "item=x", 200),
    "HEAD with a length": ("HEAD", "item=x&length=5", 200),
    "204": ("GET", "item=x&status=204+No+Content", 204),
    "304": ("GET", "item=x&status=304+Not+Modified", 304),
    "length": ("GET", "item=12345&length=10", 200),
    "no length": ("GET", "item=12345&length=0", 200),
    "length by write": ("GET", "item=x&length=10&write=0123456789", 200),
    "length within an item": ("GET", "item=123&length=10", 200),
}


@pytest.mark.parametrize("case", ENOUGH)
def test_an_iterable_without_end_is_closed_when_enough_was_sent(
    ends: Httpd, name: str, case: str
) -> None:
    method, query, status = ENOUGH[case]
    with requests.Session() as session:
        response = session.request(method, ends.url(f"/endless?name={name}&{query}"), timeout=60)
        assert response.status_code == status
        assert len(response.content) == (10 if "length=10" in query else 0)
        wait_until(lambda: is_closed(ends, name), "it is closed")
        done = deeds(ends, name)
        assert done.count("item") == {"length": 2, "length within an item": 4}.get(
            case, 0 if "write" in query else 1
        )
        # over the same connection
        assert session.get(ends.url(f"/listed?name={name}"), timeout=60).text == "onetwo"


@pytest.mark.parametrize("query", ["item=", "item=x&length=10"])
@pytest.mark.parametrize("path", ["endless", "writing"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_application_that_sends_nothing_learns_that_the_client_has_left(
    ends: Httpd, name: str, path: str, query: str, method: str
) -> None:
    with connect(ends, f"/{path}?name={name}&{query}", method):
        if path == "endless":
            wait_until(lambda: "item" in deeds(ends, name), "it has begun")
    wait_until(lambda: is_closed(ends, name), "it is closed")


def test_a_client_that_waits_gets_what_comes_after_empty_items(ends: Httpd, name: str) -> None:
    with connect(ends, f"/empty_until?name={name}") as client:
        wait_until(lambda: "item" in deeds(ends, name), "it has begun")
        go_on(ends, name)
        data = b""
        # httpd gives the response a length when it has all of it at once
        while b"something" not in data and (part := client.recv(1000)):
            data += part
        assert b"something" in data


def test_a_client_that_only_sends_no_more_gets_its_response(ends: Httpd, name: str) -> None:
    with connect(ends, f"/silent_until?name={name}") as client:
        wait_until(lambda: "item" in deeds(ends, name), "it has begun")
        client.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 1.3, "Apache has looked at the client")
        go_on(ends, name)
        data = b""
        while chunk := client.recv(1000):
            data += chunk
        assert data.endswith(b"something")


@pytest.mark.parametrize(("path", "begins"), [("endless", b""), ("begun", b"HTTP/1.1 200 OK")])
def test_a_response_that_ended_for_a_half_closed_connection_does_not_look_complete(
    ends: Httpd, name: str, path: str, begins: bytes
) -> None:
    with connect(ends, f"/{path}?name={name}&item=") as client:
        wait_until(lambda: "item" in deeds(ends, name), "it has begun")
        client.shutdown(socket.SHUT_WR)
        data = b""
        while chunk := client.recv(1000):
            data += chunk
    assert data[:15] == begins and not data.endswith(b"0\r\n\r\n")
    ends.expect("WSGI0304", containing="[client")


def test_all_items_of_a_list_are_sent_or_counted(ends: Httpd) -> None:
    assert requests.get(ends.url("/listed?name=x"), timeout=60).text == "onetwo"
    assert requests.head(ends.url("/listed?name=x"), timeout=60).status_code == 200


# ---- what is logged when a request has been given up ----


def lines_of(server: Httpd, name: str) -> list[str]:
    return [line for line in server.log_text().splitlines() if name in line]


def expect_line(server: Httpd, name: str, text: str) -> str:
    found = wait_for(
        lambda: [line for line in lines_of(server, name) if f"{name} {text}" in line],
        f"{text} is logged",
    )
    return found[0]


def expect_lines(server: Httpd, name: str, texts: list[str], given_up: bool) -> None:
    request_id = expect_line(server, name, "id ").rpartition(" ")[2]
    for text in texts:
        line = expect_line(server, name, text)
        assert "[wsgi:error]" in line
        if given_up:
            assert "[client 127.0.0.1:" in line and f"[request {request_id}]" in line
        assert sum(f"{name} {text}" in line for line in lines_of(server, name)) == 1, text


LATE = ["printed", "logged", "written", "without newline"]


def test_what_a_request_logs_after_its_client_has_left_is_logged(ends: Httpd, name: str) -> None:
    with connect(ends, f"/late?name={name}"):
        expect_line(ends, name, "id ")
    go_on(ends, name)
    expect_lines(ends, name, LATE, given_up=False)
    wait_until(lambda: f"KeyError: '{name} raised'" in ends.log_text(), "the traceback is there")
    ends.expect("WSGI0401")


def test_what_a_request_logs_after_it_was_given_up_is_logged(ends: Httpd, name: str) -> None:
    if ends.mode == "embedded":  # type: ignore[attr-defined]
        pytest.skip("nobody gives it up")
    assert requests.get(ends.url(f"/late?name={name}"), timeout=60).status_code == 504
    ends.expect("WSGI0311")
    go_on(ends, name)
    expect_lines(ends, name, LATE, given_up=True)
    wait_until(lambda: f"KeyError: '{name} raised'" in ends.log_text(), "the traceback is there")
    ends.expect("WSGI0401")


def leave(client: socket.socket, server: Httpd, name: str) -> None:
    client.close()


def take_nothing(client: socket.socket, server: Httpd, name: str) -> None:
    wait_until(lambda: is_closed(server, name), "the response is given up")


@pytest.mark.parametrize("do", [leave, take_nothing])
def test_what_is_logged_at_the_end_of_a_response_that_nobody_takes_is_logged(
    ends: Httpd, name: str, do: object
) -> None:
    with socket.create_connection(("127.0.0.1", ends.port), 60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(f"GET /stream?name={name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        client.recv(100)
        do(client, ends, name)  # type: ignore[operator]
        expect_line(ends, name, "logged in close")
    given_up = ends.mode == "daemon"  # type: ignore[attr-defined]
    expect_lines(ends, name, ["ended after", "logged in close"], given_up)
    wait_until(lambda: f"ValueError: {name} raised in close" in ends.log_text(), "the traceback")
    ends.expect("WSGI0405")
    last = int(re.findall(rf"{name} ended after (\d+)", ends.log_text())[0])
    numbers = [int(n) for n in re.findall(rf"{name} line (\d+) of", ends.log_text())]
    assert sorted(numbers) == list(range(last + 1))
