from __future__ import annotations

from pathlib import Path

import pytest

from httpd_wsgi import settings
from httpd_wsgi.serve import Layout, ServerSettings, SettingsError, render_conf


def test_records_are_parsed_and_unknown_ones_ignored() -> None:
    parsed = settings.parse(b"group=shop\0threads=7\0shutdown_timeout=9\0later=1\0main_group=\0preload=a|/x\n/s.py\napp\0")
    assert (parsed.group, parsed.threads, parsed.shutdown_timeout) == ("shop", 7, 9.0)
    assert parsed.main_groups == ("",) and parsed.preloads == (settings.Preload("a|/x", "/s.py", "app"),)


def test_bytes_that_are_no_text_survive() -> None:
    assert settings.parse(b"home=/caf\xe9\0").home == "/caf\udce9"


@pytest.mark.parametrize("wrong", [{"port": 0}, {"processes": 0}, {"threads": 20000}, {"python_home": "/nowhere"}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        ServerSettings(target="app.py", **wrong)  # type: ignore[arg-type]


def test_paths_with_quotes_and_spaces_are_quoted() -> None:
    script = Path('/srv/a "b"/app.py')
    layout = Layout(Path("/tmp/root"), script, (), Path("/m/mod_wsgi.so"), None, "/")
    conf = render_conf(ServerSettings(target="app.py"), layout)
    assert 'WSGIScriptAlias / "/srv/a \\"b\\"/app.py" process-group=serve' in conf
