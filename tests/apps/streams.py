"""What programs do with the streams that are a log here."""

import argparse
import codecs
import doctest
import faulthandler
import io
import os
import subprocess
import sys

ORIGINAL = sys.stdout  # another test replaces it for good


def name_of(call):
    try:
        return repr(call())
    except Exception as exc:
        return type(exc).__name__


def rewrapped(environ, word):
    stream = sys.stdout
    try:
        sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
        print(f"{word} in a wrapper")
        sys.stdout.flush()
        sys.stdout = codecs.getwriter("utf-8")(stream.detach())
        print(f"{word} in a codec")
        print(f"{word} above the buffer", file=io.TextIOWrapper(stream.buffer, write_through=True))
    finally:
        sys.stdout = stream
    return "done"


def left_wrapped(environ, word):
    """A wrapper that collects, as an application may leave it for good."""
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
    print(f"{word} collected")
    return "done"


def wrong(environ, word):
    found = []
    for stream in (ORIGINAL, sys.stderr, environ["wsgi.errors"]):
        for text in (f"{word} bytes\n".encode(), 5, None, bytearray(b"x"), [f"{word} list"]):
            found.append(name_of(lambda stream=stream, text=text: stream.write(text)))
        for lines in ([f"{word} bytes\n".encode(), 5], [f"{word} first\n", 5], 5):
            found.append(name_of(lambda stream=stream, lines=lines: stream.writelines(lines)))
        stream.writelines(f"{word} good {n}\n" for n in range(2))
    found.append(name_of(lambda: ORIGINAL.buffer.write(f"{word} text\n")))
    return " ".join(sorted(set(found)))


def descriptors(environ, word):
    streams = (ORIGINAL, sys.stderr, environ["wsgi.errors"], sys.stderr.buffer)
    if environ["mod_wsgi.process_group"]:
        os.write(sys.stderr.fileno(), f"{word} by descriptor\n".encode())
        subprocess.run(["echo", f"{word} by a program"], stdout=sys.stderr, check=True)
        faulthandler.dump_traceback(file=sys.stderr)
    argparse.ArgumentParser().print_usage(sys.stderr)
    doctest.testmod(sys.modules["argparse"])
    return " ".join(name_of(stream.fileno) for stream in streams)


def application(environ, start_response):
    text = globals()[environ["PATH_INFO"].strip("/")](environ, environ["QUERY_STRING"])
    start_response("200 OK", [])
    return [text.encode()]
