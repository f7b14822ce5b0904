"""All applications by path, for servers that have one application only. The scripts are loaded when they are first asked for."""

import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = {"post": "post", "body-100k": "body", "body-10m": "body", "file-1m": "file", "file-50m": "file"}
SCRIPTS |= {"flask": "flask_hello", "django": "django_hello"}
loaded = {}


def load(mount):
    name = SCRIPTS.get(mount[1:], mount[1:])
    spec = importlib.util.spec_from_file_location(name, f"{HERE}/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    loaded[mount] = module.application


def application(environ, start_response):
    path = environ["PATH_INFO"]
    mount = path.rstrip("/")
    if mount not in loaded:
        load(mount)
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = mount, path[len(mount) :]
    return loaded[mount](environ, start_response)
