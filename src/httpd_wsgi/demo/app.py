"""A page about the server it runs in: plain WSGI, no dependency."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from typing import Any

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>httpd-wsgi works</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
td {{ border-bottom: 1px solid #ddd; padding: .2rem .6rem; vertical-align: top; word-break: break-all; }}
td:first-child {{ white-space: nowrap; font-family: monospace; }}
</style></head><body>
<h1>httpd-wsgi works</h1>
<p>Python {python} ({executable}) answers {method} {path} in {place}.</p>
<table>{rows}</table>
</body></html>
"""


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    group = environ["mod_wsgi.process_group"]
    rows = "".join(
        f"<tr><td>{html.escape(key)}</td><td>{html.escape(repr(value))}</td></tr>"
        for key, value in sorted(environ.items())
    )
    body = PAGE.format(
        python=".".join(map(str, sys.version_info[:3])),
        executable=html.escape(sys.executable),
        method=html.escape(environ["REQUEST_METHOD"]),
        path=html.escape(environ["PATH_INFO"] or "/"),
        place=f"the daemon group “{html.escape(group)}”" if group else "an Apache process",
        rows=rows,
    ).encode()
    start_response(
        "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    )
    return [body]
