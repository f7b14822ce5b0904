"""Time-outs, limits and deaths in daemon groups: what the client gets, and what the log says."""

from __future__ import annotations

import os
import re
import signal
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, SANITIZED, Httpd, freeze, wait_until

APP = """
import ctypes, os, sys, threading, time

FLAG = {flag!r}
kept = []

def wait_for(name):
    end = time.monotonic() + 60
    while not os.path.exists(f"{{FLAG}}.{{name}}") and time.monotonic() < end:
        threading.Event().wait(0.02)

def stuck():
    "Holds the interpreter's lock in a system call."
    ctypes.PyDLL(None).sleep(20)

def application(environ, start_response):
    path, _, argument = environ["PATH_INFO"][1:].partition("/")
    with open(FLAG, "a") as file:
        file.write(path + "\\n")
    if path == "wait":
        wait_for(argument or "go")
    elif path == "stuck":
        stuck()
    elif path == "sleep":
        ctypes.CDLL(None).sleep(20)
    elif path == "abort":
        os.abort()
    elif path == "exit":
        os._exit(3)
    elif path == "segv":
        ctypes.string_at(0)
    elif path == "grow":
        kept.append(b"x" * int(argument))
    elif path == "spin":
        end = time.process_time() + float(argument)
        while time.process_time() < end:
            pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "late":
        return late(argument)
    return [str(os.getpid()).encode()]

def late(argument):
    yield b"begun"
    wait_for(argument or "go")
    yield b"done"
"""


class Site:
    def __init__(self, httpd: Httpd) -> None:
        self.httpd = httpd
        self.flag = httpd.root / "flag"
        self.pool = ThreadPoolExecutor(20)
        if AS_ROOT:
            httpd.root.chmod(0o777)
        (httpd.app / "limits.py").write_text(APP.format(flag=str(self.flag)))

    def start(self, options: str, more: str = "") -> None:
        self.httpd.start(
            f"WSGIDaemonProcess d {options}\n{more}\nWSGIScriptAlias / {{app}}/limits.py process-group=d\n"
        )
        wait_until(lambda: bool(self.httpd.workers()), "a worker is ready")

    def get(self, path: str) -> requests.Response:
        return requests.get(self.httpd.url(path), timeout=60)

    def ask(self, path: str) -> Future[requests.Response]:
        """The request runs when this returns."""
        before = self.begun()
        answer = self.pool.submit(self.get, path)
        wait_until(lambda: self.begun() > before or answer.done(), f"{path} runs")
        return answer

    def begun(self, path: str = "") -> int:
        words = self.flag.read_text().split() if self.flag.exists() else []
        return words.count(path) if path else len(words)

    def let(self, what: str = "go") -> None:
        Path(f"{self.flag}.{what}").touch()

    def replaced(self, pid: int) -> None:
        wait_until(
            lambda: bool(self.httpd.workers()) and pid not in self.httpd.workers(),
            f"worker {pid} is replaced",
        )


@pytest.fixture
def site(httpd: Httpd) -> Site:
    return Site(httpd)


# ---- slow and stuck requests ----


def test_a_slow_request_is_explained_while_it_runs(site: Site) -> None:
    site.start("threads=2 slow-request=200ms")
    answer = site.ask("/wait?secret=1")
    line = site.httpd.expect("WSGI0720")
    assert re.search(
        r"group d: GET /wait\?secret=1 in thread \d of worker \d+ has been running for \d+\.\d s \(queue ",
        line,
    )
    assert re.search(r"slow-request=0\.2 \(\S*httpd\.conf:\d+\)", line)
    site.httpd.expect("in wait_for")
    site.let()
    assert answer.result().status_code == 200
    assert site.httpd.log_text().count("WSGI0720") == 1


