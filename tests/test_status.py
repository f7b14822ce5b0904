"""SetHandler wsgi-status: what it tells of daemon groups, in which form, and the notes for the
access log.
"""

from __future__ import annotations

import html
import json
import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from harness import Httpd, wait_for, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from served import run
from statussite import (
    MODULES,
    STATUS,
    conf,
    counted,
    get,
    metrics,
    page,
    running_only,
    serving,
    shop,
    status,
    waiting,
)
from statussite import embedded as embedded_mode

DOCS = Path(__file__).parents[1] / "docs" / "status.md"


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    server = Httpd(extra_modules=MODULES)
    yield server
    server.finish()


@pytest.fixture(scope="module")
def site_with_status() -> Iterator[Httpd]:
    server = Httpd(extra_modules=MODULES)
    try:
        server.start(conf() + "<Location /server-status>\nSetHandler server-status\n</Location>")
        yield server
    finally:
        server.finish()


def test_the_json_counts_requests_by_status_and_phase(httpd: Httpd) -> None:
    httpd.start(conf())
    assert [get(httpd, path) for path in ("/", "/", "/", "/missing", "/fail")] == [
        200,
        200,
        200,
        404,
        500,
    ]
    httpd.expect("WSGI0401")
    group = counted(httpd, 5)
    expected = {
        "total": 5,
        "1xx": 0,
        "2xx": 3,
        "3xx": 0,
        "4xx": 1,
        "5xx": 1,
        "none": 0,
        "cut_off": 0,
        "retried": 0,
    }
    assert group["requests"] == expected
    for timing in group["latency"].values():
        assert timing["count"] == sum(timing["buckets"]) == 5
        assert 0 <= timing["p50"] <= timing["p95"] <= timing["p99"] and timing["mean"] >= 0
        # Half of them cannot take more than that
        assert timing["p50"] <= 2 * timing["mean"] + 0.000002
    bounds = status(httpd)["latency_bounds"]
    assert (bounds[0], bounds[-1]) == (0.00005, 60) and len(bounds) + 1 == len(
        group["latency"]["app"]["buckets"]
    )
    assert (group["name"], group["state"], group["stale"], group["broken_scripts"]) == (
        "shop",
        "serving",
        False,
        0,
    )
    assert group["where"].startswith(f"{httpd.root}/httpd.conf:") and group["retry_after"] is None
    (worker,) = group["workers"]
    assert (worker["state"], worker["threads"], worker["requests"]) == ("serving", 2, 5)
    assert worker["resident_bytes"] > 1_000_000 and worker["cpu"] >= 0
    wait_until(lambda: worker["pid"] in httpd.workers(), "the log knows it")


