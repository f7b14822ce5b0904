"""A real supervisor with real workers, without Apache: the descriptors of src/wire/group.h and
nothing else.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import wait_until

import httpd_wsgi

BOOT = Path(httpd_wsgi.__file__).parent / "_boot.py"
STARTING, SERVING, FAILED = 0, 1, 2
LAUNCH = """
import os, sys
fds = [os.dup2(fd, 64 + n) for n, fd in enumerate(map(int, sys.argv[2:]))]
for n, fd in enumerate(fds):
    os.dup2(fd, 3 + n)
os.closerange(11, 128)
os.execv(sys.executable, [sys.executable, sys.argv[1], "supervisor", "1"])
"""


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class Group:
    def __init__(self, directory: Path, script: str, **options: object) -> None:
        self.script = path = directory / "app.wsgi"
        path.write_text(script)
        self.log = directory / "log"
        records = {
            "group": "shop",
            "threads": 2,
            "log_level": 7,
            "preload": f"\n{path}\napplication",
            **options,
        }
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(directory / "sock"))
        listener.listen()
        settings = os.memfd_create("settings")
        os.write(
            settings, b"".join(f"{name}={value}\0".encode() for name, value in records.items())
        )
        self.board = os.memfd_create("board")
        os.ftruncate(self.board, 4096)
        lifeline, self.lifeline = os.pipe()
        server_lifeline, self.server_lifeline = os.pipe()
        self.control, control = socket.socketpair()
        activity = os.memfd_create("activity")
        os.ftruncate(activity, 1 << 20)
        no_scores = os.open(os.devnull, os.O_RDONLY)
        fds = [
            listener.fileno(),
            lifeline,
            settings,
            self.board,
            no_scores,
            control.fileno(),
            server_lifeline,
            activity,
        ]
        with self.log.open("wb") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(BOOT), *map(str, fds)],
                pass_fds=fds,
                stdout=log,
                stderr=log,
            )
        listener.close()
        control.close()
        os.close(no_scores)
        os.close(activity)
        os.close(server_lifeline)
        os.close(lifeline)
        os.close(settings)

    def state(self) -> int:
        return self.word(0)

    def news(self) -> int:
        return self.word(8)

    def word(self, index: int) -> int:
        return int(struct.unpack("=I", os.pread(self.board, 4, 4 * index))[0])

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def wait_logged(self, text: str) -> None:
        wait_until(lambda: text in self.log.read_text(), f"{text!r} in the log")

    def wait_serving(self) -> int:
        wait_until(lambda: self.state() == SERVING, "a worker is ready")
        return self.workers()[0]

    def end_server(self) -> None:
        """Apache has gone."""
        if self.server_lifeline >= 0:
            os.close(self.lifeline)
            os.close(self.server_lifeline)
        self.server_lifeline = -1

    def finish(self) -> None:
        self.end_server()
        self.control.close()
        self.supervisor.kill()
        self.supervisor.wait()
        os.close(self.board)


@pytest.fixture
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Group]:
    script, options = getattr(request, "param", ("application = print\n", {}))
    running = Group(tmp_path, script, **options)
    yield running
    running.finish()


STUCK = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\napplication = print\n"
GOODBYE = "import atexit\natexit.register(print, 'good', 'bye')\napplication = print\n"
BROKEN = "import os\nos._exit(3)\n"


@pytest.mark.parametrize("group", [(GOODBYE, {"processes": 2})], indirect=True)
def test_the_end_of_apache_ends_everything_in_order(group: Group) -> None:
    group.wait_logged("is ready")
    wait_until(lambda: group.log.read_text().count("is ready") == 2, "both workers are ready")
    workers = group.workers()
    group.end_server()
    assert group.supervisor.wait(60) == 0
    assert not any(alive(pid) for pid in workers)
    assert group.log.read_text().count("good bye") == 2


def test_who_waits_for_newer_code_is_told_when_a_worker_has_it_and_when_it_does_not_load(
    group: Group,
) -> None:
    group.wait_serving()
    wait_until(lambda: group.news() == 1, "a worker is ready")
    group.supervisor.send_signal(signal.SIGHUP)
    wait_until(lambda: group.news() == 2, "another one is ready")
    group.script.write_text("raise RuntimeError")
    group.supervisor.send_signal(signal.SIGHUP)
    wait_until(lambda: group.news() == 3, "it does not load")


def test_sigterm_ends_everything_too(group: Group) -> None:
    worker = group.wait_serving()
    group.supervisor.terminate()
    assert group.supervisor.wait(60) == 0 and not alive(worker)


def test_a_killed_worker_is_replaced_and_its_signal_named(group: Group) -> None:
    worker = group.wait_serving()
    os.kill(worker, signal.SIGSEGV)
    group.wait_logged(f"WSGI0702: group shop: worker {worker} was killed by signal 11 (SIGSEGV)")
    wait_until(lambda: group.log.read_text().count("is ready") == 2, "a new worker is ready")
    wait_until(lambda: group.state() == SERVING, "the board says so, too")
    assert worker not in group.workers()


def test_a_worker_told_to_end_is_replaced(group: Group) -> None:
    worker = group.wait_serving()
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: group.log.read_text().count("is ready") == 2, "a new worker is ready")
    wait_until(lambda: not alive(worker), "the old one has ended")


@pytest.mark.parametrize("group", [(BROKEN, {"processes": 3})], indirect=True)
def test_workers_that_cannot_start_are_tried_slowly_and_the_board_says_so(group: Group) -> None:
    wait_until(lambda: group.state() == FAILED, "the board says failed")
    group.wait_logged("exited with status 3")
    group.wait_logged("the next attempt is in")


@pytest.mark.parametrize(
    "group", [("application = print\n", {}), (STUCK, {"shutdown_timeout": 1})], indirect=True
)
def test_kill_9_of_supervisor_and_apache_leaves_no_worker(group: Group) -> None:
    worker = group.wait_serving()
    group.supervisor.kill()
    group.supervisor.wait()
    assert alive(worker)  # it serves until another supervisor's workers do, or Apache has gone
    group.end_server()
    wait_until(lambda: not alive(worker), "the worker has gone")


@pytest.mark.parametrize("group", [("import time\ntime.sleep(600)\n", {})], indirect=True)
def test_a_worker_still_importing_goes_with_its_supervisor(group: Group) -> None:
    group.wait_logged("started")
    worker = group.workers()[0]
    group.supervisor.kill()
    group.supervisor.wait()
    wait_until(lambda: not alive(worker), "the worker has gone")


@pytest.mark.parametrize("group", [(STUCK, {"shutdown_timeout": 1})], indirect=True)
def test_a_worker_that_does_not_end_is_ended(group: Group) -> None:
    worker = group.wait_serving()
    group.end_server()
    assert group.supervisor.wait(60) == 0 and not alive(worker)


@pytest.mark.parametrize(
    "group", [("application = print\n", {"display_name": "%{GROUP}"})], indirect=True
)
def test_the_process_title_names_the_group(group: Group) -> None:
    worker = group.wait_serving()
    assert Path(f"/proc/{worker}/cmdline").read_bytes().rstrip(b"\0") == b"(wsgi:shop)"
