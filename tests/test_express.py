"""The commands of mod_wsgi-express, and those for Django's manage.py."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import free_port, wait_until
from served import COMMAND, directory_with_hello, run, started

from httpd_wsgi.command.express.option_table import ROWS
from httpd_wsgi.command.option_table import OPTIONS

SPEC_OF_DJANGO = importlib.util.find_spec("django")


def answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


@pytest.fixture
def site() -> Iterator[Path]:
    with directory_with_hello() as path:
        (path / "files").mkdir()
        (path / "files" / "f.css").write_text("a style")
        yield path


def test_start_server_serves_and_says_what_differs(site: Path) -> None:
    options = [
        "--port",
        str(free_port()),
        "--processes=2",
        "--setenv",
        "GIVEN",
        'a "b"',
        "--rotate-logs",
        "--url-alias",
        "/static",
        "files",
    ]
    (site / "env.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [(e['GIVEN'] + "
        "str(e['wsgi.multiprocess'])).encode()]\n"
    )
    with started(site, COMMAND, "express", "start-server", "env.py", *options) as (url, log):
        assert requests.get(url, timeout=60).text == 'a "b"True'
        assert requests.get(url + "/static/f.css", timeout=60).text == "a style"
        assert "note: --rotate-logs: ignored" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hello", "--application-type", "module"], '"hello:application"'),
        (
            ["--application-type=module", "--entry-point", "hello", "--callable-object", "other"],
            '"hello:other"',
        ),
        (["hello.py", "--callable-object", "other"], '"callable-object=other"'),
        (["hello.py"], "threads=5 "),
        (["hello.py", "--reque", "7"], '"request-timeout=7"'),
        (["hello.py"], '"deadlock-timeout=60"'),
        (["hello.py"], "LimitRequestBody 10485760"),
        (["hello.py", "--limit-request-body", "4294967296"], "LimitRequestBody 4294967296"),
        (["hello.py", "--deadlock-timeout", "0"], "WSGIRestrictEmbedded On"),
        (["--application-type", "static", "files"], "/files"),
        (
            ["hello.py", "--auth-user-script", "auth.py", "--auth-group-script", "auth.py"],
            'Require wsgi-group "wsgi"',
        ),
        (["hello.py", "--python-path", "$WHERE"], '"python-path=/from/variable"'),
        (["hello.py", "--log-level", "info"], "LogLevel info"),
        (["hello.py", "--access-log"], "/root/access_log"),
        (["hello.py", "--map-head-to-get", "Off"], "WSGIMapHEADToGET Off"),
        (
            ["hello.py", "--telemetry-service", "unix:/run/t"],
            'WSGITelemetryService "unix:/run/t" "interval=1.0"',
        ),
        (
            ["hello.py", "--telemetry-options=-CaptureUserAgent"],
            'WSGITelemetryOptions "-CaptureUserAgent"',
        ),
        (["hello.py", "--slow-requests", "2.5"], 'WSGISlowRequests "2.5"'),
        (["hello.py", "--proxy-timeout", "9"], 'ProxyTimeout "9"'),
        (
            ["hello.py", "--service-script", "t", "hello.py", "--service-user", "t", "daemon"],
            'threads=0 "user=daemon"',
        ),
    ],
)
def test_setup_server_writes_what_the_options_mean(
    site: Path, arguments: list[str], expected: str
) -> None:
    done = run(
        "express",
        "setup-server",
        *arguments,
        "--server-root",
        "root",
        cwd=site,
        env={**os.environ, "WHERE": "/from/variable"},
    )
    assert done.returncode == 0, done.stderr
    conf = (site / "root" / "httpd.conf").read_text()
    assert expected in conf and ("deadlock-timeout" in conf) == (
        "0" not in arguments and "static" not in arguments
    )
    checked = subprocess.run(
        [site / "root" / "apachectl", "configtest"], capture_output=True, text=True, check=False
    )
    assert "Syntax OK" in checked.stderr, checked.stderr


def test_programs_of_the_document_root_other_servers_and_the_status_have_their_urls(
    site: Path,
) -> None:
    (site / "report.py").write_text(
        "def handle_request(e, s):\n    s('200 OK', [])\n    return [b'report of ' + "
        "e['SCRIPT_FILENAME'][-8:].encode()]\n"
    )
    (site / "files" / "a.report").write_text("raw")
    (site / "files" / "run.cgi").write_text(
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nby CGI'\n"
    )
    (site / "files" / "run.cgi").chmod(0o755)
    (site / "behind.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [(e['PATH_INFO'] + "
        "e['HTTP_X_FORWARDED_PREFIX']).encode()]\n"
    )
    options = [
        "--port",
        str(free_port()),
        "--document-root",
        "files",
        "--add-handler",
        ".report",
        "report.py",
        "--with-cgi",
    ]
    with started(site, COMMAND, "serve", "behind.py", "--port", "0") as (behind, _):
        more = ["--server-status", "--proxy-mount-point", "/other", behind]
        with started(site, COMMAND, "express", "start-server", "hello.py", *options, *more) as (
            url,
            _,
        ):
            paths = ("/a.report", "/run.cgi", "/other/x", "/other", "/x")
            got = {path: requests.get(url + path, timeout=60).text for path in paths}
            status = requests.get(url + "/server-status?auto", timeout=60).text
    assert got["/a.report"] == "report of a.report" and got["/run.cgi"] == "by CGI"
    assert (got["/other/x"], got["/other"]) == ("/x/other", "//other") and got["/x"].startswith(
        "|/x|"
    )
    assert "BusyWorkers" in status


VARIABLES = (
    "MODULES_DIRECTORY",
    "SERVER_ROOT",
    "WORKING_DIRECTORY",
    "LISTENER_HOST",
    "HTTP_PORT",
    "USER",
    "GROUP",
    "RUN_USER",
    "RUN_GROUP",
)


def test_included_files_know_the_variables_of_mod_wsgi_express(site: Path) -> None:
    lines = [f'Header set X-{name} "=${{MOD_WSGI_{name}}}"\n' for name in VARIABLES]
    load = 'LoadModule expires_module "${MOD_WSGI_MODULES_DIRECTORY}/mod_expires.so"\nExpiresActive On\n'
    (site / "extra.conf").write_text(load + "".join(lines))
    port = str(free_port())
    options = ["--port", port, "--server-root", str(site / "root"), "--include-file", "extra.conf"]
    with started(site, COMMAND, "express", "start-server", "hello.py", *options) as (url, _):
        headers = requests.get(url, timeout=60).headers
    got = {name: headers[f"X-{name}"].removeprefix("=") for name in VARIABLES}
    assert os.path.exists(os.path.join(got["MODULES_DIRECTORY"], "mod_expires.so"))
    assert (got["SERVER_ROOT"], got["WORKING_DIRECTORY"]) == (str(site / "root"), str(site))
    assert (got["LISTENER_HOST"], got["HTTP_PORT"]) == ("*", port)
    assert got["USER"] == got["RUN_USER"] != "" and got["GROUP"] == got["RUN_GROUP"] != ""


def test_files_beside_the_script_are_not_granted_with_it(site: Path) -> None:
    """An Alias of --include-file shows nothing that it does not grant itself."""
    (site / "extra.conf").write_text(f'Alias /sand "{site}"\nAlias /one "{site}/files"\n')
    options = ["--port", str(free_port()), "--include-file", "extra.conf"]
    paths = ("/sand/hello.py", "/sand/extra.conf", "/sand/files/f.css", "/one/f.css", "/x")
    for command in (["express", "start-server"], ["serve"]):
        with started(site, COMMAND, *command, *options, "hello.py") as (url, _):
            got = [requests.get(url + path, timeout=60) for path in paths]
        assert [one.status_code for one in got[1:]] == [403, 403, 403, 200], command
        assert "def application" not in got[0].text


def test_a_script_may_ask_for_passwords(site: Path) -> None:
    (site / "auth.py").write_text(
        "def check_password(environ, user, password):\n    return password == 'right'\n"
        "def groups_for_user(environ, user):\n    return ['wsgi']\n"
    )
    options = [
        "--port",
        str(free_port()),
        "--auth-user-script",
        "auth.py",
        "--auth-group-script",
        "auth.py",
    ]
    with started(site, COMMAND, "express", "start-server", "hello.py", *options) as (url, _):
        codes = [
            requests.get(url, auth=("me", password), timeout=60).status_code
            for password in ("wrong", "right")
        ]
        assert codes == [401, 200]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected one of start-server"),
        (["start"], "express start: expected one of"),
        (
            ["start-server", "--proxy-virtual-host", "a", "b"],
            "--proxy-virtual-host a b: expected a host name and the URL",
        ),
        (["start-server", "--debugger-startup"], "--debugger-startup: needs --enable-debugger"),
        (["start-server", "--enable-recorder"], "--enable-recorder: is not offered"),
        (["start-server", "x.py", "--rewrite-rules", "r"], "put `RewriteEngine On`"),
        (
            ["start-server", "x.py", "--proxy-mount-point", "/", "http://a/"],
            "expected a URL path below /",
        ),
        (
            ["start-server", "x.py", "--service-user", "t", "daemon"],
            "there is no --service-script t",
        ),
        (["start-server", "x.py", "--rewrite-rules", "r"], "name it with --include-file"),
        (["start-server", "--nonsense"], "--nonsense: no such option"),
        (["start-server", "x.py", "--ssl-certificate-key-file", "x"], "needs --https-certificate"),
        (["setup-server", "hello.py"], "expected --server-root DIR"),
        (["module-location", "x"], "expected no argument"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(
    site: Path, arguments: list[str], said: str
) -> None:
    done = run("express", *arguments, cwd=site)
    assert (
        done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    ), done.stderr


def test_the_module_is_installed_as_a_link(site: Path) -> None:
    location = run("express", "module-location").stdout.strip()
    done = run("express", "install-module", "--modules-directory", str(site))
    assert done.returncode == 0 and f'LoadModule wsgi_module "{site}/mod_wsgi.so"' in done.stdout
    assert os.path.realpath(site / "mod_wsgi.so") == os.path.realpath(location)


def test_every_option_of_the_table_is_sound() -> None:
    names = {name for option in OPTIONS for name in option.names.split()}
    assert {row.serve for row in ROWS if row.serve} <= names
    assert not [row.name for row in ROWS if row.note and row.refused]


# ---- Django ----

SETTINGS = """
INSTALLED_APPS += ["httpd_wsgi.django"]
ALLOWED_HOSTS = ["*"]
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "files"
MEDIA_URL = "/media/"
MEDIA_ROOT = BASE_DIR / "media"
"""


@pytest.fixture
def project(site: Path) -> Path:
    if SPEC_OF_DJANGO is None:
        pytest.skip("Django is not installed")
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", str(site)], check=True)
    with (site / "shop" / "settings.py").open("a") as file:
        file.write(SETTINGS)
    (site / "media").mkdir()
    (site / "media" / "m.txt").write_text("a medium")
    return site


@pytest.mark.parametrize(
    ("command", "options"),
    [("runhttpd", ["--port", "0", "-w", "2"]), ("runmodwsgi", ["--processes", "2"])],
)
def test_manage_py_serves_the_project_with_its_files(
    project: Path, command: str, options: list[str]
) -> None:
    if command == "runmodwsgi":
        options = [*options, "--port", str(free_port())]
    with started(project, sys.executable, "manage.py", command, *options) as (url, _):
        assert "Django" in requests.get(url, timeout=60).text
        assert requests.get(url + "/static/f.css", timeout=60).text == "a style"
        assert requests.get(url + "/media/m.txt", timeout=60).text == "a medium"


def manage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_manage_py_may_only_write_the_server_root(project: Path) -> None:
    """As `express start-server --setup-only` does: what is written is started later, by apachectl."""
    (project / "more").write_text("export MARKED=by-envvars\n")
    port = free_port()
    words = ["--setup-only", f"--port={port}", "--server-root=root", "--envvars-script=more"]
    done = manage(project, "runmodwsgi", *words)
    assert done.returncode == 0 and "is ready" in done.stderr, done.stderr
    apachectl = project / "root" / "apachectl"
    assert str(project / "more") in (project / "root" / "envvars").read_text()
    assert "WSGIScriptAlias" in (project / "root" / "httpd.conf").read_text()
    subprocess.run([apachectl, "start"], check=True)
    try:
        wait_until(lambda: answers(port), "the server that was written answers")
    finally:
        subprocess.run([apachectl, "stop"], check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--setup-only"], "expected --server-root DIR"),
        (["--setup-only", "--server-root=root", "--enable-debugger"], "is for start-server"),
        (["--setup-only", "--server-root=root", "--reload-on-changes"], "is for development"),
    ],
)
def test_manage_py_refuses_what_setup_server_refuses(
    project: Path, words: list[str], said: str
) -> None:
    done = manage(project, "runmodwsgi", *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr


def test_manage_py_says_that_static_files_are_not_found(project: Path) -> None:
    assert "STATIC_ROOT" not in manage(project, "runhttpd", "--print-config").stderr
    with (project / "shop" / "settings.py").open("a") as file:
        file.write("STATIC_ROOT = None\n")
    assert "STATIC_ROOT is not set" in manage(project, "runhttpd", "--print-config").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["-w", "0"], 2, "--processes 0"), (["-b", "203.0.113.9:1"], 4, "cannot be listened")],
)
def test_manage_py_reports_errors_as_django_does(
    project: Path, arguments: list[str], code: int, said: str
) -> None:
    done = manage(project, "runhttpd", *arguments)
    assert (
        done.returncode == code and said in done.stderr and done.stderr.startswith("CommandError: ")
    )