def test_a_slow_request_in_a_sub_interpreter_is_shown_with_its_own_stack(site: Site) -> None:
    alias = "WSGIScriptAlias /{name} {{app}}/{script} process-group=d application-group={name}"
    names = [alias.format(name=name, script="limits.py") for name in ("one", "two")]
    site.httpd.start("\n".join(["WSGIDaemonProcess d threads=2 slow-request=200ms", *names]))
    answers = [site.ask(f"/{name}/wait") for name in ("one", "two")]
    wait_until(lambda: site.httpd.log_text().count("in wait_for") == 2, "both stacks are logged")
    site.httpd.expect("WSGI0720")
    site.let()
    assert [answer.result().status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    ("option", "directive", "said"),
    [
        ("", "0.2", r"WSGISlowRequests 0\.2 \("),
        ("slow-request=200ms", "60", r"slow-request=0\.2 \("),
    ],
)
def test_a_threshold_for_all_groups_is_the_default_of_the_option(
    site: Site, option: str, directive: str, said: str
) -> None:
    site.start(f"threads=2 {option}", f"WSGISlowRequests {directive}")
    answer = site.ask("/wait")
    assert re.search(said + r"\S*httpd\.conf:\d+\)", site.httpd.expect("WSGI0720"))
    site.let()
    assert answer.result().status_code == 200


def test_a_slow_request_is_explained_in_embedded_mode_too_when_a_threshold_is_given(
    site: Site,
) -> None:
    site.httpd.start(
        "WSGISlowRequests 0.2\nWSGIScriptAlias /app {app}/limits.py application-group=sub"
    )
    site.get("/app/pid")  # what loads the script is slow, too
    answers = [site.ask("/app/wait?secret=1"), site.ask("/app/late")]
    for path in ("/app/wait?secret=1", "/app/late"):
        said = re.compile(
            rf"GET {re.escape(path)} has been running for \d+\.\d s, in the application; WSGISlowRequests 0\.2 \("
        )
        wait_until(
            lambda said=said: bool(said.search(site.httpd.log_text())), f"{path} is said to be slow"
        )  # type: ignore[misc]
    for function in ("application", "late", "wait_for"):
        site.httpd.expect(f"in {function}")
    site.let()
    assert [answer.result().status_code for answer in answers] == [200, 200]
    assert (
        len(re.findall("WSGI0503: GET /app/wait.*in the application", site.httpd.log_text())) == 1
    )


def test_request_timeout_answers_504_and_replaces_the_worker(site: Site) -> None:
    site.start("threads=2 request-timeout=2 shutdown-timeout=1")
    worker = site.httpd.worker()
    assert site.get("/sleep").status_code == 504
    line = site.httpd.expect("WSGI0722", "[client")
    assert (
        "request-timeout=2" in line and re.search(r"app \d+\.\d s", line) and "GET /sleep" in line
    )
    site.replaced(worker)
    site.httpd.expect("WSGI0717", "were given up")
    assert site.get("/").status_code == 200


def test_request_timeout_after_the_head_cuts_the_response_visibly(site: Site) -> None:
    site.start("threads=2 request-timeout=2 shutdown-timeout=1")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        site.get("/late")
    site.httpd.expect("WSGI0722", "[client")
    site.let()


def test_interrupt_timeout_raises_request_timeout_in_the_application(site: Site) -> None:
    site.start("threads=2 request-timeout=2 interrupt-timeout=60")
    worker = site.httpd.worker()
    assert site.get("/wait").status_code == 504
    assert "request-timeout=2" in site.httpd.expect("WSGI0721")
    site.httpd.expect("WSGI0408")
    assert int(site.get("/").text) == worker
    assert "WSGI0722" not in site.httpd.log_text()


def test_other_requests_of_a_worker_that_is_given_up_are_finished(site: Site) -> None:
    site.start("threads=2 request-timeout=2 shutdown-timeout=1")
    stuck = site.ask("/sleep")
    assert stuck.result().status_code == 504
    site.httpd.expect("WSGI0722", "[client")
    assert site.get("/").status_code == 200


@pytest.mark.skipif(SANITIZED, reason="a sanitizer reports the abort")
def test_a_worker_that_keeps_the_interpreters_lock_is_ended_with_its_stacks(site: Site) -> None:
    site.start("threads=2 deadlock-timeout=2 slow-request=500ms")
    worker = site.httpd.worker()
    assert site.get("/stuck").status_code == 502
    assert "GET /stuck" in site.httpd.expect("WSGI0724")
    site.httpd.expect("WSGI0718", "in stuck")
    assert "SIGABRT" in site.httpd.expect("WSGI0702")
    site.httpd.expect("WSGI0310")
    site.replaced(worker)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer reports the abort")
