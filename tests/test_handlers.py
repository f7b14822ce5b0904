"""`httpd-wsgi check` and `explain` about applications without a WSGIScriptAlias: what handlers,
types and rules lead to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Httpd
from served import run

from httpd_wsgi.command.check import handlers

CONF = """
DocumentRoot {root}/www
Alias /other {root}/aliased
WSGIDaemonProcess d
WSGIProcessGroup d
WSGIHandlerScript reports {app}/hello.py
<Directory {root}/www>
    Options +ExecCGI +FollowSymLinks
    AllowOverride All
</Directory>
<Directory {root}/www/suffix>
    AddHandler wsgi-script .wsgi
</Directory>
<Directory {root}/www/section>
    SetHandler wsgi-script
</Directory>
<Directory {root}/www/type>
    AddType application/x-httpd-wsgi .app
</Directory>
<Directory {root}/www/named>
    <Files one.py>
        SetHandler wsgi-script
    </Files>
</Directory>
<Directory {root}/aliased>
    Options +ExecCGI
    AddHandler wsgi-script wsgi
</Directory>
<Location /report>
    SetHandler reports
</Location>
"""
FILES = {
    "www/suffix/a.wsgi": "",
    "www/suffix/b.html": "",
    "www/suffix/c.wsgi.html": "",
    "www/section/x": "",
    "www/type/t.app": "",
    "www/named/one.py": "",
    "www/named/two.py": "",
    "www/access/.htaccess": "# ours\nAddHandler wsgi-script .own\nWSGICallableObject shop\n",
    "www/access/deep/a.own": "def shop(environ, start_response): pass\n",
    "www/rules/.htaccess": "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)$ app.wsgi/$1 [L]\n"
    "AddHandler wsgi-script .wsgi\n",
    "www/rules/app.wsgi": "",
    "www/forced/.htaccess": "RewriteEngine On\nRewriteRule \\.page$ - [H=wsgi-script]\n",
    "www/forced/a.page": "",
    "aliased/o.wsgi": "",
    "aliased/plain.txt": "",
}


@pytest.fixture(scope="module")
def conf() -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=("rewrite",))
    for name, text in FILES.items():
        path = httpd.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "def application(environ, start_response): pass\n")
    httpd.write_conf(CONF)
    yield httpd
    httpd.finish()


def explained(httpd: Httpd, url: str) -> dict[str, dict[str, str]]:
    done = run("explain", httpd.url(url), str(httpd.root / "httpd.conf"), "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return {row["what"]: row for row in json.loads(done.stdout)}


def line_of(path: Path, text: str) -> str:
    return f"{path}:{next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)}"


@pytest.mark.parametrize(
    ("url", "file", "place"),
    [
        ("/suffix/a.wsgi/more", "www/suffix/a.wsgi", "AddHandler wsgi-script .wsgi"),
        ("/section/x", "www/section/x", "SetHandler wsgi-script"),
        ("/type/t.app", "www/type/t.app", "AddType application/x-httpd-wsgi .app"),
        ("/named/one.py", "www/named/one.py", "SetHandler wsgi-script"),
        ("/other/o.wsgi", "aliased/o.wsgi", "AddHandler wsgi-script wsgi"),
        ("/report/today", "app/hello.py", "SetHandler reports"),
        ("/access/deep/a.own", "www/access/deep/a.own", ".htaccess:2: AddHandler wsgi-script .own"),
        ("/rules/any/page", "www/rules/app.wsgi", ".htaccess:4: AddHandler wsgi-script .wsgi"),
        ("/forced/a.page", "www/forced/a.page", "handler wsgi-script"),
    ],
)
def test_explain_finds_what_a_handler_leads_to(
    conf: Httpd, url: str, file: str, place: str
) -> None:
    script = explained(conf, url)["script"]
    assert script["value"] == str(conf.root / file) and place in script["why"], script


@pytest.mark.parametrize("url", ["/suffix/b.html", "/named/two.py", "/other/plain.txt", "/nowhere"])
def test_explain_takes_no_other_file_for_an_application(conf: Httpd, url: str) -> None:
    assert explained(conf, url)["application"]["value"] == "none"


def test_explain_says_which_htaccess_file_names_the_callable(conf: Httpd) -> None:
    row = explained(conf, "/access/deep/a.own")["callable"]
    assert (row["value"], row["why"]) == ("shop", f"{conf.root}/www/access/.htaccess:3")


def test_explain_and_check_tell_of_what_a_htaccess_file_may_not_say(httpd: Httpd) -> None:
    for name, text in (
        ("a.wsgi", ""),
        (".htaccess", "AddHandler wsgi-script .wsgi\nWSGIProcessGroup d\n"),
    ):
        (httpd.root / "www").mkdir(exist_ok=True)
        (httpd.root / "www" / name).write_text(text)
    path = httpd.write_conf(
        "DocumentRoot {root}/www\n<Directory {root}/www>\nAllowOverride All\n</Directory>"
    )
    done = run("explain", httpd.url("/a.wsgi"), str(path))
    assert (
        done.returncode == 1
        and "WSGIProcessGroup not allowed here" in done.stderr
        and "ends with status 500" in done.stdout
    )
    [item] = [item for item in findings(httpd)[1]["findings"] if item["level"] == "error"]
    assert (
        item["where"] == f"{httpd.root}/www/.htaccess"
        and "WSGIProcessGroup not allowed here" in item["cause"]
    )


def test_explain_says_that_it_cannot_choose_a_file_for_a_directory(conf: Httpd) -> None:
    row = explained(conf, "/suffix/")["application"]
    assert row["value"] == "none known" and "DirectoryIndex" in row["why"]


def findings(httpd: Httpd, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run("check", str(httpd.root / "httpd.conf"), "--json", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_check_counts_and_loads_what_handlers_lead_to(conf: Httpd) -> None:
    # a.wsgi, c.wsgi.html, x, t.app, one.py, a.own, app.wsgi, a.page, o.wsgi, and hello.py by
    # /report
    code, found = findings(conf, "--import")
    assert found["summary"].startswith("1 daemon group and 10 applications checked"), found
    loading = [item for item in found["findings"] if "cannot be loaded" in item["cause"]]
    # The handler script has no handle_request.
    assert code == 1 and [item["cause"].split()[0] for item in loading] == [
        str(conf.app / "hello.py")
    ]


def test_check_finds_scripts_that_silently_run_embedded(httpd: Httpd) -> None:
    (httpd.root / "www").mkdir(mode=0o755)
    (httpd.root / "www" / "a.wsgi").write_text("")
    path = httpd.write_conf(
        "DocumentRoot {root}/www\nOptions +ExecCGI\nAddHandler wsgi-script .wsgi"
    )
    [item] = [
        item for item in findings(httpd)[1]["findings"] if "Apache's own processes" in item["cause"]
    ]
    assert (
        "a.wsgi" in item["cause"]
        and item["where"] == line_of(path, "AddHandler")
        and item["level"] == "warning"
    )


def test_check_finds_scripts_that_options_keep_from_running(httpd: Httpd) -> None:
    (httpd.root / "www").mkdir(mode=0o755)
    for name in ("a.wsgi", "b.wsgi"):
        (httpd.root / "www" / name).write_text("")
    path = httpd.write_conf("DocumentRoot {root}/www\nAddHandler wsgi-script .wsgi")
    code, found = findings(httpd)
    [item] = [item for item in found["findings"] if item["level"] == "error"]
    assert (
        code == 1
        and "ExecCGI is off for" in item["cause"]
        and "and 1 other file beside it" in item["cause"]
    )
    assert item["cure"] == f"put Options +ExecCGI into <Directory {httpd.root}/www>"
    assert item["where"] == line_of(path, "AddHandler")


def test_check_says_that_httpd_will_not_start_without_its_types(httpd: Httpd) -> None:
    httpd.write_conf("TypesConfig /nowhere/mime.types")
    code, found = findings(httpd)
    [item] = [item for item in found["findings"] if item["code"] == "AH01597"]
    assert code == 1 and "/nowhere/mime.types" in item["cause"] and "TypesConfig" in item["cure"]


def test_no_more_files_are_looked_at_than_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (tmp_path / f"{number}.wsgi").touch()
    server = {"where": None, "document_root": str(tmp_path), "access_files": ".htaccess"}
    setting = {
        "name": "AddHandler",
        "arguments": "wsgi-script .wsgi",
        "where": "x:1",
        "in": "",
        "server_where": None,
    }
    dump = {"servers": [server], "directives": [setting]}
    monkeypatch.setattr(handlers, "MOST_FILES", 3)
    candidates = handlers.Candidates(dump)
    assert len(candidates.paths(dump)) == 3 and candidates.is_cut
