"""The request path, in both modes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from conftest import MODES, conf_for
from harness import SANITIZED, Httpd, wait_until


@pytest.fixture(scope="module", params=list(MODES))
def kitchen(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    server = Httpd(extra_modules=("deflate", "filter"))
    server.start(conf_for(request.param, "kitchen.py", "/k"))
    server.mode = request.param  # type: ignore[attr-defined]
    yield server
    server.finish()


def get(server: Httpd, path: str, **options: object) -> requests.Response:
    return requests.get(server.url("/k/" + path), timeout=60, **options)  # type: ignore[arg-type]


def raw(server: Httpd, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), 60) as s:
        s.sendall(request)
        data = b""
        while chunk := s.recv(65536):
            data += chunk
        return data


@pytest.mark.parametrize("length", [500, 506, 507, 508, 512, 8000])
def test_a_header_may_have_a_name_of_any_length(kitchen: Httpd, length: int) -> None:
    name = "X" * length
    environ = requests.get(kitchen.url("/k/environ"), headers={name: "1"}, timeout=60).json()
    assert environ[f"HTTP_{name}"][1] == "1"


def test_environ_has_the_cgi_and_wsgi_keys_with_their_types(kitchen: Httpd) -> None:
    url = kitchen.url("/k/environ//a%20b?x=1&y=%20")
    headers = {
        "X-Foo": "bär".encode("latin-1"),
        "X_Bad": "1",
        "Authorization": "Basic x",
        "Proxy": "http://evil",
    }
    environ = requests.get(kitchen.url("/k/environ?x=1&y=%20"), headers=headers, timeout=60).json()
    value = {key: pair[1] for key, pair in environ.items()}
    kind = {key: pair[0] for key, pair in environ.items()}
    assert value["SCRIPT_NAME"] == "/k" and value["PATH_INFO"] == "/environ", url
    assert value["QUERY_STRING"] == "x=1&y=%20" and value["REQUEST_URI"] == "/k/environ?x=1&y=%20"
    assert value["REQUEST_METHOD"] == "GET" and value["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert value["SERVER_PORT"] == str(kitchen.port) and value["REMOTE_ADDR"] == "127.0.0.1"
    assert value["HTTP_X_FOO"] == "bär" and value["HTTP_AUTHORIZATION"] == "Basic x"
    assert not {"HTTP_X_BAD", "HTTP_PROXY", "CONTENT_TYPE", "PATH", "HTTPS"} & value.keys()
    assert value["wsgi.version"] == [1, 0] and kind["wsgi.version"] == "tuple"
    assert value["wsgi.url_scheme"] == "http" and value["wsgi.run_once"] is False
    assert value["wsgi.multithread"] is True and value["wsgi.input_terminated"] is True
    assert value["mod_wsgi.process_group"] == ("d" if kitchen.mode == "daemon" else "")  # type: ignore[attr-defined]
    assert kind["mod_wsgi.request_start"] == "float" and kind["mod_wsgi.server_pid"] == "str"
    assert value["apache.version"][:2] == [2, 4] and value["mod_wsgi.version"] >= [6, 1, 1]
    assert value["SCRIPT_FILENAME"] == str(kitchen.app / "kitchen.py")


def test_slashes_are_collapsed_in_path_info_and_kept_in_request_uri(kitchen: Httpd) -> None:
    environ = json.loads(
        raw(kitchen, b"GET /k//environ/ HTTP/1.0\r\nHost: x\r\n\r\n").split(b"\r\n\r\n", 1)[1]
    )
    assert environ["PATH_INFO"][1] == "/environ/" and environ["REQUEST_URI"][1] == "/k//environ/"


@pytest.mark.parametrize("size", [0, 1, 1024, 65536, 65537, 10_000_000])
def test_request_bodies_arrive_whole(kitchen: Httpd, size: int) -> None:
    assert requests.post(kitchen.url("/k/body_read"), data=b"x" * size, timeout=60).text == str(
        size
    )


def test_chunked_request_bodies_arrive_whole(kitchen: Httpd) -> None:
    assert (
        requests.post(kitchen.url("/k/body_read"), data=iter([b"x" * 100_000] * 5), timeout=60).text
        == "500000"
    )


def test_input_methods(kitchen: Httpd) -> None:
    text = requests.post(
        kitchen.url("/k/body_methods"), data=b"first\nsecond\nthird\nfourth\nfifth", timeout=60
    ).text
    assert text == repr([b"first\n", b"sec", b"ond\n", [b"third\n"], [b"fourth\n", b"fifth"], b""])


def test_an_upload_may_be_refused_unread(kitchen: Httpd) -> None:
    with socket.create_connection(("127.0.0.1", kitchen.port), 60) as s:
        s.sendall(
            b"POST /k/unread HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert s.recv(65536).startswith(b"HTTP/1.1 403")


def test_continue_is_sent_when_the_application_reads(kitchen: Httpd) -> None:
    with socket.create_connection(("127.0.0.1", kitchen.port), 60) as s:
        fields = b"Host: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n"
        s.sendall(b"POST /k/body_read HTTP/1.1\r\n" + fields + b"\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 100")
        s.sendall(b"12345")
        data = b""
        while chunk := s.recv(65536):
            data += chunk
        assert data.startswith(b"HTTP/1.1 200") and data.endswith(b"5")


def resident_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) if found else 0


@pytest.mark.skipif(SANITIZED, reason="AddressSanitizer keeps freed memory for a while")
def test_large_responses_are_streamed_in_constant_memory(kitchen: Httpd) -> None:
    pid = get(kitchen, "info").json()["pid"]
    before = resident_kib(pid)
    total = 0
    with get(kitchen, "large", stream=True) as response:
        for chunk in response.iter_content(1 << 16):
            total += len(chunk)
    assert total == 800 * 65536
    assert resident_kib(pid) < before + 20_000


def test_generators_write_and_exc_info(kitchen: Httpd) -> None:
    assert get(kitchen, "generator").text == "one,two"
    assert get(kitchen, "write").text == "written,returned"
    replaced = get(kitchen, "exc_info")
    assert (replaced.status_code, replaced.reason, replaced.text) == (503, "Sorry", "replaced")
    assert "X-First" not in replaced.headers and replaced.headers["X-Second"] == "1"


def test_close_is_called_once(httpd: Httpd, mode: str) -> None:
    conf = conf_for(mode, "kitchen.py", "/k").replace("processes=2", "processes=1")
    httpd.start("ServerLimit 1\n" + conf)
    assert [get(httpd, "closing").text for _ in range(3)] == ["item"] * 3
    wait_until(
        lambda: int(get(httpd, "closed_count").text) >= 3,
        "each is closed, which may be after its answer",
    )
    assert get(httpd, "closed_count").text == "3"


def test_objects_of_an_ended_request_are_dead(httpd: Httpd, mode: str) -> None:
    conf = conf_for(mode, "kitchen.py", "/k").replace("processes=2", "processes=1")
    httpd.start("ServerLimit 1\n" + conf)
    assert get(httpd, "saved").text == "first"
    for _ in range(2):
        wait_until(
            lambda: get(httpd, "saved").text == "dead",
            "the request before is over, which is after its answer",
        )


def test_file_wrapper_starts_at_the_files_position(kitchen: Httpd) -> None:
    whole = (kitchen.app / "kitchen.py").read_bytes()
    response = get(kitchen, "file?100")
    assert response.content == whole[100:] and response.headers["Content-Length"] == str(
        len(whole) - 100
    )


def test_head_has_the_headers_and_no_body(kitchen: Httpd) -> None:
    response = requests.head(kitchen.url("/k/generator"), timeout=60)
    assert response.status_code == 200 and response.content == b""


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_content_have_none(kitchen: Httpd, status: int) -> None:
    data = raw(
        kitchen, f"GET /k/status?{status} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert data.startswith(f"HTTP/1.1 {status}".encode()) and data.endswith(b"\r\n\r\n")


def test_duplicate_headers_stay_separate(kitchen: Httpd) -> None:
    data = raw(kitchen, b"GET /k/headers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert data.count(b"X-A: ") == 2 and data.count(b"Set-Cookie: ") == 2


@pytest.mark.parametrize("path", ["raises", "injection", "twice", "system_exit"])
def test_an_exception_gives_500_and_the_whole_traceback_in_the_log(
    kitchen: Httpd, path: str
) -> None:
    assert get(kitchen, path).status_code == 500
    kitchen.expect("WSGI0401")
    assert f"in {path}" in kitchen.log_text()
    assert "httpd_wsgi/" not in kitchen.log_text().split("Traceback")[-1]


@pytest.mark.parametrize("path", ["raises_late", "short"])
def test_truncation_is_visible_to_the_client(kitchen: Httpd, path: str) -> None:
    for _ in range(10):  # whether head, data and failure arrive together or apart
        data = raw(kitchen, f"GET /k/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert data.startswith(b"HTTP/1.1 200") and not data.endswith(b"0\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in data or b"Content-Length: 100" in data
    with pytest.raises(
        (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)
    ):
        get(kitchen, path)
    kitchen.expect({"raises_late": "WSGI0401", "short": "WSGI0412"}[path])


def test_excess_over_content_length_is_cut(kitchen: Httpd) -> None:
    assert get(kitchen, "excess").text == "too "
    kitchen.expect("WSGI0402")


def test_everything_printed_goes_to_the_error_log_with_the_client(kitchen: Httpd) -> None:
    get(kitchen, "logs")
    for text in (
        "printed to stdout",
        "printed to stderr",
        "written to wsgi.errors",
        "logged by logging",
    ):
        record = kitchen.expect(text)
        assert "[client 127.0.0.1:" in record


def test_wsgiref_validator_accepts_the_server(httpd: Httpd, mode: str) -> None:
    httpd.start(conf_for(mode, "validated.py"))
    response = requests.post(httpd.url("/path?x=1"), data=b"body", timeout=60)
    assert (response.status_code, response.text) == (200, "body")
    assert requests.get(httpd.url("/"), timeout=60).status_code == 200


HELPED = """
import threading
said = []
def read(stream, begun):
    stream.read(1)
    begun.set()
    try:
        stream.read()
    except Exception as exc:
        said.append(f"{type(exc).__name__}: {exc}")
def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        begun = threading.Event()
        threading.Thread(target=read, args=(environ["wsgi.input"], begun)).start()
        begun.wait()
        threading.Event().wait(0.1)  # mostly it is reading again then
    start_response("200 OK", [])
    return ["".join(said).encode()]
"""


def test_a_thread_that_still_reads_when_the_request_ends_is_told_so(
    httpd: Httpd, mode: str
) -> None:
    (httpd.app / "helped.py").write_text(HELPED)
    conf = "ServerLimit 1\nWSGIRequestBuffering Off\nWSGIScriptAlias / {app}/helped.py"
    httpd.start(
        "WSGIDaemonProcess d threads=2\n"
        + conf
        + (" process-group=d" if mode == "daemon" else "")
        + "\n"
    )

    def said() -> str:
        response = requests.get(httpd.url("/"), timeout=60)
        assert response.status_code == 200
        return response.text

    with socket.create_connection(("127.0.0.1", httpd.port), 60) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")

        def send_more() -> bool:
            with contextlib.suppress(OSError):  # closed already
                client.sendall(b"x" * 100)
            return said() != ""

        wait_until(send_more, "the thread has been told")
    assert said() == "RuntimeError: wsgi.input: the request is over"
