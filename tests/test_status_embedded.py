"""What wsgi-status and mod_status tell of embedded mode."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests
from harness import Httpd, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from statussite import MODULES, STATUS, get, metrics, page, status, waiting
from statussite import embedded as embedded_mode

EMBEDDED = STATUS + (
    "WSGIScriptAlias /shop {app}/waiting.py application-group=%{GLOBAL}\n"
    "WSGIScriptAlias /other {app}/waiting.py\n"
)


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    server = Httpd(extra_modules=MODULES)
    yield server
    server.finish()


def test_embedded_mode_is_shown_in_every_format_over_restarts(httpd: Httpd) -> None:
    httpd.start(EMBEDDED)
    assert status(httpd)["embedded"] is None
    paths = ("/shop/", "/shop/", "/shop/missing", "/shop/fail", "/other")
    assert [get(httpd, path) for path in paths] == [200, 200, 404, 500, 200]
    httpd.expect("WSGI0401")
    with waiting(httpd, b"/shop/wait?a=<b>"):
        embedded = embedded_mode(httpd, 5, running=1)
        text = page(httpd).text
        numbers = metrics(httpd)
    (running,) = embedded["running"]
    assert (running["method"], running["url"], running["slow"]) == (
        "GET",
        "/shop/wait?a=<b>",
        False,
    )
    assert running["application_group"] == "%{GLOBAL}"
    applications = {
        application["application_group"]: application for application in embedded["applications"]
    }
    assert len(applications) == 2
    shop = applications["%{GLOBAL}"]
    assert shop["requests"] == {
        "total": 4,
        "1xx": 0,
        "2xx": 2,
        "3xx": 0,
        "4xx": 1,
        "5xx": 1,
        "none": 0,
    }
    assert shop["busy"] == 1 and shop["latency"]["count"] == sum(shop["latency"]["buckets"]) == 4
    busy = [process for process in embedded["processes"] if process["busy"]]
    assert [process["pid"] for process in busy] == [running["process"]]
    assert (
        re.fullmatch(r"3\.\d+\.\d+.*", busy[0]["python"]) and busy[0]["resident_bytes"] > 1_000_000
    )
    assert "<h2>Embedded mode</h2>" in text and "<td>GET /shop/wait?a=&lt;b&gt;</td>" in text
    samples = {
        (sample.name, sample.labels.get("status") or sample.labels.get("le")): sample.value
        for family in parse_openmetrics(numbers)
        for sample in family.samples
        if sample.labels.get("application_group") == "%{GLOBAL}"
    }
    assert (
        samples["wsgi_embedded_requests_total", "2xx"] == 2
        and samples["wsgi_embedded_busy_threads", None] == 1
    )
    assert (
        samples["wsgi_embedded_request_seconds_bucket", "60.0"]
        == samples["wsgi_embedded_request_seconds_count", None]
        == 4
    )
    httpd.graceful()
    wait_until(
        lambda: get(httpd, "/shop/") == 200 and len(status(httpd)["embedded"]["processes"]) >= 1,
        "it is up again",
    )
    assert embedded_mode(httpd, 7)["running"] == []


def test_a_child_of_apache_that_has_gone_serves_nothing_any_more(httpd: Httpd) -> None:
    httpd.start(EMBEDDED)
    with pytest.raises(requests.ConnectionError):
        get(httpd, "/shop/exit")
    assert get(httpd, "/shop/") == 200
    embedded = embedded_mode(httpd, 1)
    assert embedded["running"] == [] and all(
        process["busy"] == 0 for process in embedded["processes"]
    )


PHASES = """
import ctypes, os, sys

libc = ctypes.PyDLL(None)  # keeps the interpreter's lock

def application(environ, start_response):
    go = os.path.join(os.path.dirname(__file__), "go")
    if environ["PATH_INFO"] == "/begun":
        start_response("200 OK", [])(b"the head")
    if environ["PATH_INFO"] == "/locked":
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
    while environ["PATH_INFO"] in ("/begun", "/locked") and libc.access(go.encode(), 0):
        libc.usleep(5000)
        if environ["PATH_INFO"] == "/begun":
            os.stat(__file__)  # gives it away
    if environ["PATH_INFO"] == "/locked":
        sys.setswitchinterval(interval)
    if environ["PATH_INFO"] != "/begun":
        start_response("200 OK", [])
    return []
