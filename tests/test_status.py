"""SetHandler wsgi-status: what it tells, in which form, and the notes for the access log."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from harness import Httpd, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from served import run

STATUS = "<Location /wsgi-status>\nSetHandler wsgi-status\nRequire local\n</Location>\n"
CONF = STATUS + (
    "WSGIDaemonProcess shop processes=1 threads=2 slow-request=200ms {options}\n"
    "WSGIScriptAlias / {app}/waiting.py process-group=shop application-group=%{GLOBAL}\n"
)
CHROMIUM = shutil.which("chromium")


MODULES = ("authz_host", "status", "log_config")


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


def conf(options: str = "") -> str:
    return CONF.replace("{options}", options)


def status(server: Httpd) -> dict[str, Any]:
    answer = requests.get(server.url("/wsgi-status?format=json"), timeout=20)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def shop(server: Httpd) -> dict[str, Any]:
    (group,) = status(server)["groups"]
    found: dict[str, Any] = group
    return found


def page(server: Httpd, **headers: str) -> requests.Response:
    return requests.get(server.url("/wsgi-status"), headers=headers, timeout=20)


def get(server: Httpd, path: str) -> int:
    return requests.get(server.url(path), timeout=20).status_code


def serving(server: Httpd) -> bool:
    return bool(shop(server)["threads"]["total"])


@contextlib.contextmanager
def waiting(server: Httpd, *targets: bytes) -> Iterator[None]:
    """Requests with exactly these targets that wait in the application meanwhile."""
    connections = []
    for target in targets:
        connection = socket.create_connection(("127.0.0.1", server.port), 20)
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
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


def test_the_json_counts_requests_by_status_and_phase(httpd: Httpd) -> None:
    httpd.start(conf())
    assert [get(httpd, path) for path in ("/", "/", "/", "/missing", "/fail")] == [200, 200, 200, 404, 500]
    httpd.expect("WSGI0401")
    group = shop(httpd)
    expected = {"total": 5, "1xx": 0, "2xx": 3, "3xx": 0, "4xx": 1, "5xx": 1, "none": 0, "cut_off": 0, "retried": 0}
    assert group["requests"] == expected
    for timing in group["latency"].values():
        assert timing["count"] == sum(timing["buckets"]) == 5
        assert 0 <= timing["p50"] <= timing["p95"] <= timing["p99"] and timing["mean"] >= 0
    bounds = status(httpd)["latency_bounds"]
    assert (bounds[0], bounds[-1]) == (0.00005, 60) and len(bounds) + 1 == len(group["latency"]["app"]["buckets"])
    assert (group["name"], group["state"], group["stale"], group["broken_scripts"]) == ("shop", "serving", False, 0)
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
        wait_until(lambda: all(request["slow"] for request in shop(httpd)["running"]), "both are slow")
        group = shop(httpd)
        assert group["threads"] == {"total": 2, "busy": 2, "idle": 0}
        assert group["queue"]["limit"] == 100
        assert len({request["url"] for request in group["running"]}) == 2
        for request in group["running"]:
            assert request["method"] == "GET" and re.fullmatch(r"/wait\?a=[123]", request["url"])
            assert request["worker"] in httpd.workers() and request["thread"] in (1, 2) and request["phase"] == "app"
        assert group["running"][0]["age"] >= group["running"][1]["age"] >= 0.2
        wait_until(lambda: all(request["line"] for request in shop(httpd)["running"]), "the lines are known")
        line = shop(httpd)["running"][0]["line"]
        assert re.fullmatch(rf'File "{httpd.app}/waiting.py", line \d+, in wait', line)
    wait_until(lambda: shop(httpd)["threads"]["idle"] == 2, "all are done")
    group = shop(httpd)
    assert group["running"] == [] and group["requests"]["2xx"] == 4
    assert group["latency"]["queue"]["sum"] > 0.1  # the third one waited for as long as the other two were watched
    assert group["latency"]["app"]["sum"] > 0.4


def test_restarts_are_counted_by_reason_and_counters_survive_them(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    assert get(httpd, "/crash") == 502
    for code in ("WSGI0310", "WSGI0702", "WSGI0718"):
        httpd.expect(code)
    wait_until(lambda: serving(httpd), "another worker serves")
    assert get(httpd, "/") == 200
    before = shop(httpd)
    assert before["ended"]["crashed"] == 1 and before["requests"]["5xx"] == 1 and before["requests"]["total"] == 3
    httpd.graceful()
    wait_until(lambda: shop(httpd)["generation"] > before["generation"], "the new generation serves")
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
    assert group["generation"] == 1 and group["state"] == "serving" and group["threads"]["total"] == 2
    assert [worker["generation"] for worker in group["workers"] if worker["state"] == "serving"] == [1]
    text = html.unescape(page(httpd).text)
    assert 'data-f="hide">Newer code could not be loaded' in text and 'data-f="hide">stale</span>' in text


def test_a_group_that_cannot_start_is_shown_as_failed(httpd: Httpd) -> None:
    group = "WSGIDaemonProcess shop python-home=/nowhere/at/all\n"
    httpd.start(STATUS + group + "WSGIScriptAlias / {app}/waiting.py process-group=shop")
    for code in ("WSGI0604", "WSGI0608", "WSGI0309"):
        httpd.expected.add(code)
    wait_until(lambda: shop(httpd)["state"] == "failed", "it has failed")
    assert get(httpd, "/") == 503
    group = shop(httpd)
    assert group["retry_after"] >= 1 and group["requests"]["5xx"] == 1 and group["workers"] == []
    assert group["latency"]["app"]["count"] == 0 and group["latency"]["app"]["p95"] is None


def test_a_group_that_was_stopped_by_hand_is_shown_as_stopped(httpd: Httpd) -> None:
    name = f"shop-{uuid.uuid4().hex}"  # groups of other httpds have the same names
    httpd.start(STATUS + f"WSGIDaemonProcess {name}\nWSGIScriptAlias / {{app}}/hello.py process-group={name}")
    wait_until(lambda: get(httpd, "/") == 200, "it serves")
    assert run("stop", name).returncode == 0
    wait_until(lambda: shop(httpd)["state"] == "stopped", "it has stopped")


PARSERS: dict[str, Callable[[str], Any]] = {"openmetrics": parse_openmetrics, "prometheus": parse_text}


@pytest.mark.parametrize("form", PARSERS)
def test_the_metrics_are_what_prometheus_reads(httpd: Httpd, form: str) -> None:
    httpd.start(conf())
    for path in ("/", "/", "/missing"):
        get(httpd, path)
    with waiting(httpd, b"/wait"):
        wait_until(lambda: shop(httpd)["threads"]["busy"] == 1, "one runs")
        answer = requests.get(httpd.url(f"/wsgi-status?format={form}"), timeout=20)
    families = {family.name: family for family in PARSERS[form](answer.text)}
    samples = {
        (sample.name, *(f"{name}={value}" for name, value in sample.labels.items() if name not in ("group", "worker"))): sample
        for family in families.values()
        for sample in family.samples
    }
    assert {sample.labels["group"] for sample in samples.values()} == {"shop"}
    values = {key: sample.value for key, sample in samples.items()}
    assert values["wsgi_requests_total", "status=2xx"] == 2 and values["wsgi_requests_total", "status=4xx"] == 1
    assert values["wsgi_threads", "state=busy"] == 1 and values["wsgi_threads", "state=idle"] == 1
    assert values["wsgi_up",] == 1 and values["wsgi_stale",] == 0 and values["wsgi_queue_limit",] == 100
    assert values["wsgi_worker_resident_bytes",] > 1_000_000
    assert values["wsgi_worker_ends_total", "reason=crashed"] == 0
    for phase in ("queue", "app", "write"):
        name = f"wsgi_request_{phase}_seconds"
        assert values[f"{name}_count",] == values[f"{name}_bucket", "le=+Inf"] == 3
        assert values[f"{name}_bucket", "le=60.0"] == 3 >= values[f"{name}_bucket", "le=0.00005"] and values[f"{name}_sum",] >= 0
    types = {name: family.type for name, family in families.items()}
    assert types["wsgi_request_app_seconds"] == "histogram"
    assert types["wsgi_requests"] == "counter" and types["wsgi_up"] == "gauge"


@pytest.mark.parametrize(
    "accept, expected",
    [
        ("", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/json;q=0.5,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("text/html;q=0.3, application/json ; q=0.9", "application/json"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_accept_header_chooses_the_format(site_with_status: Httpd, accept: str, expected: str) -> None:
    answer = page(site_with_status, Accept=accept)
    assert answer.headers["Content-Type"] == expected
    assert answer.headers["Cache-Control"] == "no-store" and "Accept" in answer.headers["Vary"]


def test_an_unknown_format_and_other_methods_are_refused(site_with_status: Httpd) -> None:
    answer = requests.get(site_with_status.url("/wsgi-status?format=xml"), timeout=20)
    assert answer.status_code == 400 and "html, json, openmetrics, prometheus" in answer.text
    assert requests.post(site_with_status.url("/wsgi-status"), data=b"x", timeout=20).status_code == 405
    head = requests.head(site_with_status.url("/wsgi-status?format=json"), timeout=20)
    assert head.status_code == 200 and head.text == ""


def test_access_is_refused_where_the_configuration_says_so(httpd: Httpd) -> None:
    httpd.start(conf().replace("Require local", "Require all denied"))
    assert page(httpd).status_code == 403


def test_mod_status_shows_the_groups(site_with_status: Httpd) -> None:
    get(site_with_status, "/")
    wait_until(lambda: serving(site_with_status), "it serves")
    lines = requests.get(site_with_status.url("/server-status?auto"), timeout=20).text.splitlines()
    found = dict(line.split(": ", 1) for line in lines if line.startswith("WSGIGroup[0]"))
    assert found["WSGIGroup[0]Name"] == "shop" and found["WSGIGroup[0]State"] == "serving"
    assert found["WSGIGroup[0]Workers"] == "1" and found["WSGIGroup[0]IdleThreads"] == "2"
    assert int(found["WSGIGroup[0]Requests"]) >= 1
    text = requests.get(site_with_status.url("/server-status"), timeout=20).text
    assert "<h2>WSGI daemon groups</h2>" in text and "<td>shop</td><td>serving</td><td>1</td>" in text


HOSTILE = b"/wait?<script>alert(1)</script>&\"'>\xff\xc3\xa9<!--"


def test_hostile_urls_are_text_in_every_format(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    with waiting(httpd, HOSTILE):
        wait_until(lambda: shop(httpd)["running"] != [], "it runs")
        (request,) = shop(httpd)["running"]
        assert request["url"] == HOSTILE.replace(b"\xff", "\xff".encode()).decode()  # bytes that are no UTF-8 become Latin-1
        answer = page(httpd)
        assert b"<script>alert" not in answer.content and b"<!--" not in answer.content
        assert b"&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;" in answer.content
        parse_openmetrics(requests.get(httpd.url("/wsgi-status?format=openmetrics"), timeout=20).text)


def test_the_name_of_a_group_is_text_in_every_format(httpd: Httpd) -> None:
    name = r"""a<b>"c\d"""
    quoted = name.replace("\\", r"\\").replace('"', r"\"")
    httpd.start(STATUS + f'WSGIDaemonProcess "{quoted}"\n')
    assert shop(httpd)["name"] == name
    assert "<b>" not in page(httpd).text.partition("<main>")[2].partition('<div class="tiles">')[0]
    answer = requests.get(httpd.url("/wsgi-status?format=openmetrics"), timeout=20)
    assert {sample.labels["group"] for family in parse_openmetrics(answer.text) for sample in family.samples} == {name}


