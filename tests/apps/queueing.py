"""Each request that runs writes a line, so that every one can be counted; it may be held."""

import os
import resource
import time
from urllib.parse import parse_qs


def note(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, text.encode() + b"\n")  # one write, so lines of several processes do not mix
    os.close(fd)


def application(environ, start_response):
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if "note" in asked:
        note(asked["note"], asked["token"])
    if "limit" in asked:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(asked["limit"]), hard))
    if "seconds" in asked:
        time.sleep(float(asked["seconds"]))
    if "spin" in asked:  # never lets the interpreter lock go
        end = time.monotonic() + float(asked["spin"])
        while time.monotonic() < end:
            sum(range(20_000_000))
    if "until" in asked:
        while not os.path.exists(asked["until"]):
            time.sleep(0.005)
    if environ["PATH_INFO"] == "/descriptors":
        os.close(3)  # the listening socket
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