def test_startup_timeout_shows_where_the_import_hangs(httpd: Httpd) -> None:
    (httpd.app / "hangs.py").write_text("import time\ndef hang():\n    time.sleep(20)\nhang()\n")
    httpd.start(
        "WSGIDaemonProcess d startup-timeout=3\nWSGIScriptAlias / {app}/hangs.py process-group=d\n"
    )
    assert "startup-timeout=3" in httpd.expect("WSGI0707")
    httpd.expect("WSGI0718", "in hang")
    for code in ("WSGI0704", "WSGI0708"):
        httpd.expect(code)


def test_all_threads_busy_is_said_with_the_queue_and_the_slowest_request(site: Site) -> None:
    site.start("threads=1 slow-request=500ms")
    answers = [site.ask("/wait")] + [site.pool.submit(site.get, "/") for _ in range(3)]
    line = site.httpd.expect("WSGI0725")
    assert "all threads are busy and" in line and "GET /wait" in line
    site.let()
    assert {answer.result().status_code for answer in answers} == {200}


# ---- the queue ----


def test_queue_timeout_answers_504_in_time_and_does_not_run_the_request(site: Site) -> None:
    site.start("threads=1 queue-timeout=2")
    first = site.ask("/wait")
    response = site.get("/never")
    assert response.status_code == 504 and response.headers["Retry-After"] == "1"
    assert not first.done()
    assert "queue-timeout=2" in site.httpd.expect("WSGI0321")
    site.let()
    assert first.result().status_code == 200
    assert site.get("/").status_code == 200 and site.begun("never") == 0


def test_a_full_queue_answers_503_at_once(site: Site) -> None:
    site.start("threads=1 queue-size=1", "ThreadsPerChild 20\nServerLimit 1")
    first = site.ask("/wait")
    others = [site.pool.submit(site.get, "/") for _ in range(6)]
    wait_until(lambda: sum(other.done() for other in others) == 5, "all but one are refused")
    refused = [other.result() for other in others if other.done()]
    assert {response.status_code for response in refused} == {503} and refused[0].headers[
        "Retry-After"
    ] == "1"
    assert "queue-size=1" in site.httpd.expect("WSGI0309")
    site.let()
    assert sorted(answer.result().status_code for answer in [first, *others]) == [
        200,
        200,
        503,
        503,
        503,
        503,
        503,
    ]


def test_a_queued_request_whose_client_has_left_is_not_run(site: Site) -> None:
    site.start("threads=1", "LogLevel wsgi:debug")
    first = site.ask("/wait")
    with socket.create_connection(("127.0.0.1", site.httpd.port)) as client:
        client.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
    site.httpd.expect("WSGI0320")
    site.let()
    assert first.result().status_code == 200
    assert site.get("/").status_code == 200 and site.begun("never") == 0


# ---- recycling ----


def test_maximum_requests_replaces_a_worker_without_losing_a_request(site: Site) -> None:
    site.start("threads=2 maximum-requests=5")
    seen = set()

    def ask() -> bool:
        answer = site.get("/")
        seen.add(answer.text)
        assert answer.status_code == 200
        return len(seen) == 3

    wait_until(ask, "two workers were replaced")
    site.httpd.expect("WSGI0703", "maximum_requests")


def test_one_request_per_process(site: Site) -> None:
    site.start("threads=1 maximum-requests=1")
    answers = [site.get("/") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200} and len(
        {answer.text for answer in answers}
    ) == 5


@pytest.mark.skipif(SANITIZED, reason="sanitizers need memory of their own")
def test_memory_rss_limit_replaces_a_worker(site: Site) -> None:
    site.start("threads=2 memory-rss-limit=100M slow-request=200ms")
    worker = site.httpd.worker()
    assert site.get("/grow/100000000").status_code == 200
    assert "memory-rss-limit=104857600" in site.httpd.expect("WSGI0723")
    site.replaced(worker)


def test_cpu_time_limit_replaces_a_worker(site: Site) -> None:
    site.start("threads=2 cpu-time-limit=500ms slow-request=300ms")
    worker = site.httpd.worker()
    assert site.get("/spin/0.5").status_code == 200
    assert "cpu-time-limit=0.5" in site.httpd.expect("WSGI0723")
    site.replaced(worker)


def test_inactivity_timeout_replaces_a_worker_that_has_been_used(site: Site) -> None:
    site.start("threads=2 inactivity-timeout=300ms")
    worker = site.httpd.worker()
    assert site.get("/").status_code == 200
    assert "inactivity-timeout=0.3" in site.httpd.expect("WSGI0723")
    site.replaced(worker)
    assert site.httpd.log_text().count("WSGI0723") == 1  # the new one has not been used


