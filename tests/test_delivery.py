"""What is said about bodies that do not arrive, and that size, mode and pauses change nothing that
a client or an application can see.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import socket
from collections.abc import Iterator

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, wait_for, wait_until

WHOLE = b"".join(b"%09d\n" % n for n in range(100_000))
APP = '''
import io, os, tempfile, threading

WHOLE = b"".join(b"%09d\\n" % n for n in range(100_000))


class Slow(io.FileIO):
    """Other work is done when the server closes it."""
    def close(self):
        if not self.closed:
            threading.Event().wait(0.3)
        super().close()


def file_with(data, kind):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    opened = kind(file.name, "rb")
    os.unlink(file.name)
    return opened


def application(environ, start_response):
    words = environ["PATH_INFO"].strip("/").split("/")
    name, size = words[0], int(words[1]) if len(words) > 1 else 0
    query = environ["QUERY_STRING"].split(",") if environ["QUERY_STRING"] else []
    headers = [("Content-Type", "application/octet-stream")]
    for word in query:
        if "=" in word:
            headers.append(tuple(word.split("=", 1)))
    if "length" in query:
        headers.append(("Content-Length", str(size)))
    start_response(environ.get("HTTP_X_STATUS", "200 OK"), headers)
    data = WHOLE[:size]
    if name == "list":
        return [data]
    if name == "pieces":
        return iter([data[at : at + 1000] for at in range(0, size, 1000)])
    if name == "pauses":
        return (threading.Event().wait(0.05) or data[at : at + size // 2] for at in (0, size // 2))
    if name == "file":
        return environ["wsgi.file_wrapper"](file_with(data, open))
    if name == "slow":
        return environ["wsgi.file_wrapper"](file_with(data, Slow))
    if name == "huge":
        return (bytes(65536) for _ in range(2000))
    if name == "one":
        return [bytes(size)]
    if name == "spooled":
        return environ["wsgi.file_wrapper"](file_with(bytes(size), open))
    if name == "read":
        return [environ["wsgi.input"].read()]
    if name == "told":
        keys = "CONTENT_LENGTH", "HTTP_CONTENT_ENCODING", "wsgi.input_terminated"
        body = environ["wsgi.input"].read()
        return [repr([len(body), *map(environ.get, keys)]).encode()]
    raise LookupError(name)
'''


def start(httpd: Httpd, mode: str, options: str, conf: str = "") -> None:
    (httpd.app / "delivery.py").write_text(APP)
    alias = conf_for(mode, "delivery.py").replace("processes=2 threads=4", f"threads=4 {options}")
    httpd.start(f"ServerLimit 1\n{alias}\n{conf}")
    if mode == "daemon":
        wait_for(httpd.workers, "a worker is ready")  # its start must not take from the time-outs


def stalled(server: Httpd, path: str) -> socket.socket:
    """A client that reads the beginning of the response and nothing more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


# ---- responses that do not arrive ----

LONG = ["/huge", "/one/100000000"]
# httpd writes the rest of these when the handler has ended
WRITTEN_LATER = ["/one/20000000", "/spooled/20000000"]


def expect_timeout(server: Httpd, path: str, reason: str) -> None:
    with stalled(server, path):
        record = server.expect("WSGI0316", containing="[client")
    assert re.search(rf"for 1 s \({reason}\)", record) and "[wsgi:info]" in record
    wait_until(server.is_quiet, "the connection is closed")
    assert server.log_text().count("WSGI0316") == 1 and "WSGI0304" not in server.log_text()


@pytest.mark.parametrize("path", LONG)
@pytest.mark.parametrize(
    ("options", "conf", "reason"),
    [
        ("response-socket-timeout=1 socket-timeout=9", "", r"response-socket-timeout=1 of \S+:\d+"),
        ("socket-timeout=1", "", r"socket-timeout=1 of \S+:\d+"),
        ("", "Timeout 1", "Timeout 1"),
        ("socket-timeout=1 response-buffer-size=1M", "", r"socket-timeout=1 of \S+:\d+"),
        ("socket-timeout=1", "WSGIResponseBuffering Off", r"socket-timeout=1 of \S+:\d+"),
    ],
)
def test_a_group_names_the_limit_that_its_client_has_exceeded(
    httpd: Httpd, options: str, conf: str, reason: str, path: str
) -> None:
    start(httpd, "daemon", options, conf)
    expect_timeout(httpd, path, reason)


