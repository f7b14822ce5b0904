"""The command, as a user types it: targets, signals, errors."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import free_port, wait_until
from served import COMMAND, HELLO, Served, directory_with_hello, run, serving


@pytest.fixture
def site() -> Iterator[Path]:
    with directory_with_hello() as path:
        yield path


@pytest.mark.parametrize("target", ["hello.py", "hello:application", "hello:create_app()", "hello"])
def test_a_target_is_served(site: Path, target: str) -> None:
    with serving(site, target) as served:
        assert served.get("/a/b").text == f"|/a/b||{site}"


def test_an_installed_module_is_a_target(site: Path) -> None:
    """The demonstration stands for any module of the Python that has `application`."""
    with serving(site, "httpd_wsgi.demo.app") as served:
        assert "httpd-wsgi" in served.get().text


@pytest.mark.parametrize(
    ("given", "level"), [("warning", "warn"), ("CRITICAL", "crit"), ("info", "info")]
)
def test_levels_of_pythons_logging_are_understood(site: Path, given: str, level: str) -> None:
    done = run("serve", "hello.py", "--print-config", "--log-level", given, cwd=site)
    assert f"LogLevel {level}" in done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_ends_with_success(site: Path, number: int) -> None:
    with serving(site, "hello.py") as served:
        assert served.get().status_code == 200
        assert served.stop(number) == 0


def test_files_that_the_apache_user_cannot_reach_are_served_from_a_copy(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "hello.py").write_text(HELLO)
    with serving(tmp_path, "hello.py") as served:
        assert served.get("/x").text.startswith("|/x|")


def test_hangup_reads_everything_again(site: Path) -> None:
    with serving(site, "hello.py", "--log-level", "notice") as served:
        assert "changed" not in served.get("/").text
        (site / "hello.py").write_text(HELLO.replace("{os.getcwd()}", "changed"))
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "graceful restart" in served.stderr(), "httpd restarts")
        wait_until(lambda: served.get("/").text.endswith("changed"), "the new code answers")


def test_httpd_ends_with_the_command(site: Path) -> None:
    with serving(site, "hello.py") as served:
        served.process.kill()
        served.process.wait(60)  # finish() then fails when a process is left


@pytest.mark.parametrize("wrong", ["raise RuntimeError('boom')", "boom boom"])
def test_an_application_that_cannot_be_loaded_ends_it_with_a_code_of_its_own(
    site: Path, wrong: str
) -> None:
    (site / "broken.py").write_text(wrong)
    done = run("serve", "--port", "0", "broken.py", cwd=site)
    assert done.returncode == 3 and "boom" in done.stderr
    assert "broken.py could not be loaded" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "python"),
    [("import os; os._exit(9)", 'exec {python} "$@"'), ("", "exit 1"), ("", None)],
    ids=["the application ends it", "it ends at once", "nobody may run it"],
)
def test_a_python_that_ends_before_the_application_serves_ends_it_too(
    site: Path, code: str, python: str | None
) -> None:
    (site / "broken.py").write_text(code)
    home = site / "home" / "bin"
    home.mkdir(parents=True)
    (home / "python").write_text(f"#!/bin/sh\n{python or ''}\n".replace("{python}", sys.executable))
    (home / "python").chmod(0o755 if python else 0o644)
    done = run("serve", "--port", "0", "--python-home", "home", "broken.py", cwd=site)
    assert done.returncode == 3 and "broken.py could not be loaded" in done.stderr.splitlines()[-1]


def test_nothing_is_left_behind_in_the_temporary_directory(site: Path) -> None:
    temporary = site / "tmp"
    temporary.mkdir(mode=0o711)
    with serving(site, "hello.py", TMPDIR=str(temporary)) as served:
        [root] = temporary.iterdir()
        assert (
            root / "httpd.conf"
        ).stat().st_mode & 0o777 == 0o600 and root.stat().st_mode & 0o066 == 0
        assert served.get("/").status_code == 200
    assert list(temporary.iterdir()) == []


def test_in_a_pipe_it_says_two_things_at_most(site: Path) -> None:
    with serving(site, "hello.py") as served:
        served.get()
        served.stop()
        assert [line for line in served.stderr().splitlines() if "httpd-wsgi:" in line][
            1:
        ] == [] and "\r" not in served.stderr()
        assert len(served.stderr().splitlines()) == 1 and served.stdout() == ""


def test_a_terminal_sees_how_long_the_application_takes_to_load(site: Path) -> None:
    (site / "slow.py").write_text(
        f"import os, time\nwhile not os.path.exists('{site}/go'):\n    time.sleep(0.01)\n{HELLO}"
    )
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [COMMAND, "serve", "slow.py", "--port", "0"], cwd=site, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = bytearray()

    def shows(pattern: str) -> bool:
        with contextlib.suppress(OSError):
            shown.extend(os.read(ours, 65536))
        return bool(re.search(pattern, shown.decode(errors="replace")))

    try:
        wait_until(lambda: shows(r"loading slow\.py \.\.\. \d+\.\d s"), "the progress is shown")
        (site / "go").touch()
        wait_until(lambda: shows(re.escape("(stop with Ctrl-C)")), "it is served")
        assert b"\r\x1b[K" in shown and b"resuming normal operations" not in shown
    finally:
        process.terminate()
        wait_until(lambda: shows("nothing") or process.poll() is not None, "it stops")
        os.close(ours)
    assert process.returncode == 0


def test_a_second_server_in_the_same_directory_leaves_the_first_alone(site: Path) -> None:
    root = site / "root"
    with serving(site, "hello.py", "--server-root", str(root)) as served:
        before = (root / "httpd.conf").read_text()
        done = run("serve", "hello.py", "--port", "0", "--server-root", str(root), cwd=site)
        assert (
            done.returncode == 7
            and done.stderr.count("\n") == 1
            and "serves from it" in done.stderr
        ), done.stderr
        assert (root / "httpd.conf").read_text() == before and served.get().status_code == 200


def test_what_the_system_refuses_is_one_line(site: Path) -> None:
    (site / "root" / "httpd.conf").mkdir(parents=True)
    done = run("setup", "--server-root", "root", "hello.py", cwd=site)
    assert (
        done.returncode == 71 and done.stderr.count("\n") == 1 and "httpd.conf" in done.stderr
    ), done.stderr


def test_module_config_prints_lines_to_paste() -> None:
    out = run("module-config").stdout
    assert out.startswith('LoadModule wsgi_module "') and f'WSGIPythonHome "{sys.prefix}"' in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["serve", "/nowhere/app.py"], 3, "/nowhere/app.py: no such file"),
        (["serve", "app.pyy"], 3, "app.pyy: no such file"),
        (["serve", "."], 3, ".: is a directory"),
        (["serve", "app.py:application"], 3, "write app.py, or app:application"),
        (["serve", "in/app.py:wsgi"], 3, "write in/app.py --callable wsgi, or in.app:wsgi"),
        (["serve", "no_such_module"], 3, "no such file, and no module of this name"),
        (["serve", "-b", "25001", "x:y"], 2, "did you mean 127.0.0.1:25001, or :25001"),
        (["serve", "--https", "x:y"], 2, "did you mean --https-certificate or --https-key"),
        (["serve", "--port", "65536", "x:y"], 2, "--port 65536: expected a number from 0 to 65535"),
        (["serve", "-b", "1.2.3.4:http", "x:y"], 2, "--bind 1.2.3.4:http: expected ADDRESS:PORT"),
        (["serve", "-b", "unix:/x", "x:y"], 2, "cannot listen on a Unix socket"),
        (["serve", "-b", ":1", "--port", "2", "x:y"], 2, "expected no --host and no --port"),
        (["serve", "-b", "203.0.113.9:8000", "x:y"], 4, "cannot be listened on"),
        (["serve", "-w", "0", "x:y"], 2, "--processes 0: expected a number from 1 to 10000"),
        (
            ["serve", "--memory-limit", "10", "x:y"],
            2,
            "--memory-limit 10: 10 bytes are too little; expected 16M or more",
        ),
        (
            ["serve", "--request-timeout", "soon", "x:y"],
            2,
            "--request-timeout soon: expected a number of seconds",
        ),
        (["serve", "--thread", "3", "x:y"], 2, "--thread: no such option, did you mean --threads?"),
        (["serve"], 2, "expected a TARGET"),
        (["serve", "--mpm", "wrkr", "x:y"], 2, "--mpm wrkr: expected event, worker or prefork"),
        (["serve", "--httpd"], 2, "httpd-wsgi: --httpd: expected one argument"),
        (["serve", "--python-home", "/nowhere", "x:y"], 2, "bin/python"),
        (["serve", "--https-port", "8443", "x:y"], 2, "--https-port: needs --https-certificate"),
        (
            ["serve", "--https-certificate", "/nowhere.pem", "x:y"],
            8,
            "--https-certificate /nowhere.pem: cannot be read",
        ),
        (
            ["serve", "--https-certificate", "/etc/passwd", "x:y"],
            8,
            "expected a file in PEM format",
        ),
        (
            ["serve", "--debug", "--host", "0.0.0.0", "x:y"],
            2,
            "expected an address of this machine alone",
        ),
        (["serve", "--log-level", "loud", "x:y"], 2, "--log-level loud: expected one of"),
        (["serve", "--httpd", "/nowhere/httpd", "x:y"], 5, "--httpd /nowhere/httpd"),
        (["serve", "--modules-directory", "/nowhere", "x:y"], 5, "was not found in /nowhere"),
        (["serve", "--user", "root", "x:y"], 2, "must not run as root"),
        (["serve", "--env", "A B=1", "x:y"], 2, "not the name of a variable"),
        (["serve", "--server-root", "/tmp", "x:y", "--port", "0"], 2, "others may write to it"),
        (["sevre"], 2, "sevre"),
        ([], 2, "COMMAND"),
    ],
)
def test_errors_are_one_line_with_their_own_code(
    arguments: list[str], code: int, said: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (
        code,
        1,
    ) and said in done.stderr, done.stderr


def test_a_bug_shows_a_file_and_no_traceback(site: Path) -> None:
    script = (
        "from httpd_wsgi.command import cli, serve; serve.run = None; raise SystemExit(cli.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "serve", "--port", "0", "hello.py"],
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 70 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    log = Path(done.stderr.split(" file ")[1].split()[0])
    assert "Traceback" in log.read_text()
    log.unlink()


# ---- the end ----

SLOW = """
import os, time

