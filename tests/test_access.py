"""Who is let in: WSGIAccessScript, for whatever Apache serves; and what all scripts that Apache
asks have in common.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from authsite import Site, change, get, put, said, shown, status
from harness import Httpd

# ---- WSGIAccessScript ----


@pytest.mark.parametrize("result", ["True", "None"])
def test_access_is_allowed(site: Site, result: str) -> None:
    assert get(site, f"/access/page.txt?{result}").text == "the page"


def test_access_is_refused(site: Site) -> None:
    with said(site, "WSGI0232", "page.txt", "allow_access() of", "auth.py", "httpd.conf:"):
        assert status(site, "/access/page.txt?False") == 403


@pytest.mark.parametrize(
    ("result", "part"),
    [
        ("one", "returned 1"),
        ("zero", "returned 0"),
        ("empty", "an empty str"),
        ("match", "of type Match"),
    ],
)
def test_access_needs_true_false_or_none(site: Site, result: str, part: str) -> None:
    with said(
        site,
        "WSGI0813",
        f"allow_access() of {site.app}/auth.py",
        part,
        "True (allowed",
        "None (no opinion)",
    ):
        assert status(site, f"/access/page.txt?{result}") == 403


def test_a_value_that_is_merely_true_is_explained(site: Site) -> None:
    with said(site, "WSGI0813", "return bool(...)"):
        assert status(site, "/access/page.txt?match") == 403


@pytest.mark.parametrize(
    ("how", "part"), [("raises", "ValueError: boom"), ("exits", "SystemExit: 3")]
)
def test_access_is_refused_when_the_script_fails(site: Site, how: str, part: str) -> None:
    with said(site, "WSGI0812", "allow_access()", "raised"):
        assert status(site, f"/access/page.txt?{how}") == 403
    site.expect(part)
    assert status(site, "/access/page.txt?True") == 200


def test_access_is_refused_without_the_function(site: Site) -> None:
    with said(
        site, "WSGI0811", "allow_access()", "it defines Callable, application, instance, other"
    ):
        assert status(site, "/access/nothing/page.txt") == 403


def test_access_is_refused_when_the_script_cannot_be_loaded(site: Site) -> None:
    with said(site, "WSGI0810", "missing.py", "FileNotFoundError"):
        assert status(site, "/access/missing/page.txt") == 403


def test_access_scripts_allow_nothing_that_require_denies(site: Site) -> None:
    assert status(site, "/access/denied/page.txt?True") == 403


def test_access_scripts_are_asked_for_applications(site: Site) -> None:
    assert get(site, "/access/app/x?True").json()["PATH_INFO"] == "/x"
    with said(site, "WSGI0232"):
        assert status(site, "/access/app/x?False") == 403
    assert "WSGI0201" not in site.log_text()


def test_access_scripts_are_asked_for_proxied_content(site: Site) -> None:
    assert get(site, "/access/proxied?True").text == "the page"
    with said(site, "WSGI0232"):
        assert status(site, "/access/proxied?False") == 403


def test_access_scripts_are_asked_for_parts_of_a_page(site: Site) -> None:
    with said(site, "WSGI0232"):
        text = get(site, "/parts.shtml").text
    assert text.startswith("[the page|") and text.count("the page") == 1


def test_a_password_may_let_in_whom_the_access_script_refuses(site: Site) -> None:
    path = "/access/satisfied/page.txt"
    before = site.log_text().count("WSGI0232")
    assert status(site, f"{path}?True") == 200
    assert status(site, f"{path}?False") == 401
    assert status(site, f"{path}?False", ("anna", "anna"[::-1])) == 200
    assert site.log_text().count("WSGI0232") == before


def test_an_access_script_may_be_a_function_of_a_module(site: Site) -> None:
    assert status(site, "/access/module/page.txt?yes") == 200
    with said(site, "WSGI0232", "shop_access:Rules.allow"):
        assert status(site, "/access/module/page.txt?no") == 403


def test_an_access_script_has_its_interpreter(site: Site) -> None:
    get(site, "/access/page.txt?environ")
    assert shown(site)["mod_wsgi.application_group"] == ""
    get(site, "/access/interpreter/page.txt?environ")
    assert shown(site)["mod_wsgi.application_group"].startswith("localhost")


# ---- what the functions see ----


def test_the_environ_of_an_access_script(site: Site) -> None:
    get(
        site,
        "/access/page.txt?environ",
        ("anna", "secret"),
        Proxy="http://evil/",
        Proxy_Authorization="Basic x",
        X_Shop="open",
    )
    environ = shown(site)
    assert environ["host"] == environ["REMOTE_ADDR"] == "127.0.0.1"
    assert (environ["REQUEST_METHOD"], environ["QUERY_STRING"], environ["SERVER_PROTOCOL"]) == (
        "GET",
        "environ",
        "HTTP/1.1",
    )
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == (
        "/access/page.txt",
        "",
        "/access/page.txt?environ",
    )
    assert environ["DOCUMENT_ROOT"] == str(site.root / "docs") and environ["HTTP_X_SHOP"] == "open"
    assert (
        environ["SERVER_SIGNATURE"] == ""
        and environ["SERVER_PORT"] == str(site.port)
        and environ["SERVER_NAME"]
    )
    assert environ["mod_wsgi.version"] == [6, 1, 1] and environ["apache.version"][0] == 2
    assert environ["mod_wsgi.process_group"] == ("d" if site.mode == "daemon" else "")
    assert environ["wsgi.errors"] == "Log" and environ["https"] == 0 and environ["cipher"] is None
    hidden = {
        "HTTP_AUTHORIZATION",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_PROXY",
        "SECRET",
        "REMOTE_USER",
        "AUTH_TYPE",
        "REMOTE_HOST",
    }
    absent = {
        "wsgi.input",
        "wsgi.version",
        "wsgi.url_scheme",
        "mod_wsgi.callable_object",
        "SCRIPT_FILENAME",
    }
    assert not (hidden | absent) & set(environ)


def test_path_info_is_split_from_the_script_name(site: Site) -> None:
    get(site, "/access/app/more?environ")
    environ = shown(site)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/access/app", "/more")


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_what_a_tls_connection_has_to_say(site: Site) -> None:
    requests.get(f"https://localhost:{site.tls}/access/page.txt?environ", verify=False, timeout=60)
    environ = shown(site)
    assert environ["https"] == 1 and environ["cipher"]


def test_the_name_of_the_client_when_it_is_looked_up(site: Site) -> None:
    get(site, "/access/named/page.txt?environ")
    environ = shown(site)
    assert (
        environ["host"] == environ["REMOTE_HOST"] == "localhost"
        and environ["REMOTE_ADDR"] == "127.0.0.1"
    )


def test_trusted_proxies_name_the_client(site: Site) -> None:
    get(
        site,
        "/access/trusting/page.txt?environ",
        X_Forwarded_For="192.0.2.1",
        X_Forwarded_Host="shop.example.com",
    )
    environ = shown(site)
    assert (
        environ["host"] == environ["REMOTE_ADDR"] == "192.0.2.1"
        and environ["HTTP_HOST"] == "shop.example.com"
    )


def test_nobody_names_the_client_when_it_is_not_said_who_may(site: Site) -> None:
    get(site, "/access/anybody/page.txt?environ", X_Forwarded_For="192.0.2.1")
    environ = shown(site)
    assert environ["host"] == environ["REMOTE_ADDR"] == "127.0.0.1"


def test_what_belongs_to_the_request_ends_with_the_call(site: Site) -> None:
    assert status(site, "/access/page.txt?environ") == 200
    if site.mode == "daemon":
        assert status(site, "/access/page.txt?late") == 200  # the same process: the group has one
    with said(site, "LATE", "the request is over"):
        assert status(site, "/access/page.txt?late") == 200


def test_output_goes_to_the_log_of_the_request(site: Site) -> None:
    assert status(site, "/access/page.txt?errors") == 200
    for text in ("to errors", "to stderr", "without newline"):
        assert "[client 127.0.0.1" in site.expect(text)


# ---- where it runs ----


def test_questions_of_many_requests_do_not_mix(site: Site) -> None:
    def ask(number: int) -> str:
        return str(
            get(site, "/basic/app", (f"user{number}", f"user{number}"[::-1])).json()["REMOTE_USER"]
        )

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(200))) == [f"user{number}" for number in range(200)]


def test_scripts_in_apache_itself_may_see_its_request(httpd: Httpd) -> None:
    put(httpd.root / "docs" / "page.txt", "the page")
    httpd.start("""DocumentRoot {root}/docs
    <Location />
        Require all granted
        WSGIPassApacheRequest On
        WSGIAccessScript {app}/auth.py
    </Location>""")
    assert status(httpd, "/page.txt?environ") == 200
    assert shown(httpd)["apache.request_rec"] == "PyCapsule"
    assert status(httpd, "/page.txt?False") == 403
    httpd.expect("WSGI0232")


def test_a_changed_script_is_loaded_again_where_it_is(httpd: Httpd, mode: str) -> None:
    text = "import os\ndef allow_access(environ, host):\n    print('PID', os.getpid())\n    return RESULT\n"
    script = put(httpd.app / "access.py", text.replace("RESULT", "True"))
    put(httpd.root / "docs" / "page.txt", "the page")
    group = "process-group=d" if mode == "daemon" else ""
    httpd.start(f"""ServerLimit 1
    WSGIDaemonProcess d threads=2
    DocumentRoot {{root}}/docs
    <Location />
        Require all granted
        WSGIAccessScript {{app}}/access.py {group}
    </Location>
    <Location /page.txt/kept>
        WSGIScriptReloading Off
    </Location>""")
    assert status(httpd, "/page.txt") == 200
    before = httpd.expect("PID").split("PID")[1].split()[0]
    change(script, text.replace("RESULT", "False"))
    assert status(httpd, "/page.txt/kept") == 404
    assert status(httpd, "/page.txt") == 403
    httpd.expect("WSGI0232")
    assert httpd.expect("PID").split("PID")[1].split()[0] == before


def test_a_changed_module_is_loaded_again(httpd: Httpd, mode: str) -> None:
    text = "def allow(environ, host):\n    return RESULT\n"
    module = put(httpd.root / "library" / "rules.py", text.replace("RESULT", "True"))
    put(httpd.root / "docs" / "page.txt", "the page")
    group = "process-group=d" if mode == "daemon" else ""
    httpd.start(f"""ServerLimit 1
    WSGIDaemonProcess d threads=2 python-path={{root}}/library
    WSGIPythonPath {{root}}/library
    DocumentRoot {{root}}/docs
    <Location />
        Require all granted
        WSGIAccessScript rules:allow {group}
    </Location>""")
    assert status(httpd, "/page.txt") == 200
    change(module, text.replace("RESULT", "False"))
    assert status(httpd, "/page.txt") == 403
    httpd.expect("WSGI0232", "rules:allow")


def htaccess(httpd: Httpd, lines: str, override: str = "AuthConfig") -> None:
    put(httpd.root / "docs" / "page.txt", "the page")
    put(httpd.root / "docs" / ".htaccess", lines.replace("{app}", str(httpd.app)))
    httpd.start(f"""WSGIDaemonProcess d threads=2
    DocumentRoot {{root}}/docs
    <Directory {{root}}/docs>
        Require all granted
        AllowOverride {override}
        WSGIRestrictProcess d nobody %{{GLOBAL}}
    </Directory>""")


def test_access_scripts_in_htaccess_files(httpd: Httpd, mode: str) -> None:
    htaccess(httpd, "WSGIAccessScript {app}/auth.py " + "process-group=d" * (mode == "daemon"))
    assert status(httpd, "/page.txt?True") == 200
    assert status(httpd, "/page.txt?False") == 403
    httpd.expect("WSGI0232", ".htaccess:1")


def test_access_scripts_in_htaccess_files_need_to_be_allowed(httpd: Httpd) -> None:
    htaccess(httpd, "WSGIAccessScript {app}/auth.py", "FileInfo")
    assert status(httpd, "/page.txt?True") == 500


def test_a_group_that_does_not_exist_lets_nobody_in(httpd: Httpd) -> None:
    htaccess(httpd, "WSGIAccessScript {app}/auth.py process-group=nobody")
    assert status(httpd, "/page.txt?True") == 500
    httpd.expect("WSGI0207", "nobody")
    httpd.expect("WSGI0231", "status 500")


def test_a_worker_that_dies_lets_nobody_in(httpd: Httpd) -> None:
    htaccess(httpd, "WSGIAccessScript {app}/auth.py process-group=d")
    assert status(httpd, "/page.txt?dies") == 502
    httpd.expect("WSGI0310")
    httpd.expect("WSGI0702", "status 9")
    httpd.expect("WSGI0231", "auth.py")
    assert status(httpd, "/page.txt?True") == 200


def test_a_worker_that_is_silent_lets_nobody_in(site: Site) -> None:
    with said(site, "WSGI0231", "status 504"):
        assert status(site, "/access/impatient/page.txt?hangs") == 504
    site.expect("WSGI0311")


def apache_processes(httpd: Httpd) -> list[int]:
    assert httpd.process
    parent = httpd.process.pid
    children = [
        int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ]
    return [
        pid
        for pid in [parent, *children]
        if Path(f"/proc/{pid}/exe").resolve() == Path(f"/proc/{parent}/exe").resolve()
    ]


def test_apache_loads_no_python_when_all_scripts_run_in_groups(httpd: Httpd) -> None:
    httpd.extra_modules = ("auth_basic", "authn_core", "authz_user")
    put(httpd.app / "dispatch.py", "def callable_object(environ):\n    return 'application'\n")
    httpd.start("""WSGIRestrictEmbedded On
    WSGIDaemonProcess d threads=2
    WSGIScriptAlias / {app}/environ.py process-group=d
    WSGIDispatchScript {app}/dispatch.py process-group=d
    <Location />
        AuthType Basic
        AuthName shop
        AuthBasicProvider wsgi
        WSGIAccessScript {app}/auth.py process-group=d
        WSGIAuthUserScript {app}/auth.py process-group=d
        WSGIAuthGroupScript {app}/auth.py process-group=d
        Require wsgi-group staff
    </Location>""")
    assert get(httpd, "/?True", ("anna", "True")).json()["REMOTE_USER"] == "anna"
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in apache_processes(httpd)]
    assert len(maps) > 1 and all("mod_wsgi.so" in text for text in maps)
    assert not [text for text in maps if "libpython" in text or "_runtime" in text]
