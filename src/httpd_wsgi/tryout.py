"""`_boot.py tryout TARGET CALLABLE PYTHON_PATH HOME`: loads an application as a worker would; silent when that works."""

from __future__ import annotations

import contextlib
import os
import sys

from httpd_wsgi import api
from httpd_wsgi.interpreter import setup as interpreter


def main() -> int:
    target, name, python_path, home = sys.argv[2:6]
    sys.argv = ["mod_wsgi"]
    if home:
        with contextlib.suppress(OSError):
            os.chdir(home)
    interpreter.add_paths(python_path, home)
    api.install("", {"embedded": True})
    try:
        if target.startswith("/"):
            module = interpreter.load(target, 0, False)
            if not hasattr(module, name):
                print(f"no callable named {name!r}; {interpreter.describe_callables(module, name)}", file=sys.stderr)
                return 1
        else:
            interpreter.load_target(target, 0, False)
    except BaseException as exc:
        print("\n".join(interpreter.format_exception(exc)), file=sys.stderr)
        return 1
    os._exit(0)  # threads that the application has started are nobody's concern here
