"""The modules mod_wsgi and apache as applications see them; LogHandler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import HTTPD, Httpd, wait_until

import httpd_wsgi

CONF = {
    "embedded": "ServerLimit 3\nThreadsPerChild 7\nMaxRequestWorkers 21\nWSGIScriptAlias / {app}/server.py",
    "daemon": "ServerLimit 3\nThreadsPerChild 7\nMaxRequestWorkers 21\n"
    "WSGIDaemonProcess d processes=1 threads=4\nWSGIScriptAlias / {app}/server.py process-group=d",
}


def get(server: Httpd, path: str) -> requests.Response:
    return requests.get(server.url(path), timeout=60)


def test_mod_wsgi_has_the_documented_attributes(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    shown = get(httpd, "/attributes").json()
    assert shown["version"] == [6, 1, 1]
    assert (shown["implementation"], shown["implementation_version"]) == (
        "httpd-wsgi",
        httpd_wsgi.__version__,
    )
    assert shown["process_group"] == ("d" if mode == "daemon" else "")
    # A group's only application is in main
    assert shown["application_group"] == (f"localhost:{httpd.port}|" if mode == "embedded" else "")
    assert (shown["maximum_processes"], shown["threads_per_process"]) == (
        (1, 4) if mode == "daemon" else (3, 7)
    )
    assert shown["dir"] == sorted(
        [
            *(
                "version",
                "implementation",
                "implementation_version",
                "process_group",
                "application_group",
                "maximum_processes",
            ),
            *(
                "threads_per_process",
                "FileWrapper",
                "RequestTimeout",
                "LogHandler",
                "request_data",
                "active_requests",
            ),
            *("subscribe_events", "subscribe_shutdown", "subscribe_signals"),
            *("event_callbacks", "shutdown_callbacks", "signal_callbacks"),
            *("start_recording_metrics", "request_metrics", "process_metrics", "server_metrics"),
        ]
    )
    assert (shown["spec"], shown["loader"], shown["file"]) == ("mod_wsgi", None, False)
    assert (
        shown["bases"] == ["BaseException", "Handler"] and shown["handler"] == "mod_wsgi.LogHandler"
    )
    assert get(httpd, "/wrapper").json() is True


def test_apache_tells_what_this_httpd_is(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    shown = get(httpd, "/apache").json()
    version = subprocess.run([HTTPD, "-v"], capture_output=True, text=True, check=True).stdout
    assert len(shown["version"]) == 3 and shown["version"][:2] == [2, 4]
    assert shown["description"].startswith("Apache/2.4.") and shown["build_date"] in version
    assert shown["mpm_name"] == "event"
    assert (shown["maximum_processes"], shown["threads_per_process"]) == (3, 7)


def test_request_data_is_the_requests_own_and_only_there(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    for _ in range(2):
        same, before, during_import, in_a_helper_thread, refused = get(httpd, "/data").json()
        assert same is True and before == 0
        assert (
            "not serving a request" in during_import
            and "not serving a request" in in_a_helper_thread
        )
        assert refused == 3


def test_an_installed_package_mod_wsgi_keeps_its_submodules(httpd: Httpd, mode: str) -> None:
    express = httpd.app / "lib/mod_wsgi/express"
    express.mkdir(parents=True)
    (express.parent / "__init__.py").write_text("raise RuntimeError('must not run')\n")
    (express / "__init__.py").write_text("NAME = 'the installed one'\n")
    for path in (httpd.app / "lib").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (httpd.app / "lib").chmod(0o755)
    conf = CONF[mode].replace("threads=4", "threads=4 python-path={app}/lib")
    httpd.start("WSGIPythonPath {app}/lib\n" + conf if mode == "embedded" else conf)
    assert get(httpd, "/express").text == "the installed one"


def test_start_response_is_a_method_beside_write(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    response = get(httpd, "/adapter")
    assert (response.status_code, response.text) == (418, "by the method,by the function")


@pytest.mark.parametrize(
    ("options", "once"),
    [("threads=1 maximum-requests=1", True), ("threads=2 maximum-requests=1", False)],
)
def test_run_once_is_true_where_a_process_serves_one_request(
    httpd: Httpd, options: str, once: bool
) -> None:
    httpd.start(CONF["daemon"].replace("threads=4", options))
    assert get(httpd, "/once").json() is once


def records(server: Httpd) -> list[str]:
    return [
        line for line in server.log_text().splitlines() if "level " in line or "second line" in line
    ]


def test_log_records_keep_their_level_and_belong_to_the_request(httpd: Httpd, mode: str) -> None:
    httpd.start("LogLevel wsgi:info\n" + CONF[mode])
    assert get(httpd, "/log").json() == [20, 30, 40, 50, 60]  # what is not logged is not formatted
    levels = {20: "info", 30: "warn", 40: "error", 50: "crit", 60: "crit"}
    wait_until(lambda: len(records(httpd)) == 10, "all records are there")
    for number, name in levels.items():
        for text in (f"shop says level {number}", f"second line of {number}"):
            (line,) = [line for line in records(httpd) if line.endswith(text)]
            assert f"[wsgi:{name}]" in line and "[client 127.0.0.1:" in line


def test_the_log_level_of_a_location_counts_for_its_requests(httpd: Httpd, mode: str) -> None:
    httpd.start(
        "LogLevel wsgi:error\n" + CONF[mode] + "\n<Location /log>\nLogLevel wsgi:debug\n</Location>"
    )
    assert get(httpd, "/log").json() == [5, 10, 20, 30, 40, 50, 60]
    wait_until(lambda: len(records(httpd)) == 14, "all records are there")
    assert sum("[wsgi:debug]" in line for line in records(httpd)) == 4


def test_the_place_in_the_source_is_logged_where_the_format_wants_it(
    httpd: Httpd, mode: str
) -> None:
    httpd.start('ErrorLogFormat "[%-m:%l] [pid %P] %F: %M"\n' + CONF[mode])
    get(httpd, "/log")
    source = (httpd.app / "server.py").read_text().splitlines()
    number = next(i for i, line in enumerate(source, 1) if "logger.log(" in line)
    wait_until(
        lambda: f"server.py({number}): shop says level 40" in httpd.log_text(), "the place is there"
    )


def test_records_outside_requests_go_to_the_servers_log(httpd: Httpd, mode: str) -> None:
    httpd.start("LogLevel wsgi:error\n" + CONF[mode])
    get(httpd, "/log-thread")
    wait_until(lambda: "shop says from a helper thread" in httpd.log_text(), "the record is there")
    (line,) = [line for line in httpd.log_text().splitlines() if "from a helper thread" in line]
    assert "[wsgi:error]" in line and "[client" not in line


@pytest.mark.parametrize("name", ["request_data", "LogHandler", "version"])
def test_outside_apache_the_api_explains_itself(name: str) -> None:
    code = f"from httpd_wsgi.api import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        done.returncode == 1
        and f"ImportError: mod_wsgi.{name} exists only inside Apache" in done.stderr
    )


def test_outside_apache_mod_wsgi_is_not_ours(tmp_path: Path) -> None:
    code = "import httpd_wsgi.api\ntry:\n    from mod_wsgi import version\nexcept ImportError:\n    print('outside')"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done: Any = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "outside\n"
