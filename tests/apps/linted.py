"""Uses everything a WSGI server offers, under two checkers that look at the server as much as at
the application.
"""

import sys
from wsgiref.validate import validator

from webtest import lint


def inner(environ, start_response):
    stream = environ["wsgi.input"]
    parts = [stream.read(3), stream.readline(), *stream.readlines(), stream.read(1)]
    environ["wsgi.errors"].write("checked\n")
    environ["wsgi.errors"].writelines(["a", "b\n"])
    environ["wsgi.errors"].flush()
    kind = environ["PATH_INFO"]
    if kind == "/exc_info":
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError("replaced")
        except ValueError:
            start_response("500 Replaced", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"replaced"]
    if kind == "/empty":
        start_response("204 No Content", [])
        return [b""]
    write = start_response(
        "200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Set-Cookie", "a=b")]
    )
    if kind == "/write":
        write(b"written,")
    return iter(parts)


applications = {"/lint": lint.middleware(inner), "/validate": validator(inner)}


def application(environ, start_response):
    mount = "/" + environ["PATH_INFO"].split("/")[1]
    environ["SCRIPT_NAME"] += mount
    environ["PATH_INFO"] = environ["PATH_INFO"][len(mount) :]
    return applications[mount](environ, start_response)
