"""Scripts that are not applications of their own: handlers of kinds of documents, and what decides
where requests run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from authsite import change, put
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
    response = requests.get(httpd.url(path), timeout=60)
    assert response.status_code == 200, httpd.log_text()
    return dict(json.loads(response.text))


# ---- WSGIHandlerScript ----


def test_a_handler_script_answers_for_the_resource(httpd: Httpd, mode: str) -> None:
    httpd.start(handler_conf(httpd, mode))
    environ = ask(httpd, "/note.txt/more/path?q=1")
    assert environ["SCRIPT_FILENAME"] == str(httpd.root / "docs" / "note.txt")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (
        "/note.txt",
        "/more/path",
        "q=1",
    )
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
    groups = {
        ask(httpd, f"/virtual/{name}")["mod_wsgi.application_group"] for name in ("a", "b", "c")
    }
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
    assert environ["mod_wsgi.callable_object"] == (
        "handle_request" if kind == "handler" else "other"
    )


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
    httpd.start(
        handler_conf(
            httpd, mode, options, "WSGIApplicationGroup elsewhere\nWSGICallableObject nothing"
        )
    )
    response = requests.get(httpd.url("/note.txt"), auth=("a", "b"), timeout=60)
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
    scripts = {
        path: Path(ask(httpd, path)["mod_wsgi.handler_script"]).name
        for path in ("/note.txt", "/inner/a.txt")
    }
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
    assert requests.get(httpd.url("/note.txt/more"), timeout=60).status_code == 404
    httpd.expect("WSGI0205")


def test_a_missing_handler_script_is_explained(httpd: Httpd, mode: str) -> None:
    conf = handler_conf(httpd, mode)
    (httpd.app / "handler.py").unlink()
    httpd.start(conf)
    assert requests.get(httpd.url("/note.txt"), timeout=60).status_code == 500
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
def test_a_wrong_handler_script_fails_the_configuration_test(
    httpd: Httpd, line: str, part: str
) -> None:
    code, output = httpd.configtest(line)
    assert code != 0 and part in output, output


# ---- WSGIDispatchScript ----

TENANTS = """
import base64, json, sys
def value(environ, name):
    pairs = dict(pair.split("=", 1) for pair in environ["QUERY_STRING"].split("&") if "=" in pair)
    found = pairs.get(name)
    if found == "raise":
        raise ValueError("boom")
    if found == "exit":
        sys.exit(1)
    if found == "number":
        return 5
    if found == "control":
        return "a\\nb"
    if found and found.startswith("bytes:"):
        return found[6:].encode()
    return found
def process_group(environ):
    if "show" in environ["QUERY_STRING"]:
        shown = {k: v if isinstance(v, str) else type(v).__name__ for k, v in environ.items()}
        print("ENVIRON", base64.b64encode(json.dumps(shown).encode()).decode())
    return value(environ, "process_group")
def application_group(environ):
    return value(environ, "application_group")
def callable_object(environ):
    return value(environ, "callable_object")
"""


def dispatch_conf(httpd: Httpd, mode: str, more: str = "", script: str = TENANTS) -> str:
    """One application, its place chosen by the query string; the mode is the dispatch script's."""
    put(httpd.app / "tenants.py", script)
    put(httpd.app / "site.py", HANDLER.replace("handle_request", "application"))
    group = "process-group=e" if mode == "daemon" else ""
    return f"""
    ServerLimit 1
    WSGIDaemonProcess d threads=2
    WSGIDaemonProcess e threads=2
    WSGIScriptAlias /site {{app}}/site.py
    WSGIDispatchScript {{app}}/tenants.py {group}
    {more}
    """


def place(httpd: Httpd, query: str) -> tuple[str, str, str]:
    environ = ask(httpd, f"/site?{query}")
    return (
        environ["mod_wsgi.process_group"],
        environ["mod_wsgi.application_group"],
        environ["mod_wsgi.callable_object"],
    )


def test_a_dispatch_script_chooses(httpd: Httpd, mode: str) -> None:
    httpd.start(
        dispatch_conf(httpd, mode, "SetEnv WHERE d\nWSGIProcessGroup d\nWSGIApplicationGroup one")
    )
    assert place(httpd, "") == ("d", "one", "application")
    assert place(httpd, "process_group=e") == ("e", "one", "application")
    assert place(
        httpd, "process_group=bytes:e&application_group=bytes:two&callable_object=bytes:other"
    ) == ("e", "two", "other")
    assert place(httpd, "process_group=") == ("", "one", "application")
    assert place(httpd, "process_group=&application_group=") == ("", "", "application")
    assert place(httpd, "callable_object=other") == ("d", "one", "other")


def test_what_a_dispatch_script_returns_is_expanded(httpd: Httpd, mode: str) -> None:
    script = """
from urllib.parse import unquote
def process_group(environ):
    return "%{ENV:WHERE}"
def application_group(environ):
    return unquote(environ["QUERY_STRING"])
"""
    httpd.start(dispatch_conf(httpd, mode, "SetEnv WHERE d\nSetEnv TENANT blue", script))
    server = ask(httpd, "/site?%{SERVER}")["mod_wsgi.application_group"]
    assert server.startswith("localhost")
    assert place(httpd, "%{GLOBAL}") == ("d", "", "application")
    assert place(httpd, "%{RESOURCE}") == ("d", f"{server}|/site", "application")
    assert place(httpd, "%{ENV:TENANT}") == ("d", "blue", "application")


