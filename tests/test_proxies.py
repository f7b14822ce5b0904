"""WSGITrustedProxies and WSGITrustedProxyHeaders. The peer of every request here is 127.0.0.1."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd

CLIENT = "X-Forwarded-For X-Client-IP X-Real-IP"
CONF = f"""
<Location /for/anyone>
    WSGITrustedProxyHeaders {CLIENT}
</Location>
<Location /for/net>
    WSGITrustedProxyHeaders {CLIENT}
    WSGITrustedProxies 127.0.0.0/8 10.0.0.0/255.0.0.0
    WSGITrustedProxies 2001:DB8::/32 ::ffff:192.168.0.0/112 172.16
</Location>
<Location /for/stranger>
    WSGITrustedProxyHeaders {CLIENT} X-Forwarded-Proto X-Forwarded-Host
    WSGITrustedProxies 10.0.0.0/8
</Location>
<Location /for/all>
    WSGITrustedProxyHeaders X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port X-Script-Name
    WSGITrustedProxyHeaders X-Forwarded-Proto X-Forwarded-SSL
    <If "%{{QUERY_STRING}} == 'inner'">
        WSGITrustedProxyHeaders X-Real-IP
    </If>
</Location>
"""


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd()
    httpd.start(conf_for(request.param, "environ.py", "/for") + CONF)
    yield httpd
    httpd.finish()


def ask(server: Httpd, path: str, **headers: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return dict(requests.get(server.url("/for/" + path), headers=named, timeout=60).json())


def test_nothing_happens_where_no_header_is_declared(server: Httpd) -> None:
    environ = ask(server, "plain", X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https")
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"
    assert (
        environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1"
        and environ["HTTP_X_FORWARDED_PROTO"] == "https"
    )


@pytest.mark.parametrize(
    ("sent", "address", "left"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.1", "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        ("203.0.113.6, 192.0.2.1, 10.0.0.1", "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        ("203.0.113.6, 192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.2, 10.0.0.1", "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        (", ,", "127.0.0.1", ", ,"),
        (",192.0.2.1,, 10.0.0.1,", "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        ("bogus, 10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("192.0.2.1, bogus, 10.0.0.2, 10.0.0.1", "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        ("localhost, 10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1, bogus", "127.0.0.1", None),
        ("192.0.2.1:4711, 10.0.0.1:80", "192.0.2.1", "192.0.2.1:4711, 10.0.0.1:80"),
        ("2001:db9::1, [2001:db8::1]:443", "2001:db9::1", "2001:db9::1, [2001:db8::1]:443"),
        ("192.0.2.1, ::ffff:10.0.0.1, 192.168.7.7, 172.16.3.4", "192.0.2.1", None),
        ("192.0.2.1 10.0.0.1", "127.0.0.1", None),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(
    server: Httpd, sent: str, address: str, left: str | None
) -> None:
    environ = ask(server, "net", X_Forwarded_For=sent)
    assert environ["REMOTE_ADDR"] == address
    if left is not None or address == "127.0.0.1":
        assert environ.get("HTTP_X_FORWARDED_FOR") == left


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("203.0.113.6, 192.0.2.1", "203.0.113.6"),
        ("[2001:db8::5]:1, bogus", "2001:db8::5"),
        ("x, y", "127.0.0.1"),
    ],
)
def test_without_a_list_of_proxies_the_first_element_counts(
    server: Httpd, sent: str, address: str
) -> None:
    assert ask(server, "anyone", X_Forwarded_For=sent)["REMOTE_ADDR"] == address


def test_a_later_header_of_a_category_wins_and_the_others_are_hidden(server: Httpd) -> None:
    environ = ask(
        server, "net", X_Forwarded_For="192.0.2.1", X_Client_IP="192.0.2.2", X_Real_IP="192.0.2.3"
    )
    assert environ["REMOTE_ADDR"] == environ["HTTP_X_REAL_IP"] == "192.0.2.3"
    assert not {"HTTP_X_FORWARDED_FOR", "HTTP_X_CLIENT_IP"} & environ.keys()
    environ = ask(server, "net", X_Client_IP="192.0.2.2", X_Real_IP="evil\\,")
    assert environ["REMOTE_ADDR"] == "192.0.2.2" and "HTTP_X_REAL_IP" not in environ


def test_a_stranger_is_not_believed_and_what_he_declares_is_hidden(server: Httpd) -> None:
    sent = {
        "X_Forwarded_For": "192.0.2.1",
        "X_Real_IP": "192.0.2.1",
        "X_Forwarded_Proto": "https",
        "X_Scheme": "https",
    }
    environ = ask(server, "stranger", **sent, X_Forwarded_Host="evil", X_Forwarded_Port="1")
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"].startswith("127.0.0.1")
    left = {key for key in environ if key.startswith("HTTP_X_")}
    assert left == {"HTTP_X_FORWARDED_PORT"}  # of a category that is not declared


@pytest.mark.parametrize(
    ("header", "value", "key", "expected"),
    [
        ("X-Forwarded-Host", "shop.example:8443", "HTTP_HOST", "shop.example:8443"),
        ("X-Forwarded-Host", "shop.example, inner", "HTTP_HOST", "shop.example"),
        ("X-Host", "[2001:db8::1]:80", "HTTP_HOST", "[2001:db8::1]:80"),
        ("X-Forwarded-Host", "a b", "HTTP_HOST", None),
        ("X-Forwarded-Host", "a/b", "HTTP_HOST", None),
        ("X-Forwarded-Host", "a:99999", "HTTP_HOST", None),
        ("X-Forwarded-Server", "shop.example", "SERVER_NAME", "shop.example"),
        ("X-Forwarded-Server", "shop.example:80", "SERVER_NAME", None),
        ("X-Forwarded-Port", "8443", "SERVER_PORT", "8443"),
        ("X-Forwarded-Port", "abc", "SERVER_PORT", None),
        ("X-Forwarded-Port", "0", "SERVER_PORT", None),
        ("X-Script-Name", "/mnt/", "SCRIPT_NAME", "/mnt"),
        ("X-Script-Name", "//evil", "SCRIPT_NAME", "/evil"),
        ("X-Script-Name", "/", "SCRIPT_NAME", ""),
        ("X-Script-Name", "evil", "SCRIPT_NAME", None),
        ("X-Forwarded-Proto", "https", "wsgi.url_scheme", "https"),
        ("X-Forwarded-Proto", "HTTPS, http", "wsgi.url_scheme", "https"),
        ("X-Forwarded-Proto", "ftp", "wsgi.url_scheme", None),
        ("X-Forwarded-SSL", "on", "wsgi.url_scheme", "https"),
        ("X-Forwarded-SSL", "off", "wsgi.url_scheme", "http"),
    ],
)
def test_each_kind_of_header(
    server: Httpd, header: str, value: str, key: str, expected: str | None
) -> None:
    before = ask(server, "all")
    environ = ask(server, "all", **{header: value})
    assert environ[key] == (before[key] if expected is None else expected)
    assert ("HTTP_" + header.upper().replace("-", "_") in environ) == (expected is not None)
    if header == "X-Script-Name":
        assert environ.get("mod_wsgi.mount_point") == expected
        assert (
            environ["mod_wsgi.script_name"] == before["SCRIPT_NAME"]
            and environ["PATH_INFO"] == before["PATH_INFO"]
        )


def test_an_inner_section_replaces_the_outer_list(server: Httpd) -> None:
    environ = ask(server, "all?inner", X_Real_IP="192.0.2.9", X_Forwarded_Host="shop.example")
    assert environ["REMOTE_ADDR"] == "192.0.2.9" and environ["HTTP_HOST"] != "shop.example"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("WSGITrustedProxies proxy.example", "host names are not looked up"),
        ("WSGITrustedProxies 10.0.0.0/40", "10.0.0.0/40"),
        ("WSGITrustedProxyHeaders X_Forwarded_For", "did you mean X-Forwarded-For"),
        ("WSGITrustedProxyHeaders X.Real.IP", "did you mean X-Real-IP"),
    ],
)
def test_wrong_values_fail_the_configuration_test(httpd: Httpd, line: str, said: str) -> None:
    code, output = httpd.configtest(line)
    assert code != 0 and said in output


def test_a_header_nobody_knows_is_a_warning_only(httpd: Httpd) -> None:
    code, output = httpd.configtest("WSGITrustedProxyHeaders X-Forwarded-Prot CF-Connecting-IP")
    assert (
        code == 0
        and "WSGI0219" in output
        and "did you mean X-Forwarded-Proto" in output
        and "CF-Connecting-IP" in output
    )
