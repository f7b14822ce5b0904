"""The names of the module `mod_wsgi`, for applications. docs/python-api.md describes them.

In Apache they are the same objects; elsewhere an ImportError says that there are none.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from httpd_wsgi.interpreter.modules import NAMES as _NAMES


def _explain(name: str) -> NoReturn:
    raise ImportError(
        f"mod_wsgi.{name} exists only inside Apache, in applications served by httpd-wsgi; code "
        "that must also run elsewhere "
        f"catches the ImportError of `from mod_wsgi import {name}`",
        name="mod_wsgi",
    )


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = sys.modules.get("mod_wsgi")
    if not hasattr(module, "implementation"):
        _explain(name)
    return getattr(module, name)
