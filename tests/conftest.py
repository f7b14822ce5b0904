from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from authsite import Site, running_site
from harness import Httpd
from pythons import build_environments

MODES = {
    "embedded": "WSGIScriptAlias {mount} {app}/{script}",
    "daemon": "WSGIDaemonProcess d processes=2 threads=4\nWSGIScriptAlias {mount} {app}/{script} process-group=d",
}


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    server = Httpd()
    yield server
    server.finish()


@pytest.fixture(scope="session")
def environments() -> dict[str, Path]:
    """A virtual environment with the package for each Python of the machine, by name."""
    homes = build_environments()
    if not homes:
        pytest.skip("no usable Python")
    return homes


@pytest.fixture(scope="session", params=list(MODES))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with running_site(request.param) as running:
        yield running


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def conf_for(mode: str, script: str, mount: str = "/") -> str:
    return MODES[mode].replace("{mount}", mount).replace("{script}", script)
