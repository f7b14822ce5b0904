"""Responses that have no end of their own, and what is logged when nobody takes them any more."""

import json
import logging
import sys
import threading
import time
from urllib.parse import parse_qs

logging.basicConfig(level=logging.INFO)
events = {}
deeds = {}  # what happened to the responses of each name


def event(name):
    return events.setdefault(name, threading.Event())


def note(name, deed):
    deeds.setdefault(name, []).append(deed)


class Items:
    """An iterable whose close() is noted."""

    def __init__(self, name, items, close=lambda: None):
        self.name, self.items, self.do_close = name, items, close

    def __iter__(self):
        return self.items

    def close(self):
        note(self.name, "closed")
        self.do_close()


def forever(name, item):
    while True:
        note(name, "item")
        yield item
        time.sleep(0.01)


def endless(asked, start_response):
    headers = [("Content-Type", "text/plain")]
    if "length" in asked:
        headers.append(("Content-Length", asked["length"]))
    write = start_response(asked.get("status", "200 OK"), headers)
    if "write" in asked:
        write(asked["write"].encode())
    return Items(asked["name"], forever(asked["name"], asked.get("item", "").encode()))


def writing(asked, start_response):
    write = start_response("200 OK", [("Content-Length", "10")])
    try:
        while True:
            write(asked.get("item", "").encode())
            time.sleep(0.01)
    except ConnectionAbortedError:
        note(asked["name"], "closed")
        raise


def empty_until(asked, start_response):
    """Empty items until another request says that there is something."""
    start_response("200 OK", [])

    def items():
        note(asked["name"], "item")
        while not event(asked["name"]).wait(0.01):
            yield b""
        yield b"something"

    return Items(asked["name"], items())


def begun(asked, start_response):
    """Something, and empty items without end."""
    start_response("200 OK", [])

    def items():
        yield b"begun"
        yield from forever(asked["name"], b"")

    return Items(asked["name"], items())


def silent_until(asked, start_response):
    note(asked["name"], "item")
    event(asked["name"]).wait(60)
    start_response("200 OK", [])
    return [b"something"]


def listed(asked, start_response):
    start_response("200 OK", [])
    return [b"one", b"", b"two"]


def late(asked, start_response, environ):
    """Goes on when it is told that it has been given up."""
    name = asked["name"]
    print(f"{name} id {environ['mod_wsgi.request_id']}")
    event(name).wait(60)
    print(f"{name} printed")
    logging.error("%s logged", name)
    environ["wsgi.errors"].write(f"{name} written\n")
    sys.stderr.write(f"{name} without newline")
    raise KeyError(f"{name} raised")


def stream(asked, start_response, environ):
    """More than any client takes, and lines all the time."""
    name = asked["name"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])

    def fail():
        logging.error("%s logged in close", name)
        raise ValueError(f"{name} raised in close")

    def items():
        print(f"{name} id {environ['mod_wsgi.request_id']}")
        try:
            for number in range(100_000):
                note(name, "item")
                print(f"{name} line {number} of many")
                yield b"x" * 65536
        finally:
            print(f"{name} ended after {number}")

    class Closing(Items):
        def close(self):
            self.items.close()
            super().close()

    return Closing(name, items(), fail)


def application(environ, start_response):
    asked = {key: value[0] for key, value in parse_qs(environ["QUERY_STRING"]).items()}
    name = environ["PATH_INFO"].strip("/")
    if name == "set":
        event(asked["name"]).set()
    if name in ("set", "deeds"):
        start_response("200 OK", [])
        return [json.dumps(deeds.get(asked["name"], [])).encode()]
    if name in ("late", "stream"):
        return globals()[name](asked, start_response, environ)
    return globals()[name](asked, start_response)
