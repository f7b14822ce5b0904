"""Stands in for every application of the corpus: says what it was given, and where it runs."""

import json
import locale
import os
import pwd
import sys
from urllib.parse import parse_qs

first_import_in = (
    sys.modules.setdefault("corpus_first_import", sys.modules[__name__]) is sys.modules[__name__]
)
requests = 0


def facts(environ, name):
    with open("/proc/self/cmdline", "rb") as title:
        argv = title.read().split(b"\0")[0].decode()
    with open("/proc/self/status") as file:
        status = file.read()
    return {
        **{key: value for key, value in environ.items() if isinstance(value, str)},
        "scheme": environ["wsgi.url_scheme"],
        "multiprocess": str(environ["wsgi.multiprocess"]),
        "multithread": str(environ["wsgi.multithread"]),
        "ran": name,
        "file": __file__,
        "cwd": os.getcwd(),
        "uid": pwd.getpwuid(os.getuid()).pw_name,
        "umask": next(line.split()[1] for line in status.splitlines() if line.startswith("Umask:")),
        "path": os.pathsep.join(sys.path),
        "prefix": sys.prefix,
        "title": argv,
        "LANG": os.environ.get("LANG", ""),
        "LC_ALL": os.environ.get("LC_ALL", ""),
        "encoding": locale.getpreferredencoding(False),
        "optimize": str(sys.flags.optimize),
        "imported": " ".join(sorted(key for key in sys.modules if key.startswith("corpus_"))),
        "request": str(requests),
        "body": environ["wsgi.input"].read().decode("latin-1"),
    }


def respond(name, environ, start_response):
    global requests
    requests += 1
    status = parse_qs(environ["QUERY_STRING"]).get("status", ["200 OK"])[0]
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(facts(environ, name)).encode()]


def application(environ, start_response):
    return respond("application", environ, start_response)


def app(environ, start_response):
    return respond("app", environ, start_response)


def handle_request(environ, start_response):
    return respond("handle_request", environ, start_response)
