"""What pip installs: the sdist, the wheel, and the Python that a module finds from its own place."""

from __future__ import annotations

import email.parser
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import SANITIZED, Httpd
from pythons import REPOSITORY, copy_of_repository, make_environment, pip_for, sdist, wheel_of

import httpd_wsgi

BOTH_MODES = """\
WSGIScriptAlias /embedded {app}/kitchen.py
WSGIDaemonProcess d
WSGIScriptAlias /daemon {app}/kitchen.py process-group=d
"""
SITE_PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"

pytestmark = pytest.mark.skipif(
    SANITIZED, reason="the sanitizers' build is not the one that is packed"
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a checkout in which a build has left things behind."""
    source = copy_of_repository(tmp_path_factory.mktemp("sdist") / "source")
    for litter in (
        "build/lib/httpd_wsgi/old.py",
        "src/httpd_wsgi/_runtime.abi3.so",
        "src/httpd_wsgi/__pycache__/cli.pyc",
    ):
        (source / litter).parent.mkdir(parents=True, exist_ok=True)
        (source / litter).touch()
    return sdist(source, source.parent / "dist")


def files_below(*names: str) -> Iterator[str]:
    for name in names:
        for path in (REPOSITORY / name).rglob("*"):
            generated = path.suffix in (".so", ".pyc") or any(
                part.endswith(".egg-info") for part in path.parts
            )
            if path.is_file() and not generated:
                yield str(path.relative_to(REPOSITORY))


def test_the_sdist_has_all_sources_and_nothing_that_was_built(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames() if tar.getmember(name).isfile()}
    wanted = {
        *files_below("apache", "src", "conf", "docs", "tests"),
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
    }
    assert not wanted - packed
    written = {name for name in packed - wanted if ".egg-info/" not in name}
    assert written == {
        "CONTRIBUTING.md",
        "MANIFEST.in",
        "mkdocs.yml",
        "PKG-INFO",
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
    }


def test_the_sdist_installs_in_a_clean_environment_and_serves(archive: Path, httpd: Httpd) -> None:
    home = httpd.root / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    subprocess.run(
        [home / "bin" / "pip", "--disable-pip-version-check", "install", "-q", archive], check=True
    )
    told = subprocess.run(
        [home / "bin" / "httpd-wsgi", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert told == f"httpd-wsgi {httpd_wsgi.__version__}\n"
    httpd.module = home / SITE_PACKAGES / "httpd_wsgi" / "mod_wsgi.so"
    httpd.start(BOTH_MODES)
    assert [
        requests.get(httpd.url(f"/{m}/info"), timeout=60).json()["prefix"]
        for m in ("embedded", "daemon")
    ] == [str(home)] * 2


def test_a_wheel_needs_no_compiler_and_serves_with_its_own_python(
    environments: dict[str, Path], httpd: Httpd
) -> None:
    home = httpd.root / "venv"
    make_environment(Path("/usr/bin/python3"), home)
    no_programs = {**os.environ, "PATH": str(home / "bin")}
    subprocess.run(
        [*pip_for(home), "install", "-q", "--no-deps", wheel_of(environments["system"])],
        check=True,
        env=no_programs,
    )
    (package,) = home.glob("lib/*/site-packages/httpd_wsgi")
    httpd.module = package / "mod_wsgi.so"
    httpd.start(BOTH_MODES)
    assert [
        requests.get(httpd.url(f"/{m}/info"), timeout=60).json()["prefix"]
        for m in ("embedded", "daemon")
    ] == [str(home)] * 2


def test_a_link_in_the_directory_of_apaches_modules_leads_to_the_package(
    environments: dict[str, Path], httpd: Httpd
) -> None:
    home = environments["system"]
    (module,) = home.glob("lib/*/site-packages/httpd_wsgi/mod_wsgi.so")
    httpd.module = httpd.root / "mod_wsgi.so"
    httpd.module.symlink_to(module)
    httpd.start(BOTH_MODES)
    assert requests.get(httpd.url("/daemon/info"), timeout=60).json()["prefix"] == str(home)


def test_a_home_may_have_python3_only_as_debians_usr_has(
    environments: dict[str, Path], httpd: Httpd
) -> None:
    home = httpd.root / "venv"
    make_environment(Path("/usr/bin/python3"), home)
    (home / "bin" / "python").unlink()
    (httpd.module,) = environments["system"].glob("lib/*/site-packages/httpd_wsgi/mod_wsgi.so")
    httpd.start(
        f"WSGIPythonHome {home}\n"
        + BOTH_MODES.replace("Process d", f"Process d python-home={home}")
    )
    assert [
        requests.get(httpd.url(f"/{m}/info"), timeout=60).json()["prefix"]
        for m in ("embedded", "daemon")
    ] == [str(home)] * 2
    assert "WSGI0280" not in httpd.log_text()


def test_one_apache_serves_the_pythons_of_several_wheels(
    environments: dict[str, Path], httpd: Httpd
) -> None:
    """The module comes from the wheel of one Python, the groups from those of all."""
    (httpd.module,) = environments["system"].glob("lib/*/site-packages/httpd_wsgi/mod_wsgi.so")
    names = list(environments)
    httpd.start(
        "\n".join(
            f"WSGIDaemonProcess d{i} python-home={environments[name]}\nWSGIScriptAlias /{i} "
            f"{{app}}/kitchen.py process-group=d{i}"
            for i, name in enumerate(names)
        )
    )
    prefixes = [
        requests.get(httpd.url(f"/{i}/info"), timeout=60).json()["prefix"]
        for i in range(len(names))
    ]
    assert prefixes == [str(environments[name]) for name in names]


def test_metadata_says_what_an_index_shows(environments: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheel_of(environments["system"])) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.parser.Parser().parsestr(wheel.read(name).decode())
        assert any(name.endswith("/LICENSE") for name in wheel.namelist())
    assert (metadata["Name"], metadata["Version"], metadata["License"]) == (
        "httpd-wsgi",
        httpd_wsgi.__version__,
        "Apache-2.0",
    )
    assert (
        metadata["Summary"]
        and metadata["Author"]
        and metadata["Keywords"]
        and metadata["Requires-Python"] == ">=3.10"
    )
    assert metadata.get_payload().startswith("# httpd-wsgi")
