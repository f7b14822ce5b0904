from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import Httpd

MODES = {
    "embedded": "WSGIScriptAlias {mount} {app}/{script}",
    "daemon": "WSGIDaemonProcess d processes=2 threads=4\nWSGIScriptAlias {mount} {app}/{script} process-group=d",
}


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    server = Httpd()
    yield server
    server.finish()


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def conf_for(mode: str, script: str, mount: str = "/") -> str:
    return MODES[mode].replace("{mount}", mount).replace("{script}", script)
