"""WSGITelemetryService, WSGITelemetryOptions and WSGISlowRequests, as a collector sees them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from collector import Collector, Datagram
from harness import Httpd, wait_until

SERVICE = "WSGITelemetryService unix:{root}/run/telemetry interval=0.5\n"
CONF = {
    "embedded": "ServerLimit 1\nThreadsPerChild 6\nMaxRequestWorkers 6\n"
    "WSGIScriptAlias / {app}/told.py application-group=%{GLOBAL}\n",
    "daemon": "WSGIDaemonProcess d threads=4\nWSGIScriptAlias / {app}/told.py process-group=d\n",
}
THREADS = {"embedded": 6, "daemon": 4}
PHASES = {"embedded": {0, 3, 4, 5, 6, 7}, "daemon": set(range(8))}


@pytest.fixture
def collector(httpd: Httpd) -> Iterator[Collector]:
    found = Collector(httpd.root / "run" / "telemetry")
    yield found
    found.close()


def get(server: Httpd, path: str, **options: Any) -> Any:
    return requests.get(server.url(path), timeout=60, **options).json()


def total(datagrams: list[Datagram], field: int) -> int:
    return sum(datagram.fields[field] for datagram in datagrams)


def received(collector: Collector, kind: str, **fields: Any) -> Datagram:
    """Waits for one with these fields, given as f200=1."""
    found: list[Datagram] = []

    def there() -> bool:
        wanted = {int(name[1:]): value for name, value in fields.items()}
        found[:] = [
            item for item in collector.receive(kind) if wanted.items() <= item.fields.items()
        ]
        return bool(found)

    wait_until(there, f"{kind} with {fields} among {[item.kind for item in collector.seen]}")
    return found[-1]


def test_processes_introduce_themselves(httpd: Httpd, collector: Collector, mode: str) -> None:
    httpd.start(SERVICE + CONF[mode])
    get(httpd, "/")
    started = received(collector, "started")
    assert started.sequence == 1 and os.path.exists(f"/proc/{started.pid}")
    fields = started.fields
    assert set(fields) == {1, 2, 3, 4, 5, 7, 13} | ({6} if mode == "daemon" else set())
    assert (
        fields[1].startswith(b"httpd-wsgi ")
        and fields[2].startswith(b"3.")
        and fields[3].startswith(b"2.4.")
    )
    assert (fields[4], fields[5].decode(), fields.get(6)) == (
        b"event",
        socket.gethostname(),
        b"d" if mode == "daemon" else None,
    )
    assert httpd.process and fields[7] == httpd.process.pid and fields[13] == pytest.approx(0.005)
    assert not collector.receive("slow")


def test_requests_are_counted_once_interval_after_interval(
    httpd: Httpd, collector: Collector, mode: str
) -> None:
    httpd.start(SERVICE + CONF[mode])
    for status in ("", "?301", "?404", "?418", "?503"):
        requests.post(httpd.url(f"/{status}"), data=b"x" * 1000, timeout=60, allow_redirects=False)
    wait_until(lambda: total(collector.receive("request"), 20) == 5, "all requests are told")
    empty = len(collector.receive("request"))
    wait_until(lambda: len(collector.receive("request")) > empty, "an interval without requests")
    told = collector.receive("request")
    assert [total(told, field) for field in range(120, 125)] == [0, 1, 1, 2, 1]
    assert total(told, 100) == 5000 and total(told, 103) == 5
    for datagram in told:
        check_interval(datagram, mode)
    assert [datagram.sequence for datagram in collector.seen] == list(
        range(1, len(collector.seen) + 1)
    )


def check_interval(datagram: Datagram, mode: str) -> None:
    fields, count, phases = datagram.fields, datagram.fields[20], PHASES[mode]
    simple = {
        *range(10, 14),
        20,
        21,
        22,
        30,
        31,
        32,
        40,
        41,
        50,
        51,
        52,
        *range(100, 104),
        *range(110, 115),
        *range(120, 125),
    }
    expected = (
        {1, 2, 3, 4, 5, 7} | simple | {first + number for first in (60, 90) for number in phases}
    )
    if count:
        expected |= {first + number for first in (70, 80) for number in phases}
    assert set(fields) - {6} == expected
    assert fields[10] > 0.1 and (fields[11], fields[12]) == (0.5, 0)
    assert fields[21] == pytest.approx(count / fields[10]) and 0 <= fields[22] <= 1
    assert (
        fields[32] == pytest.approx(fields[30] + fields[31])
        and 1_000_000 < fields[40] <= fields[41]
    )
    assert fields[50] == THREADS[mode] and fields[52] <= fields[51] <= fields[50]
    for number in phases:
        assert len(fields[90 + number]) == 65 and sum(fields[90 + number]) == count
        assert (
            not count
            or fields[70 + number] - 1e-6 <= fields[60 + number] <= fields[80 + number] + 1e-6
        )
    assert all(len(fields[field]) == THREADS[mode] for field in range(110, 115))
    assert sum(fields[110]) == count


def test_a_collector_may_come_and_go(httpd: Httpd) -> None:
    httpd.start(SERVICE + CONF["daemon"])
    assert get(httpd, "/") is None
    first = Collector(httpd.root / "run" / "telemetry")
    last = received(first, "request")
    first.close()
    assert get(httpd, "/") is None
    second = Collector(httpd.root / "run" / "telemetry")
    again = received(second, "request")
    assert again.pid == last.pid and again.sequence > last.sequence
    assert last.fields[1] == again.fields[1]  # each tells whose it is
    second.close()


def test_a_collector_that_does_not_read_holds_up_nothing(httpd: Httpd) -> None:
    lazy = Collector(httpd.root / "run" / "telemetry", is_lazy=True)
    httpd.start(SERVICE + CONF["daemon"])
    kept = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 1
    if kept > 60:
        pytest.skip("the system keeps more datagrams than are sent here")
    assert get(httpd, "/collect") == ""  # more than it keeps
    wait_until(lazy.is_full, "the system keeps no more")
    assert get(httpd, "/") is None
    lazy.read()
    wait_until(lambda: len(lazy.receive()) > kept, "what is sent later is received")
    sequence = [datagram.sequence for datagram in lazy.seen]
    assert sequence == sorted(sequence) and sequence[-1] > len(sequence)
    lazy.close()


def test_a_slow_request_is_told_while_it_runs_and_when_it_ends(
    httpd: Httpd, collector: Collector, mode: str
) -> None:
    httpd.start(
        SERVICE + "WSGISlowRequests 2\nWSGITelemetryOptions +CaptureUserAgent\n" + CONF[mode]
    )
    get(httpd, "/")
    wait_until(lambda: total(collector.receive("request"), 20) == 1, "the first request is over")
    headers = {"User-Agent": "slow/1", "Host": "shop.example"}
    thread = threading.Thread(target=get, args=(httpd, "/hold?201"), kwargs={"headers": headers})
    thread.start()
    running = received(collector, "slow", f200=0, f214=b"/hold").fields
    assert not {240, 250, 251, 261} & set(running)  # what is known at the end only
    assert received(collector, "request").fields[12] == pytest.approx(2)
    get(httpd, "/release")
    thread.join()
    ended = received(collector, "slow", f200=1).fields
    received(collector, "request")
    assert [item.fields[214] for item in collector.receive("slow") if item.fields[200]] == [
        b"/hold"
    ]
    only_daemon = {221, 222} if mode == "daemon" else set()
    assert set(ended) == {
        *range(200, 206),
        *range(210, 218),
        *({220, 223, 224, 225} | only_daemon),
        *range(230, 236),
        *(240, 250, 251, 260, 261),
    }
    for field in (201, 203, 204, 205, 210, 214, 260):
        assert running[field] == ended[field]
    assert 2 <= running[202] <= ended[202] and ended[223] <= ended[202] + 0.01
    assert [ended[field] for field in (210, 211, 212, 214, 215, 216, 217)] == [
        *(b"GET", b"http", b"shop.example", b"/hold", b"HTTP/1.1", b"127.0.0.1", b"slow/1")
    ]
    assert (ended[240], ended[232], ended[233], ended[260]) == (201, 4, 1, 1) and ended[261] in (
        1,
        2,
    )
    assert 1 <= ended[203] <= THREADS[mode] and os.path.exists(f"/proc/{ended[205]}")


def test_the_user_agent_is_told_only_on_request(httpd: Httpd, collector: Collector) -> None:
    httpd.start(SERVICE + "WSGISlowRequests 0\n" + "WSGISlowRequests 0.001\n" + CONF["daemon"])
    thread = threading.Thread(target=get, args=(httpd, "/hold"))
    thread.start()
    assert 217 not in received(collector, "slow", f214=b"/hold").fields
    get(httpd, "/release")
    thread.join()


def test_the_end_of_a_process_is_told(httpd: Httpd, collector: Collector, mode: str) -> None:
    httpd.start(SERVICE.replace("0.5", "600") + CONF[mode])
    get(httpd, "/")
    get(httpd, "/?404")
    httpd.stop()
    received(collector, "stopped")
    *_, last, stopped = collector.receive()
    (stopping,) = collector.receive("stopping")
    assert stopped.kind == "stopped" and last.kind != "stopped" and stopping.fields[133] == 0
    assert (
        stopping.fields.get(130)
        == stopped.fields.get(130)
        == (b"shutdown_signal" if mode == "daemon" else None)
    )
    assert stopped.fields[131] > 0 and [stopped.fields[field] for field in (132, 134, 135)] == [
        2,
        0,
        1,
    ]
    assert total(collector.receive("request"), 20) == 2  # the last interval, long before its time
    assert [datagram.sequence for datagram in collector.seen] == list(
        range(1, len(collector.seen) + 1)
    )


def test_requests_that_do_not_end_are_told_at_the_end(httpd: Httpd, collector: Collector) -> None:
    httpd.start(SERVICE + CONF["daemon"].replace("threads=4", "threads=4 graceful-timeout=1"))
    thread = threading.Thread(
        target=requests.get, args=(httpd.url("/hold"),), kwargs={"timeout": 60}
    )
    thread.start()
    wait_until(
        lambda: any(datagram.fields[52] for datagram in collector.receive("request")),
        "the request runs",
    )
    (first,) = collector.receive("started")
    httpd.graceful()
    stopped = received(collector, "stopped")
    assert stopped.pid == first.pid and [stopped.fields[field] for field in (132, 134, 135)] == [
        0,
        1,
        0,
    ]
    (stopping,) = collector.receive("stopping")
    assert stopping.fields[133] == 1 and stopping.fields[130] == stopped.fields[130]
    thread.join()
    httpd.expect("WSGI0717")
    httpd.expect("WSGI0310")
    assert collector.receive("started")[-1].pid != first.pid


def test_the_application_still_has_its_own_metrics(
    httpd: Httpd, collector: Collector, mode: str
) -> None:
    httpd.start(SERVICE + CONF[mode])
    get(httpd, "/metrics")
    wait_until(lambda: total(collector.receive("request"), 20) == 1, "the first request is told")
    for _ in range(3):
        get(httpd, "/")
    wait_until(lambda: total(collector.receive("request"), 20) == 4, "all requests are told")
    assert get(httpd, "/metrics")["request_count"] >= 3
    wait_until(
        lambda: total(collector.receive("request"), 20) == 5, "reading them takes nothing away"
    )


def test_collections_are_told_for_each_interpreter(httpd: Httpd, collector: Collector) -> None:
    other = "WSGIScriptAlias /other {app}/told.py process-group=d application-group=other\n"
    main = CONF["daemon"].replace("process-group=d", "process-group=d application-group=%{GLOBAL}")
    httpd.start(SERVICE + main.replace("WSGIScriptAlias", other + "WSGIScriptAlias"))
    assert get(httpd, "/other/collect") == "other"
    event = received(collector, "gc event", f8=b"other", f322=2)
    assert set(event.fields) == {8, *range(320, 325)} and 0 < event.fields[321] < event.fields[320]
    collected = [
        item for item in collector.receive("gc snapshot") if item.fields.get(8) == b"other"
    ]
    told = [item for item in collector.receive("gc event") if item.fields.get(8) == b"other"]
    # In each interval, of which the last may not have its snapshot yet
    assert len(told) <= 64 * (len(collected) + 1)
    assert set(collected[0].fields) == {8, *range(300, 318)} and collected[0].fields[315] == 1
    snapshots = [item for item in collector.receive("gc snapshot") if 8 not in item.fields]
    assert snapshots and set(snapshots[0].fields) == set(range(300, 318))


def test_services_have_no_telemetry(httpd: Httpd, collector: Collector) -> None:
    (httpd.app / "service.py").write_text("import threading\nthreading.Event().wait()\n")
    service = (
        "WSGIDaemonProcess s threads=0\n"
        "WSGIImportScript {app}/service.py process-group=s application-group=%{GLOBAL}\n"
    )
    httpd.start(SERVICE + service + CONF["daemon"])
    get(httpd, "/")
    received(collector, "request")
    assert {datagram.fields[6] for datagram in collector.receive("request")} == {b"d"}
    assert len(collector.receive("started")) == 1


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("WSGITelemetryService http://127.0.0.1/", "expected unix: and the absolute path"),
        ("WSGITelemetryService unix:run/telemetry", "expected unix: and the absolute path"),
        ("WSGITelemetryService unix:/" + "x" * 108, "longer than the 107 bytes"),
        ("WSGITelemetryService unix:/x intervall=1", "option 'intervall=1' is not valid"),
        *(
            (f"WSGITelemetryService unix:/x interval={value}", "expected seconds from 0.5")
            for value in ("0.4", "0", "-1", "1s", "nan", "", "1e3", "86401")
        ),
        ("WSGITelemetryService", "WSGITelemetryService takes 1-2 arguments"),
        ("WSGITelemetryOptions", "needs CaptureUserAgent"),
        ("WSGITelemetryOptions CaptureUserAgents", "expected CaptureUserAgent, All or None"),
        ("WSGITelemetryOptions +All", "write All"),
        ("WSGITelemetryOptions -none", "write none"),
        ("WSGITelemetryOptions CaptureUserAgent +CaptureUserAgent", "cannot be mixed"),
        ("WSGITelemetryOptions +CaptureUserAgent CaptureUserAgent", "cannot be mixed"),
        *(
            (f"WSGISlowRequests {value}", "expected seconds from 0")
            for value in ("fast", "-1", "1s", "inf", "1.2.3")
        ),
    ],
)
def test_a_wrong_value_fails_the_configuration_test(httpd: Httpd, line: str, part: str) -> None:
    code, output = httpd.configtest(line)
    assert code != 0 and part in output


@pytest.mark.parametrize(
    ("lines", "is_told"),
    [
        ("All", True),
        ("captureuseragent", True),
        ("+CaptureUserAgent", True),
        ("All|None", False),
        ("All|-CaptureUserAgent", False),
        ("+CaptureUserAgent|+CaptureUserAgent", True),
        ("All|CaptureUserAgent", True),
        ("CaptureUserAgent None", True),
    ],
)
def test_options_add_up(httpd: Httpd, lines: str, is_told: bool) -> None:
    conf = "".join(f"WSGITelemetryOptions {line}\n" for line in lines.split("|"))
    httpd.write_conf(conf + SERVICE + "WSGIDaemonProcess d\n")
    dump = subprocess.run(
        httpd.command("-t", "-D", "DUMP_WSGI"), capture_output=True, text=True, check=True
    ).stdout
    assert f"telemetry_user_agent={is_told:d}" in dump