def test_the_page_may_load_nothing(site_with_status: Httpd) -> None:
    answer = page(site_with_status)
    policy = answer.headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert policy.startswith("default-src 'none';") and len(nonce) == 24
    assert re.findall(r"<(?:script|style)[^>]*>", answer.text) == [f'<style nonce="{nonce}">', f'<script nonce="{nonce}">']
    assert not re.findall(r'(?:src|href)="(?!\?format=)', answer.text)
    assert page(site_with_status).headers["Content-Security-Policy"] != policy


def test_without_groups_there_is_a_page_all_the_same(httpd: Httpd) -> None:
    httpd.start(STATUS)
    assert status(httpd)["groups"] == [] and "defines no daemon group" in page(httpd).text
    answer = requests.get(httpd.url("/wsgi-status?format=openmetrics"), timeout=20)
    assert all(family.samples == [] for family in parse_openmetrics(answer.text))


EMBEDDED = STATUS + (
    "WSGIScriptAlias /shop {app}/waiting.py application-group=%{GLOBAL}\n"
    "WSGIScriptAlias /other {app}/waiting.py\n"
)


def test_embedded_mode_is_shown_in_every_format_over_restarts(httpd: Httpd) -> None:
    httpd.start(EMBEDDED)
    assert status(httpd)["embedded"] is None
    paths = ("/shop/", "/shop/", "/shop/missing", "/shop/fail", "/other")
    assert [get(httpd, path) for path in paths] == [200, 200, 404, 500, 200]
    httpd.expect("WSGI0401")
    with waiting(httpd, b"/shop/wait?a=<b>"):
        wait_until(lambda: status(httpd)["embedded"]["running"] != [], "it runs")
        embedded = status(httpd)["embedded"]
        text = page(httpd).text
        metrics = requests.get(httpd.url("/wsgi-status?format=openmetrics"), timeout=20).text
    (running,) = embedded["running"]
    assert (running["method"], running["url"], running["slow"]) == ("GET", "/shop/wait?a=<b>", False)
    assert running["application_group"] == "%{GLOBAL}"
    applications = {application["application_group"]: application for application in embedded["applications"]}
    assert len(applications) == 2
    shop = applications["%{GLOBAL}"]
    assert shop["requests"] == {"total": 4, "1xx": 0, "2xx": 2, "3xx": 0, "4xx": 1, "5xx": 1, "none": 0}
    assert shop["busy"] == 1 and shop["latency"]["count"] == sum(shop["latency"]["buckets"]) == 4
    busy = [process for process in embedded["processes"] if process["busy"]]
    assert [process["pid"] for process in busy] == [running["process"]]
    assert re.fullmatch(r"3\.\d+\.\d+.*", busy[0]["python"]) and busy[0]["resident_bytes"] > 1_000_000
    assert "<h2>Embedded mode</h2>" in text and "<td>GET /shop/wait?a=&lt;b&gt;</td>" in text
    samples = {
        (sample.name, sample.labels.get("status") or sample.labels.get("le")): sample.value
        for family in parse_openmetrics(metrics)
        for sample in family.samples
        if sample.labels.get("application_group") == "%{GLOBAL}"
    }
    assert samples["wsgi_embedded_requests_total", "2xx"] == 2 and samples["wsgi_embedded_busy_threads", None] == 1
    assert samples["wsgi_embedded_request_seconds_bucket", "60.0"] == samples["wsgi_embedded_request_seconds_count", None] == 4
    httpd.graceful()
    wait_until(lambda: get(httpd, "/shop/") == 200 and len(status(httpd)["embedded"]["processes"]) >= 1, "it is up again")
    assert applications_total(httpd) >= 7 and status(httpd)["embedded"]["running"] == []