def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/wait":
        yield b"begun,"
        while not os.path.exists("go"):
            time.sleep(0.01)
    yield b"done"
"""


@pytest.fixture
def waiting(
    site: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Served, requests.Response]]:
    """A server with a request that runs until the file `go` is there."""
    (site / "slow.py").write_text(SLOW)
    with serving(site, "slow.py", *getattr(request, "param", ())) as served:
        yield served, served.get("/wait", stream=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("waiting", [(), ("--error-log", "errors")], indirect=True)
def test_a_request_that_runs_is_finished_before_the_end(
    site: Path, waiting: tuple[Served, requests.Response], number: int
) -> None:
    served, response = waiting
    served.process.send_signal(number)
    wait_until(lambda: "waiting up to 30 s for requests" in served.stderr(), "it says so")
    assert served.process.poll() is None
    (site / "go").touch()
    assert response.text == "begun,done" and served.process.wait(60) == 0


@pytest.mark.parametrize("waiting", [("--graceful-timeout", "1s")], indirect=True)
def test_it_waits_as_long_as_asked_for(waiting: tuple[Served, requests.Response]) -> None:
    served, _ = waiting
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(60) == 0


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_asked_twice_it_ends_within_a_second(
    waiting: tuple[Served, requests.Response], first: int
) -> None:
    """The test's own limit leaves room for a busy machine; without the second signal it is 30 s."""
    served, response = waiting
    served.process.send_signal(first)
    wait_until(lambda: "a second signal ends them now" in served.stderr(), "it waits")
    begun = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(60) == 0 and time.monotonic() - begun < 5
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = response.content


