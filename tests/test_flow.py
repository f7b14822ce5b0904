"""Bodies and responses on their way: what is kept where, and who waits for whom."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, children_of, wait_for

ONE_THREAD = (
    "WSGIDaemonProcess d threads=1 {options}\nWSGIScriptAlias / {app}/flow.py process-group=d\n"
)
HUGE = b"".join(bytes([n % 251]) * 50_000 for n in range(400))


@pytest.fixture(scope="module", params=list(MODES))
def flow(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    server = Httpd(extra_modules=("deflate", "filter", "setenvif"))
    server.start(
        conf_for(request.param, "flow.py", "/f").replace("processes=2", "processes=1")
        + "\nServerLimit 1\n<Location /f/echo>\nWSGIRequestBuffering Off\n</Location>"
        + "\n<Location /f/unread>\nWSGIRequestBuffering Off\n</Location>"
        + "\nSetEnvIf X-Deflate 0 no-gzip\n<LocationMatch /f/(wait|shrinking)>\n"
        + "SetOutputFilter DEFLATE\n</LocationMatch>"
    )
    server.mode = request.param  # type: ignore[attr-defined]
    yield server
    server.finish()


@pytest.fixture
def one_thread(httpd: Httpd, request: pytest.FixtureRequest) -> Httpd:
    httpd.start(ONE_THREAD.replace("{options}", getattr(request, "param", "")))
    return httpd


def connect(server: Httpd, request: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    connection.sendall(request)
    return connection


def read_all(connection: socket.socket, at_a_time: int = 1 << 20) -> bytes:
    data = bytearray()
    while chunk := connection.recv(at_a_time):
        data += chunk
    return bytes(data)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        chunk = connection.recv(65536)
        assert chunk, f"closed before {end!r}: {data!r}"
        data += chunk
    return data


def digest_of(data: bytes) -> str:
    return f"{len(data)} {hashlib.md5(data).hexdigest()}"


# ---- request bodies ----


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 131_072, 3_000_001])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_every_size_arrive_unchanged_with_a_true_length(
    flow: Httpd, size: int, chunked: bool
) -> None:
    data = os.urandom(size)
    parts = iter([data[: size // 2], data[size // 2 :]]) if chunked and size > 1 else iter([data])
    answer = requests.post(flow.url("/f/digest"), data=parts if chunked else data, timeout=60).text
    told = None if chunked and flow.mode == "embedded" else size  # type: ignore[attr-defined]
    assert answer == f"{digest_of(data)} {told}"


def test_a_short_body_may_be_read_in_every_way(flow: Httpd) -> None:
    answer = requests.post(
        flow.url("/f/by_lines"), data=b"first\nsecond\nthird\nfourth\nfifth", timeout=60
    ).text
    assert answer == repr(
        [b"fir", b"st\n", b"se", b"cond\n", b"third\n", b"fourth\n", b"fifth", b"", b""]
    )


def test_a_body_that_nobody_reads_is_not_taken_for_the_next_one(flow: Httpd) -> None:
    with requests.Session() as session:
        for number in range(4):
            assert (
                session.post(flow.url("/f/set?x"), data=b"x" * 1000 * number, timeout=60).text
                == "set"
            )
            data = b"y" * number
            assert (
                session.post(flow.url("/f/digest"), data=data, timeout=60).text
                == f"{digest_of(data)} {number}"
            )


@pytest.mark.parametrize(
    "one_thread", ["request-buffer-size=1024 request-spool-size=0"], indirect=True
)
@pytest.mark.parametrize("size", [1000, 1023, 1024, 1025, 200_000])
def test_beyond_the_spool_size_the_application_reads_from_the_client(
    one_thread: Httpd, size: int
) -> None:
    data = os.urandom(size)
    assert requests.post(one_thread.url("/digest"), data=data, timeout=60).text.startswith(
        digest_of(data)
    )
    assert requests.post(one_thread.url("/digest"), data=iter([data]), timeout=60).text.startswith(
        digest_of(data)
    )


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_slow_upload_holds_no_worker_thread(one_thread: Httpd, size: int) -> None:
    head = f"POST /digest HTTP/1.0\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    with connect(one_thread, head + b"x" * (size - 1)) as slow:
        for _ in range(3):
            assert requests.get(one_thread.url("/unread"), timeout=60).status_code == 403
        slow.sendall(b"x")
        assert read_all(slow).endswith(f"{digest_of(b'x' * size)} {size}".encode())


def test_an_application_may_answer_while_it_reads(flow: Httpd) -> None:
    with connect(
        flow, b"POST /f/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nConnection: close\r\n\r\n"
    ) as c:
        for word in (b"one", b"two", b"six"):
            c.sendall(word + b"\n")
            data = read_until(c, word.upper())
        assert (data + read_all(c)).endswith(b"0\r\n\r\n")


def test_a_large_upload_may_be_refused_while_it_is_sent(flow: Httpd) -> None:
    with connect(
        flow, b"POST /f/unread HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n"
    ) as c:
        c.sendall(b"x" * 100_000)
        assert b"403" in read_until(c, b"\r\n\r\nno")


def test_a_spooled_body_survives_a_change_of_workers(one_thread: Httpd) -> None:
    data = os.urandom(500_000)
    script = one_thread.app / "flow.py"
    for number in range(3):
        assert requests.post(one_thread.url("/digest"), data=data, timeout=60).text.startswith(
            digest_of(data)
        )
        os.utime(script, (number + 1, number + 1))


def test_the_client_may_go_while_it_sends(flow: Httpd) -> None:
    for size in (0, 10, 70_000):
        with connect(
            flow,
            b"POST /f/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * size,
        ):
            pass
    assert requests.get(flow.url("/f/set?nothing"), timeout=60).text == "set"


# ---- responses ----


# Around what is copied, what fits into Apache's first read and what leaves together with the end.
SIZES = [n + around for n in (8_000, 32_768, 65_536, 131_072) for around in (-200, -1, 0, 1)] + [
    200_000
]


def test_a_body_in_one_piece_arrives_whole_whatever_its_size(flow: Httpd) -> None:
    with requests.Session() as session:
        for size in SIZES:
            assert session.get(flow.url(f"/f/piece?{size}"), timeout=60).content == bytes(
                n % 251 for n in range(size)
            )


def test_a_body_in_one_piece_to_a_slow_client_holds_no_worker_thread(one_thread: Httpd) -> None:
    with connect(one_thread) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(b"GET /piece?131072 HTTP/1.0\r\nHost: x\r\n\r\n")
        assert requests.get(one_thread.url("/set?x"), timeout=60).text == "set"
        assert read_all(slow, 10_000).split(b"\r\n\r\n", 1)[1] == bytes(
            n % 251 for n in range(131072)
        )


def test_a_thread_lets_go_of_its_last_body_with_its_next_request(one_thread: Httpd) -> None:
    counts = [
        requests.get(one_thread.url("/piece?100000"), timeout=60).headers["X-References"]
        for _ in range(5)
    ]
    assert len(set(counts)) == 1


@pytest.mark.parametrize("one_thread", ["", "response-buffer-size=1000000"], indirect=True)
def test_what_a_slow_client_gets_is_complete(one_thread: Httpd) -> None:
    with connect(one_thread, b"GET /huge HTTP/1.0\r\nHost: x\r\n\r\n") as slow:
        read_until(slow, b"\r\n\r\n")
    with connect(one_thread) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        slow.sendall(b"GET /huge HTTP/1.0\r\nHost: x\r\n\r\n")
        data = read_all(slow, 20_000)
    assert data.split(b"\r\n\r\n", 1)[1] == HUGE


SPOOLED = re.compile(r"/(#\d+|wsgi-\w+) \(deleted\)$")  # with O_TMPFILE and without


def waiting_in_files(server: Httpd) -> tuple[int, int] | None:
    """Temporary files of Apache's, and the bytes they take, if any. Its standard output is one,
    too: pytest's.
    """
    assert server.process
    sizes = []
    for child in children_of(server.process.pid):
        for fd in Path(f"/proc/{child}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if int(fd.name) > 2 and SPOOLED.search(os.readlink(fd)):
                    sizes.append(fd.stat().st_blocks * 512)
    return (len(sizes), sum(sizes)) if sum(sizes) else None


@pytest.mark.parametrize("one_thread", ["response-buffer-size=1M"], indirect=True)
def test_no_more_than_is_permitted_waits_for_a_slow_client(one_thread: Httpd) -> None:
    with connect(one_thread) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        slow.sendall(b"GET /huge HTTP/1.0\r\nHost: x\r\n\r\n")
        for _ in range(15):
            slow.recv(1_000_000, socket.MSG_WAITALL)
            files, size = wait_for(
                lambda: waiting_in_files(one_thread), "something waits in a file"
            )
            assert files == 1 and size < 4_000_000


def test_a_file_that_is_cut_off_while_it_is_sent_ends_that_response_alone(flow: Httpd) -> None:
    with connect(
        flow, b"GET /f/shrinking HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    ) as slow:
        read_until(slow, b"\r\n\r\n")
        assert requests.get(flow.url("/f/shrink"), timeout=60).text == "shrunk"
        assert len(read_all(slow)) < 12_000_000
    flow.expect("WSGI0322")
    assert requests.get(flow.url("/f/unread"), timeout=60).status_code == 403


def test_a_slow_download_holds_no_worker_thread(one_thread: Httpd) -> None:
    with connect(one_thread, b"GET /huge HTTP/1.0\r\nHost: x\r\n\r\n") as slow:
        for _ in range(3):
            assert requests.get(one_thread.url("/unread"), timeout=60).status_code == 403
        assert read_all(slow).split(b"\r\n\r\n", 1)[1] == HUGE


@pytest.mark.parametrize("path", ["wait", "wait_write"])
@pytest.mark.parametrize("kind", ["text/plain", "text/event-stream"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_each_item_reaches_the_client_before_the_next_is_made(
    flow: Httpd, path: str, kind: str, encoding: str
) -> None:
    name = uuid.uuid4().hex
    headers = {"Accept-Encoding": encoding}
    with requests.get(
        flow.url(f"/f/{path}?{name},{kind}"), headers=headers, stream=True, timeout=60
    ) as response:
        items = response.iter_content(100)
        assert next(items) == b"first,"
        requests.get(flow.url(f"/f/set?{name}"), timeout=60)
        assert b"".join(items) == b"second"


def test_early_hints_go_out_before_the_response(flow: Httpd) -> None:
    with connect(flow, b"GET /f/hints HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as c:
        first, second, final = read_all(c).split(b"\r\n\r\n", 2)
    assert (
        first
        == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload"
    )
    assert second.count(b"Link") == 1
    assert final.startswith(b"HTTP/1.1 200 OK") and b"Link" not in final.split(b"\r\n\r\n")[0]
    assert b"the response has already begun" in final


def test_no_hints_for_http_1_0(flow: Httpd) -> None:
    with connect(flow, b"GET /f/hints HTTP/1.0\r\nHost: x\r\n\r\n") as c:
        assert read_all(c).startswith(b"HTTP/1.1 200 OK")


def test_tls_facts_without_tls(flow: Httpd) -> None:
    assert (
        requests.post(flow.url("/f/tls"), data=b"body", timeout=60).text
        == "[0, None, None, b'body']"
    )
