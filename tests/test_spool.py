"""The temporary files of uploads and of responses that a slow client does not take, when there is
no room for them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, Httpd, wait_until

KB, MB = 1024, 1024 * 1024
APP = """
def application(environ, start_response):
    got = len(environ["wsgi.input"].read())
    body = b"x" * int(environ["QUERY_STRING"] or 0) or b"%d" % got
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system of one megabyte, where Apache's user can get to it."""
    directory = Path(tempfile.mkdtemp(prefix="httpd-wsgi-test-"))
    directory.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", str(directory)]
    if not AS_ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        directory.rmdir()
        pytest.skip("a file system cannot be mounted here")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)
    directory.rmdir()


@pytest.fixture
def server(httpd: Httpd, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Httpd:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    (httpd.app / "spool.py").write_text(APP)
    httpd.start(
        "WSGIDaemonProcess d processes=1 threads=2\nWSGIScriptAlias / {app}/spool.py process-group=d\n"
    )
    return httpd


def upload(server: Httpd, size: int) -> requests.Response:
    return requests.post(server.url("/"), data=b"x" * size, timeout=60)


def is_empty(disk: Path) -> bool:
    """Files without a name included."""
    room = os.statvfs(disk)
    return room.f_bfree == room.f_blocks


def test_an_upload_for_which_there_is_no_room_is_answered_with_507(
    server: Httpd, small_disk: Path
) -> None:
    assert upload(server, 3 * MB).status_code == 507
    assert f"WSGI0315: a temporary file in {small_disk} could not be written" in server.log_text()
    wait_until(
        lambda: is_empty(small_disk),
        "the file of the request has gone with it, which is after its answer",
    )
    assert upload(server, 500 * KB).text == str(500 * KB)


def test_a_response_for_which_there_is_no_room_waits_for_the_client_instead(server: Httpd) -> None:
    size = 20 * MB
    with socket.create_connection(("127.0.0.1", server.port), 60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100 * KB)
        client.sendall(b"GET /?%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % size)
        wait_until(lambda: "WSGI0315" in server.log_text(), "there is no room for the response")
        got = b"".join(iter(lambda: client.recv(MB), b""))
    assert len(got.partition(b"\r\n\r\n")[2]) == size


def test_no_file_is_left_in_the_directory_for_temporary_files(
    server: Httpd, small_disk: Path
) -> None:
    assert upload(server, 500 * KB).status_code == 200
    assert not list(small_disk.iterdir())
