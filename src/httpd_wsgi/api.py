"""The modules `mod_wsgi` and `apache` that applications import inside the server."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import httpd_wsgi
from httpd_wsgi import _runtime

COMPATIBLE_VERSION = (6, 1, 1)


def modules(application_group: str, settings: dict[str, Any]) -> dict[str, ModuleType]:
    """New modules for one interpreter, to be put into its sys.modules."""
    mod_wsgi = ModuleType("mod_wsgi", "The WSGI server this application runs in (httpd-wsgi).")
    mod_wsgi.__dict__.update(
        version=COMPATIBLE_VERSION,
        httpd_wsgi_version=httpd_wsgi.__version__,
        process_group=settings.get("process_group", ""),
        application_group=application_group,
        maximum_processes=settings.get("processes", 1),
        threads_per_process=settings.get("threads", 1),
        FileWrapper=_runtime.FileWrapper,
        RequestTimeout=_runtime.RequestTimeout,
    )
    apache = ModuleType("apache", "The Apache httpd this application runs in.")
    return {"mod_wsgi": mod_wsgi, "apache": apache}
