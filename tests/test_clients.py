"""Clients that send what they should not: it is refused, or it reaches the application as one
request and nothing more.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, wait_until

SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
READ = "?" + quote(json.dumps({"read": 1}))
HOST = "Host: x\r\n"


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd()
    alias = conf_for(request.param, "reply.py").replace("processes=2", "processes=1")
    httpd.start(
        f"ServerLimit 1\nTraceEnable Off\nTimeout 5\n{alias}\n<Location /now>\nWSGIRequestBuffering Off\n</Location>\n"
    )
    # Clients that have closed their side are not waited for when there is no worker yet.
    wait_until(lambda: request.param != "daemon" or bool(httpd.workers()), "there is a worker")
    yield httpd
    httpd.expected.add("WSGI0301")
    try:
        assert (
            "/smuggled"
            not in requests.get(
                httpd.url("/?" + quote(json.dumps({"paths": 1}))), timeout=60
            ).json()
        )
    finally:
        httpd.finish()


def send(server: Httpd, data: str) -> bytes:
    """What comes back until the server closes, which it does as this client says that it is done."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(data.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        try:
            while chunk := connection.recv(1 << 16):
                received += chunk
        except ConnectionResetError:
            pass
    return bytes(received)


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def get(line: str = "GET /a HTTP/1.1", headers: str = HOST) -> str:
    return f"{line}\r\n{headers}\r\n"


def post(headers: str, body: str = "", path: str = "/a") -> str:
    return f"POST {path}{READ} HTTP/1.1\r\n{HOST}{headers}\r\n{body}"


REFUSED = {
    "two lengths": post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello" + SMUGGLED),
    "a list of lengths": post("Content-Length: 5, 5\r\n", "hello" + SMUGGLED),
    "a length with a sign": post("Content-Length: +5\r\n", "hello" + SMUGGLED),
    "a length below 0": post("Content-Length: -1\r\n", SMUGGLED),
    "a hexadecimal length": post("Content-Length: 0x5\r\n", "hello" + SMUGGLED),
    "a length beyond all numbers": post("Content-Length: 99999999999999999999\r\n", SMUGGLED),
    "a coding before chunked": post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    "a coding after chunked": post(
        "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n" + SMUGGLED
    ),
    "an unknown coding": post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + SMUGGLED),
    "a chunk beyond all numbers": post(
        "Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\nx\r\n" + SMUGGLED
    ),
    "a chunk below 0": post("Transfer-Encoding: chunked\r\n", "-1\r\nx\r\n" + SMUGGLED, "/now"),
    "a chunk without an end": post(
        "Transfer-Encoding: chunked\r\n", "3\r\nabcGET /smuggled HTTP/1.1\r\n\r\n", "/now"
    ),
    "less than the length": post("Content-Length: 100\r\n", "hello"),
    "less than the length, read late": post("Content-Length: 100\r\n", "hello", "/now"),
    "chunks that do not end": post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
    "space before the colon": post("Content-Length : 5\r\n", "hello"),
    "a header without a colon": get(headers=HOST + "nonsense\r\n"),
    "a header without a name": get(headers=HOST + ": x\r\n"),
    "a NUL in a header": get(headers=HOST + "X-A: a\0b\r\n"),
    "a NUL in a name": get(headers=HOST + "X\0A: a\r\n"),
    "a bare carriage return": get(headers=HOST + "X-A: a\rGET /smuggled HTTP/1.1\r\n"),
    "a huge header": get(headers=HOST + "X-A: " + "a" * 100_000 + "\r\n"),
    "a thousand headers": get(headers=HOST + "X-A: a\r\n" * 1000),
    "a huge address": get("GET /" + "a" * 100_000 + " HTTP/1.1"),
    "no host": get(headers=""),
    "two hosts": get(headers=HOST + "Host: y\r\n"),
    "a host with a path": get(headers="Host: x/y\r\n"),
    "no version": "nonsense\r\n\r\n",
    "two spaces": get("GET  /a HTTP/1.1"),
    "a method that is no token": get("G(T /a HTTP/1.1"),
    "a NUL in the address": get("GET /a%00b HTTP/1.1"),
    "a slash in disguise": get("GET /a%2Fb HTTP/1.1"),
    "above the root": get("GET /../../etc/passwd HTTP/1.1"),
    "a trace": get("TRACE /a HTTP/1.1"),
    "an unknown expectation": get(headers=HOST + "Expect: miracles\r\n"),
}


REFUSALS = {400, 403, 404, 405, 408, 413, 414, 417, 431, 501, 505}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_what_is_malformed_is_refused_and_ends_the_connection(server: Httpd, what: str) -> None:
    answer = send(server, REFUSED[what])
    assert len(statuses(answer)) == 1 and statuses(answer)[0] in REFUSALS, answer[:300]


UPGRADE = (
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
)
LONG = f"{HOST}Content-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}"
PASSED = {
    "another host": (get("GET http://elsewhere/a HTTP/1.1"), [200]),
    "an upgrade": (get(headers=HOST + UPGRADE), [200]),
    "bytes that are no UTF-8": (get("GET /%ff%fe HTTP/1.1"), [200]),
    "five at once": (get() * 5, [200] * 5),
    "an unread body that looks like a request": ("POST /a HTTP/1.1\r\n" + LONG + get(), [200, 200]),
    "an unread late body that looks like a request": (
        "POST /now HTTP/1.1\r\n" + LONG + get(),
        [200, 200],
    ),
    "an unread body in chunks": (
        f"POST /now HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
        + get(),
        [200, 200],
    ),
    "a body of GET": ("GET /a HTTP/1.1\r\n" + LONG + get(), [200, 200]),
    "hundreds of ranges": (
        get(headers=HOST + "Range: bytes=" + ",".join(f"{n}-{n}" for n in range(300)) + "\r\n"),
        [200],
    ),
}


@pytest.mark.parametrize("what", sorted(PASSED))
def test_what_is_odd_reaches_the_application_as_what_it_is(server: Httpd, what: str) -> None:
    request, expected = PASSED[what]
    assert statuses(send(server, request)) == expected


def test_chunks_count_and_a_length_beside_them_does_not(server: Httpd) -> None:
    told = "?" + quote(json.dumps({"environ": 1}))
    head = (
        f"POST /a{told} HTTP/1.1\r\n{HOST}Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    request = f"{head}2\r\nab\r\n0\r\n\r\n"
    answer = send(server, request)
    assert statuses(answer) in ([200], [400])
    assert b'"CONTENT_LENGTH": "60"' not in answer


def test_clients_that_send_nothing_more_hold_no_worker(server: Httpd) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(12)]
    for number, connection in enumerate(slow):
        connection.sendall(
            (post("Content-Length: 1000\r\n", "hello") if number % 2 else get()[:-3]).encode()
        )
    for _ in range(5):
        assert requests.get(server.url("/a"), timeout=60).status_code == 200
    for connection in slow:
        connection.close()