def test_requests_that_run_and_wait_are_shown(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    wait_until(lambda: bool(httpd.workers()), "the log knows the worker")
    with waiting(httpd, b"/wait?a=1", b"/wait?a=2", b"/wait?a=3"):
        wait_until(lambda: shop(httpd)["queue"]["length"] in (1, None), "one waits in the queue")
        wait_until(
            lambda: [request["slow"] for request in shop(httpd)["running"]] == [True, True],
            "both are slow",
        )
        group = shop(httpd)
        assert group["threads"] == {"total": 2, "busy": 2, "idle": 0}
        assert group["queue"]["limit"] == 100
        assert len({request["url"] for request in group["running"]}) == 2
        for request in group["running"]:
            assert request["method"] == "GET" and re.fullmatch(r"/wait\?a=[123]", request["url"])
            assert (
                request["worker"] in httpd.workers()
                and request["thread"] in (1, 2)
                and request["phase"] == "app"
            )
        assert group["running"][0]["age"] >= group["running"][1]["age"] >= 0.2
        line = wait_for(lambda: shop(httpd)["running"][0]["line"], "the line is known")
        wait_until(
            lambda: all(request["line"] for request in shop(httpd)["running"]),
            "all lines are known",
        )
        assert re.fullmatch(rf'File "{httpd.app}/waiting.py", line \d+, in wait', line)
    group = counted(httpd, 4)
    assert (
        group["threads"]["idle"] == 2 and group["running"] == [] and group["requests"]["2xx"] == 4
    )
    # The third one waited for as long as the other two were watched
    assert group["latency"]["queue"]["sum"] > 0.1
    assert group["latency"]["app"]["sum"] > 0.4


def test_restarts_are_counted_by_reason_and_counters_survive_them(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    assert get(httpd, "/crash") == 502
    for code in ("WSGI0310", "WSGI0702", "WSGI0718"):
        httpd.expect(code)
    wait_until(lambda: serving(httpd), "another worker serves")
    assert get(httpd, "/") == 200
    wait_until(lambda: shop(httpd)["ended"]["crashed"] == 1, "the crash is counted")
    before = counted(httpd, 3)
    assert (
        before["ended"]["crashed"] == 1
        and before["requests"]["5xx"] == 1
        and before["requests"]["total"] == 3
    )
    httpd.graceful()
    wait_until(
        lambda: shop(httpd)["generation"] > before["generation"], "the new generation serves"
    )
    wait_until(
        lambda: shop(httpd)["ended"]["graceful_signal"] == 1, "the end of the old one is counted"
    )
    wait_until(lambda: len(shop(httpd)["workers"]) == 1, "the old one has gone")
    after = shop(httpd)
    assert after["requests"] == before["requests"] and after["latency"] == before["latency"]
    assert after["ended"]["crashed"] == 1 and after["ended"]["graceful_signal"] == 1
    assert after["workers"][0]["generation"] == after["generation"]
    os.utime(httpd.app / "waiting.py", (1, 1))
    assert get(httpd, "/") == 200
    wait_until(lambda: shop(httpd)["ended"]["script_reload"] == 1, "the reload is counted")


def test_workers_of_the_old_generation_are_shown_when_new_code_does_not_load(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    (httpd.app / "waiting.py").write_text("import nothing_like_this\n")
    httpd.graceful()
    wait_until(lambda: shop(httpd)["stale"], "it is stale")
    httpd.expect("WSGI0714")
    httpd.expect("WSGI0415")
    group = shop(httpd)
    assert (
        group["generation"] == 1 and group["state"] == "serving" and group["threads"]["total"] == 2
    )
    assert [
        worker["generation"] for worker in group["workers"] if worker["state"] == "serving"
    ] == [1]
    text = html.unescape(page(httpd).text)
    assert (
        'data-f="hide">Newer code could not be loaded' in text
        and 'data-f="hide">stale</span>' in text
    )


def test_a_group_that_cannot_start_is_shown_as_failed(httpd: Httpd) -> None:
    group = "WSGIDaemonProcess shop python-home=/nowhere/at/all\n"
    httpd.start(STATUS + group + "WSGIScriptAlias / {app}/waiting.py process-group=shop")
    for code in ("WSGI0604", "WSGI0608", "WSGI0309"):
        httpd.expected.add(code)
    wait_until(lambda: shop(httpd)["state"] == "failed", "it has failed")
    assert get(httpd, "/") == 503
    assert "/nowhere/at/all/bin/python does not exist" in httpd.expect("WSGI0604")
    group = counted(httpd, 1)
    assert group["retry_after"] >= 1 and group["requests"]["5xx"] == 1 and group["workers"] == []
    assert group["latency"]["app"]["count"] == 0 and group["latency"]["app"]["p95"] is None


def test_a_group_that_was_stopped_by_hand_is_shown_as_stopped(httpd: Httpd) -> None:
    name = f"shop-{uuid.uuid4().hex}"  # groups of other httpds have the same names
    httpd.start(
        STATUS
        + f"WSGIDaemonProcess {name}\nWSGIScriptAlias / {{app}}/hello.py process-group={name}"
    )
    wait_until(lambda: get(httpd, "/") == 200, "it serves")
    assert run("stop", name).returncode == 0
    wait_until(lambda: shop(httpd)["state"] == "stopped", "it has stopped")


PARSERS: dict[str, Callable[[str], Any]] = {
    "openmetrics": parse_openmetrics,
    "prometheus": parse_text,
}


@pytest.mark.parametrize("form", PARSERS)
def test_the_metrics_are_what_prometheus_reads(httpd: Httpd, form: str) -> None:
    httpd.start(conf())
    for path in ("/", "/", "/missing"):
        get(httpd, path)
    counted(httpd, 3)
    with waiting(httpd, b"/wait"):
        wait_until(lambda: shop(httpd)["threads"]["busy"] == 1, "one runs")
        text = metrics(httpd, form)
    families = {family.name: family for family in PARSERS[form](text)}
    samples = {
        (
            sample.name,
            *(
                f"{name}={value}"
                for name, value in sample.labels.items()
                if name not in ("group", "worker")
            ),
        ): sample
        for family in families.values()
        for sample in family.samples
    }
    assert {sample.labels["group"] for sample in samples.values()} == {"shop"}
    values = {key: sample.value for key, sample in samples.items()}
    assert (
        values["wsgi_requests_total", "status=2xx"] == 2
        and values["wsgi_requests_total", "status=4xx"] == 1
    )
    assert values["wsgi_threads", "state=busy"] == 1 and values["wsgi_threads", "state=idle"] == 1
    assert (
        values["wsgi_up",] == 1
        and values["wsgi_stale",] == 0
        and values["wsgi_queue_limit",] == 100
    )
    assert values["wsgi_worker_resident_bytes",] > 1_000_000
    assert values["wsgi_worker_ends_total", "reason=crashed"] == 0
    for phase in ("queue", "app", "write"):
        name = f"wsgi_request_{phase}_seconds"
        assert values[f"{name}_count",] == values[f"{name}_bucket", "le=+Inf"] == 3
        assert (
            values[f"{name}_bucket", "le=60.0"] == 3 >= values[f"{name}_bucket", "le=0.00005"]
            and values[f"{name}_sum",] >= 0
        )
    types = {name: family.type for name, family in families.items()}
    assert types["wsgi_request_app_seconds"] == "histogram"
    assert types["wsgi_requests"] == "counter" and types["wsgi_up"] == "gauge"


def keys_of(value: Any) -> set[str]:
    """Of all objects in there; but reasons are values."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys_of(inner) for name, inner in value.items() if name != "ended"))


def test_the_json_has_the_keys_that_the_documentation_tells(httpd: Httpd) -> None:
    embedded = "WSGIScriptAlias /embedded {app}/waiting.py\n"
    httpd.start(conf().replace("WSGIScriptAlias", embedded + "WSGIScriptAlias", 1))
    with waiting(httpd, b"/wait", b"/embedded/wait"):
        running_only(httpd, "/wait")
        embedded_mode(httpd, 0, running=1)
        found = keys_of(status(httpd))
    section = DOCS.read_text().partition("## The JSON\n")[2].partition("\n## ")[0]
    values = {"serving", "starting", "failed", "stopped", "draining", "null"}
    assert found - {"2xx", "3xx", "4xx"} == set(re.findall(r"`(\w+)`", section)) - values


SENT = {
    "200 OK": 3,
    "204 No Content": 1,
    "302 Found": 2,
    "304 Not Modified": 1,
    "404 Not Found": 2,
    "410 Gone": 1,
}
SENT |= {"500 Oops": 1, "503 Later": 2}


def post_chunks(server: Httpd, path: str, chunks: str) -> int:
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall((head + chunks).encode())
        status_line = connection.recv(12)
        while connection.recv(65536):
            pass
    return int(status_line[9:])


def test_what_is_counted_is_what_was_sent_in_both_modes(httpd: Httpd) -> None:
    bodies = "WSGIRequestBuffering Off\nLimitRequestBody 99\n"
    daemon = "WSGIDaemonProcess shop threads=2\nWSGIScriptAlias /daemon {app}/reply.py process-group=shop\n"
    httpd.start(
        STATUS
        + bodies
        + daemon
        + "WSGIScriptAlias /embedded {app}/reply.py application-group=%{GLOBAL}\n"
    )
    for mode in ("daemon", "embedded"):
        for method in ("GET", "HEAD"):
            for text, times in SENT.items():
                items = [] if text[0] == "3" or text[:3] == "204" else ["x"]
                url = httpd.url(
                    f"/{mode}?{quote(json.dumps({'status': text, 'items': items, 'list': True}))}"
                )
                for _ in range(times):
                    answer = requests.request(method, url, allow_redirects=False, timeout=60)
                    assert answer.status_code == int(text[:3])
        assert get(httpd, f"/{mode}?%7B%22fail%22:true,%22status%22:%22x%22%7D") == 500
        for chunks, expected_status in (
            ("65\r\n" + 101 * "x" + "\r\n0\r\n\r\n", 413),
            ("no number\r\n", 400),
        ):
            # By httpd's own filter
            assert post_chunks(httpd, f"/{mode}?%7B%22read%22:true%7D", chunks) == expected_status
    httpd.expect("WSGI0401")
    expected = {"total": 29, "1xx": 0, "2xx": 8, "3xx": 6, "4xx": 8, "5xx": 7, "none": 0}
    assert counted(httpd, 29)["requests"] == {**expected, "cut_off": 0, "retried": 0}
    (application,) = embedded_mode(httpd, 29)["applications"]
    assert application["requests"] == expected and application["latency"]["count"] == 29


@pytest.mark.parametrize(
    "accept, expected",
    [
        ("", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        (
            "text/html,application/xhtml+xml,application/json;q=0.5,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
        ("application/json", "application/json"),
        ("application/json;q=0, text/plain;q=0", "text/html; charset=utf-8"),
        ("text/plain;q=0.5;charset=utf-8, application/json;Q=0.6", "application/json"),
        ("text/html;q=0.3, application/json ; q=0.9", "application/json"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_accept_header_chooses_the_format(
    site_with_status: Httpd, accept: str, expected: str
) -> None:
    answer = page(site_with_status, Accept=accept)
    assert answer.headers["Content-Type"] == expected
    assert answer.headers["Cache-Control"] == "no-store" and "Accept" in answer.headers["Vary"]


def test_an_unknown_format_and_other_methods_are_refused(site_with_status: Httpd) -> None:
    answer = requests.get(site_with_status.url("/wsgi-status?format=xml"), timeout=60)
    assert answer.status_code == 400 and "html, json, openmetrics, prometheus" in answer.text
    assert (
        requests.post(site_with_status.url("/wsgi-status"), data=b"x", timeout=60).status_code
        == 405
    )
    head = requests.head(site_with_status.url("/wsgi-status?format=json"), timeout=60)
    assert head.status_code == 200 and head.text == ""


def test_access_is_refused_where_the_configuration_says_so(httpd: Httpd) -> None:
    httpd.start(conf().replace("Require local", "Require all denied"))
    assert page(httpd).status_code == 403


def test_without_groups_there_is_a_page_all_the_same(httpd: Httpd) -> None:
    httpd.start(STATUS)
    assert status(httpd)["groups"] == [] and "defines no daemon group" in page(httpd).text
    assert all(family.samples == [] for family in parse_openmetrics(metrics(httpd)))


def test_mod_status_shows_the_groups(site_with_status: Httpd) -> None:
    get(site_with_status, "/")
    counted(site_with_status, 1)
    lines = requests.get(site_with_status.url("/server-status?auto"), timeout=60).text.splitlines()
    found = dict(line.split(": ", 1) for line in lines if line.startswith("WSGIGroup[0]"))
    assert found["WSGIGroup[0]Name"] == "shop" and found["WSGIGroup[0]State"] == "serving"
    assert found["WSGIGroup[0]Workers"] == "1" and found["WSGIGroup[0]IdleThreads"] == "2"
    assert int(found["WSGIGroup[0]Requests"]) >= 1
    text = requests.get(site_with_status.url("/server-status"), timeout=60).text
    assert (
        "<h2>WSGI daemon groups</h2>" in text and "<td>shop</td><td>serving</td><td>1</td>" in text
    )


NAMES = ("group", "worker", "thread", "queue_us", "start_us", "app_us", "write_us")
LOG = (
    f'LogFormat "%U {" ".join(f"{{%{{wsgi.{name}}}n}}" for name in NAMES)}" notes\n'
    + "CustomLog {root}/access_log notes\n"
)


def notes(server: Httpd, path: str) -> list[str]:
    log = server.root / "access_log"

    def lines() -> list[str]:
        return (
            [line for line in log.read_text().splitlines() if line.startswith(path + " ")]
            if log.exists()
            else []
        )

    wait_until(lambda: bool(lines()), f"{path} is logged")
    return re.findall(r"\{([^}]*)\}", lines()[0])


def test_requests_of_a_group_have_notes_for_the_access_log(httpd: Httpd) -> None:
    httpd.start(LOG + conf())
    get(httpd, "/one")
    group, worker, thread, *times = notes(httpd, "/one")
    assert group == "shop" and thread in ("1", "2")
    wait_until(lambda: int(worker) in httpd.workers(), "the log knows the worker")
    assert len(times) == 4 and all(re.fullmatch(r"\d+", text) for text in times)
    get(httpd, "/fail")
    httpd.expect("WSGI0401")
    assert re.fullmatch(r"\d+", notes(httpd, "/fail")[5])
    get(httpd, "/crash")
    for code in ("WSGI0310", "WSGI0702", "WSGI0718"):
        httpd.expect(code)
    assert notes(httpd, "/crash") == ["shop", *["-"] * 6]


def test_embedded_requests_have_notes_for_the_access_log(httpd: Httpd) -> None:
    httpd.start(LOG + "WSGIScriptAlias / {app}/waiting.py\n")
    get(httpd, "/one")
    group, worker, thread, queue, start, app, write = notes(httpd, "/one")
    assert {group, thread, queue, start, write} == {"-"}
    assert os.path.exists(f"/proc/{worker}") and int(app) > 0
