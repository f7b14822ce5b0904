"""`_boot.py tryout TARGET CALLABLE PYTHON_PATH HOME`: loads an application as a worker would;
silent when that works.
"""

from __future__ import annotations

import contextlib
import os
import sys

from httpd_wsgi.interpreter import loader, modules, tracebacks
from httpd_wsgi.interpreter.setup import add_paths


def main() -> int:
    target, name, python_path, home = sys.argv[2:6]
    sys.argv = ["mod_wsgi"]
    if home:
        with contextlib.suppress(OSError):
            os.chdir(home)
    add_paths(python_path, home)
    modules.install("", {"embedded": True})
    try:
        if target.startswith("/"):
            module = loader.load(target, 0, False)
            if not hasattr(module, name):
                print(
                    f"no callable named {name!r}; {loader.describe_callables(module, name)}",
                    file=sys.stderr,
                )
                return 1
            application = getattr(module, name)
        else:
            application = loader.load_target(target, 0, False)[0]
            name = target.partition(":")[2]
    except BaseException as exc:
        print("\n".join(tracebacks.format_exception(exc)), file=sys.stderr)
        return 1
    if why := loader.objection(application):
        print(f"{name!r} {why}", file=sys.stderr)
        return 1
    os._exit(0)  # threads that the application has started are nobody's concern here
