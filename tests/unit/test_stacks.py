"""faulthandler's text becomes a traceback that people can read."""

from __future__ import annotations

import threading

from httpd_wsgi.shared.frames import of_crash, readable

DUMP = f"""Interpreter shop
Thread 0x00000000000000aa (most recent call first):
  File "/srv/app.py", line 9 in inner
  File "/srv/app.py", line 5 in application
  File "/pkg/worker.py", line 3 in run
  File "{threading.__file__}", line 1 in _bootstrap

Thread 0x00000000000000bb (most recent call first):
  File "{threading.__file__}", line 320 in wait
  File "/pkg/worker.py", line 3 in run
Interpreter \nCurrent thread 0x00000000000000aa (most recent call first):
  File "/pkg/stacks.py", line 3 in dump

Thread 0x00000000000000cc (most recent call first):
  File "/usr/lib/socket.py", line 3 in recv
  File "/pkg/worker.py", line 3 in watch
"""


def test_application_code_is_shown_from_the_outermost_call_and_the_rest_is_counted() -> None:
    text = readable(DUMP, {0xAA: "wsgi-request-1", 0xCC: "wsgi-control"}, "/pkg/")
    assert text.splitlines() == [
        "Thread wsgi-request-1 in interpreter shop:",
        '  File "/srv/app.py", line 5, in application',
        '  File "/srv/app.py", line 9, in inner',
        "2 threads run no code of the application",
    ]


CRASH = """Fatal Python error: Segmentation fault

Thread 0x00000000000000aa (most recent call first):
  File "/usr/lib/python3.12/queue.py", line 9 in get
  File "/srv/shop.py", line 3 in application
  File "/pkg/worker.py", line 1 in run

Thread 0x00000000000000bb (most recent call first):
  File "/pkg/worker.py", line 1 in run

Current thread 0x00000000000000cc (most recent call first):
  File "/srv/shop.py", line 7 in crash
  File "/pkg/worker.py", line 1 in run

Extension modules: numpy (total: 1)
"""


def test_the_thread_that_crashed_comes_first_and_idle_ones_are_counted() -> None:
    assert of_crash(CRASH, "/pkg/") == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x00000000000000cc (most recent call first):",
        '  File "/srv/shop.py", line 7 in crash',
        "Thread 0x00000000000000aa (most recent call first):",
        '  File "/usr/lib/python3.12/queue.py", line 9 in get',
        '  File "/srv/shop.py", line 3 in application',
        "1 other thread runs no code of the application",
        "Extension modules: numpy (total: 1)",
    ]


def test_of_a_process_that_did_not_crash_there_is_nothing() -> None:
    assert of_crash("", "/pkg/") == []