def applications_total(server: Httpd) -> int:
    return sum(application["requests"]["total"] for application in status(server)["embedded"]["applications"])


def test_a_child_of_apache_that_has_gone_serves_nothing_any_more(httpd: Httpd) -> None:
    httpd.start(EMBEDDED)
    with pytest.raises(requests.ConnectionError):
        get(httpd, "/shop/exit")
    assert get(httpd, "/shop/") == 200
    embedded = status(httpd)["embedded"]
    assert embedded["running"] == [] and all(process["busy"] == 0 for process in embedded["processes"])


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_lives_in_a_browser(httpd: Httpd) -> None:
    httpd.start(conf())
    get(httpd, "/")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --virtual-time-budget=3000 --dump-dom"
    )
    with waiting(httpd, HOSTILE):
        wait_until(lambda: shop(httpd)["running"] != [] and shop(httpd)["running"][0]["slow"], "it runs")
        command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={httpd.root}/browser", httpd.url("/wsgi-status")]
        environment = {**os.environ, "HOME": str(httpd.root), "LD_PRELOAD": ""}  # sanitizers are for httpd and workers
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    assert '<span id="live">live</span>' in done.stdout, done.stderr
    assert "<script>alert" not in done.stdout.partition("<main>")[2].partition("<script")[0]
    assert '<td>GET /wait?&lt;script&gt;alert(1)' in done.stdout and '<tr class="marked">' in done.stdout
    assert '<b data-k="threads.busy" data-f="n">1</b>' in done.stdout


NAMES = ("group", "worker", "thread", "queue_us", "start_us", "app_us", "write_us")
LOG = f'LogFormat "%U {" ".join(f"{{%{{wsgi.{name}}}n}}" for name in NAMES)}" notes\n' + "CustomLog {root}/access_log notes\n"


def notes(server: Httpd, path: str) -> list[str]:
    log = server.root / "access_log"

    def lines() -> list[str]:
        return [line for line in log.read_text().splitlines() if line.startswith(path + " ")] if log.exists() else []

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
