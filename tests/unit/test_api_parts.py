"""The pure parts of the module mod_wsgi."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import events, handler, metrics, modules, scoreboard


@pytest.fixture(autouse=True)
def subscribers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(events, "_is_stopping", False)
    yield
    for callbacks in (events.event_callbacks, events.shutdown_callbacks, events.signal_callbacks):
        callbacks.clear()


# ---- events ----


def test_subscribing_returns_the_callback_also_the_second_time() -> None:
    assert events.subscribe_events(print) is print and events.subscribe_events(print) is print
    assert events.event_callbacks == [print, print]
    assert _runtime.event_callbacks is events.event_callbacks


@pytest.mark.parametrize("name", ["events", "shutdown", "signals"])
@pytest.mark.parametrize("has_signals", [True, False])
def test_only_callables_can_subscribe(
    monkeypatch: pytest.MonkeyPatch, name: str, has_signals: bool
) -> None:
    monkeypatch.setattr(events, "_has_signals", has_signals)
    for wrong in (5, None, "not callable", b""):
        with pytest.raises(TypeError, match="must be callable"):
            getattr(events, f"subscribe_{name}")(wrong)
    assert not events.event_callbacks + events.shutdown_callbacks + events.signal_callbacks


def test_subscribers_are_called_in_order_and_see_what_the_earlier_ones_return() -> None:
    calls: list[Any] = []

    def first(name: str, **event: Any) -> dict[str, Any]:
        calls.append((1, name, event))
        return {"a": 2, "new": True}

    def second(name: str, **event: Any) -> str:
        calls.append((2, name, event))
        return "not a dictionary"

    events.subscribe_events(first)
    events.subscribe_events(second)
    assert events.publish("anything", {"a": 1}) == {"a": 2, "new": True}
    assert calls == [(1, "anything", {"a": 1}), (2, "anything", {"a": 2, "new": True})]


def test_the_list_is_copied_before_the_subscribers_are_called() -> None:
    calls: list[str] = []

    def adds(name: str, **event: Any) -> None:
        calls.append(name)
        events.subscribe_events(adds)

    events.subscribe_events(adds)
    events.publish("anything", {})
    assert calls == ["anything"] and len(events.event_callbacks) == 2


@pytest.mark.parametrize("exception", [ValueError, SystemExit, KeyboardInterrupt])
def test_exceptions_are_logged_and_the_next_subscriber_is_called(
    exception: type[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    @events.subscribe_events
    def fails(name: str, **event: Any) -> None:
        raise exception("boom")

    events.subscribe_events(lambda name, **event: calls.append(name))
    events.publish("anything", {})
    logged = capfd.readouterr().err
    assert (
        calls == ["anything"] and "WSGI0441" in logged and "anything" in logged and "boom" in logged
    )


def test_a_request_timeout_goes_on_to_the_request() -> None:
    @events.subscribe_events
    def interrupted(name: str, **event: Any) -> None:
        raise _runtime.RequestTimeout

    with pytest.raises(_runtime.RequestTimeout):
        events.publish("anything", {})


def test_the_end_goes_to_events_then_shutdown_and_only_once() -> None:
    calls: list[Any] = []
    events.subscribe_shutdown(lambda name, **event: calls.append(("shutdown", name, event)))
    events.subscribe_events(lambda name, **event: calls.append(("events", name, event)))
    events.configure(has_signals=True)
    events.subscribe_signals(lambda name, **event: calls.append(("signals", name, event)))
    events.stopping("maximum_requests", 0)
    events.stopping("shutdown_signal", 0)
    event = {"shutdown_reason": "maximum_requests"}
    assert calls == [("events", "process_stopping", event), ("shutdown", "process_stopping", event)]
    del calls[:]
    events.signalled("SIGHUP", 1)
    event_ = {"signame": "SIGHUP", "signum": 1}
    assert calls == [("events", "process_signal", event_), ("signals", "process_signal", event_)]


def test_signals_outside_a_daemon_are_refused_with_the_place(
    capfd: pytest.CaptureFixture[str],
) -> None:
    events.configure(has_signals=False)
    assert events.subscribe_signals(len) is len and events.signal_callbacks == []
    logged = capfd.readouterr().err
    assert "WSGI0440" in logged and "test_api_parts.py" in logged


# ---- modules ----


def test_request_data_outside_a_request_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="not serving a request"):
        _runtime.request_data()
    assert _runtime.active_requests == {}


def test_an_installed_package_lends_its_path_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mod_wsgi"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not run')\n")
    (package / "express.py").write_text("NAME = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setitem(sys.modules, "mod_wsgi", modules.mod_wsgi_module("", {}))
    modules.adopt_installed({})
    from mod_wsgi.express import NAME

    del sys.modules["mod_wsgi.express"]
    assert NAME == 1 and sys.modules["mod_wsgi"].__path__ == [str(package)]


def test_an_installed_module_apache_gets_the_attributes_when_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apache.py").write_text("OWN = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    settings = {"apache": {"version": "2.4.57", "mpm_name": "event"}}
    ours = modules.apache_module(settings)
    monkeypatch.setitem(sys.modules, "apache", ours)
    modules.adopt_installed(settings)
    assert sys.modules["apache"] is ours and ours.version == (2, 4, 57)
    modules.adopt_installed({**settings, "embedded": True})
    apache = sys.modules["apache"]
    assert (apache.OWN, apache.version, apache.mpm_name) == (1, (2, 4, 57), "event")


def test_a_broken_module_apache_leaves_the_servers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apache.py").write_text("import nowhere_to_be_found_at_all, sys\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    ours = ModuleType("apache")
    monkeypatch.setitem(sys.modules, "apache", ours)
    modules.adopt_apache({})
    assert sys.modules["apache"] is ours


# ---- logging ----


@pytest.mark.parametrize(
    ("python", "apache"),
    [(0, 7), (10, 7), (19, 7), (20, 6), (30, 4), (39, 4), (40, 3), (50, 2), (99, 2)],
)
def test_levels_become_apaches(python: int, apache: int) -> None:
    assert handler.apache_level(python) == apache


def test_a_record_that_cannot_be_formatted_goes_to_handle_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed: list[logging.LogRecord] = []
    log_handler = handler.LogHandler()
    monkeypatch.setattr(log_handler, "handleError", failed.append)
    record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "%d", ("not a number",), None)
    log_handler.emit(record)
    assert failed == [record]


# ---- metrics ----


def test_means_are_of_the_requests_and_unknown_phases_are_none() -> None:
    timing = (3_000_000, 1_000_000, 2_000_000, [0] * 65)
    report = metrics.phase_report("queue", timing, 2, True)
    assert (report["queue_time"], report["queue_time_min_us"], report["queue_time_max_us"]) == (
        1.5,
        1_000_000,
        2_000_000,
    )
    report = metrics.phase_report("queue", timing, 2, False)
    assert [report[key] for key in ("queue_time", "queue_time_min_us", "queue_time_max_us")] == [
        None
    ] * 3
    report = metrics.phase_report("application", (0, 0, 0, [0] * 65), 0, True)
    assert report["application_time"] == 0.0 and report["application_time_min_us"] is None


def test_threads_that_run_or_ran_are_started_and_active() -> None:
    never, earlier = (0, 0, 0, 0, -1, 0), (5, 0, 0, 0, -1, 0)
    just_now, running = (7, 2, 300_000, 100_000, -1, 200_000), (0, 0, 500_000, 0, 500_000, 0)
    report = metrics.thread_report([never, earlier, just_now, running])
    assert (
        report["request_threads_maximum"],
        report["request_threads_started"],
        report["request_threads_active"],
    ) == (4, 3, 2)
    assert report["request_threads_completed"] == report["request_threads_buckets"] == [0, 0, 2, 0]
    assert report["request_threads_busy_time"] == [0, 0, 0.3, 0.5] and report[
        "request_threads_current_elapsed"
    ] == [0, 0, 0, 0.5]


def test_a_scoreboard_is_read_field_by_field() -> None:
    idle = ["", ".", "", "", "", "", "", "", "", ""]
    busy = [
        "3",
        "W",
        "12",
        "4096",
        "1500000",
        "1600000",
        "1700000",
        "192.0.2.1",
        "GET /x HTTP/1.1",
        "shop:80",
    ]
    fields = ["2", "1", "3", "1000000", "4500000", "4711", "3", "1", *busy, "", "", "", *idle, ""]
    report = scoreboard.parse("\0".join(fields).encode())
    assert (
        report["server_limit"],
        report["thread_limit"],
        report["running_generation"],
        report["running_time"],
    ) == (2, 1, 3, 3)
    first, second = report["processes"]
    assert (first["process_num"], first["pid"], first["generation"], first["quiescing"]) == (
        0,
        4711,
        3,
        True,
    )
    assert first["workers"] == [
        {
            "thread_num": 0,
            "generation": 3,
            "status": "W",
            "access_count": 12,
            "bytes_served": 4096,
            "start_time": 1.5,
            "stop_time": 1.6,
            "last_used": 1.7,
            "client": "192.0.2.1",
            "request": "GET /x HTTP/1.1",
            "vhost": "shop:80",
        }
    ]
    assert (
        second["pid"] == 0
        and second["workers"][0]["status"] == "."
        and second["workers"][0]["last_used"] == 0.0
    )
