"""Forks; the copy does what the path says, and the original tells how it ended."""

import os
import sys
import time


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def copy(deed, start_response):
    if deed == "exit":
        sys.exit(3)
    if deed == "raise":
        raise ValueError("in the copy")
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if deed == "write":
        write(b"copy")
    return [b"copy"]


def generate(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"both "
    child = os.fork()
    if child == 0:
        yield b"copy"
    yield b"original %d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def application(environ, start_response):
    deed = environ["PATH_INFO"].strip("/")
    if deed == "yield":
        return generate(start_response)
    child = os.fork()
    if child == 0 and deed == "stay":
        wait_for(environ["QUERY_STRING"])
        os._exit(0)
    if child == 0:
        return copy(deed, start_response)
    status = child if deed == "stay" else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"original {status}".encode()]
