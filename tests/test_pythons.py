"""Every Python found on the machine, in one Apache at the same time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import requests
from authsite import put
from collector import Collector
from harness import Httpd, wait_until


def test_all_pythons_serve_side_by_side(httpd: Httpd, environments: dict[str, Path]) -> None:
    lines = []
    for number, home in enumerate(environments.values()):
        lines.append(f"WSGIDaemonProcess g{number} threads=2 python-home={home}")
        lines.append(f"WSGIScriptAlias /{number} {{app}}/kitchen.py process-group=g{number}")
    httpd.start("\n".join(lines))
    for _ in range(2):
        for number, home in enumerate(environments.values()):
            info = requests.get(httpd.url(f"/{number}/info"), timeout=60).json()
            expected = subprocess.check_output(
                [home / "bin" / "python", "-c", "import sys; print(list(sys.version_info[:2]))"]
            )
            assert str(info["version"]) == expected.decode().strip() and info["prefix"] == str(home)
            posted = requests.post(
                httpd.url(f"/{number}/body_read"), data=b"x" * 200_000, timeout=60
            )
            assert posted.text == "200000"


def test_every_python_can_be_embedded(environments: dict[str, Path]) -> None:
    for home in environments.values():
        server = Httpd()
        try:
            server.start(f"WSGIPythonHome {home}\nWSGIScriptAlias / {{app}}/kitchen.py")
            assert requests.get(server.url("/info"), timeout=60).json()["prefix"] == str(home)
            assert requests.get(server.url("/raises"), timeout=60).status_code == 500
            server.expect("WSGI0401")
        finally:
            server.finish()


def test_every_python_is_asked_about_requests_that_apache_serves(
    httpd: Httpd, environments: dict[str, Path]
) -> None:
    lines = [
        "DocumentRoot {root}/docs",
        "<Directory {root}/docs>",
        "Require all granted",
        "</Directory>",
    ]
    for number, home in enumerate(environments.values()):
        put(httpd.root / "docs" / str(number) / "page.txt", "the page")
        lines.append(f"WSGIDaemonProcess g{number} threads=2 python-home={home}")
        lines.append(
            f"<Location /{number}>\nWSGIAccessScript {{app}}/auth.py process-group=g{number}\n</Location>"
        )
    httpd.start("\n".join(lines))
    for number in range(len(environments)):
        for how, status in (("True", 200), ("False", 403), ("raises", 403)):
            assert (
                requests.get(httpd.url(f"/{number}/page.txt?{how}"), timeout=60).status_code
                == status
            )
    httpd.expect("WSGI0232")
    httpd.expect("WSGI0812")


def test_the_module_mod_wsgi_works_in_every_python(
    httpd: Httpd, environments: dict[str, Path]
) -> None:
    express = httpd.app / "lib/mod_wsgi/express"
    express.mkdir(parents=True)
    (express.parent / "__init__.py").touch()
    (express / "__init__.py").write_text("NAME = 'the installed one'\n")
    for path in (httpd.app / "lib", *(httpd.app / "lib").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    lines = []
    for number, home in enumerate(environments.values()):
        lines.append(
            f"WSGIDaemonProcess g{number} threads=2 python-home={home} python-path={{app}}/lib server-metrics=On"
        )
        for name, script in (("a", "watched"), ("b", "server"), ("c", "measured")):
            lines.append(
                f"WSGIScriptAlias /{number}/{name} {{app}}/{script}.py process-group=g{number} application-group={name}"
            )
    httpd.start("\n".join(lines))

    def get(path: str) -> requests.Response:
        return requests.get(httpd.url(path), timeout=60)

    for number in range(len(environments)):
        assert get(f"/{number}/a/").text == "changedkept"

        def told(number: int = number) -> bool:
            names = {name for name, _, _ in get(f"/{number}/a/seen").json()}
            return {"request_started", "response_started", "request_finished"} <= names

        wait_until(told, "the request is told from start to finish")
        assert get(f"/{number}/b/express").text == "the installed one"
        assert get(f"/{number}/b/data").json()[0] is True and get(f"/{number}/b/log").json() == [
            20,
            30,
            40,
            50,
            60,
        ]
        assert get(f"/{number}/c/settled/requests").json()["request_count"] >= 5
        assert get(f"/{number}/c/server").json()["running_generation"] >= 0


def test_every_python_reports_telemetry(httpd: Httpd, environments: dict[str, Path]) -> None:
    lines = [f"WSGITelemetryService unix:{httpd.root}/run/telemetry interval=0.5"]
    for number, home in enumerate(environments.values()):
        lines.append(f"WSGIDaemonProcess g{number} threads=2 python-home={home}")
        for name in ("a", "b"):
            lines.append(
                f"WSGIScriptAlias /{number}/{name} {{app}}/told.py process-group=g{number} application-group={name}"
            )
    collector = Collector(httpd.root / "run" / "telemetry")
    httpd.start("\n".join(lines))
    for number in range(len(environments)):
        assert requests.get(httpd.url(f"/{number}/b/collect"), timeout=60).json() == "b"

        def told(number: int = number) -> bool:
            mine = [
                item for item in collector.receive("request") if item.fields[6] == b"g%d" % number
            ]
            return sum(item.fields[20] for item in mine) == 1 and any(
                item.pid == mine[0].pid and item.fields.get(8) == b"b"
                for item in collector.receive("gc event")
            )

        wait_until(told, f"telemetry of {list(environments)[number]}")
    collector.close()
