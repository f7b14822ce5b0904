"""Durations are measured by a clock that nobody can set (src/wire/clock.h)."""

from __future__ import annotations

from pathlib import Path

APACHE = Path(__file__).parents[2] / "apache"

# Times that are reported, and the age of a request, whose beginning httpd tells by this clock
WALL_CLOCK = {
    "groups/scoreboard.c",
    "request/block_builder.c",
    "request/delivery.c",
    "status/status_html.c",
    "status/status_json.c",
}


def test_apaches_side_asks_the_wall_clock_for_reports_only() -> None:
    users = {
        path.relative_to(APACHE).as_posix()
        for path in APACHE.rglob("*.[ch]")
        if "apr_time_now" in path.read_text()
    }
    assert users <= WALL_CLOCK