def test_ignored_activity_does_not_count(site: Site) -> None:
    site.start("threads=2 inactivity-timeout=300ms slow-request=200ms", "WSGIIgnoreActivity On")
    worker = site.httpd.worker()
    answer = site.ask("/wait")
    site.httpd.expect("WSGI0720")  # a look has seen it
    site.let()
    assert answer.result().status_code == 200
    assert site.httpd.workers() == [worker] and "WSGI0723" not in site.httpd.log_text()


def test_restart_interval_replaces_a_worker(site: Site) -> None:
    site.start("threads=2 restart-interval=1")
    worker = site.httpd.worker()
    site.replaced(worker)
    site.httpd.expect("WSGI0703", "restart_interval")


# ---- death ----


@pytest.mark.parametrize(
    ("path", "said", "stack"),
    [
        ("/segv", "signal 11 (SIGSEGV)", True),
        ("/abort", "signal 6 (SIGABRT)", True),
        ("/exit", "exited with status 3", False),
    ],
)
@pytest.mark.skipif(SANITIZED, reason="a sanitizer reports the crash")
def test_a_death_is_explained_with_the_request_and_the_stack(
    site: Site, path: str, said: str, stack: bool
) -> None:
    site.start("threads=2")
    worker = site.httpd.worker()
    assert site.get(path).status_code == 502
    line = site.httpd.expect("WSGI0702")
    assert (
        said in line
        and f"worker {worker}" in line
        and re.search(rf"while serving GET {path} \(\d+\.\d", line)
    )
    line = site.httpd.expect("WSGI0310", "[client")
    assert (
        f"process {worker} {'exited with status 3' if path == '/exit' else 'was killed by signal'}"
        in line
    )
    if stack:
        site.httpd.expect("WSGI0718", "in application")
    site.replaced(worker)


def test_a_killed_worker_costs_only_the_requests_it_had(site: Site) -> None:
    site.start("threads=2")
    worker = site.httpd.worker()
    answer = site.ask("/wait")
    os.kill(worker, signal.SIGKILL)
    assert answer.result().status_code == 502
    assert "GET /wait" in site.httpd.expect("WSGI0702", "SIGKILL")
    site.httpd.expect("WSGI0310")
    assert site.get("/").status_code == 200


def test_a_request_that_waits_for_a_worker_that_dies_is_served_by_the_next(site: Site) -> None:
    site.start("threads=1")
    worker = site.httpd.worker()
    freeze(worker)
    with socket.create_connection(("127.0.0.1", site.httpd.port)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        os.kill(worker, signal.SIGKILL)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    site.httpd.expect("WSGI0702")


# ---- the end ----


def test_a_stop_while_workers_are_still_starting_leaves_nothing(httpd: Httpd) -> None:
    (httpd.app / "slow.py").write_text("import time\ntime.sleep(20)\n")
    httpd.start(
        "WSGIDaemonProcess d processes=3\nWSGIScriptAlias / {app}/slow.py process-group=d\n"
    )
    httpd.expect("WSGI0701")
    httpd.stop()


def test_apache_waits_for_its_workers_at_the_end(site: Site) -> None:
    (site.httpd.app / "limits.py").write_text(
        (site.httpd.app / "limits.py").read_text()
        + "\nimport atexit\natexit.register(print, 'good', 'bye')\n"
    )
    site.start("threads=2 processes=2")
    site.httpd.stop()
    assert not site.httpd.workers() and not site.httpd.supervisors()
    assert site.httpd.log_text().count("good bye") >= 1


def test_an_apache_child_waits_for_the_applications_threads(httpd: Httpd) -> None:
    (httpd.app / "threads.py").write_text(
        "import threading, time\n"
        "def work():\n"
        "    time.sleep(0.5)\n"
        "    print('the thread is done')\n"
        "def application(environ, start_response):\n"
        "    threading.Thread(target=work).start()\n"
        "    start_response('200 OK', [])\n"
        "    return [b'begun']\n"
    )
    httpd.start("WSGIScriptAlias / {app}/threads.py\n")
    assert requests.get(httpd.url("/"), timeout=60).text == "begun"
    httpd.stop()
    assert "the thread is done" in httpd.log_text()  # and finish() looks for crashes
