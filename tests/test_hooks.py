"""Scripts that are not applications of their own: handlers of kinds of documents."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import Httpd

HANDLER = """
import json
VERSION = 1
def handle_request(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    shown = {key: value for key, value in environ.items() if isinstance(value, str)}
    return [json.dumps({**shown, "version": VERSION, "module": __name__}).encode()]
other = handle_request
"""


def put(path: Path, text: str) -> Path:
    """A file that Apache's user can read."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def change(path: Path, text: str) -> None:
    """With a modification time of its own, however fast the test is."""
    later = path.stat().st_mtime_ns + 5_000_000_000
    put(path, text)
    os.utime(path, ns=(later, later))


def handler_conf(httpd: Httpd, mode: str, options: str = "", more: str = "") -> str:
    """The directory docs, in which .txt files belong to the handler."""
    put(httpd.root / "docs" / "note.txt", "A note.\n")
    put(httpd.app / "handler.py", HANDLER)
    group = "process-group=d" if mode == "daemon" else ""
    return f"""
    WSGIDaemonProcess d threads=2
    WSGIDaemonProcess e threads=1
    WSGIHandlerScript Report {{app}}/handler.py {group} {options}
    DocumentRoot {{root}}/docs
    <Directory {{root}}/docs>
        Require all granted
        AddHandler Report .txt
    </Directory>
    {more}
    """


def ask(httpd: Httpd, path: str) -> dict[str, Any]:
    response = requests.get(httpd.url(path), timeout=20)
    assert response.status_code == 200, httpd.log_text()
    return dict(json.loads(response.text))


# ---- WSGIHandlerScript ----


def test_a_handler_script_answers_for_the_resource(httpd: Httpd, mode: str) -> None:
    httpd.start(handler_conf(httpd, mode))
    environ = ask(httpd, "/note.txt/more/path?q=1")
    assert environ["SCRIPT_FILENAME"] == str(httpd.root / "docs" / "note.txt")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/note.txt", "/more/path", "q=1")
    assert environ["mod_wsgi.handler_script"] == str(httpd.app / "handler.py")
    assert environ["mod_wsgi.request_handler"].lower() == "report"
    assert environ["mod_wsgi.callable_object"] == "handle_request"
    assert environ["mod_wsgi.process_group"] == ("d" if mode == "daemon" else "")


def test_a_handler_script_needs_no_file(httpd: Httpd, mode: str) -> None:
    more = "<Location /virtual>\nSetHandler REPORT\n</Location>"
    httpd.start(handler_conf(httpd, mode, more=more))
    assert ask(httpd, "/virtual/a/b")["PATH_INFO"] == "/a/b"


def test_urls_cannot_make_up_interpreters_for_a_handler_script(httpd: Httpd, mode: str) -> None:
    (httpd.root / "docs" / "virtual").mkdir(mode=0o755, parents=True)
    more = "<Location /virtual>\nSetHandler report\n</Location>"
    httpd.start(handler_conf(httpd, mode, more=more))
    groups = {ask(httpd, f"/virtual/{name}")["mod_wsgi.application_group"] for name in ("a", "b", "c")}
    assert groups == {f"localhost:{httpd.port}|report"} or groups == {"localhost|report"}


@pytest.mark.parametrize("kind", ["handler", "application"])
def test_an_action_leads_to_a_script(httpd: Httpd, mode: str, kind: str) -> None:
    httpd.extra_modules = ("actions",)
    group = "process-group=d" if mode == "daemon" else ""
    target = {
        "handler": "<Location /run>\nSetHandler report\n</Location>",
        "application": f"WSGIScriptAlias /run {{app}}/handler.py callable-object=other {group}",
    }[kind]
    action = "Action render /run virtual\n<Location /page>\nSetHandler render\n</Location>\n"
    httpd.start(handler_conf(httpd, mode, more=action + target))
    environ = ask(httpd, "/page/one")
    assert (environ["PATH_INFO"], environ["REDIRECT_URL"]) == ("/page/one", "/page/one")
    assert environ["mod_wsgi.callable_object"] == ("handle_request" if kind == "handler" else "other")


def test_a_handler_script_is_reloaded_when_it_changes_itself(httpd: Httpd, mode: str) -> None:
    httpd.start(handler_conf(httpd, mode))
    assert ask(httpd, "/note.txt")["version"] == 1
    change(httpd.root / "docs" / "note.txt", "Another note.\n")
    assert ask(httpd, "/note.txt")["version"] == 1
    change(httpd.app / "handler.py", HANDLER.replace("VERSION = 1", "VERSION = 2"))
    assert ask(httpd, "/note.txt")["version"] == 2


def test_a_handler_script_is_not_reloaded_when_told_so(httpd: Httpd, mode: str) -> None:
    httpd.start("ServerLimit 1\n" + handler_conf(httpd, mode, more="WSGIScriptReloading Off"))
    assert ask(httpd, "/note.txt")["version"] == 1
    change(httpd.app / "handler.py", HANDLER.replace("VERSION = 1", "VERSION = 2"))
    assert ask(httpd, "/note.txt")["version"] == 1


def test_the_options_of_a_handler_script(httpd: Httpd, mode: str) -> None:
    options = "application-group=reports callable-object=other pass-authorization=On"
    httpd.start(handler_conf(httpd, mode, options, "WSGIApplicationGroup elsewhere\nWSGICallableObject nothing"))
    response = requests.get(httpd.url("/note.txt"), auth=("a", "b"), timeout=20)
    environ = response.json()
    assert environ["mod_wsgi.application_group"] == "reports"
    assert environ["mod_wsgi.callable_object"] == "other"
    assert environ["HTTP_AUTHORIZATION"].startswith("Basic ")


def test_a_handler_script_without_options_follows_the_section(httpd: Httpd) -> None:
    more = "WSGIProcessGroup e\nWSGIApplicationGroup %{GLOBAL}\nWSGICallableObject nothing"
    httpd.start(handler_conf(httpd, "embedded", more=more))
    environ = ask(httpd, "/note.txt")
    assert (environ["mod_wsgi.process_group"], environ["mod_wsgi.application_group"]) == ("e", "")
    assert environ["mod_wsgi.callable_object"] == "handle_request"


def test_an_inner_section_adds_and_overrides_handler_scripts(httpd: Httpd) -> None:
    put(httpd.app / "second.py", HANDLER)
    put(httpd.root / "docs" / "inner" / "a.txt", "")
    put(httpd.root / "docs" / "inner" / "b.page", "")
    put(httpd.root / "docs" / "inner" / "c.kept", "")
    more = """
    WSGIHandlerScript kept {app}/handler.py
    <Directory {root}/docs/inner>
        WSGIHandlerScript report {app}/second.py
        WSGIHandlerScript page {app}/second.py application-group=page
        AddHandler page .page
        AddHandler kept .kept
    </Directory>"""
    httpd.start(handler_conf(httpd, "embedded", more=more))
    scripts = {path: Path(ask(httpd, path)["mod_wsgi.handler_script"]).name for path in ("/note.txt", "/inner/a.txt")}
    assert scripts == {"/note.txt": "handler.py", "/inner/a.txt": "second.py"}
    assert ask(httpd, "/inner/b.page")["mod_wsgi.application_group"] == "page"
    assert ask(httpd, "/inner/c.kept")["mod_wsgi.handler_script"] == str(httpd.app / "handler.py")


def test_a_handler_script_may_be_a_module(httpd: Httpd) -> None:
    conf = handler_conf(httpd, "embedded").replace("{app}/handler.py", "handler:other")
    httpd.start("WSGIPythonPath {app}\n" + conf)
    environ = ask(httpd, "/note.txt")
    assert (environ["mod_wsgi.callable_object"], environ["module"]) == ("other", "handler")


def test_accept_path_info_counts_for_handler_scripts(httpd: Httpd) -> None:
    httpd.start(handler_conf(httpd, "embedded", more="AcceptPathInfo Off"))
    assert requests.get(httpd.url("/note.txt/more"), timeout=20).status_code == 404
    httpd.expect("WSGI0205")


def test_a_missing_handler_script_is_explained(httpd: Httpd, mode: str) -> None:
    conf = handler_conf(httpd, mode)
    (httpd.app / "handler.py").unlink()
    httpd.start(conf)
    assert requests.get(httpd.url("/note.txt"), timeout=20).status_code == 500
    httpd.expect("WSGI0404", "handler.py")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("WSGIHandlerScript report", "needs the name of a handler and a file"),
        ("WSGIHandlerScript wsgi-script {app}/hello.py", "choose another name"),
        ("WSGIHandlerScript report {app}/hello.py proces-group=d", "did you mean process-group="),
        ("WSGIHandlerScript report {app}/hello.py pass-authorization=yes", "expected On or Off"),
        ("<Files x>\nWSGIHandlerScript report\n</Files>", "needs the name of a handler and a file"),
    ],
)
def test_a_wrong_handler_script_fails_the_configuration_test(httpd: Httpd, line: str, part: str) -> None:
    code, output = httpd.configtest(line)
    assert code != 0 and part in output, output
