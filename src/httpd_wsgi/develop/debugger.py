"""`httpd-wsgi serve --debug`: tracebacks of the application in the browser.

HTTPD_WSGI_DEBUG_TARGET says what to load. HTTPD_WSGI_DEBUG_SHOWN is set where the command listens on
addresses of this machine only; elsewhere nobody gets a traceback.
"""

from __future__ import annotations

import html
import linecache
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import loader, tracebacks

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }}
h1 {{ font-size: 1.3rem; color: #a00; white-space: pre-wrap; }} h2 {{ font-size: 1rem; margin: 1.5rem 0 .3rem; }}
pre {{ background: #f4f4f4; padding: .6rem; overflow-x: auto; margin: 0; }} b {{ background: #fd9; }}
table {{ border-collapse: collapse; font: 13px monospace; }}
td {{ padding: 0 .8rem 0 0; vertical-align: top; word-break: break-all; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #1b1b1b; }} h1 {{ color: #f88; }}
  pre {{ background: #2a2a2a; }} b {{ background: #640; }}
}}
</style></head><body><h1>{title}</h1><p>{request}</p>{frames}<h2>Whole traceback</h2><pre>{text}</pre></body></html>
"""
AROUND = 4

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def load() -> Application:
    target, name = os.environ["HTTPD_WSGI_DEBUG_TARGET"], os.environ["HTTPD_WSGI_DEBUG_CALLABLE"]
    if target.startswith("/"):
        return getattr(loader.load(target, 0, False, in_place=True), name)  # type: ignore[no-any-return]
    return loader.load_target(target, 0, False, True)[0]  # type: ignore[no-any-return]


def watched(
    application: Application, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """What the application returns; an exception becomes a page."""
    try:
        result = application(environ, start_response)
    except Exception as exc:
        return failed(exc, environ, start_response)
    if isinstance(result, _runtime.FileWrapper):
        return result
    return Watched(result, environ, start_response)


class Watched:
    """The application's iterable; what it raises while it is iterated becomes a page, too, if
    nothing was sent yet.
    """

    def __init__(
        self, result: Iterable[bytes], environ: Environ, start_response: StartResponse
    ) -> None:
        self.result = result
        self.environ = environ
        self.start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.result
        except Exception as exc:
            yield from failed(exc, self.environ, self.start_response)

    def close(self) -> None:
        close = getattr(self.result, "close", None)
        if close is not None:
            close()


def is_local(environ: Environ) -> bool:
    """A page on the Internet can make its own name lead to 127.0.0.1, and would then read what is
    shown here.
    """
    return (
        re.fullmatch(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?", environ.get("HTTP_HOST", ""))
        is not None
    )


def failed(exc: Exception, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """The page of a request that failed, which is logged, too."""
    print("\n".join(tracebacks.format_exception(exc)), file=sys.stderr)
    return show(exc, environ, start_response)


def show(exc: Exception, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """The page. start_response() raises the exception again when it is too late for one."""
    if "HTTPD_WSGI_DEBUG_SHOWN" not in os.environ:
        page = "The application failed. The reason is in the error log."
    elif is_local(environ):
        page = render(exc, environ, "\n".join(tracebacks.format_exception(exc)))
    else:
        page = "Tracebacks are only shown on http://localhost/."
    body = page.encode("utf-8", "backslashreplace")
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("500 Internal Server Error", headers, (type(exc), exc, exc.__traceback__))
    return [body]


def render(exc: BaseException, environ: Environ, text: str) -> str:
    title = traceback.format_exception_only(exc)[-1].strip()
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    request = f"{environ.get('REQUEST_METHOD', '')} {path}{query}"
    frames = "".join(
        render_frame(frame, line) for frame, line in application_frames(exc.__traceback__)
    )
    return PAGE.format(
        title=html.escape(title),
        request=html.escape(request),
        frames=frames,
        text=html.escape(text),
    )


def application_frames(trace: TracebackType | None) -> list[tuple[Any, int]]:
    """The innermost first, without those of this package."""
    frames = list(traceback.walk_tb(trace))[::-1]
    return [
        pair for pair in frames if not pair[0].f_code.co_filename.startswith(tracebacks.PACKAGE)
    ]


def shorten(value: object) -> str:
    try:
        text = repr(value)
    except Exception as exc:
        text = f"<repr() raised {type(exc).__name__}>"
    return text if len(text) <= 300 else text[:300] + "…"


def render_frame(frame: Any, line: int) -> str:
    path = frame.f_code.co_filename
    numbers = range(max(1, line - AROUND), line + AROUND + 1)
    source = [
        (number, linecache.getline(path, number, frame.f_globals).rstrip("\n"))
        for number in numbers
    ]
    code = "\n".join(
        f"<b>{number:5} {html.escape(text)}</b>"
        if number == line
        else f"{number:5} {html.escape(text)}"
        for number, text in source
        if text
    )
    variables = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(shorten(value))}</td></tr>"
        for name, value in sorted(frame.f_locals.items())
        if not name.startswith("__")
    )
    where = f"{html.escape(path)}:{line} in {html.escape(frame.f_code.co_name)}"
    return f"<h2>{where}</h2><pre>{code}</pre><details><summary>variables</summary><table>{variables}</table></details>"
