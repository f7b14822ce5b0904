"""Where code may run: applications, handlers, hooks and imports pass one admission, and .htaccess
files choose no process group that the server's own configuration has not given them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from authsite import get, put, said, status
from harness import AS_ROOT, Httpd, wait_until

# Says where it ran; each kind of hook finds its function.
HOOK = """
import os
open({ran!r}, "a").write("x")
def allow_access(environ, host):
    return True
def check_password(environ, user, password):
    return True
def groups_for_user(environ, user):
    return ["staff"]
def callable_object(environ):
    return None
def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["mod_wsgi.process_group"].encode() or b"embedded"]
"""
KINDS = {
    "access": "WSGIAccessScript {script} {options}",
    "user": "AuthType Basic\nAuthName a\nAuthBasicProvider wsgi\n"
    "WSGIAuthUserScript {script} {options}\nRequire valid-user",
    "group": "AuthType Basic\nAuthName a\nAuthBasicProvider file\nAuthUserFile {root}/users\n"
    "WSGIAuthGroupScript {script} {options}\nRequire wsgi-group staff",
}
PLACES = {
    "plain": "{lines}",
    "Files": "<Files page.txt>\n{lines}\n</Files>",
    "If": '<If "true">\n{lines}\n</If>',
}
MODULES = ("auth_basic", "authn_core", "authn_file", "authz_user", "rewrite", "setenvif")
CONF = """WSGIDaemonProcess bob threads=2
WSGIDaemonProcess other threads=2
DocumentRoot {root}/docs
<Directory {root}/docs>
    Require all granted
    AllowOverride {override}
    {more}
</Directory>
{outside}
"""


@pytest.fixture
def server(httpd: Httpd) -> Httpd:
    httpd.extra_modules = MODULES
    httpd.root.chmod(0o777)  # the hooks write there, as whoever they run
    put(httpd.root / "docs" / "page.txt", "the page")
    put(httpd.root / "users", "anna:{SHA}NWoZK3kTsExUV00Ywo1G5jlUKKs=\n")  # password 1
    put(httpd.app / "mine.py", HOOK.format(ran=str(httpd.root / "ran")))
    return httpd


def lines(server: Httpd, kind: str, options: str) -> str:
    return KINDS[kind].format(script=server.app / "mine.py", root=server.root, options=options)


def placed(server: Httpd, kind: str, options: str, more: str = "") -> str:
    """A hook in the server's own configuration, which asks everybody."""
    return f"<Location /page.txt>\n{lines(server, kind, options)}\n{more}\n</Location>"


def start(
    server: Httpd, htaccess: str, override: str = "AuthConfig", more: str = "", outside: str = ""
) -> None:
    put(server.root / "docs" / ".htaccess", htaccess + "\n")
    conf = CONF
    for name, value in (("override", override), ("more", more), ("outside", outside)):
        conf = conf.replace("{" + name + "}", value)
    server.start(conf)


def has_run(server: Httpd) -> bool:
    return (server.root / "ran").exists()


# ---- hooks in .htaccess files ----


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("options", ["process-group=bob", "", "process-group=%{GLOBAL}"])
@pytest.mark.parametrize("kind", KINDS)
def test_htaccess_runs_no_hook_anywhere(server: Httpd, kind: str, options: str, place: str) -> None:
    start(server, PLACES[place].format(lines=lines(server, kind, options)))
    assert status(server, "/page.txt", ("anna", "1")) == 500
    assert "mine.py" in server.expect("WSGI0250", ".htaccess:")
    server.expect("WSGI0231")
    assert not has_run(server)


@pytest.mark.parametrize("options", ["process-group=bob", ""])
@pytest.mark.parametrize("kind", KINDS)
def test_htaccess_chooses_no_group_that_is_not_listed(
    server: Httpd, kind: str, options: str
) -> None:
    start(server, lines(server, kind, options), more="WSGIRestrictProcess other")
    assert status(server, "/page.txt", ("anna", "1")) == 500
    server.expect("WSGI0209")
    server.expect("WSGI0231")
    assert not has_run(server)


