"""For the status: /wait waits until a file `go` lies beside this one, the rest answers at once."""

import os
import time

GO = os.path.join(os.path.dirname(__file__), "go")


def wait():
    while not os.path.exists(GO):
        time.sleep(0.01)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":
        wait()
    if path == "/fail":
        raise ValueError("boom")
    if path == "/crash":
        os.abort()
    if path == "/exit":
        os._exit(0)
    start_response(
        "404 Not Found" if path == "/missing" else "200 OK", [("Content-Type", "text/plain")]
    )
    return [b"hello"]
