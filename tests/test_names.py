"""Names of groups and callables that the request decides: %{HOST} and %{ENV:name}."""

from __future__ import annotations

import pytest
import requests
from conftest import conf_for
from harness import Httpd, free_port, running, wait_until

VHOST = """<VirtualHost *:{port}>
ServerName www.example.com:80
ServerAlias Shop.example.com *.example.org
"""


def get(httpd: Httpd, path: str, host: str = "localhost") -> requests.Response:
    return requests.get(httpd.url(path), headers={"Host": host}, timeout=60)


def names(httpd: Httpd, host: str) -> tuple[str, str]:
    environ = get(httpd, "/environ", host).json()
    return environ["mod_wsgi.process_group"][1], environ["mod_wsgi.application_group"][1]


def test_the_host_chooses_among_the_names_of_the_configuration(httpd: Httpd, mode: str) -> None:
    group, _, alias = conf_for(mode, "kitchen.py").rpartition("\n")
    httpd.start(
        f"ServerLimit 1\n{group}\n{VHOST}{alias} application-group=%{{HOST}}\n</VirtualHost>"
    )
    seen = [
        names(httpd, host)[1]
        for host in ("www.example.com", "shop.example.com", "made-up.example.org", "elsewhere:1234")
    ]
    assert seen == ["www.example.com", "Shop.example.com", "www.example.com", "www.example.com"]


def test_the_port_of_a_host_is_the_configured_one(httpd: Httpd, mode: str) -> None:
    vhost = VHOST.replace(":80", ":8080")
    group, _, alias = conf_for(mode, "kitchen.py").rpartition("\n")
    httpd.start(
        f"ServerLimit 1\n{group}\n{vhost}{alias} application-group=%{{HOST}}\n</VirtualHost>"
    )
    assert names(httpd, "shop.example.com:99")[1] == "Shop.example.com:8080"


def test_the_host_chooses_the_process_group(httpd: Httpd) -> None:
    httpd.start(
        "WSGIDaemonProcess www.example.com threads=1\nWSGIDaemonProcess Shop.example.com threads=1\n"
        f"{VHOST}WSGIScriptAlias / {{app}}/kitchen.py process-group=%{{HOST}} "
        f"application-group=%{{GLOBAL}}\n</VirtualHost>"
    )
    assert names(httpd, "www.example.com") == ("www.example.com", "")
    assert names(httpd, "SHOP.example.com") == ("Shop.example.com", "")


def test_a_group_for_a_server_without_aliases_is_known_from_the_configuration(httpd: Httpd) -> None:
    httpd.start(
        "ServerName only.example\nWSGIDaemonProcess d threads=1\nWSGIScriptAlias / {app}/kitchen.py process-group=d\n"
        "WSGIApplicationGroup %{HOST}"
    )
    assert get(httpd, "/info").json()["main_interpreter"] is True


def test_the_environment_names_the_callable_of_an_alias(httpd: Httpd, mode: str) -> None:
    alias = conf_for(mode, "hello.py") + " callable-object=%{ENV:which}"
    httpd.start(f"ServerLimit 1\n{alias}\n<Location /other>\nSetEnv which other\n</Location>")
    assert get(httpd, "/other").text == "other"
    assert get(httpd, "/else").text == "Hello World!"
    assert get(httpd, "/else").text == "Hello World!"
    record = httpd.expect("WSGI0272")
    assert "the variable which is not set" in record and httpd.log_text().count("WSGI0272") == 1


@pytest.mark.parametrize(
    ("setting", "group"), [("SetEnv which d", "d"), ("SetEnvIf Host . which=%{GLOBAL}", "")]
)
def test_the_environment_names_the_process_group(setting: str, group: str) -> None:
    alias = "WSGIDaemonProcess d threads=1\nWSGIScriptAlias / {app}/kitchen.py process-group=%{ENV:which}\n"
    with running(alias + setting, extra_modules=("setenvif",)) as httpd:
        assert names(httpd, "localhost")[0] == group


def test_a_variable_that_is_not_set_is_named(httpd: Httpd) -> None:
    httpd.start(
        "WSGIDaemonProcess d threads=1\nWSGIScriptAlias / {app}/kitchen.py process-group=%{ENV:tenant}"
    )
    assert get(httpd, "/").status_code == 500
    record = httpd.expect("WSGI0271")
    assert "%{ENV:tenant}" in record and "the variable tenant is not set" in record
    assert "WSGI0207" not in httpd.log_text()


def test_an_interpreter_of_an_unset_name_runs_and_is_reported_once(httpd: Httpd, mode: str) -> None:
    httpd.start(f"ServerLimit 1\n{conf_for(mode, 'kitchen.py')} application-group=%{{ENV:tenant}}")
    assert [names(httpd, "localhost")[1] for _ in range(2)] == ["%{ENV:tenant}"] * 2
    wait_until(lambda: httpd.log_text().count("WSGI0272") == 1, "one warning")


def test_a_regular_expression_makes_one_interpreter_of_one_script(httpd: Httpd, mode: str) -> None:
    more = " process-group=d" if mode == "daemon" else ""
    httpd.start(
        f"WSGIDaemonProcess d threads=1\nWSGIScriptAliasMatch ^/m/([a-z]+) {{app}}/environ.py{more}"
    )
    groups = {
        requests.get(httpd.url(f"/m/{word}"), timeout=60).json()["mod_wsgi.application_group"]
        for word in ("a", "b", "c")
    }
    assert len(groups) == 1


@pytest.mark.parametrize(
    ("listen", "name", "expected"),
    [
        ("", "localhost", "localhost:{port}"),
        ("", "localhost:80", "localhost"),
        ("", "localhost:8443", "localhost:8443"),
        ("Listen 127.0.0.1:{other}\n", "localhost", "localhost:{port}"),
    ],
)
def test_the_port_of_a_server_is_that_of_its_first_listen(
    httpd: Httpd, mode: str, listen: str, name: str, expected: str
) -> None:
    conf = f"ServerLimit 1\n{listen.replace('{other}', str(free_port()))}ServerName {name}\n"
    httpd.start(conf + conf_for(mode, "kitchen.py") + " application-group=%{SERVER}")
    wanted = expected.replace("{port}", str(httpd.port))
    assert names(httpd, "localhost:99")[1] == wanted


def test_a_virtual_host_for_any_port_has_the_port_of_the_first_listen(
    httpd: Httpd, mode: str
) -> None:
    group, _, alias = conf_for(mode, "kitchen.py").rpartition("\n")
    httpd.start(
        f"ServerLimit 1\n{group}\n<VirtualHost *>\nServerName any.example\n"
        f"{alias} application-group=%{{SERVER}}\n</VirtualHost>"
    )
    assert names(httpd, "any.example")[1] == f"any.example:{httpd.port}"
