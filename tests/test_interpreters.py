"""Requests in parallel within one process: interpreters with a lock of their own, and Pythons
without one.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import Httpd, wait_until

# Two requests that compute until each has seen the other compute. Nothing in the loop gives the
# lock away by itself, and with this switch interval nobody asks for it, so two requests under one
# lock would never meet.
MEET = """
import mmap, os, sys, time
sys.setswitchinterval(1000)
file = os.open(BOARD, os.O_RDWR)
board = mmap.mmap(file, 2)

def application(environ, start_response):
    mine = int(environ["QUERY_STRING"])
    board[mine] = 1
    end = time.monotonic() + 60
    while not board[1 - mine] and time.monotonic() < end:
        pass
    met = board[1 - mine]
    board[mine] = 1
    start_response("200 OK", [])
    return [f"{os.getpid()} {'met' if met else 'alone'}".encode()]
"""


def version_of(home: Path) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    return tuple(map(int, subprocess.check_output([home / "bin" / "python", "-c", code]).split()))


def meeting(httpd: Httpd, conf: str) -> list[list[str]]:
    board = httpd.root / "board"
    board.write_bytes(b"\0\0")
    board.chmod(0o666)
    (httpd.app / "meet.py").write_text(MEET.replace("BOARD", repr(str(board))))
    httpd.start(conf)
    with ThreadPoolExecutor(2) as pool:
        paths = ["/a?0", "/b?1"]
        return [
            r.text.split()
            for r in pool.map(lambda path: requests.get(httpd.url(path), timeout=60), paths)
        ]


def conf_of(mode: str, home: Path, more: str, groups: tuple[str, str] = ("a", "b")) -> str:
    where = " process-group=d" if mode == "daemon" else ""
    head = (
        f"WSGIDaemonProcess d threads=4 python-home={home}"
        if mode == "daemon"
        else f"ServerLimit 1\nWSGIPythonHome {home}"
    )
    aliases = [
        f"WSGIScriptAlias /{n} {{app}}/meet.py{where} application-group={g}"
        for n, g in zip("ab", groups, strict=True)
    ]
    return "\n".join([head, more, *aliases])


def test_two_requests_compute_at_once_with_a_lock_for_each_interpreter(
    mode: str, environments: dict[str, Path]
) -> None:
    homes = [home for home in environments.values() if version_of(home) >= (3, 12)]
    if not homes:
        pytest.skip("no Python 3.12 or newer on this machine")
    for home in homes:
        server = Httpd()
        try:
            first, second = meeting(server, conf_of(mode, home, "WSGIPerInterpreterGIL On"))
            assert first[0] == second[0], "two processes, so this proves nothing"
            assert (first[1], second[1]) == ("met", "met"), home
        finally:
            server.finish()


def free_threaded(environments: dict[str, Path]) -> list[Path]:
    code = "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    homes = [
        h
        for h in environments.values()
        if subprocess.check_output([h / "bin" / "python", "-c", code]).strip() == b"1"
    ]
    if not homes:
        pytest.skip("no free-threaded Python on this machine")
    return homes


def test_two_requests_compute_at_once_without_any_lock(
    mode: str, environments: dict[str, Path]
) -> None:
    for home in free_threaded(environments):
        server = Httpd()
        try:
            first, second = meeting(
                server, conf_of(mode, home, "WSGIFreeThreading On", ("%{GLOBAL}", "%{GLOBAL}"))
            )
            assert first[0] == second[0], "two processes, so this proves nothing"
            assert (first[1], second[1]) == ("met", "met")
        finally:
            server.finish()


def test_a_free_threaded_python_runs_with_its_lock_unless_told(
    mode: str, environments: dict[str, Path]
) -> None:
    for home in free_threaded(environments):
        server = Httpd()
        try:
            (server.app / "meet.py").write_text(
                "import sys\n"
                "def application(environ, start_response):\n"
                "    start_response('200 OK', [])\n"
                "    return [str(sys._is_gil_enabled()).encode()]\n"
            )
            server.start(conf_of(mode, home, ""))
            assert requests.get(server.url("/a"), timeout=60).text == "True"
        finally:
            server.finish()


WAITS = """
import os, time
def wait_for_go():
    while not os.path.exists(GO):
        time.sleep(0.01)
def application(environ, start_response):
    wait_for_go()
    start_response("200 OK", [])
    return [b"done"]
"""


def check_slow_requests(server: Httpd, home: Path, more: str, known: bool) -> None:
    """One in the main interpreter, one in a sub-interpreter. known: the stack of the latter is."""
    go = server.app / "go"
    (server.app / "meet.py").write_text(WAITS.replace("GO", repr(str(go))))
    alias = "WSGIScriptAlias /{0} {{app}}/meet.py process-group=d application-group={1}"
    group = f"WSGIDaemonProcess d threads=4 slow-request=100ms python-home={home}"
    server.start("\n".join([group, more, alias.format("a", "%{GLOBAL}"), alias.format("b", "sub")]))
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(requests.get, server.url(path), timeout=60) for path in ("/a", "/b")]
        wait_until(lambda: server.log_text().count("WSGI0720") == 2, "both are slow")
        wait_until(
            lambda: server.log_text().count("in wait_for_go") == 1 + known, "what is known is shown"
        )
        wait_until(
            lambda: ("(not known:" in server.log_text()) is not known, "what is not known is said"
        )
        go.touch()
        assert [answer.result().text for answer in answers] == ["done", "done"]


@pytest.mark.parametrize(("more", "known"), [("", True), ("WSGIFreeThreading On", False)])
def test_a_slow_request_of_a_free_threaded_python_is_never_shown_with_another_stack(
    environments: dict[str, Path], more: str, known: bool
) -> None:
    for home in free_threaded(environments):
        server = Httpd()
        try:
            check_slow_requests(server, home, more, known)
        finally:
            server.finish()


def test_free_threading_needs_a_python_that_can(httpd: Httpd, mode: str) -> None:
    where = " process-group=d" if mode == "daemon" else ""
    httpd.start(
        f"ServerLimit 1\nWSGIFreeThreading On\nWSGIDaemonProcess d\nWSGIScriptAlias / {{app}}/hello.py{where}"
    )
    assert requests.get(httpd.url("/"), timeout=60).text == "Hello World!"
    httpd.expect("WSGI0831", containing="not a free-threaded Python")


def test_free_threading_for_one_application_group_is_explained(httpd: Httpd) -> None:
    section = "<WSGIInterpreterOptions application-group=a>\nWSGIFreeThreading On\n</WSGIInterpreterOptions>"
    code, output = httpd.configtest(section)
    assert code == 0 and "WSGI0226" in output and "one lock for all of them" in output
