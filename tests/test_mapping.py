"""Which URL leads to which script, and what happens when it must not run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, wait_until

import httpd_wsgi

DAEMON = "WSGIDaemonProcess d processes=1 threads=2\n"


def get(server: Httpd, path: str, host: str = "localhost") -> requests.Response:
    return requests.get(server.url(path), headers={"Host": host}, timeout=60)


def test_hello_world_in_a_virtual_host(httpd: Httpd, mode: str) -> None:
    group = "WSGIProcessGroup d" if mode == "daemon" else ""
    httpd.start(f"""{DAEMON}
    <VirtualHost *:{{port}}>
        ServerName www.example.com
        WSGIScriptAlias /hello {{app}}/hello.py
        {group}
    </VirtualHost>""")
    response = get(httpd, "/hello?name=world", "www.example.com")
    assert (response.status_code, response.text) == (200, "Hello World!")
    assert get(httpd, "/hellothere", "www.example.com").status_code == 404
    assert get(httpd, "/hello/deeper", "www.example.com").status_code == 200


def test_directory_alias(httpd: Httpd) -> None:
    httpd.start("WSGIScriptAlias /d/ {app}/")
    assert get(httpd, "/d/hello.py").text == "Hello World!"
    environ = get(httpd, "/d/kitchen.py/environ").json()
    assert (environ["SCRIPT_NAME"][1], environ["PATH_INFO"][1]) == ("/d/kitchen.py", "/environ")
    assert get(httpd, "/d/").status_code == 403
    httpd.expect("WSGI0204")
    assert get(httpd, "/d/nothing.py").status_code == 404
    httpd.expect("WSGI0203")


def test_alias_match(httpd: Httpd) -> None:
    httpd.start("WSGIScriptAliasMatch ^/m/([a-z]+) {app}/$1.py")
    assert get(httpd, "/m/hello").text == "Hello World!"
    environ = get(httpd, "/m/kitchen/environ").json()
    assert (environ["SCRIPT_NAME"][1], environ["PATH_INFO"][1]) == ("/m/kitchen", "/environ")


def test_the_first_alias_that_matches_wins(httpd: Httpd) -> None:
    httpd.start(
        "WSGIScriptAlias /a {app}/hello.py callable-object=other\nWSGIScriptAlias / {app}/hello.py"
    )
    assert get(httpd, "/a/x").text == "other"
    assert get(httpd, "/b").text == "Hello World!"


def test_set_handler_needs_exec_cgi(httpd: Httpd) -> None:
    httpd.start("""
    Alias /yes {app}/
    Alias /no {root}/no/
    <Directory {app}>
        Options +ExecCGI
        <Files hello.py>
            SetHandler wsgi-script
        </Files>
        AddHandler wsgi-script .wsgi
    </Directory>
    <Directory {root}/no>
        Require all granted
        AddHandler wsgi-script .py
    </Directory>""")
    (httpd.app / "added.wsgi").write_text((httpd.app / "hello.py").read_text())
    (httpd.root / "no").mkdir(mode=0o755)
    (httpd.root / "no" / "hello.py").write_text((httpd.app / "hello.py").read_text())
    assert get(httpd, "/yes/hello.py").text == "Hello World!"
    assert get(httpd, "/yes/added.wsgi/info").text == "Hello World!"
    assert get(httpd, "/no/hello.py").status_code == 403
    assert "ExecCGI" in httpd.expect("WSGI0202")


def test_an_alias_decides_against_a_suffix_and_set_handler_against_an_alias(
    httpd: Httpd, mode: str
) -> None:
    httpd.start(
        conf_for(mode, "hello.py")
        + "\nAddHandler default-handler .py\n<Location /as-text>\nSetHandler default-handler\n</Location>"
        + "\n<Location /none>\nSetHandler None\n</Location>"
    )
    assert get(httpd, "/x").text == get(httpd, "/none").text == "Hello World!"
    assert get(httpd, "/as-text").status_code == 404


def test_a_slash_too_many_in_an_alias_is_explained(httpd: Httpd) -> None:
    httpd.start("WSGIScriptAlias /blog/ {app}/hello.py")
    assert get(httpd, "/blog/").text == "Hello World!"
    assert get(httpd, "/blog/2024").status_code == 404
    assert "hello.py2024 does not exist; the URL path of its alias ends with /" in httpd.expect(
        "WSGI0203"
    )


@pytest.mark.parametrize("options", ["", " application-group=a"])
def test_only_the_script_of_a_target_is_loaded_early(httpd: Httpd, options: str) -> None:
    httpd.start(
        DAEMON
        + "".join(
            f"WSGIScriptAlias {target} process-group=d{options}\n"
            for target in ("/shop {app}/kitchen.py/environ", "/scripts {app}", "/tools/ {app}/")
        )
    )
    environ = get(httpd, "/shop").json()
    assert (environ["SCRIPT_NAME"][1], environ["PATH_INFO"][1]) == ("/shop", "/environ")
    assert (
        get(httpd, "/scripts/hello.py").text == get(httpd, "/tools/hello.py").text == "Hello World!"
    )
    wait_until(lambda: bool(httpd.workers()), "a worker is ready")
    assert "WSGI0415" not in httpd.log_text()


@pytest.mark.parametrize("where", ["server", "directory", "htaccess", "option"])
def test_callable_object(httpd: Httpd, mode: str, where: str) -> None:
    directive = "WSGICallableObject instance"
    conf = conf_for(mode, "hello.py") + (" callable-object=instance" if where == "option" else "")
    if where == "server":
        conf += "\n" + directive
    if where == "directory":
        conf += f"\n<Directory {{app}}>\n{directive}\n</Directory>"
    if where == "htaccess":
        (httpd.app / ".htaccess").write_text(directive + "\n")
        conf += "\n<Directory {app}>\nAllowOverride FileInfo\n</Directory>"
    httpd.start(conf)
    assert get(httpd, "/").text == "object"


def test_a_callable_that_only_htaccess_names_is_no_mistake_when_processes_start(
    httpd: Httpd,
) -> None:
    (httpd.app / "named.py").write_text(
        "def shop(e, s):\n    s('200 OK', [])\n    return [b'yes']\n"
    )
    (httpd.app / ".htaccess").write_text("  WSGICallableObject shop\n")
    allowed = "\n<Directory {app}>\nAllowOverride FileInfo\n</Directory>"
    httpd.start(DAEMON + "WSGIScriptAlias / {app}/named.py process-group=d" + allowed)
    assert get(httpd, "/").text == "yes"
    wait_until(lambda: bool(httpd.workers()), "a worker is ready")
    assert "WSGI0403" not in httpd.log_text()


def test_python_path(httpd: Httpd, mode: str) -> None:
    library = httpd.root / "library"
    library.mkdir(mode=0o755)
    (library / "shop_module.py").write_text("GREETING = b'from the library'\n")
    (library / "more.pth").write_text(str(httpd.root / "more") + "\n")
    (httpd.root / "more").mkdir(mode=0o755)
    (httpd.root / "more" / "shop_more.py").write_text("")
    (httpd.app / "uses.py").write_text(
        "import shop_module, shop_more\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [shop_module.GREETING]\n"
    )
    conf = conf_for(mode, "uses.py").replace("threads=4", "threads=4 python-path={root}/library")
    httpd.start(conf if mode == "daemon" else conf + "\nWSGIPythonPath {root}/library")
    assert get(httpd, "/").text == "from the library"


def test_a_missing_callable_is_explained(httpd: Httpd, mode: str) -> None:
    httpd.start(conf_for(mode, "hello.py") + "\nWSGICallableObject app")
    assert get(httpd, "/").status_code == 404
    record = httpd.expect("WSGI0403")
    assert (
        "'app'" in record
        and "application" in record
        and "instance" not in record.split("defines")[0]
    )


def test_a_syntax_error_gives_500_and_its_traceback_and_hurts_nothing_else(
    httpd: Httpd, mode: str
) -> None:
    (httpd.app / "broken.py").write_text("def application(:\n")
    conf = (
        conf_for(mode, "hello.py", "/good")
        + "\n"
        + conf_for(mode, "broken.py", "/bad").splitlines()[-1]
    )
    httpd.start(conf)
    assert get(httpd, "/bad").status_code == 500
    httpd.expect("WSGI0404")
    httpd.expect("SyntaxError")
    if mode == "daemon":
        httpd.expect("WSGI0415")
    assert get(httpd, "/good").text == "Hello World!"


def test_a_directory_without_require_is_explained(httpd: Httpd, mode: str) -> None:
    closed = httpd.root / "closed"
    closed.mkdir(mode=0o755)
    (closed / "hello.py").write_text((httpd.app / "hello.py").read_text())
    conf = conf_for(mode, "hello.py").replace("{app}", "{root}/closed")
    httpd.start(
        "ServerLimit 1\n" + conf + "\n<Directory {root}/closed>\nRequire all denied\n</Directory>"
    )
    assert get(httpd, "/").status_code == 403
    record = httpd.expect("WSGI0201")
    assert str(closed) in record and "Require all granted" in record
    assert get(httpd, "/").status_code == 403
    assert httpd.log_text().count("WSGI0201") == 1


def test_restrict_embedded(httpd: Httpd) -> None:
    httpd.start("WSGIRestrictEmbedded On\nWSGIScriptAlias / {app}/hello.py")
    assert get(httpd, "/").status_code == 500
    httpd.expect("WSGI0206")


def test_an_unknown_group_is_explained(httpd: Httpd) -> None:
    httpd.start("WSGIScriptAlias / {app}/hello.py process-group=nobody")
    assert get(httpd, "/").status_code == 500
    assert "WSGIDaemonProcess nobody" in httpd.expect("WSGI0207")


def test_a_group_of_another_virtual_host_is_refused(httpd: Httpd) -> None:
    httpd.start("""
    <VirtualHost *:{port}>
        ServerName one.example.com
        WSGIDaemonProcess one threads=1
    </VirtualHost>
    <VirtualHost *:{port}>
        ServerName two.example.com
        WSGIScriptAlias / {app}/hello.py process-group=one
    </VirtualHost>""")
    assert get(httpd, "/", "two.example.com").status_code == 500
    httpd.expect("WSGI0208")


@pytest.mark.parametrize(
    ("conf", "parts"),
    [
        ("WSGIDaemonProcess d thread=5", ["unknown option 'thread'", "did you mean threads"]),
        ("WSGIDaemonProcess d threads=abc", ["threads=abc is not a number from 0 to 10000"]),
        ("WSGIDaemonProcess d threads=5s", ["threads=5s is not a number"]),
        ("WSGIDaemonProcess d threads = 5", ["no space around the ="]),
        ("WSGIDaemonProcess d processes=0", ["processes=0", "processes=1"]),
        ("WSGIDaemonProcess d user=root", ["must not run as root"]),
        ("WSGIDaemonProcess d home=relative", ["absolute path"]),
        ("WSGIDaemonProcess d umask=99", ["octal"]),
        ("WSGIDaemonProcess", ["name"]),
        ("WSGIScriptAlias /a {app}/hello.py proces-group=x", ["did you mean process-group="]),
        ("WSGIScriptAlias /a", ["needs a URL path and a file"]),
        ("WSGIScriptAliasMatch ( {app}/hello.py", ["not a valid regular expression"]),
        ("WSGIPassAuthorization maybe", ["On or Off"]),
        ("WSGIMapHEADToGET maybe", ["expected On, Off or Auto"]),
        (
            "<VirtualHost *:80>\nWSGIPythonHome /usr\n</VirtualHost>",
            ["WSGIPythonHome", "VirtualHost"],
        ),
        (
            "<Directory /tmp>\nWSGIScriptAlias /a {app}/hello.py\n</Directory>",
            ["WSGIScriptAlias not allowed"],
        ),
    ],
)
def test_a_wrong_directive_fails_configtest(httpd: Httpd, conf: str, parts: list[str]) -> None:
    code, output = httpd.configtest(conf)
    assert code != 0 and f"{httpd.root}/httpd.conf" in output
    for part in parts:
        assert part in output


def test_the_server_banner_names_the_module_where_server_tokens_allow(httpd: Httpd) -> None:
    httpd.start("ServerTokens Full\nWSGIScriptAlias / {app}/hello.py")
    assert f"httpd-wsgi/{httpd_wsgi.__version__}" in get(httpd, "/").headers["Server"]


# ---- SCRIPT_NAME and PATH_INFO ----

PATHS = """
WSGIDaemonProcess d threads=2
{group}
MergeSlashes Off
<VirtualHost *:{port}>
    ServerName root
    WSGIScriptAlias / {app}/environ.py/updates