# ---- systemd-tmpfiles ----


def clean(directory: Path) -> None:
    """What `systemd-tmpfiles --clean` does with files below the directory that are old."""
    rules = directory.with_name(directory.name + ".conf")
    rules.write_text(f'd "{directory}" - - - 0\n')
    try:
        subprocess.run(["systemd-tmpfiles", "--clean", rules], check=True)
    finally:
        rules.unlink()


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="systemd-tmpfiles is missing")
def test_the_directory_survives_the_cleaning_of_tmp(site: Path, tmp_path: Path) -> None:
    temporary = Path(tempfile.mkdtemp(dir=site))
    temporary.chmod(0o755)
    (temporary / "old").touch()
    with serving(site, "hello.py", "--log-level", "notice", TMPDIR=str(temporary)) as served:
        clean(temporary)
        assert not (temporary / "old").exists()
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "graceful restart" in served.stderr(), "httpd restarts")
        assert served.get("/x").text.startswith("|/x|")
    assert not list(temporary.iterdir())


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"), reason="systemd-tmpfiles is missing")
def test_the_directory_of_setup_survives_it_while_it_serves(site: Path) -> None:
    temporary = site / "t"
    temporary.mkdir()
    port, root = free_port(), temporary / "it's root"
    done = run("setup", "hello.py", "--port", str(port), "--server-root", str(root), cwd=site)
    assert done.returncode == 0, done.stderr
    subprocess.run([root / "apachectl", "start"], check=True)
    wait_until((root / "httpd.pid").exists, "httpd is there")
    pid = int((root / "httpd.pid").read_text())
    try:
        clean(temporary)
        assert (root / "httpd.conf").exists() and (root / "apachectl").exists()
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "httpd has stopped")
    clean(temporary)
    assert not root.exists(), "control: without the server it is removed"