@pytest.mark.parametrize("path", LONG + WRITTEN_LATER)
def test_a_client_that_takes_nothing_is_named_with_apaches_limit(
    httpd: Httpd, mode: str, path: str
) -> None:
    start(httpd, mode, "", "Timeout 1")
    expect_timeout(httpd, path, "Timeout 1")


@pytest.mark.parametrize("path", LONG + WRITTEN_LATER)
def test_a_client_that_leaves_is_named_as_such(httpd: Httpd, mode: str, path: str) -> None:
    start(httpd, mode, "")
    stalled(httpd, path).close()
    assert "[wsgi:info]" in httpd.expect("WSGI0304", containing="[client")
    wait_until(httpd.is_quiet, "the connection is closed")
    assert httpd.log_text().count("WSGI0304") == 1 and "WSGI0316" not in httpd.log_text()


def test_a_response_that_arrives_is_not_said_to_be_lost(httpd: Httpd, mode: str) -> None:
    start(httpd, mode, "")
    for path in ("/list/10", "/list/1000000", "/file/1000000", "/huge"):
        requests.get(httpd.url(path), timeout=60)
    with socket.create_connection(("127.0.0.1", httpd.port)) as client:
        client.sendall(b"GET /list/10 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(12)  # it leaves before the next request
    for path, protocol in itertools.product(("/one/20000000", "/spooled/20000000"), ("1.0", "1.1")):
        with socket.create_connection(("127.0.0.1", httpd.port)) as client:
            head = f"GET {path} HTTP/{protocol}\r\nHost: x\r\nConnection: close\r\n\r\n"
            client.sendall(head.encode())
            assert sum(map(len, iter(lambda: client.recv(100_000), b""))) > 20_000_000
    wait_until(httpd.is_quiet, "the connections are closed")
    assert not re.search("WSGI0304|WSGI0316", httpd.log_text())


@pytest.mark.parametrize("body", ["Content-Length: 100\r\n\r\n0123456789", None])
def test_a_request_body_that_does_not_arrive_is_in_the_log(
    httpd: Httpd, mode: str, body: str | None
) -> None:
    start(httpd, mode, "")
    body = body or "Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    with socket.create_connection(("127.0.0.1", httpd.port)) as client:
        client.sendall(f"POST /read HTTP/1.1\r\nHost: x\r\n{body}".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(12) == b"HTTP/1.1 400"
    assert "[wsgi:info]" in httpd.expect("WSGI0313")


# ---- the same in every mode and size ----


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=("deflate", "filter", "setenvif", "headers"))
    httpd.mode = request.param  # type: ignore[attr-defined]
    start(
        httpd,
        request.param,
        "request-spool-size=300000",
        "LogLevel wsgi:debug\nSetEnvIf X-Inflate 1 inflate\n<Location /told>\n"
        "SetInputFilter DEFLATE\n</Location>\n"
        "<Location /told/1>\nWSGIRequestBuffering Off\n</Location>",
    )
    yield httpd
    httpd.finish()


SIZES = [20, 100_000, 1_000_000]
PART = {"Range": "bytes=5-14"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["list", "pieces", "pauses"])
@pytest.mark.parametrize("length", ["", "length"])
def test_what_is_no_file_comes_whole_whatever_its_size(
    server: Httpd, size: int, kind: str, length: str
) -> None:
    response = requests.get(server.url(f"/{kind}/{size}?{length}"), headers=PART, timeout=60)
    assert (response.status_code, response.content) == (200, WHOLE[:size])
    assert "Content-Range" not in response.headers


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["file", "slow"])
def test_httpd_answers_ranges_of_files(server: Httpd, size: int, kind: str) -> None:
    for asked, expected in (("5-14", WHOLE[5:15]), ("-5", WHOLE[size - 5 : size])):
        response = requests.get(
            server.url(f"/{kind}/{size}"), headers={"Range": f"bytes={asked}"}, timeout=60
        )
        assert (response.status_code, response.content) == (206, expected)
    response = requests.get(
        server.url(f"/{kind}/{size}"), headers={"Range": "bytes=9999999-"}, timeout=60
    )
    assert response.status_code == 416


