"""Applications that close descriptors of their worker: it is replaced, and nothing spins."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import Httpd, wait_until

from httpd_wsgi.shared.descriptors import FD_BOARD, FD_LISTEN, FD_SERVER_LIFELINE, FD_SUPERVISOR

APPLICATION = """
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/close":
        {close}
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.3)
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [b"fine"]
"""


@pytest.mark.parametrize(
    ("close", "threads"),
    [("os.closerange(3, 4096)", 1), ("os.closerange(3, 4096)", 3), (f"os.close({FD_LISTEN})", 3)],
)
def test_a_worker_that_lost_its_descriptors_is_replaced(
    httpd: Httpd, close: str, threads: int
) -> None:
    (httpd.app / "closes.py").write_text(APPLICATION.format(close=close))
    httpd.start(
        f"WSGIDaemonProcess d threads={threads} shutdown-timeout=2 socket-timeout=20\n"
        "WSGIScriptAlias / {app}/closes.py process-group=d\n"
    )
    httpd.expected |= {
        "WSGI0702",
        "WSGI0735",
        "WSGI0737",
        "WSGI0707",
        "WSGI0310",
        "WSGI0311",
        "WSGI0342",
    }
    get = lambda path: requests.get(httpd.url(path), timeout=60)  # noqa: E731
    assert get("/").text == "fine"
    worker = httpd.worker()
    get("/close")
    with ThreadPoolExecutor(4) as pool:  # these need new connections
        list(pool.map(get, ["/slow"] * 8))
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the worker has gone")
    wait_until(lambda: len(httpd.workers()) == 1, "another one serves")
    for _ in range(3):
        answer = get("/")
        assert answer.text == "fine" and int(answer.headers["X-Pid"]) != worker


@pytest.mark.parametrize("fd", [FD_BOARD, FD_SERVER_LIFELINE, FD_SUPERVISOR])
def test_a_stop_is_not_slow_without_a_descriptor(httpd: Httpd, fd: int) -> None:
    (httpd.app / "closes.py").write_text(APPLICATION.format(close=f"os.close({fd})"))
    httpd.start(
        "WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/closes.py process-group=d\n"
    )
    assert requests.get(httpd.url("/close"), timeout=60).text == "fine"
    assert requests.get(httpd.url("/"), timeout=60).text == "fine"
    httpd.stop()
    assert "WSGI0707" not in httpd.log_text()


def test_a_worker_that_sends_no_end_of_a_message_does_not_grow_its_supervisor(
    httpd: Httpd,
) -> None:
    (httpd.app / "floods.py").write_text(
        "import os\n"
        f"for _ in range(2000):\n    os.write({FD_SUPERVISOR}, b'x' * 65536)\n"
        f"os.write({FD_SUPERVISOR}, b'\\n')\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'fine']\n"
    )
    httpd.start(
        "WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/floods.py process-group=d\n"
    )
    assert requests.get(httpd.url("/"), timeout=60).text == "fine"
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{httpd.supervisor()}/status").read_text())
    assert peak and int(peak[1]) < 40_000


# ---- threads of the application at the end ----

THREADS = """
import atexit, threading, time
def work():
    time.sleep({seconds})
    print("the thread is done", flush=True)
def application(environ, start_response):
    threading.Thread(target=work).start()
    start_response("200 OK", [])
    return [b"fine"]
atexit.register(print, "the process ends")
"""


def with_threads(httpd: Httpd, mode: str, group: str, seconds: float) -> None:
    (httpd.app / "threads.py").write_text(THREADS.format(seconds=seconds))
    where = "process-group=d" if mode == "daemon" else ""
    alias = f"WSGIScriptAlias / {{app}}/threads.py application-group={group} {where}"
    httpd.start(f"ServerLimit 1\nWSGIDaemonProcess d threads=2\n{alias}\n")
    assert requests.get(httpd.url("/"), timeout=60).text == "fine"


@pytest.mark.parametrize("group", ["%{GLOBAL}", "other"])
def test_threads_that_a_request_started_are_joined_at_the_end(
    httpd: Httpd, mode: str, group: str
) -> None:
    with_threads(httpd, mode, group, 1.0)
    httpd.stop()
    text = httpd.log_text()
    assert -1 < text.find("the thread is done") < text.find("the process ends")


@pytest.mark.parametrize("group", ["%{GLOBAL}", "other"])
def test_a_thread_that_never_ends_does_not_delay_the_end_beyond_shutdown_timeout(
    httpd: Httpd, mode: str, group: str
) -> None:
    with_threads(httpd, mode, group, 600)
    httpd.stop()
    httpd.expect("WSGI0736")
    text = httpd.log_text()
    assert "the process ends" in text
    for sign_of_force in ("WSGI0707", "AH00046"):  # SIGKILL
        assert sign_of_force not in text
