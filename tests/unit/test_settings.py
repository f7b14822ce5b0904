from __future__ import annotations

import re
from pathlib import Path

from httpd_wsgi.shared import settings

OPTION_TABLE = Path(__file__).parents[2] / "apache" / "config" / "group.c"
TYPES = {"COUNT": "int", "SIZE": "int", "TIME": "float", "MILLIS": "float", "FLAG": "bool"}


def test_python_knows_each_option_that_is_sent_to_it() -> None:
    rows = re.findall(r'\{"([a-z-]+)", OPT_(\w+),.*, (SENT|LOCAL)\},', OPTION_TABLE.read_text())
    assert len(rows) > 50
    sent = {
        name.replace("-", "_"): TYPES.get(kind, "str") for name, kind, use in rows if use == "SENT"
    }
    known = settings.GroupSettings.__annotations__
    assert sent == {name: known.get(name) for name in sent}
    # Records of their own: WSGISlowRequests may replace slow-request=, "group" is the group's name,
    # and "python_eggs" is for embedded mode
    local = {name.replace("-", "_") for name, _, use in rows if use == "LOCAL"}
    local -= {"slow_request", "group", "python_eggs"}
    assert not local & set(known)


def test_records_are_parsed_and_unknown_ones_ignored() -> None:
    parsed = settings.parse(
        b"group=shop\0threads=7\0shutdown_timeout=9\0later=1\0main_group=\0preload=a|/x\n/s.py\napp\0"
    )
    assert (parsed.group, parsed.threads, parsed.shutdown_timeout) == ("shop", 7, 9.0)
    assert parsed.main_groups == ("",) and parsed.preloads == (
        settings.Preload("a|/x", "/s.py", "app"),
    )


def test_bytes_that_are_no_text_survive() -> None:
    assert settings.parse(b"home=/caf\xe9\0").home == "/caf\udce9"
