"""Who gets the Authorization header, and what is said to whom does not."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest
import requests
from conftest import conf_for
from harness import Httpd, wait_until

BASIC = "AuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile {root}/users\nRequire valid-user\n"
ANSWER_401 = '{"status":"401 Unauthorized","headers":[["WWW-Authenticate","Basic realm=x"]]}'
MODULES = ("auth_basic", "authn_core", "authn_file", "authz_user", "rewrite")


@pytest.fixture
def server() -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=MODULES)
    digest = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
    (httpd.root / "users").write_text(f"joe:{{SHA}}{digest}\n")
    yield httpd
    httpd.finish()


def sees_header(httpd: Httpd, path: str) -> bool:
    response = requests.get(httpd.url(path), auth=("joe", "secret"), timeout=60)
    assert response.status_code == 200
    return "HTTP_AUTHORIZATION" in response.json()


@pytest.mark.parametrize(
    ("section", "passed"),
    [
        ("", True),
        ("AuthType None\nRequire all granted", True),
        (BASIC, False),
        (BASIC + "WSGIPassAuthorization On", True),
        (BASIC + "CGIPassAuth On", True),
        ("WSGIPassAuthorization Off", False),
        ("CGIPassAuth Off", False),
        ("WSGIPassAuthorization On\nCGIPassAuth Off", True),
        (
            "AuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile {root}/users\nRequire all granted",
            False,
        ),
    ],
)
def test_the_header_is_passed_unless_apache_authenticates(
    server: Httpd, mode: str, section: str, passed: bool
) -> None:
    server.start(
        "ServerLimit 1\n" + conf_for(mode, "kitchen.py") + f"\n<Location />\n{section}\n</Location>"
    )
    assert sees_header(server, "/environ") is passed


@pytest.mark.parametrize(("flag", "passed"), [("On", True), ("Off", False)])
def test_an_alias_decides_against_its_section(
    server: Httpd, mode: str, flag: str, passed: bool
) -> None:
    other = "Off" if passed else "On"
    alias = conf_for(mode, "kitchen.py") + f" pass-authorization={flag}"
    server.start(
        f"ServerLimit 1\n{alias}\n<Location />\nWSGIPassAuthorization {other}\n</Location>"
    )
    assert sees_header(server, "/environ") is passed


def test_the_header_stays_hidden_behind_an_internal_redirect_of_an_authenticated_request(
    server: Httpd, mode: str
) -> None:
    (server.root / "htdocs" / "private").mkdir(parents=True)
    server.start(
        f"ServerLimit 1\nDocumentRoot {{root}}/htdocs\n{conf_for(mode, 'kitchen.py', '/app')}\n"
        f"<Directory {{root}}/htdocs/private>\n{BASIC}RewriteEngine On\nRewriteRule ^(.*)$ /app/$1\n</Directory>"
    )
    assert sees_header(server, "/private/environ") is False
    assert sees_header(server, "/app/environ") is True


def test_an_application_that_misses_the_header_is_explained_once_per_virtual_host(
    server: Httpd, mode: str
) -> None:
    group, _, alias = conf_for(mode, "reply.py").rpartition("\n")
    hosts = "".join(
        f"<VirtualHost *:{{port}}>\nServerName {name}.example\nErrorLog {{root}}/{name}.log\n{alias}\n"
        f"<Location />\n{section}\n</Location>\n</VirtualHost>\n"
        for name, section in (("one", BASIC), ("two", "WSGIPassAuthorization Off"), ("three", ""))
    )
    server.start(f"ServerLimit 1\n{group}\n{hosts}")
    for name in ("one", "two", "three"):
        for auth in (None, ("joe", "secret"), ("joe", "secret")):
            response = requests.get(
                server.url("/"),
                params=ANSWER_401,
                auth=auth,
                headers={"Host": f"{name}.example"},
                timeout=20,
            )
            assert response.status_code == 401
    logs = [server.root / f"{name}.log" for name in ("one", "two", "three")]
    wait_until(
        lambda: all("WSGI0270" in log.read_text() for log in logs[:2]),
        "the explanations are logged",
    )
    one, two, three = (log.read_text() for log in logs)
    assert one.count("WSGI0270") == 1 and "AuthType" in one
    assert two.count("WSGI0270") == 1 and "WSGIPassAuthorization is Off here" in two
    assert "WSGI0270" not in three