def test_a_dispatch_script_chooses_for_handler_scripts(httpd: Httpd, mode: str) -> None:
    httpd.start(
        dispatch_conf(httpd, mode)
        + handler_conf(httpd, "embedded").replace("WSGIDaemonProcess", "#")
    )
    environ = ask(httpd, "/note.txt?process_group=d&callable_object=other")
    assert (environ["mod_wsgi.process_group"], environ["mod_wsgi.callable_object"]) == (
        "d",
        "other",
    )


def test_the_environ_of_a_dispatch_script(httpd: Httpd, mode: str) -> None:
    more = (
        "SetEnv TENANT blue\n<Location /site>\nWSGITrustedProxyHeaders X-Forwarded-For\n</Location>"
    )
    httpd.start(dispatch_conf(httpd, mode, more))
    headers = {"X-Forwarded-For": "192.0.2.1", "Proxy": "http://evil/"}
    requests.get(httpd.url("/site/more?show"), headers=headers, timeout=60)
    told = json.loads(base64.b64decode(httpd.expect("ENVIRON").split("ENVIRON ")[1]))
    assert (told["TENANT"], told["REMOTE_ADDR"]) == ("blue", "192.0.2.1")
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/site", "/more")
    assert told["mod_wsgi.request_handler"] == "wsgi-script" and told["SCRIPT_FILENAME"] == str(
        httpd.app / "site.py"
    )
    assert (
        told["mod_wsgi.process_group"] == ("e" if mode == "daemon" else "")
        and told["mod_wsgi.application_group"] == ""
    )
    assert told["wsgi.errors"] == "Log" and told["mod_wsgi.request_id"]
    assert not {"mod_wsgi.callable_object", "wsgi.input", "wsgi.url_scheme", "HTTP_PROXY"} & set(
        told
    )


@pytest.fixture(scope="module", params=["embedded", "daemon"])
def dispatched(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd()
    httpd.start(dispatch_conf(httpd, request.param))
    yield httpd
    httpd.finish()


@pytest.mark.parametrize("function", ["process_group", "application_group", "callable_object"])
@pytest.mark.parametrize(
    ("value", "code"),
    [("raise", "WSGI0812"), ("exit", "WSGI0812"), ("number", "WSGI0813"), ("control", "WSGI0813")],
)
def test_a_dispatch_script_that_fails_runs_nothing(
    dispatched: Httpd, function: str, value: str, code: str
) -> None:
    assert requests.get(dispatched.url(f"/site?{function}={value}"), timeout=60).status_code == 500
    assert f"{function}() of" in dispatched.expect(code, f"{function}()")


@pytest.mark.parametrize("script", ["def process_group(:\n", "raise ValueError('boom')\n", None])
def test_a_dispatch_script_that_cannot_be_loaded_runs_nothing(
    httpd: Httpd, mode: str, script: str | None
) -> None:
    conf = dispatch_conf(httpd, mode, script=script or "")
    if script is None:
        (httpd.app / "tenants.py").unlink()
    httpd.start(conf)
    assert requests.get(httpd.url("/site"), timeout=60).status_code == 500
    httpd.expect("WSGI0810", "tenants.py")


def test_the_group_that_a_dispatch_script_chooses_must_be_allowed(httpd: Httpd, mode: str) -> None:
    more = "WSGIDaemonProcess f threads=1\nWSGIRestrictProcess d e %{GLOBAL}\nWSGIProcessGroup f"
    httpd.start(dispatch_conf(httpd, mode, more))
    assert place(httpd, "process_group=d")[0] == "d"
    assert requests.get(httpd.url("/site"), timeout=60).status_code == 500
    assert requests.get(httpd.url("/site?process_group=f"), timeout=60).status_code == 500
    httpd.expect("WSGI0209", ": f")


def test_the_group_that_a_dispatch_script_chooses_must_exist(httpd: Httpd, mode: str) -> None:
    more = "<VirtualHost *:1>\nServerName other\nWSGIDaemonProcess hidden\n</VirtualHost>"
    cases = [("nobody", "WSGI0207"), ("hidden", "WSGI0208")]
    if mode == "daemon":  # else the script itself could not run
        more += "\nWSGIRestrictEmbedded On"
        cases.append(("", "WSGI0206"))
    httpd.start(dispatch_conf(httpd, mode, more))
    for name, code in cases:
        assert requests.get(httpd.url(f"/site?process_group={name}"), timeout=60).status_code == 500
        httpd.expect(code)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("WSGIDispatchScript", "needs a file"),
        ("WSGIDispatchScript shop:dispatch", "expected a file"),
        ("WSGIDispatchScript {app}/hello.py callable-object=x", "is not valid"),
        ("WSGIDispatchScript {app}/hello.py process-group=nobody", "does not exist"),
    ],
)
def test_a_wrong_dispatch_script_fails_the_configuration_test(
    httpd: Httpd, line: str, part: str
) -> None:
    code, output = httpd.configtest(line)
    assert code != 0 and part in output, output
