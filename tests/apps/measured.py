"""Shows what mod_wsgi measures."""

import json
import threading
import time

import mod_wsgi

before_recording = [mod_wsgi.request_metrics(), mod_wsgi.process_metrics()]
if mod_wsgi.application_group != "unmeasured":
    mod_wsgi.start_recording_metrics()
    mod_wsgi.start_recording_metrics()
hold = threading.Event()


def no_status(environ, start_response):
    raise ValueError("boom before start_response")


def settled(measure):
    """When no other request runs any more: the end of a response reaches its client before the
    request is over.
    """

    def wait():
        deadline = time.monotonic() + 60
        while mod_wsgi.process_metrics()["active_requests"] > 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        return measure()

    return wait


def from_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(mod_wsgi.server_metrics()))
    thread.start()
    thread.join()
    return found[0]


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/none":
        return no_status(environ, start_response)
    if path == "/hold":
        hold.wait(60)
    shown = {
        "/before": lambda: before_recording,
        "/requests": mod_wsgi.request_metrics,
        "/process": mod_wsgi.process_metrics,
        "/settled/requests": settled(mod_wsgi.request_metrics),
        "/settled/process": settled(mod_wsgi.process_metrics),
        "/server": from_a_thread,
        "/release": hold.set,
    }
    start_response(environ["QUERY_STRING"] + " X" if environ["QUERY_STRING"] else "200 OK", [])
    environ["wsgi.input"].read()
    return [json.dumps(shown.get(path, lambda: None)()).encode()]
