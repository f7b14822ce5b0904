"""An application whose telemetry a test looks at."""

import gc
import json
import threading

import mod_wsgi

mod_wsgi.start_recording_metrics()
hold = threading.Event()


def collect():
    for _ in range(100):
        gc.collect()
    return mod_wsgi.application_group


def application(environ, start_response):
    environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/hold":
        hold.wait(60)
    shown = {"/collect": collect, "/metrics": mod_wsgi.request_metrics, "/release": hold.set}
    start_response(environ["QUERY_STRING"] + " X" if environ["QUERY_STRING"] else "200 OK", [])
    return [json.dumps(shown.get(environ["PATH_INFO"], lambda: None)()).encode()]
