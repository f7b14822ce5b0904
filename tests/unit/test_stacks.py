"""faulthandler's text becomes a traceback that people can read."""

from __future__ import annotations

import threading

from httpd_wsgi.stacks import readable

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