@pytest.mark.parametrize("kind", ["file", "slow"])
@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("POST", "", "200 OK"),
        ("PUT", "", "200 OK"),
        ("GET", "Accept-Ranges=none", "200 OK"),
        ("GET", "accept-ranges=None", "200 OK"),
        ("GET", "Content-Range=bytes 5-14/100", "206 Partial Content"),
        ("GET", "", "203 Non-Authoritative Information"),
    ],
)
def test_httpd_leaves_other_responses_alone(
    server: Httpd, kind: str, method: str, query: str, status: str
) -> None:
    headers = {**PART, "X-Status": status}
    response = requests.request(
        method, server.url(f"/{kind}/1000?{query}"), headers=headers, timeout=60
    )
    assert (response.status_code, response.content) == (int(status[:3]), WHOLE[:1000])


BODY = os.urandom(20_000) + b"x" * 80_000
LARGE = os.urandom(1_500_000)


@pytest.mark.parametrize("expects", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/told", "/told/1"])
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_the_length_of_a_body_is_never_that_of_its_encoded_form(
    server: Httpd, expects: bool, chunked: bool, path: str, body: bytes
) -> None:
    data = gzip.compress(body)
    headers = {"Content-Encoding": "gzip"} | ({"Expect": "100-continue"} if expects else {})
    response = requests.post(
        server.url(path), data=iter([data]) if chunked else data, headers=headers, timeout=60
    )
    got, length, encoding, terminated = eval(response.text)
    assert (got, terminated) == (len(body), True)
    assert length in (None, str(len(body))) and encoding is None


@pytest.mark.parametrize("expects", [False, True])
@pytest.mark.parametrize("path", ["/told", "/told/1"])
def test_a_body_that_a_filter_does_not_change_has_its_length(
    server: Httpd, expects: bool, path: str
) -> None:
    headers = {"Expect": "100-continue"} if expects else {}
    response = requests.post(server.url(path), data=BODY, headers=headers, timeout=60)
    assert eval(response.text) == [len(BODY), str(len(BODY)), None, True]


# ---- heads ----

HEADS = """
import json
from urllib.parse import unquote

def application(environ, start_response):
    told = json.loads(unquote(environ["QUERY_STRING"]))
    headers = [(f"X-{n}", "v" * told["size"]) for n in range(told.get("times", 1))]
    if told.get("hints"):
        environ["wsgi.early_hints"](headers)
        headers = []
    if told.get("caught"):
        try:
            start_response("200 OK", headers)
        except ValueError as exc:
            start_response("200 OK", [])
            return [str(exc).encode()]
    start_response("200 " + "R" * told.get("reason", 2), headers)
    return [b"fine"]
"""


@pytest.fixture(scope="module", params=list(MODES))
def heads(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd()
    (httpd.app / "heads.py").write_text(HEADS)
    httpd.start(conf_for(request.param, "heads.py"))
    yield httpd
    httpd.finish()


def ask(server: Httpd, **told: int) -> requests.Response:
    return requests.get(server.url("/?" + json.dumps(told)), timeout=60)


@pytest.mark.parametrize(
    "told",
    [
        {"size": 1_100_000},
        {"size": 1000, "times": 1100},
        {"size": 0, "times": 100_000},
        {"size": 1, "reason": 70_000},
        {"size": 1_100_000, "hints": 1},
    ],
)
def test_a_head_that_is_too_large_is_explained(heads: Httpd, told: dict[str, int]) -> None:
    assert ask(heads, **told).status_code == 500
    heads.expect("WSGI0401")
    heads.expect("ValueError", containing="1048576" if "reason" not in told else "8192")


def test_an_application_may_handle_that(heads: Httpd) -> None:
    response = ask(heads, size=1_100_000, caught=1)
    assert response.status_code == 200 and "1048576" in response.text


def test_a_large_head_passes(heads: Httpd) -> None:
    with socket.create_connection(("127.0.0.1", heads.port)) as client:
        client.sendall(b'GET /?{"size":1000000} HTTP/1.0\r\nHost: x\r\n\r\n')
        data = bytearray()
        while chunk := client.recv(65536):
            data += chunk
    assert data.startswith(b"HTTP/1.1 200 RR\r\n") and data.count(b"v") >= 1_000_000


def test_a_request_header_that_is_not_passed_is_named_once(server: Httpd) -> None:
    for _ in range(2):
        requests.get(server.url("/list/1"), headers={"Remote_User": "joe"}, timeout=60)
    record = server.expect("WSGI0330", containing="header Remote_User")
    assert "[wsgi:debug]" in record
    assert server.log_text().count("header Remote_User") == 1
