"""Shows the modules mod_wsgi and apache, and logs through LogHandler."""

import json
import logging
import threading

import mod_wsgi
from mod_wsgi import LogHandler

import apache

try:
    mod_wsgi.request_data()
    during_import = "a dictionary"
except RuntimeError as exc:
    during_import = str(exc)

logger = logging.getLogger("shop")
logger.setLevel(logging.NOTSET + 1)
logger.propagate = False
handler = LogHandler()
logger.addHandler(handler)
formatted = []


class Formatter(logging.Formatter):
    def format(self, record):
        formatted.append(record.levelno)
        return super().format(record)


handler.setFormatter(Formatter("%(name)s says %(message)s"))


def attributes():
    names = [
        "version",
        "implementation",
        "implementation_version",
        "process_group",
        "application_group",
        "maximum_processes",
    ]
    return {
        **{name: getattr(mod_wsgi, name) for name in (*names, "threads_per_process")},
        "dir": sorted(name for name in dir(mod_wsgi) if not name.startswith("__")),
        "spec": mod_wsgi.__spec__.name,
        "loader": mod_wsgi.__loader__,
        "file": hasattr(mod_wsgi, "__file__"),
        "bases": [
            kind.__name__ for kind in (*mod_wsgi.RequestTimeout.__bases__, *LogHandler.__bases__)
        ],
        "handler": f"{LogHandler.__module__}.{LogHandler.__qualname__}",
    }


def positional_only():
    refused = 0
    for function in (
        mod_wsgi.subscribe_events,
        mod_wsgi.subscribe_shutdown,
        mod_wsgi.subscribe_signals,
    ):
        try:
            function(callback=print)
        except TypeError:
            refused += 1
    return refused


def helper_thread():
    result = []

    def ask():
        try:
            result.append(str(mod_wsgi.request_data()))
        except RuntimeError as exc:
            result.append(str(exc))
        logger.error("from a helper thread")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return result[0]


def application(environ, start_response):
    path = environ["PATH_INFO"]
    answer = ""
    if path == "/attributes":
        answer = json.dumps(attributes())
    elif path == "/apache":
        answer = json.dumps(
            {name: getattr(apache, name) for name in dir(apache) if not name.startswith("__")}
        )
    elif path == "/data":
        same = mod_wsgi.request_data() is mod_wsgi.request_data()
        before = len(mod_wsgi.request_data())
        mod_wsgi.request_data()["left"] = "behind"
        answer = json.dumps([same, before, during_import, helper_thread(), positional_only()])
    elif path == "/adapter":
        adapter = start_response.__self__
        write = adapter.start_response("418 Teapot", [])
        adapter.write(b"by the method,")
        write(b"by the function")
        return []
    elif path == "/once":
        answer = json.dumps(environ["wsgi.run_once"])
    elif path == "/wrapper":
        answer = json.dumps(environ["wsgi.file_wrapper"] is mod_wsgi.FileWrapper)
    elif path == "/log":
        formatted.clear()
        for level in (5, 10, 20, 30, 40, 50, 60):
            logger.log(level, "level %d\nsecond line of %d", level, level)
        answer = json.dumps(formatted)
    elif path == "/log-thread":
        helper_thread()
    elif path == "/metrics":
        mod_wsgi.start_recording_metrics()
    elif path == "/express":
        from mod_wsgi.express import NAME

        answer = NAME
    start_response("200 OK", [("X-Id", environ["mod_wsgi.request_id"])])
    return [answer.encode()]