"""


def test_embedded_requests_say_how_far_they_are(httpd: Httpd) -> None:
    (httpd.app / "phases.py").write_text(PHASES)
    httpd.start(STATUS + "WSGIScriptAlias / {app}/phases.py application-group=%{GLOBAL}\n")

    def phases() -> dict[str, str]:
        return {
            request["url"]: request["phase"]
            for request in (status(httpd)["embedded"] or {"running": []})["running"]
        }

    with waiting(httpd, b"/begun"):
        wait_until(lambda: phases() == {"/begun": "write"}, "its response has begun")
        with waiting(httpd, b"/locked"):
            wait_until(
                lambda: phases() == {"/begun": "write", "/locked": "app"}, "the application runs"
            )
            with waiting(httpd, b"/late"):
                wait_until(lambda: phases().get("/late") == "start", "it waits for the interpreter")


def test_mod_status_shows_embedded_mode(httpd: Httpd) -> None:
    httpd.start(EMBEDDED + "<Location /server-status>\nSetHandler server-status\n</Location>\n")

    def shown(query: str = "") -> str:
        return requests.get(httpd.url(f"/server-status{query}"), timeout=60).text

    assert "WSGI" not in shown() + shown("?auto")
    assert [get(httpd, path) for path in ("/shop/", "/shop/fail")] == [200, 500]
    httpd.expect("WSGI0401")
    with waiting(httpd, b"/shop/wait"):
        embedded_mode(httpd, 2, running=1)
        wait_until(
            lambda: "WSGIEmbedded[0]BusyThreads: 1" in shown("?auto").splitlines(), "it runs"
        )
        found = dict(
            line.split(": ", 1)
            for line in shown("?auto").splitlines()
            if line.startswith("WSGIEmbedded")
        )
        assert "<h2>WSGI applications in Apache's processes</h2>" in shown()
        assert "<td>%{GLOBAL}</td><td>1</td><td>2</td><td>1</td>" in shown()
    assert int(found.pop("WSGIEmbeddedProcesses")) >= 1
    values = {
        "ApplicationGroup": "%{GLOBAL}",
        "BusyThreads": "1",
        "Requests": "2",
        "ServerErrors": "1",
    }
    assert found == {f"WSGIEmbedded[0]{name}": value for name, value in values.items()}


def test_the_name_of_an_application_group_is_text_in_every_format(httpd: Httpd) -> None:
    (httpd.app / "dispatch.py").write_text(
        "def application_group(environ):\n    return b'<b>\\xff\"\\\\'\n"
    )
    conf = "WSGIDispatchScript {app}/dispatch.py\n" + STATUS + "WSGIScriptAlias / {app}/hello.py\n"
    httpd.start(conf + "<Location /server-status>\nSetHandler server-status\n</Location>\n")
    assert get(httpd, "/") == 500  # there is no such interpreter, but it was asked for
    httpd.expect("WSGI0411")
    httpd.expect("WSGI0414")
    names = {
        application["application_group"]
        for application in status(httpd)["embedded"]["applications"]
    }
    assert '<b>\xff"\\' in names
    samples = [sample for family in parse_openmetrics(metrics(httpd)) for sample in family.samples]
    assert '<b>\xff"\\' in {sample.labels.get("application_group") for sample in samples}
    assert "<b>" not in page(httpd).text.partition('id="embedded"')[2].partition("<script")[0]
    lines = requests.get(httpd.url("/server-status?auto"), timeout=60).text.splitlines()
    assert [
        line for line in lines if "ApplicationGroup: <b>" in line and line.endswith(r"\xff\"\\")
    ]


def test_a_touched_script_without_its_callable_is_not_found_until_it_is_mended(
    httpd: Httpd,
) -> None:
    script = httpd.app / "hello.py"
    good = script.read_text()
    httpd.start(EMBEDDED.replace("waiting.py", "hello.py"))
    assert get(httpd, "/shop/") == 200
    script.write_text(good.replace("def application(", "def aplication(") + "def other(): pass\n")
    assert get(httpd, "/shop/") == 404
    record = httpd.expect("WSGI0403")
    assert (
        f"{script} has no callable named 'application'; it defines Callable, aplication, " in record
    )
    assert "did you mean aplication?" in record
    script.write_text(good)
    assert get(httpd, "/shop/") == 200
