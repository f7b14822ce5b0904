"""One small behaviour per path."""

import ctypes
import json
import logging
import os
import sys
import threading

closed = []


class Body:
    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.items)

    def close(self):
        closed.append(1)


def answer(start_response, data, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [data if isinstance(data, bytes) else data.encode()]


def environ_(environ, start_response):
    shown = {
        k: [type(v).__name__, v if isinstance(v, str | int | float | bool | tuple) else None]
        for k, v in environ.items()
    }
    return answer(start_response, json.dumps(shown))


def info(environ, start_response):
    facts = {
        "pid": os.getpid(),
        "prefix": sys.prefix,
        "executable": sys.executable,
        "version": list(sys.version_info[:2]),
        "path": sys.path,
        "cwd": os.getcwd(),
        "uid": os.getuid(),
        "lang": os.environ.get("LANG"),
        "lc_all": os.environ.get("LC_ALL"),
        "main_interpreter": sys.modules.get("__main__") is not None
        and hasattr(sys.modules["__main__"], "import_package"),
        "thread": threading.current_thread().name,
    }
    return answer(start_response, json.dumps(facts))


def body_read(environ, start_response):
    total = 0
    while chunk := environ["wsgi.input"].read(65536):
        total += len(chunk)
    return answer(start_response, str(total))


def body_methods(environ, start_response):
    stream = environ["wsgi.input"]
    parts = [
        stream.readline(),
        stream.readline(3),
        stream.read(4),
        stream.readlines(1),
        list(stream),
        stream.read(),
    ]
    return answer(start_response, repr(parts))


def unread(environ, start_response):
    return answer(start_response, b"refused", "403 Forbidden")


def large(environ, start_response):
    start_response("200 OK", [])
    return Body(b"x" * 65536 for _ in range(800))


def generator(environ, start_response):
    start_response("200 OK", [])
    yield b"one,"
    yield b""
    yield b"two"


def closing(environ, start_response):
    start_response("200 OK", [])
    return Body([b"item"])


def closed_count(environ, start_response):
    return answer(start_response, str(len(closed)))


def write(environ, start_response):
    out = start_response("200 OK", [])
    out(b"written,")
    return [b"returned"]


def exc_info(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("boom")
    except ValueError:
        start_response("503 Sorry", [("X-Second", "1")], sys.exc_info())
    return [b"replaced"]


def twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b""]


def file(environ, start_response):
    stream = open(__file__, "rb")  # noqa: SIM115 (the wrapper closes it)
    stream.seek(int(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](stream)


def status(environ, start_response):
    start_response(environ["QUERY_STRING"] + " X", [])
    return [b"body"]


def headers(environ, start_response):
    start_response(
        "200 OK", [("X-A", "1"), ("X-A", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    )
    return [b""]


def raises(environ, start_response):
    raise ValueError("boom in the application")


def raises_late(environ, start_response):
    start_response("200 OK", [])
    yield b"partial"
    raise ValueError("boom after the head")


def short(environ, start_response):
    start_response("200 OK", [("Content-Length", "100")])
    return [b"too short"]


def excess(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"too long"]


def injection(environ, start_response):
    start_response("200 OK", [("X-A", "b\r\nX-Evil: 1")])
    return [b""]


def logs(environ, start_response):
    print("printed to stdout")
    print("printed to stderr", file=sys.stderr)
    environ["wsgi.errors"].write("written to wsgi.errors\n")
    logging.getLogger("shop").warning("logged by logging")
    return answer(start_response, b"")


def crash(environ, start_response):
    ctypes.string_at(0)


def exit3(environ, start_response):
    os._exit(3)


def system_exit(environ, start_response):
    raise SystemExit(1)


def saved(environ, start_response):
    """The objects of the request before must be dead, not dangling."""
    global kept
    try:
        kept["wsgi.input"].read()
        result = b"alive"
    except NameError:
        result = b"first"
    except RuntimeError:
        result = b"dead"
    kept = environ
    return answer(start_response, result)


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    return globals()[{"environ": "environ_"}.get(name, name)](environ, start_response)
