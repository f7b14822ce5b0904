"""Makes docs/status.png: the status page of two daemon groups and an embedded application, as
headless Chromium shows it.

    docs/screenshot.py

Run it with the Python of the test environment, which has the package and what the tests need.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.append(str(DOCS.parent / "tests"))

import requests  # noqa: E402
from harness import Httpd, wait_until  # noqa: E402

SCRIPT = """
import random
import time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/report":
        time.sleep(30)
    time.sleep(random.choice((0, 0, 0, 0.0003, 0.002, 0.004, 0.03)))
    start_response("404 Not Found" if environ["PATH_INFO"] == "/none" else "200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
CONF = """
<Location /wsgi-status>
    SetHandler wsgi-status
</Location>
WSGIDaemonProcess shop processes=2 threads=5 slow-request=1s
WSGIDaemonProcess blog threads=3
WSGIScriptAlias /shop {app}/demo.py process-group=shop application-group=%{GLOBAL}
WSGIScriptAlias /blog {app}/demo.py process-group=blog application-group=%{GLOBAL}
WSGIScriptAlias /tools {app}/demo.py application-group=%{GLOBAL}
"""
CHROMIUM = (
    "chromium --headless --no-sandbox --disable-gpu --hide-scrollbars "
    "--window-size=1280,2060 --virtual-time-budget=4000"
)


def fetch(url: str) -> None:
    try:
        requests.get(url, timeout=60)
    except requests.RequestException:
        pass  # the last ones end with the server


def has_line(server: Httpd) -> bool:
    groups = requests.get(server.url("/wsgi-status?format=json"), timeout=20).json()["groups"]
    return any(
        running["line"] and running["slow"] for group in groups for running in group["running"]
    )


def main() -> None:
    server = Httpd()
    try:
        (server.app / "demo.py").write_text(SCRIPT)
        server.start(CONF)
        for path in 60 * ("/shop/", "/shop/cart?page=2", "/blog/", "/tools/") + 3 * ("/shop/none",):
            fetch(server.url(path))
        for path in ("/shop/report?month=11", "/tools/report"):
            threading.Thread(target=fetch, args=(server.url(path),), daemon=True).start()
        wait_until(lambda: has_line(server), "the slow request has its line")
        target = f"--screenshot={DOCS / 'status.png'}"
        command = [
            *CHROMIUM.split(),
            f"--user-data-dir={server.root}/browser",
            target,
            server.url("/wsgi-status"),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
