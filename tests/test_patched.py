"""Applications that replace the threading module's functions: gevent's and eventlet's patches."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import Httpd, wait_until
from served import run

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
APPLICATION = """
{patch}
import atexit, os, threading, time
time.sleep(0)  # has gevent import its loop, which must not happen in several threads at once
atexit.register(print, "good", "bye")
def stuck_here():
    while not os.path.exists({flag!r}):
        time.sleep(0.02)
def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        stuck_here()
    done = []
    threads = [threading.Thread(target=done.append, args=(1,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.01)
    start_response("200 OK", [])
    return [str(len(done)).encode()]
"""


@pytest.fixture(params=PATCHES)
def patched(request: pytest.FixtureRequest, httpd: Httpd) -> Httpd:
    flag = httpd.root / "go"
    code = APPLICATION.format(patch=PATCHES[request.param], flag=str(flag))
    (httpd.app / "patched.py").write_text(code)
    return httpd


PRELOADED = "WSGIScriptAlias / {app}/patched.py process-group=d application-group=%{GLOBAL}\n"
LATE = (
    "WSGIScriptAliasMatch ^/(.*) {app}/patched.py/$1\nWSGIProcessGroup d\n"
    "WSGIApplicationGroup %{GLOBAL}\n"
)


@pytest.mark.parametrize("lines", [PRELOADED, LATE], ids=["preloaded", "late"])
@pytest.mark.parametrize("options", ["", "stack-size=1M processes=2"])
def test_a_patched_application_is_served_and_ends(patched: Httpd, lines: str, options: str) -> None:
    patched.start(f"WSGIDaemonProcess d threads=3 {options}\n{lines}")
    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            answers = pool.map(lambda _: requests.get(patched.url("/"), timeout=60).text, range(12))
            assert set(answers) == {"3"}
    workers = patched.workers()
    os.kill(workers[0], signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{workers[0]}").exists(), "it ends by a signal")
    assert requests.get(patched.url("/"), timeout=60).text == "3"
    patched.stop()
    assert "WSGI0707" not in patched.log_text() and "good bye" in patched.log_text()


def test_a_patched_application_is_loaded_again_when_it_changes(patched: Httpd) -> None:
    patched.start(f"WSGIDaemonProcess d threads=3\n{PRELOADED}")
    assert requests.get(patched.url("/"), timeout=60).text == "3"
    before = patched.worker()
    os.utime(patched.app / "patched.py", (1, 1))
    assert requests.get(patched.url("/"), timeout=60).text == "3"
    wait_until(lambda: not Path(f"/proc/{before}").exists(), "the old one has gone")
    assert "WSGI0707" not in patched.log_text()


def test_stacks_of_a_patched_application(patched: Httpd) -> None:
    group = f"p{os.getpid()}"
    patched.start(f"WSGIDaemonProcess {group} threads=3\n{PRELOADED.replace('=d ', f'={group} ')}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(requests.get, patched.url("/wait"), timeout=60)
        wait_until(lambda: "GET /wait" in run("status", group).stdout, "the request is there")
        wait_until(lambda: "hub" in run("stacks", group).stdout, "its greenlet waits in the hub")
        (patched.root / "go").touch()
        assert waiting.result().text == "3"


def test_telemetry_of_a_patched_application(patched: Httpd) -> None:
    patched.start(
        "WSGITelemetryService unix:{root}/nobody\n" f"WSGIDaemonProcess d threads=3\n{PRELOADED}"
    )
    assert requests.get(patched.url("/"), timeout=60).text == "3"


def test_embedded(patched: Httpd) -> None:
    patched.start("ServerLimit 1\nWSGIScriptAlias / {app}/patched.py application-group=%{GLOBAL}\n")
    assert requests.get(patched.url("/"), timeout=60).text == "3"
