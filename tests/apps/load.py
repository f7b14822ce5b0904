"""What many requests at once look at: who was answered, what was closed, what is still open."""

import os
import subprocess
import threading

lock = threading.Lock()
counts = {"started": 0, "closed": 0}


class Counted:
    def __init__(self, items):
        self.items = iter(items)
        with lock:
            counts["started"] += 1

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)

    def close(self):
        with lock:
            counts["closed"] += 1


# A traceback of 100 lines.
exec("".join(f"def frame{n}(number): frame{n + 1}(number)\n" for n in range(100)))


def frame100(number):
    raise ValueError(f"number {number}")


def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/traceback":
        frame0(query)  # noqa: F821
    body = environ["wsgi.input"].read() if path == "/mixed" else b""
    if path == "/counts":
        counts["threads"] = threading.active_count()
        counts["native"] = len(os.listdir("/proc/self/task"))
        counts["fds"] = len(os.listdir("/proc/self/fd"))
        counts["pid"] = os.getpid()
        body = repr(counts).encode()
    if path == "/children":
        body = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, check=True).stdout
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/mixed":
        return Counted([query.encode(), b"x" * int(query or 0), body])
    return [body or query.encode()]
