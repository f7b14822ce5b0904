"""request_metrics(), process_metrics() and server_metrics()."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import requests
from harness import Httpd, wait_for, wait_until

CONF = {
    "embedded": "ServerLimit 1\nThreadsPerChild 6\nMaxRequestWorkers 6\n"
    "WSGIScriptAlias / {app}/measured.py application-group=%{GLOBAL}",
    "daemon": "WSGIDaemonProcess d threads=4 {options}\nWSGIScriptAlias / {app}/measured.py process-group=d",
}
THREADS = {"embedded": 6, "daemon": 4}
PHASES = (
    "server",
    "queue",
    "daemon",
    "application",
    "request",
    "gil_wait",
    "input_read",
    "output_write",
)


def conf(mode: str, options: str = "") -> str:
    return CONF[mode].replace("{options}", options)


def get(server: Httpd, path: str, **options: Any) -> Any:
    return requests.get(server.url(path), timeout=60, **options).json()


def bucket(us: int) -> int:
    """As the documentation of the histogram says."""
    for octave in range(16):
        for quarter in range(4):
            if us < 1000 * 2**octave * (1 + (quarter + 1) / 4):
                return octave * 4 + quarter
    return 64


def kinds(report: dict[str, Any]) -> dict[str, str]:
    return {key: type(value).__name__ for key, value in report.items()}


def documented_kinds(known: list[str]) -> dict[str, str]:
    """Keys and types of a report in which these phases have values."""
    counts = ("request_count", *(f"status_{number}xx" for number in range(1, 6)), "gil_wait_count")
    totals = (
        "input_bytes",
        "input_reads",
        "output_bytes",
        "output_writes",
        "memory_rss",
        "memory_max_rss",
        "pid",
    )
    threads = ("request_threads_maximum", "request_threads_started", "request_threads_active")
    rates = (
        "cpu_user_utilization",
        "cpu_system_utilization",
        "cpu_utilization",
        "cpu_user_time",
        "cpu_system_time",
        "cpu_time",
    )
    floats = (
        *rates,
        "start_time",
        "stop_time",
        "sample_period",
        "capacity_utilization",
        "request_throughput",
    )
    lists = ("completed", "buckets", "busy_time", "cpu_time", "current_elapsed", "max_duration")
    return {
        **dict.fromkeys((*counts, *totals, *threads), "int"),
        **dict.fromkeys(floats, "float"),
        **{f"request_threads_{name}": "list" for name in lists},
        **{f"{name}_time": "float" if name in known else "NoneType" for name in PHASES},
        **{
            f"{name}_time_{end}_us": "int" if name in known else "NoneType"
            for name in PHASES
            for end in ("min", "max")
        },
        **{f"{name}_time_buckets": "list" for name in PHASES},
    }


def test_request_metrics_have_the_documented_keys_and_add_up(httpd: Httpd, mode: str) -> None:
    httpd.start(conf(mode))
    assert get(httpd, "/before") == [None, None]
    get(httpd, "/settled/requests")
    requests.post(httpd.url("/"), data=b"x" * 5000, timeout=60)
    for status in (301, 404, 418, 503):
        requests.get(httpd.url(f"/?{status}"), timeout=60, allow_redirects=False)
    assert requests.get(httpd.url("/none"), timeout=60).status_code == 500
    httpd.expect("WSGI0401")
    report = get(httpd, "/settled/requests")
    known = [name for name in PHASES if mode == "daemon" or name not in ("queue", "daemon")]
    assert kinds(report) == documented_kinds(known)
    # Six requests, and that of the first report, which ended after it.
    assert report["request_count"] == 7
    assert [report[f"status_{number}xx"] for number in range(1, 6)] == [0, 2, 1, 2, 2]
    assert report["input_bytes"] == 5000 and report["output_writes"] == 6
    assert report["start_time"] < report["stop_time"]
    assert report["sample_period"] == pytest.approx(
        report["stop_time"] - report["start_time"], abs=1e-5
    )
    assert (
        0 < report["capacity_utilization"] <= 1
        and report["request_threads_maximum"] == THREADS[mode]
    )
    assert sum(report["request_threads_completed"]) == 7 and report["memory_rss"] > 1_000_000
    for name in known:
        assert (
            sum(report[f"{name}_time_buckets"]) == 7 and len(report[f"{name}_time_buckets"]) == 65
        )
        assert report[f"{name}_time_buckets"][bucket(report[f"{name}_time_max_us"])] >= 1
        assert (
            report[f"{name}_time_min_us"]
            <= report[f"{name}_time"] * 1e6
            <= report[f"{name}_time_max_us"] + 1
        )
    again = get(httpd, "/settled/requests")
    assert again["request_count"] == 1 and again["start_time"] == report["stop_time"]


def test_a_running_request_counts_as_busy(httpd: Httpd, mode: str) -> None:
    httpd.start(conf(mode))
    get(httpd, "/requests")
    thread = threading.Thread(target=get, args=(httpd, "/hold"))
    thread.start()
    wait_until(lambda: get(httpd, "/process")["active_requests"] == 2, "the held request runs")

    def running() -> int:
        return sum(
            seconds > 0 for seconds in get(httpd, "/requests")["request_threads_current_elapsed"]
        )

    wait_until(
        lambda: running() == 2,
        "the held one and the one that asks are running, and those before are over",
    )
    get(httpd, "/release")
    thread.join()
    wait_until(
        lambda: get(httpd, "/process")["active_requests"] == 1, "only the asking request runs"
    )


def test_process_metrics_grow(httpd: Httpd, mode: str) -> None:
    httpd.start(conf(mode))
    get(httpd, "/")
    first, second = get(httpd, "/settled/process"), get(httpd, "/settled/process")
    seconds = (
        "request_busy_time",
        "cpu_user_time",
        "cpu_system_time",
        "cpu_time",
        "restart_time",
        "current_time",
    )
    assert kinds(second) == {
        **dict.fromkeys(
            (
                "pid",
                "request_count",
                "memory_rss",
                "memory_max_rss",
                "running_time",
                "request_threads",
            ),
            "int",
        ),
        **dict.fromkeys(seconds, "float"),
        "active_requests": "int",
        "threads": "list",
    }
    assert (
        second["request_count"] == first["request_count"] + 1
        and second["request_busy_time"] > first["request_busy_time"]
    )
    assert (
        second["restart_time"]
        == first["restart_time"]
        <= first["current_time"]
        <= second["current_time"]
    )
    assert second["active_requests"] == 1 and second["request_threads"] == len(second["threads"])
    assert sum(item["request_count"] for item in second["threads"]) == second["request_count"]
    get(httpd, "/settled/requests")
    # Draining the interval changes nothing
    assert get(httpd, "/settled/process")["request_count"] == second["request_count"] + 2


def test_nothing_is_recorded_before_somebody_asks(httpd: Httpd, mode: str) -> None:
    group = "application-group=unmeasured"
    httpd.start(
        conf(mode)
        .replace("application-group=%{GLOBAL}", group)
        .replace("process-group=d", f"process-group=d {group}")
    )
    is_main = mode == "daemon"  # its only application is in the main interpreter, whose name is ""
    assert (get(httpd, "/requests") is None) == (not is_main)


SCORES = {
    "server_limit",
    "thread_limit",
    "running_generation",
    "restart_time",
    "current_time",
    "running_time",
    "processes",
}
PROCESS = {
    "process_num": "int",
    "pid": "int",
    "generation": "int",
    "quiescing": "bool",
    "workers": "list",
}
WORKER = {
    **dict.fromkeys(("thread_num", "generation", "access_count", "bytes_served"), "int"),
    **dict.fromkeys(("start_time", "stop_time", "last_used"), "float"),
    **dict.fromkeys(("status", "client", "request", "vhost"), "str"),
}


def test_server_metrics_show_apaches_scoreboard_from_any_thread(httpd: Httpd, mode: str) -> None:
    limits = (
        "ServerLimit 2\nThreadLimit 6\nThreadsPerChild 6\nMaxRequestWorkers 12\nExtendedStatus On\n"
    )
    allowed = (
        limits
        + "WSGIServerMetrics On\n"
        + conf(mode, "server-metrics=On").replace("ServerLimit 1\n", "")
    )
    httpd.start(allowed)
    wait_until(lambda: get(httpd, "/server") is not None, "the scoreboard is there")
    report = get(httpd, "/server")
    assert set(report) == SCORES and (report["server_limit"], report["thread_limit"]) == (2, 6)
    assert len(report["processes"]) == 2 and report["restart_time"] <= report["current_time"]
    running = [process for process in report["processes"] if process["pid"]]
    assert kinds(running[0]) == PROCESS and len(running[0]["workers"]) == 6
    assert all(kinds(worker) == WORKER for process in running for worker in process["workers"])
    assert os.path.exists(f"/proc/{running[0]['pid']}")
    assert set("".join(worker["status"] for worker in running[0]["workers"])) <= set("._SRWKLDCGI")

    def shown() -> list[dict[str, Any]]:
        workers = [
            worker
            for process in get(httpd, "/server")["processes"]
            for worker in process["workers"]
        ]
        return [
            worker
            for worker in workers
            if worker["access_count"] and "/server" in worker["request"]
        ]

    found = wait_for(shown, "the scoreboard shows a request")
    assert found[0]["client"] == "127.0.0.1" and found[0]["bytes_served"] > 0


def test_server_metrics_need_permission(httpd: Httpd, mode: str) -> None:
    httpd.start(conf(mode))
    assert get(httpd, "/server") is None


def test_workers_that_serve_on_after_a_restart_see_the_new_scoreboard(httpd: Httpd) -> None:
    httpd.start(conf("daemon", "server-metrics=On"))
    wait_until(lambda: get(httpd, "/server") is not None, "the scoreboard is there")
    pid = get(httpd, "/process")["pid"]
    (httpd.app / "measured.py").write_text("this is no Python\n")
    httpd.graceful()
    wait_until(
        lambda: get(httpd, "/server")["running_generation"] == 1, "the new generation is seen"
    )
    assert get(httpd, "/process")["pid"] == pid
    for code in ("WSGI0415", "WSGI0714"):
        httpd.expect(code)


def test_a_request_that_was_running_when_recording_began_counts_itself(
    httpd: Httpd, mode: str
) -> None:
    (httpd.app / "began.py").write_text(
        "import mod_wsgi\n"
        "def application(environ, start_response):\n"
        "    mod_wsgi.start_recording_metrics()\n"
        "    start_response('200 OK', [])\n"
        "    return [str(mod_wsgi.process_metrics()['active_requests']).encode()]\n"
    )
    group = "process-group=d" if mode == "daemon" else ""
    httpd.start(
        f"ServerLimit 1\nWSGIDaemonProcess d threads=2\nWSGIScriptAlias / {{app}}/began.py {group}\n"
    )
    answers = [requests.get(httpd.url("/"), timeout=60).text for _ in range(2)]
    assert answers == ["1", "1"]
