"""A private httpd with /wsgi-status, and the ways to look at it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import requests
from harness import Httpd, wait_for

STATUS = "<Location /wsgi-status>\nSetHandler wsgi-status\nRequire local\n</Location>\n"
CONF = STATUS + (
    "WSGIDaemonProcess shop processes=1 threads=2 slow-request=200ms {options}\n"
    "WSGIScriptAlias / {app}/waiting.py process-group=shop application-group=%{GLOBAL}\n"
)
MODULES = ("authz_host", "status", "log_config")


def conf(options: str = "") -> str:
    return CONF.replace("{options}", options)


def status(server: Httpd) -> dict[str, Any]:
    answer = requests.get(server.url("/wsgi-status?format=json"), timeout=60)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def shop(server: Httpd) -> dict[str, Any]:
    (group,) = status(server)["groups"]
    found: dict[str, Any] = group
    return found


def counted(server: Httpd, total: int) -> dict[str, Any]:
    """The group once this many requests are counted and over; both may be after their clients have
    their answers.
    """

    def settled() -> dict[str, Any] | None:
        group = shop(server)
        return (
            group
            if group["requests"]["total"] >= total
            and not group["running"]
            and not group["threads"]["busy"]
            else None
        )

    return wait_for(settled, f"{total} requests are counted")


def running_only(server: Httpd, *urls: str) -> dict[str, Any]:
    """The group when requests for these URLs run, and no others."""

    def there() -> dict[str, Any] | None:
        group = shop(server)
        return (
            group
            if sorted(request["url"] for request in group["running"]) == sorted(urls)
            else None
        )

    return wait_for(there, f"{urls} run")


def embedded(server: Httpd, total: int, running: int = 0) -> dict[str, Any]:
    """Embedded mode once this many requests are counted and exactly so many run."""

    def settled() -> dict[str, Any] | None:
        found: dict[str, Any] | None = status(server)["embedded"]
        if not found or len(found["running"]) != running:
            return None
        return (
            found
            if sum(application["requests"]["total"] for application in found["applications"])
            >= total
            else None
        )

    return wait_for(settled, f"{total} requests of embedded mode are counted and {running} run")


def page(server: Httpd, **headers: str) -> requests.Response:
    return requests.get(server.url("/wsgi-status"), headers=headers, timeout=60)


def metrics(server: Httpd, form: str = "openmetrics") -> str:
    return requests.get(server.url(f"/wsgi-status?format={form}"), timeout=60).content.decode()


def get(server: Httpd, path: str) -> int:
    return requests.get(server.url(path), timeout=60).status_code


def serving(server: Httpd) -> bool:
    return bool(shop(server)["threads"]["total"])


@contextlib.contextmanager
def waiting(server: Httpd, *targets: bytes) -> Iterator[None]:
    """Requests with exactly these targets that wait in the application meanwhile."""
    connections = []
    for target in targets:
        connection = socket.create_connection(("127.0.0.1", server.port), 60)
        connection.sendall(
            b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        connections.append(connection)
    try:
        yield
    finally:
        (server.app / "go").touch()
        for connection in connections:
            assert connection.recv(12) == b"HTTP/1.1 200"
            while connection.recv(65536):
                pass
            connection.close()
        (server.app / "go").unlink()
