"""All applications by path, for servers that have one application only.

They are loaded before the first request: loading takes longer than a round, and two threads must
not load one script at once.
"""

import importlib

SCRIPTS = {
    "hello": "hello",
    "headers": "headers",
    "post": "post",
    "body-100k": "body",
    "body-10m": "body",
    "stream": "stream",
}
SCRIPTS |= {"file-1m": "file", "file-50m": "file", "flask": "flask_hello", "django": "django_hello"}
APPLICATIONS = {
    f"/{mount}": importlib.import_module(name).application for mount, name in SCRIPTS.items()
}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    mount = path.rstrip("/")
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = mount, path[len(mount) :]
    return APPLICATIONS[mount](environ, start_response)
