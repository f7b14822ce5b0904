"""Subscribes to everything and shows what it was told."""

import json
import os
import threading
import types

import mod_wsgi

seen = []
hold = threading.Event()
held = threading.Event()


def plain(value):
    if isinstance(value, str | int | float | bool | None):
        return value
    return (
        [plain(item) for item in value] if isinstance(value, list | tuple) else type(value).__name__
    )


@mod_wsgi.subscribe_events
def on_event(name, **event):
    shown = {key: [type(value).__name__, plain(value)] for key, value in event.items()}
    seen.append([name, shown, id(event.get("request_data"))])


@mod_wsgi.subscribe_events
def on_start(name, **event):
    if name == "request_started":
        event["request_data"]["mark"] = "kept"
        environ = event["request_environ"]
        environ["shop.mark"] = "changed"
        if environ["PATH_INFO"] == "/replaced":
            return {"application_object": replacement, "extra": 1}
    if name == "response_started":
        event["response_headers"].append(("X-Seen", event["response_status"]))
    if name == "request_started" and event["request_environ"]["PATH_INFO"] == "/broken-subscriber":
        raise SystemExit("boom in the subscriber")


@mod_wsgi.subscribe_signals
def on_signal(name, **event):
    note(f"{name} {event['signame']} {event['signum']}")


@mod_wsgi.subscribe_shutdown
def on_shutdown(name, **event):
    note(f"{name} {event['shutdown_reason']!r} main={threading.get_native_id() == os.getpid()}")


def note(text):
    """Survives this process: one line in the error log."""
    print(f"NOTE {os.getpid()} {mod_wsgi.application_group!r} {text}")


def replacement(environ, start_response):
    start_response("200 OK", [])
    return [b"the replacement"]


class Closing:
    def __iter__(self):
        return iter([b"item"])

    def close(self):
        raise ValueError("boom in close")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    status, headers = "200 OK", [("X-Id", environ["mod_wsgi.request_id"])]
    if path == "/seen":
        start_response(status, headers)
        return [json.dumps(seen).encode()]
    if path == "/raises":
        raise ValueError("boom in the application")
    if path == "/teapot":
        status = "418 Teapot"
    if path == "/close":
        start_response(status, headers)
        return Closing()
    if path == "/body":
        environ["wsgi.input"].read()
    if path == "/hold":
        held.set()
        hold.wait(60)
    if path == "/release":
        held.wait(60)
        hold.set()
    if path == "/active":
        mine = mod_wsgi.active_requests[environ["mod_wsgi.request_id"]] is mod_wsgi.request_data()
        start_response(status, headers)
        return [
            json.dumps(
                [len(mod_wsgi.active_requests), mine, isinstance(mod_wsgi.active_requests, dict)]
            ).encode()
        ]
    if path == "/subscribers":

        def later(name, **event):
            pass

        start_response(status, headers)
        lists = (mod_wsgi.event_callbacks, mod_wsgi.shutdown_callbacks, mod_wsgi.signal_callbacks)
        same = mod_wsgi.subscribe_signals(later) is later
        return [json.dumps([len(callbacks) for callbacks in lists] + [same]).encode()]
    start_response(status, headers)
    return [
        environ.get("shop.mark", "unchanged").encode(),
        mod_wsgi.request_data().get("mark", "").encode(),
    ]


assert isinstance(mod_wsgi, types.ModuleType)
