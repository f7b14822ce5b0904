from __future__ import annotations

from httpd_wsgi.shared import settings


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