</VirtualHost>
<VirtualHost *:{port}>
    ServerName other
    AllowEncodedSlashes On
    WSGIScriptAlias /tail {app}/environ.py/updates
    WSGIScriptAlias /app {app}/environ.py
    WSGIScriptAlias /files/ {app}/
    AliasMatch ^/handled(.*)$ {app}/handled.xyz$1
    <Directory {app}>
        AddHandler wsgi-script .xyz
        Options +ExecCGI
    </Directory>
    RewriteEngine On
    RewriteRule ^/short$ {app}/handled.xyz/a/longer/path [L]
    RewriteRule ^/common/path$ {app}/handled.xyz/a/longer/path [L]
    RewriteRule ^/partly/xpath$ {app}/handled.xyz/path [L]
</VirtualHost>
"""


@pytest.fixture(scope="module", params=list(MODES))
def paths(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    server = Httpd(extra_modules=("rewrite",))
    (server.app / "handled.xyz").write_text((server.app / "environ.py").read_text())
    group = "WSGIProcessGroup d" if request.param == "daemon" else ""
    server.start(PATHS.replace("{group}", group))
    yield server
    server.finish()


@pytest.mark.parametrize(
    ("host", "url", "script_name", "path_info"),
    [
        ("root", "/x", "", "/updates/x"),
        ("root", "/", "", "/updates/"),
        ("root", "/x//y", "", "/updates/x/y"),
        ("root", "//x", "", "/updates/x"),
        ("other", "/tail", "/tail", "/updates"),
        ("other", "/tail/", "/tail", "/updates/"),
        ("other", "/tail/x", "/tail", "/updates/x"),
        ("other", "/app", "/app", ""),
        ("other", "/app/", "/app", "/"),
        ("other", "/app/x", "/app", "/x"),
        ("other", "/app//x//y", "/app", "/x/y"),
        ("other", "/app///x", "/app", "/x"),
        ("other", "/app/x/", "/app", "/x/"),
        ("other", "/app/app", "/app", "/app"),
        ("other", "/app/%2F%2Fx", "/app", "/x"),
        ("other", "/app/x%2Fy", "/app", "/x/y"),
        ("other", "/files/environ.py", "/files/environ.py", ""),
        ("other", "/files/environ.py//x", "/files/environ.py", "/x"),
        ("other", "/handled/x", "/handled", "/x"),
        ("other", "/handled//x", "/handled", "/x"),
        ("other", "/short", "/short", "/a/longer/path"),
        ("other", "/common/path", "/common", "/a/longer/path"),
        ("other", "/partly/xpath", "/partly/xpath", "/path"),
    ],
)
def test_script_name_is_what_is_before_the_common_tail(
    paths: Httpd, host: str, url: str, script_name: str, path_info: str
) -> None:
    with socket.create_connection(("127.0.0.1", paths.port)) as client:
        client.sendall(f"GET {url} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        data = b"".join(iter(lambda: client.recv(65536), b""))
    told = json.loads(data.partition(b"\r\n\r\n")[2])
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == (script_name, path_info)
    assert (told["mod_wsgi.script_name"], told["mod_wsgi.path_info"]) == (script_name, path_info)
