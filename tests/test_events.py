"""Subscriptions of the module mod_wsgi: requests, signals, the end of a process."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import Httpd, wait_until

CONF = {
    "embedded": "ServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\n"
    "WSGIScriptAlias / {app}/watched.py application-group=%{GLOBAL}",
    "daemon": "WSGIDaemonProcess d threads=4\nWSGIScriptAlias / {app}/watched.py process-group=d",
}


def get(server: Httpd, path: str, **options: Any) -> requests.Response:
    return requests.get(server.url(path), timeout=60, **options)


def seen(server: Httpd, request_id: str | None) -> list[tuple[str, dict[str, list[Any]], int]]:
    return [
        item
        for item in get(server, "/seen").json()
        if item[1].get("request_id", [0, None])[1] == request_id
    ]


def told(server: Httpd, request_id: str | None, *names: str) -> dict[str, dict[str, list[Any]]]:
    """The events of one request, once the last of names was published."""
    wait_until(
        lambda: [item[0] for item in seen(server, request_id)] == list(names), f"events are {names}"
    )
    return {name: event for name, event, _ in seen(server, request_id)}


def types(event: dict[str, list[Any]]) -> dict[str, str]:
    return {key: value[0] for key, value in event.items()}


def test_events_of_a_request_have_the_documented_keys(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    response = get(httpd, "/teapot")
    request_id = response.headers["X-Id"]
    events = told(httpd, request_id, "request_started", "response_started", "request_finished")
    times = dict.fromkeys(("request_start", "queue_start", "daemon_start"), "float")
    assert types(events["request_started"]) == {
        **times,
        "request_id": "str",
        "thread_id": "int",
        "daemon_connects": "int",
        "daemon_restarts": "int",
        "server_pid": "int",
        "application_start": "float",
        "application_object": "function",
        "callable_object": "str",
        "request_environ": "dict",
        "request_data": "dict",
    }
    assert types(events["response_started"]) == {
        "request_id": "str",
        "response_status": "str",
        "response_headers": "list",
        "exception_info": "NoneType",
        "request_data": "dict",
    }
    counts = ("input_reads", "input_length", "output_writes", "output_length", "gil_wait_count")
    numbers = ("thread_id", "server_pid", "status", *counts)
    seconds = (
        "application_finish",
        "application_time",
        "input_time",
        "output_time",
        "gil_wait_time",
    )
    cpu = ("cpu_user_time", "cpu_system_time", "cpu_time")
    assert types(events["request_finished"]) == {
        **times,
        **dict.fromkeys(numbers, "int"),
        **dict.fromkeys((*seconds, *cpu), "float"),
        "request_id": "str",
        "request_data": "dict",
    }


def test_a_request_is_told_from_start_to_finish(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    response = get(httpd, "/teapot")
    request_id = response.headers["X-Id"]
    events = told(httpd, request_id, "request_started", "response_started", "request_finished")
    start, finish = (
        {key: value[1] for key, value in events[name].items()}
        for name in ("request_started", "request_finished")
    )
    assert (
        start["callable_object"] == "application"
        and start["server_pid"] == finish["server_pid"] > 1
    )
    assert (start["daemon_connects"], start["daemon_restarts"]) == (
        (0, 0) if mode == "embedded" else (1, 0)
    )
    ordered = [
        start[key] for key in ("request_start", "queue_start", "daemon_start", "application_start")
    ]
    assert ordered[1:3] == [0.0, 0.0] if mode == "embedded" else ordered == sorted(ordered)
    assert ordered[0] <= ordered[3] <= finish["application_finish"]
    assert finish["status"] == 418 and finish["thread_id"] == start["thread_id"] >= 1
    assert (finish["output_writes"], finish["output_length"]) == (2, len(response.content))
    assert finish["application_time"] >= finish["cpu_time"] >= 0


def test_what_is_read_is_counted(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    request_id = requests.post(httpd.url("/body"), data=b"x" * 100_000, timeout=60).headers["X-Id"]
    finished = told(httpd, request_id, "request_started", "response_started", "request_finished")[
        "request_finished"
    ]
    assert finished["input_length"][1] == 100_000 and finished["input_reads"][1] >= 2


def test_all_events_of_a_request_share_its_data(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    response = get(httpd, "/")
    assert response.text == "changedkept"  # environ and data as a subscriber left them
    told(httpd, response.headers["X-Id"], "request_started", "response_started", "request_finished")
    assert len({item[2] for item in seen(httpd, response.headers["X-Id"])}) == 1


def test_a_subscriber_may_replace_the_application_and_add_headers(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    assert get(httpd, "/replaced").text == "the replacement"
    assert get(httpd, "/teapot").headers["X-Seen"] == "418 Teapot"


@pytest.mark.parametrize(("path", "code"), [("/raises", "WSGI0401"), ("/close", "WSGI0405")])
def test_an_exception_is_told_before_it_is_logged(
    httpd: Httpd, mode: str, path: str, code: str
) -> None:
    httpd.start(CONF[mode])
    get(httpd, path)
    httpd.expect(code)

    def ids(name: str) -> list[str]:
        return [item[1]["request_id"][1] for item in get(httpd, "/seen").json() if item[0] == name]

    wait_until(
        lambda: set(ids("request_exception")) <= set(ids("request_finished")),
        "the request is finished",
    )
    ((_, event, _),) = [
        item for item in get(httpd, "/seen").json() if item[0] == "request_exception"
    ]
    assert types(event) == {"request_id": "str", "exception_info": "tuple", "request_data": "dict"}
    assert event["exception_info"][1] == ["type", "ValueError", "traceback"]
    finished = [item[1] for item in get(httpd, "/seen").json() if item[0] == "request_finished"]
    statuses = {item["request_id"][1]: item["status"][1] for item in finished}
    assert statuses[event["request_id"][1]] == (500 if path == "/raises" else 200)


def test_what_a_subscriber_raises_is_logged_and_ignored(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    assert get(httpd, "/broken-subscriber").text == "changedkept"
    assert "request_started" in httpd.expect("WSGI0441")
    assert "boom in the subscriber" in httpd.log_text()


def test_the_lists_are_plain_lists_and_signals_are_for_daemons(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    assert get(httpd, "/subscribers").json() == (
        [2, 1, 2, True] if mode == "daemon" else [2, 1, 0, True]
    )
    assert ("WSGI0440" in httpd.log_text()) == (mode == "embedded")


def test_active_requests_holds_what_is_running_now(httpd: Httpd, mode: str) -> None:
    httpd.start(CONF[mode])
    assert get(httpd, "/active").json() == [1, True, True]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, httpd, "/hold")
        wait_until(lambda: get(httpd, "/active").json()[0] == 2, "the held request is active")
        get(httpd, "/release")
        slow.result(60)
    wait_until(lambda: get(httpd, "/active").json()[0] == 1, "only the asking request is active")


def test_each_interpreter_has_its_own_subscribers(httpd: Httpd) -> None:
    httpd.start(
        "WSGIDaemonProcess d threads=2\n"
        "WSGIScriptAlias /a {app}/watched.py process-group=d application-group=a\n"
        "WSGIScriptAlias /b {app}/watched.py process-group=d application-group=b\n"
    )
    in_a = get(httpd, "/a/").headers["X-Id"]
    in_b = get(httpd, "/b/").headers["X-Id"]
    ids = {
        name: {item[1]["request_id"][1] for item in get(httpd, f"/{name}/seen").json()}
        for name in "ab"
    }
    assert in_a in ids["a"] and in_b in ids["b"] and not {in_b} & ids["a"] and not {in_a} & ids["b"]


def notes(server: Httpd, containing: str) -> list[str]:
    return [
        line for line in server.log_text().splitlines() if "NOTE" in line and containing in line
    ]


def test_signals_reach_every_interpreter_and_do_nothing_else(httpd: Httpd) -> None:
    httpd.start(
        "WSGIDaemonProcess d threads=2\n"
        "WSGIScriptAlias /a {app}/watched.py process-group=d application-group=a\n"
        "WSGIScriptAlias /b {app}/watched.py process-group=d application-group=b\n"
    )
    get(httpd, "/a/")
    get(httpd, "/b/")
    pid = httpd.worker()
    for number, name in ((signal.SIGUSR2, "SIGUSR2"), (signal.SIGHUP, "SIGHUP")):
        os.kill(pid, number)
        wait_until(lambda name=name: len(notes(httpd, name)) == 2, f"{name} is told")  # type: ignore[misc]
    assert re.search(
        rf"NOTE {pid} 'a' process_signal SIGUSR2 {int(signal.SIGUSR2)}$",
        httpd.log_text(),
        re.MULTILINE,
    )
    assert get(httpd, "/a/").status_code == 200 and httpd.workers() == [pid]


def test_a_service_is_told_of_signals(httpd: Httpd) -> None:
    (httpd.app / "service.py").write_text(
        "import mod_wsgi, threading\n"
        "stop = threading.Event()\n"
        "@mod_wsgi.subscribe_signals\n"
        "def on_signal(name, **event):\n"
        "    print('NOTE', event['signame'], flush=True)\n"
        "    stop.set()\n"
        "print('NOTE started')\n"
        "stop.wait(60)\n"
    )
    httpd.start(
        "WSGIDaemonProcess d threads=0\nWSGIImportScript {app}/service.py process-group=d application-group=%{GLOBAL}"
    )
    wait_until(lambda: bool(notes(httpd, "started")), "the service runs")
    os.kill(httpd.worker(), signal.SIGHUP)
    wait_until(lambda: bool(notes(httpd, "SIGHUP")), "the signal is told")


def test_a_page_is_still_the_threads_request_after_a_part_was_included() -> None:
    server = Httpd(extra_modules=("include",))
    try:
        (server.app / "page.py").write_text(
            "import mod_wsgi\n"
            "def application(environ, start_response):\n"
            "    start_response('200 OK', [('Content-Type', 'text/html')])\n"
            "    mod_wsgi.request_data()['of'] = environ['PATH_INFO']\n"
            "    if environ['PATH_INFO'] == '/part':\n"
            "        return [b'the part,']\n"
            "    return page()\n"
            "def page():\n"
            "    yield b'<!--#include virtual=\"/part\" -->'\n"
            "    yield repr(mod_wsgi.request_data()).encode()\n"
        )
        server.start(
            "ServerLimit 1\nWSGIScriptAlias / {app}/page.py application-group=%{GLOBAL}\n"
            "<Location /page>\nSetOutputFilter INCLUDES\nOptions +Includes\n</Location>"
        )
        assert get(server, "/page").text == "the part,{'of': '/page'}"
    finally:
        server.finish()


def test_the_end_of_a_worker_is_told_once_in_each_interpreter(httpd: Httpd) -> None:
    httpd.start(
        "WSGIDaemonProcess d threads=2\n"
        "WSGIScriptAlias /a {app}/watched.py process-group=d application-group=a\n"
        "WSGIScriptAlias /b {app}/watched.py process-group=d application-group=b\n"
    )
    get(httpd, "/a/")
    get(httpd, "/b/")
    httpd.stop()
    wait_until(
        lambda: len(notes(httpd, "process_stopping 'shutdown_signal' main=")) >= 2,
        "the end is told",
    )
    groups = sorted(line.split("NOTE ")[1].split()[1] for line in notes(httpd, "process_stopping"))
    assert groups == ["'a'", "'b'"]


def test_the_end_is_told_in_the_main_thread_with_its_reason(httpd: Httpd) -> None:
    httpd.start(CONF["daemon"])
    get(httpd, "/")
    pid = httpd.worker()
    later = (httpd.app / "watched.py").stat().st_mtime + 1
    os.utime(httpd.app / "watched.py", (later, later))
    get(httpd, "/")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the worker has ended")
    wait_until(lambda: bool(notes(httpd, f"NOTE {pid} ")), "the end is told")
    (line,) = [line for line in notes(httpd, "process_stopping") if f"NOTE {pid} " in line]
    assert line.endswith("process_stopping 'script_reload' main=True")
    httpd.graceful()
    wait_until(
        lambda: notes(httpd, "process_stopping 'graceful_signal' main=True"), "a restart is no stop"
    )


def test_the_end_of_an_apache_child_is_told_without_a_reason(httpd: Httpd) -> None:
    httpd.start(CONF["embedded"])
    get(httpd, "/")
    httpd.stop()
    wait_until(lambda: len(notes(httpd, "process_stopping '' main=True")) == 1, "the end is told")
