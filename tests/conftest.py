from __future__ import annotations

import os
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


# `make test` deals whole files to several processes, in this order: what takes longest must not be
# what is left in the end.
LONG_FIRST = (
    "test_debian.py",
    "test_examples.py",
    "test_bench.py",
    "test_package.py",
    "test_endurance.py",
    "test_fuzz.py",
    "test_check.py",
    "test_access.py",
    "test_auth.py",
    "test_cli.py",
    "test_corpus.py",
    "test_command_config.py",
    "test_express.py",
    "test_life.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        ranks = {name: rank for rank, name in enumerate(LONG_FIRST)}
        items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


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
