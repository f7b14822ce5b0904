"""`httpd-wsgi setup`: a server root for a service."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import free_port, wait_until
from served import directory_with_hello, run


@pytest.fixture
def site() -> Iterator[Path]:
    with directory_with_hello("httpd-wsgi site-") as path:
        yield path


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/x", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_server_root_is_controlled_with_apachectl(site: Path, log_format: str) -> None:
    root, port = site / "it's $root", free_port()
    done = run(
        "setup",
        "hello.py",
        "--port",
        str(port),
        "--server-root",
        str(root),
        "--log-format",
        log_format,
        cwd=site,
    )
    assert done.returncode == 0 and str(root / "apachectl") in done.stderr
    assert (root / "httpd.conf").stat().st_mode & 0o777 == 0o600

    def control(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [root / "apachectl", *words], capture_output=True, text=True, check=False, cwd="/"
        )

    (root / "envvars").write_text("export MARKED='from envvars'\n")
    assert "Syntax OK" in control("configtest").stderr
    try:
        assert control("start").returncode == 0
        wait_until(lambda: answers(port), "the server answers")
        assert "from envvars" in requests.get(f"http://127.0.0.1:{port}/x", timeout=60).text
        assert control("graceful").returncode == 0
        wait_until(
            lambda: (root / "error_log").read_text().count("resuming normal operations") == 2,
            "a graceful restart",
        )
        assert answers(port)
    finally:
        assert control("stop").returncode == 0
        wait_until(lambda: not (root / "httpd.pid").exists(), "httpd has stopped")


def test_a_second_setup_keeps_what_belongs_to_the_user(site: Path) -> None:
    arguments = ["setup", "hello.py", "--server-root", str(site / "root")]
    assert run(*arguments, cwd=site).returncode == 0
    (site / "root" / "envvars").write_text("export A=1\n")
    assert run(*arguments, "--port", "8123", cwd=site).returncode == 0
    assert (site / "root" / "envvars").read_text() == "export A=1\n"
    assert "8123" in (site / "root" / "httpd.conf").read_text()


def test_a_unit_for_systemd_is_printed(site: Path) -> None:
    done = run("setup", "hello.py", "--server-root", str(site / "100%"), "--systemd", cwd=site)
    assert (
        f'ExecStart="{site}/100%%/apachectl" start -DFOREGROUND' in done.stdout
        and "KillSignal=SIGWINCH" in done.stdout
    )
    if shutil.which("systemd-analyze"):
        unit = site / "site.service"
        unit.write_text(done.stdout)
        checked = subprocess.run(
            ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
        )
        assert "site.service" not in checked.stderr, checked.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["setup", "hello.py"], "expected --server-root DIR"),
        (["setup", "hello.py", "--server-root", "root", "--reload"], "--reload: no such option"),
        (["setup", "hello.py", "--server-root", "root", "--port", "0"], "--port 0"),
        (["setup", "hello.py", "--server-root", "no/where"], "its parent must exist"),
        (
            ["setup", "hello.py", "--server-root", "link"],
            "expected a directory, and no link to one",
        ),
    ],
)
def test_setup_refuses_in_one_line(site: Path, arguments: list[str], said: str) -> None:
    os.symlink("/tmp", site / "link")
    done = run(*arguments, cwd=site)
    assert (
        done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    ), done.stderr


def test_an_application_that_cannot_be_loaded_is_named_and_the_files_are_written(
    site: Path,
) -> None:
    (site / "needs.py").write_text("import no_such_package\n\ndef application(e, s): ...\n")
    done = run("setup", "needs.py", "--server-root", str(site / "root"), cwd=site)
    assert done.returncode == 0 and (site / "root" / "httpd.conf").exists()
    assert "needs.py cannot be loaded: ModuleNotFoundError: No module named" in done.stderr
    assert "--python-home names another" in done.stderr
    good = run("setup", "hello.py", "--server-root", str(site / "root"), cwd=site)
    assert "cannot be loaded" not in good.stderr