@pytest.mark.parametrize(
    ("group", "options"),
    [("bob", "process-group=bob"), ("%{GLOBAL}", ""), ("%{HOST} bob", "process-group=bob")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_htaccess_chooses_a_group_that_is_listed(
    server: Httpd, kind: str, group: str, options: str
) -> None:
    start(server, lines(server, kind, options), more=f"WSGIRestrictProcess other {group}")
    assert status(server, "/page.txt", ("anna", "1")) == 200
    assert has_run(server)


# ---- hooks of the server's own configuration ----


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_obey_the_list_of_groups(server: Httpd, kind: str) -> None:
    start(
        server, "", outside=placed(server, kind, "process-group=bob", "WSGIRestrictProcess other")
    )
    assert status(server, "/page.txt", ("anna", "1")) == 500
    server.expect("WSGI0209", "bob")
    server.expect("WSGI0231")
    assert not has_run(server)


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_need_no_list_of_groups(server: Httpd, kind: str) -> None:
    start(server, "", outside=placed(server, kind, "process-group=bob"))
    assert status(server, "/page.txt", ("anna", "1")) == 200
    assert has_run(server)


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_do_not_run_in_apache_when_nothing_may(server: Httpd, kind: str) -> None:
    start(server, "", outside=placed(server, kind, "") + "\nWSGIRestrictEmbedded On")
    assert "mine.py" in server.expect("WSGI0255", "httpd.conf:")
    assert status(server, "/page.txt", ("anna", "1")) == 500
    server.expect("WSGI0206", "mine.py")
    server.expect("WSGI0231")
    assert not has_run(server)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("WSGIRestrictEmbedded On", "WSGI0206"),
        ("<Location />\nWSGIRestrictProcess bob\n</Location>", "WSGI0209"),
    ],
)
def test_dispatch_scripts_pass_the_same_admission(server: Httpd, more: str, code: str) -> None:
    start(
        server,
        "",
        outside=f"WSGIScriptAlias /app {{app}}/hello.py process-group=bob\n"
        f"WSGIDispatchScript {{app}}/mine.py\n{more}",
    )
    assert status(server, "/app") == 500
    server.expect(code, "mine.py")
    server.expect("WSGI0231")
    assert not has_run(server)


@pytest.mark.parametrize("restricted", [True, False])
def test_imports_do_not_run_in_apache_when_nothing_may(server: Httpd, restricted: bool) -> None:
    start(
        server,
        "",
        outside=f"WSGIRestrictEmbedded {'On' if restricted else 'Off'}\n"
        "WSGIImportScript {app}/mine.py process-group=%{GLOBAL} application-group=%{GLOBAL}",
    )
    assert status(server, "/page.txt") == 200
    if restricted:
        server.expect("WSGI0255", "WSGIImportScript")
        assert not has_run(server)
    else:
        wait_until(lambda: has_run(server), "the script is loaded")


@pytest.mark.skipif(not AS_ROOT, reason="the files need owners")
@pytest.mark.parametrize(
    "outside",
    [
        "WSGIScriptAlias /app {app}/mine.py process-group=strict",
        "WSGIScriptAlias /app {app}/mine.py process-group=strict application-group=%{GLOBAL}",
        "WSGIImportScript {app}/mine.py process-group=strict application-group=a",
    ],
)
def test_a_script_of_somebody_else_is_not_loaded_at_the_start(server: Httpd, outside: str) -> None:
    start(server, "", outside="WSGIDaemonProcess strict script-user=daemon\n" + outside)
    assert "mine.py belongs to uid 0" in server.expect("WSGI0254", "httpd.conf:")
    wait_until(lambda: len(server.workers()) >= 3, "the workers are ready")
    assert server.log_text().count("WSGI0254") == 1
    assert not has_run(server)


@pytest.mark.skipif(not AS_ROOT, reason="the files need owners")
def test_a_hook_of_somebody_else_is_not_run(server: Httpd) -> None:
    start(
        server,
        "",
        more=lines(server, "access", "process-group=strict"),
        outside="WSGIDaemonProcess strict script-user=daemon",
    )
    assert status(server, "/page.txt") == 403
    server.expect("WSGI0224", "mine.py")
    server.expect("WSGI0231")
    assert not has_run(server)


# ---- variables that .htaccess files set ----

BY_VARIABLE = """Options ExecCGI FollowSymLinks
WSGIProcessGroup %{{ENV:GROUP}}
AddHandler wsgi-script .py
{more}"""


@pytest.mark.parametrize(
    "setter",
    [
        "SetEnv GROUP bob",
        "SetEnvIf Request_URI . GROUP=bob",
        "RewriteEngine On\nRewriteRule . - [E=GROUP:bob]",
    ],
)
def test_variables_of_htaccess_choose_among_listed_groups_only(server: Httpd, setter: str) -> None:
    put(server.root / "docs" / "app.py", (server.app / "mine.py").read_text())
    start(server, setter, "FileInfo", BY_VARIABLE.format(more=""))
    assert status(server, "/app.py") == 500
    server.expect("WSGI0250", "app.py is not run in bob")
    assert not has_run(server)


@pytest.mark.parametrize(
    ("override", "more"),
    [("FileInfo", "WSGIRestrictProcess bob"), ("None", ""), ("AuthConfig", "")],
)
def test_variables_choose_a_group(server: Httpd, override: str, more: str) -> None:
    put(server.root / "docs" / "app.py", (server.app / "mine.py").read_text())
    htaccess = "SetEnv GROUP bob" if override == "FileInfo" else "AuthName a"
    own = "" if override == "FileInfo" else "SetEnv GROUP bob"
    start(server, htaccess, override, BY_VARIABLE.format(more=f"{more}\n{own}"))
    assert get(server, "/app.py").text == "bob"


