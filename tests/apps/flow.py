"""Applications that are told by other requests when to go on, to look at what happens in between."""

import hashlib
import os
import sys
import tempfile
import threading

events = {}


def event(name):
    return events.setdefault(name, threading.Event())


def set_(environ, start_response):
    event(environ["QUERY_STRING"]).set()
    start_response("200 OK", [])
    return [b"set"]


def digest(environ, start_response):
    stream, total, md5 = environ["wsgi.input"], 0, hashlib.md5()
    while chunk := stream.read(50_000):
        total += len(chunk)
        md5.update(chunk)
    start_response("200 OK", [])
    return [f"{total} {md5.hexdigest()} {environ.get('CONTENT_LENGTH')}".encode()]


def echo(environ, start_response):
    """Answers each line when it has arrived."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"]:
        yield line.upper()


def unread(environ, start_response):
    start_response("403 Forbidden", [("Content-Length", "2")])
    return [b"no"]


def huge(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes([n % 251]) * 50_000 for n in range(400))


PIECES = {}


def piece(environ, start_response):
    """One that the application keeps, so it can count who else does."""
    size = int(environ["QUERY_STRING"])
    whole = PIECES.setdefault(size, bytes(n % 251 for n in range(size)))
    start_response("200 OK", [("X-References", str(sys.getrefcount(whole)))])
    return [whole]


def by_lines(environ, start_response):
    """The body in all the ways there are to read it; ends with what is read behind the end."""
    stream = environ["wsgi.input"]
    parts = [stream.read(3), stream.readline(), stream.readline(2), next(stream)]
    parts += [*stream.readlines(), stream.read(), stream.read(1)]
    start_response("200 OK", [])
    return [repr(parts).encode()]


def pauses(environ, start_response):
    """More than a client takes at once, and pauses in which it gets a part."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for n in range(8):
        yield bytes([n]) * 300_000
        threading.Event().wait(0.02)


def wait(environ, start_response):
    """One item, then, when told, the other."""
    name, _, kind = environ["QUERY_STRING"].partition(",")
    write = start_response("200 OK", [("Content-Type", kind or "text/plain")])
    if environ["PATH_INFO"] == "/wait_write":
        write(b"first,")
    else:
        yield b"first,"
    event(name).wait(60)
    yield b"second"


def hints(environ, start_response):
    links = [("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")]
    environ["wsgi.early_hints"](links)
    environ["wsgi.early_hints"](links[:1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        environ["wsgi.early_hints"]([("X-A", "b\r\nc")])
    except ValueError:
        pass
    yield b"done"
    try:
        environ["wsgi.early_hints"](links)
    except RuntimeError as exc:
        yield str(exc).encode()


def tls(environ, start_response):
    adapter = start_response.__self__
    body = environ["wsgi.input"].read(3)
    found = [
        adapter.ssl_is_https(),
        adapter.ssl_var_lookup("SSL_PROTOCOL"),
        adapter.ssl_var_lookup("NONSENSE"),
    ]
    start_response("200 OK", [])
    return [repr([*found, body + environ["wsgi.input"].read()]).encode()]


def shrinking(environ, start_response):
    """A file that another request cuts off."""
    shrinking.fd, shrinking.path = tempfile.mkstemp()
    os.write(shrinking.fd, os.urandom(12_000_000))
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](open(shrinking.path, "rb"))


def shrink(environ, start_response):
    os.truncate(shrinking.fd, 1000)
    os.close(shrinking.fd)
    os.unlink(shrinking.path)
    start_response("200 OK", [])
    return [b"shrunk"]


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    return globals()[{"set": "set_", "wait_write": "wait"}.get(name, name)](environ, start_response)