def test_htaccess_runs_no_script_without_exec_cgi(server: Httpd) -> None:
    put(server.root / "docs" / "app.py", (server.app / "mine.py").read_text())
    start(server, "SetHandler wsgi-script", "FileInfo AuthConfig Indexes Limit")
    assert status(server, "/app.py") == 403
    server.expect("WSGI0202")
    assert not has_run(server)


# ---- what decides who is let in ----


@pytest.mark.parametrize("is_own", [True, False])
def test_htaccess_trusts_no_proxy_for_hooks(server: Httpd, is_own: bool) -> None:
    put(
        server.app / "mine.py",
        "def allow_access(environ, host):\n    return environ['REMOTE_ADDR'] == host == '192.0.2.1'\n",
    )
    trusting = "WSGITrustedProxyHeaders X-Forwarded-For\nWSGITrustedProxies 127.0.0.0/8"
    access = lines(server, "access", "process-group=bob")
    start(
        server, "" if is_own else trusting, "FileInfo", access + ("\n" + trusting if is_own else "")
    )
    code = get(server, "/page.txt", X_Forwarded_For="192.0.2.1").status_code
    if not is_own:
        server.expect("WSGI0232")
    assert code == (200 if is_own else 403)


# ---- the status ----

SHOWN = {
    "SetHandler": "SetHandler wsgi-status",
    "Files": "<Files page.txt>\nSetHandler wsgi-status\n</Files>",
    "If": '<If "true">\nSetHandler WSGI-Status\n</If>',
    "AddHandler": "AddHandler wsgi-status .txt",
    "AddType": "AddType wsgi-status .txt",
    "ForceType": "ForceType wsgi-status",
    "RewriteRule": "RewriteEngine On\nRewriteRule . - [H=wsgi-status]",
    "expression": 'SetHandler "%{tolower:WSGI-STATUS}"',
}


@pytest.mark.parametrize("how", SHOWN)
def test_htaccess_does_not_show_the_status(server: Httpd, how: str) -> None:
    start(server, SHOWN[how], "All")
    answer = get(server, "/page.txt")
    assert answer.status_code == 403 and "bob" not in answer.text
    server.expect("WSGI0252", "/page.txt")


@pytest.mark.parametrize("htaccess", ["", "SetHandler none", "AddHandler wsgi-status .txt"])
def test_the_own_configuration_shows_the_status(server: Httpd, htaccess: str) -> None:
    outside = "<Location /page.txt>\nSetHandler wsgi-status\nRequire local\n</Location>"
    start(server, htaccess, "FileInfo", outside=outside.replace("local", "all granted"))
    server.expect("WSGI0253", "httpd.conf:")
    assert "bob" in get(server, "/page.txt?format=json").text


def test_a_section_that_sets_another_handler_ends_the_status(server: Httpd) -> None:
    outside = "<Location />\nSetHandler wsgi-status\n</Location>\n<Location /page.txt>\nSetHandler none\n</Location>"
    start(server, "AddHandler wsgi-status .txt", "FileInfo", outside=outside)
    with said(server, "WSGI0252"):
        assert status(server, "/page.txt") == 403


def sections(*given: str) -> str:
    return "\n".join(
        f"<{head}>\n{body}\n</{head.split()[0]}>"
        for head, body in (text.split("|") for text in given)
    )


STATUS = "SetHandler wsgi-status"


@pytest.mark.parametrize(
    ("conf", "warned"),
    [
        (sections(f"Location /s|{STATUS}"), 1),
        (sections(f"Location /s|{STATUS}\nRequire all granted"), 1),
        (sections(f"Location /s|{STATUS}\nAllow from all"), 1),
        (sections(f"LocationMatch ^/s|{STATUS}"), 1),
        (sections(f"Location /s|{STATUS}", "Location /t|Require all denied"), 1),
        (sections(f"Location /s|{STATUS}\nRequire ip 192.0.2.1"), 0),
        (sections(f"Location /s|{STATUS}\nDeny from all"), 0),
        (sections(f"Location /s|{STATUS}\n<RequireAny>\nRequire user a\n</RequireAny>"), 0),
        (sections(f"Location /s|{STATUS}", "Location /|Require valid-user"), 0),
        (sections(f"Location /s|{STATUS}", "Location /s|Require local"), 0),
        (sections("Location /s|SetHandler server-status"), 0),
    ],
)
def test_configtest_warns_of_a_status_for_everybody(httpd: Httpd, conf: str, warned: int) -> None:
    httpd.extra_modules = ("authn_core", "authz_user", "authz_host", "access_compat")
    code, output = httpd.configtest(conf)
    assert code == 0, output
    assert output.count("WSGI0253") == warned, output


def test_the_access_script_of_the_tests_has_run(tmp_path: Path) -> None:
    """A control: loading the script leaves the mark that the tests above look for."""
    ran = tmp_path / "ran"
    exec(HOOK.format(ran=str(ran)), {})
    assert ran.read_text() == "x"
