"""Who somebody is: WSGIAuthUserScript with Basic and Digest, WSGIAuthGroupScript."""

from __future__ import annotations

import pytest
import requests
from authsite import Site, get, said, shown, status
from harness import Httpd
from requests.auth import HTTPDigestAuth

# ---- WSGIAuthUserScript, Basic ----


def test_a_right_password(site: Site) -> None:
    assert status(site, "/basic/page.txt") == 401
    assert get(site, "/basic/page.txt", ("anna", "anna"[::-1])).text == "the page"
    told = get(site, "/basic/app", ("berta", "atreb")).json()
    assert (told["REMOTE_USER"], told["AUTH_TYPE"]) == ("berta", "Basic")


def test_a_wrong_password_ends_the_search(site: Site) -> None:
    assert status(site, "/basic/page.txt", ("filed", "secret")) == 401
    assert status(site, "/basic/page.txt", ("filed", "False")) == 401


def test_an_unknown_user_is_left_to_the_next_provider(site: Site) -> None:
    assert status(site, "/basic/page.txt", ("nobody", "None")) == 401
    assert status(site, "/basic/first-file/page.txt", ("anna", "anna"[::-1])) == 200
    assert status(site, "/basic/first-file/page.txt", ("filed", "secret")) == 200
    assert status(site, "/basic/first-file/page.txt", ("filed", "delif")) == 401


def test_a_provider_alias_has_a_script_of_its_own(site: Site) -> None:
    assert status(site, "/basic/alias/page.txt", ("anna", "other")) == 200
    assert status(site, "/basic/alias/page.txt", ("anna", "anna"[::-1])) == 200
    assert status(site, "/basic/page.txt", ("anna", "other")) == 401


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("anna", "name", "renamed"),
        ("anna", "greek", "Ωmega"),
        ("josé", "same", "josé"),
        ("josé", "decoded", "josé"),
        ("Ωmega", "same", "Ωmega"),
        ("Ωmega", "decoded", "Ωmega"),
    ],
)
def test_the_name_that_the_script_returns_counts(
    site: Site, user: str, password: str, expected: str
) -> None:
    told = get(site, "/basic/app", (user.encode(), password)).json()
    assert told["REMOTE_USER"].encode("latin-1").decode() == expected


def test_a_name_in_latin_1_comes_back_as_it_was_sent(site: Site) -> None:
    assert (
        get(site, "/basic/app", ("josé".encode("latin-1"), "same")).json()["REMOTE_USER"] == "josé"
    )


def test_require_goes_by_the_returned_name(site: Site) -> None:
    assert status(site, "/basic/renamed/page.txt", ("anna", "name")) == 200
    assert status(site, "/basic/renamed/page.txt", ("anna", "anna"[::-1])) == 401


def test_user_and_password_are_native_strings(site: Site) -> None:
    get(site, "/basic/page.txt", ("josé".encode(), "environ"))
    told = shown(site)
    assert (told["user"].encode("latin-1").decode(), told["password"]) == ("josé", "environ")
    assert "HTTP_AUTHORIZATION" not in told and "REMOTE_USER" not in told


@pytest.mark.parametrize(
    ("result", "part"),
    [
        ("empty", "an empty str"),
        ("one", "returned 1"),
        ("zero", "returned 0"),
        ("object", "of type object"),
        ("bytes", "of type bytes"),
        ("control", "of type str"),
    ],
)
def test_a_wrong_result_about_a_password_is_an_error(site: Site, result: str, part: str) -> None:
    with said(site, "WSGI0813", "check_password()", part, "None (user unknown)"):
        assert status(site, "/basic/page.txt", ("anna", result)) == 500


@pytest.mark.parametrize("how", ["raises", "exits"])
def test_a_failure_about_a_password_is_an_error(site: Site, how: str) -> None:
    with said(site, "WSGI0812", "check_password()"):
        assert status(site, "/basic/page.txt", ("anna", how)) == 500


def test_a_user_script_without_the_function_is_an_error(site: Site) -> None:
    with said(site, "WSGI0811", "check_password()"):
        assert status(site, "/basic/nothing/page.txt", ("anna", "x")) == 500


def test_a_provider_without_a_script_is_explained(site: Site) -> None:
    with said(site, "WSGI0233", "WSGIAuthUserScript", "[client 127.0.0.1"):
        assert status(site, "/unset/page.txt", ("anna", "x")) == 500


# ---- WSGIAuthUserScript, Digest ----


def digest(site: Site, user: str, password: str = "secret", path: str = "/digest/page.txt") -> int:
    return requests.get(site.url(path), auth=HTTPDigestAuth(user, password), timeout=60).status_code


@pytest.mark.parametrize("user", ["text", "as-bytes"])
def test_a_digest(site: Site, user: str) -> None:
    assert digest(site, user) == 200
    assert digest(site, user, "wrong") == 401


def test_an_unknown_user_of_digest(site: Site) -> None:
    assert digest(site, "None") == 401


@pytest.mark.parametrize("user", ["True", "one", "empty", "empty-bytes", "greek", "object"])
def test_a_wrong_result_about_a_digest_is_an_error(site: Site, user: str) -> None:
    with said(site, "WSGI0813", "get_realm_hash()", "MD5 of user:realm:password"):
        assert digest(site, user) == 500


def test_a_digest_that_cannot_match_is_explained(site: Site) -> None:
    with said(site, "WSGI0816", "get_realm_hash()"):
        assert digest(site, "upper") == 401


@pytest.mark.parametrize("user", ["raises", "exits"])
def test_a_failure_about_a_digest_is_an_error(site: Site, user: str) -> None:
    with said(site, "WSGI0812", "get_realm_hash()"):
        assert digest(site, user) == 500


def test_a_digest_script_without_the_function_is_an_error(site: Site) -> None:
    with said(site, "WSGI0811", "get_realm_hash()"):
        assert digest(site, "text", path="/digest/nothing/page.txt") == 500


# ---- WSGIAuthGroupScript ----


def grouped(site: Site, user: str, path: str = "/groups/page.txt") -> int:
    return status(site, path, (user, "True"))


@pytest.mark.parametrize("user", ["anna", "bytes", "tuple", "set", "iterator"])
def test_a_member_of_the_group(site: Site, user: str) -> None:
    assert grouped(site, user) == 200


@pytest.mark.parametrize(
    ("user", "part"),
    [
        ("nobody", "returned no group"),
        ("stranger", "returned strangers"),
        ("letters", 'return ["name"]'),
    ],
)
def test_a_user_who_is_not_in_the_group(site: Site, user: str, part: str) -> None:
    with said(site, "WSGI0815", f"{user} is in none of the groups staff, admins", part):
        assert grouped(site, user) == 401


def test_a_user_who_is_not_in_the_group_may_be_forbidden(site: Site) -> None:
    assert grouped(site, "nobody", "/groups/forbidden/page.txt") == 403


def test_groups_go_by_the_returned_name(site: Site) -> None:
    assert status(site, "/groups/page.txt", ("nobody", "name")) == 200


@pytest.mark.parametrize("path", ["/groups/accents/page.txt", "/groups/greek/page.txt"])
def test_groups_with_other_letters(site: Site, path: str) -> None:
    assert grouped(site, "greek", path) == 200
    assert grouped(site, "anna", path) == 401


def test_groups_may_be_an_expression(site: Site) -> None:
    assert grouped(site, "anna", "/groups/variable/page.txt") == 200
    assert grouped(site, "nobody", "/groups/variable/page.txt") == 401


def test_groups_found_before_a_failure_count(site: Site) -> None:
    with said(site, "WSGI0814", "raised; the groups it had named count (1)"):
        assert grouped(site, "midway") == 200
    site.expect("no more groups")


@pytest.mark.parametrize("user", ["None", "number", "item"])
def test_wrong_groups_are_an_error(site: Site, user: str) -> None:
    with said(site, "WSGI0813", "groups_for_user()", "an iterable of the user's groups"):
        assert grouped(site, user) == 500


def test_a_failure_about_groups_is_an_error(site: Site) -> None:
    with said(site, "WSGI0812", "groups_for_user()"):
        assert grouped(site, "raises") == 500


def test_a_failure_about_groups_lets_nobody_in_who_must_not_be_in_one(site: Site) -> None:
    assert grouped(site, "anna", "/groups/none/page.txt") == 401
    assert grouped(site, "nobody", "/groups/none/page.txt") == 200
    with said(site, "WSGI0812"):
        assert grouped(site, "raises", "/groups/none/page.txt") == 500


def test_a_group_script_without_the_function_is_an_error(site: Site) -> None:
    with said(site, "WSGI0811", "groups_for_user()"):
        assert grouped(site, "anna", "/groups/nothing/page.txt") == 500


def test_groups_without_a_script_are_explained(site: Site) -> None:
    with said(site, "WSGI0235", "WSGIAuthGroupScript"):
        assert grouped(site, "anna", "/groupless/page.txt") == 500


def test_the_environ_of_a_group_script(site: Site) -> None:
    assert grouped(site, "environ") == 200
    environ = shown(site)
    assert (
        environ["user"] == "environ"
        and "REMOTE_USER" not in environ
        and "HTTP_AUTHORIZATION" not in environ
    )


# ---- the configuration ----


@pytest.mark.parametrize(
    "directive", ["WSGIAccessScript", "WSGIAuthUserScript", "WSGIAuthGroupScript"]
)
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("", "needs a file"),
        ("{app}/auth.py aplication-group=x", "did you mean application-group="),
        ("{app}/auth.py callable-object=x", "option 'callable-object=x' is not valid"),
        (
            "{app}/auth.py process-group=nobody",
            "which does not exist; define it with WSGIDaemonProcess",
        ),
        ("{app}/auth.py process-group=service", "threads=0"),
        ("{app}/auth.py process-group=other", "belongs to another virtual host"),
    ],
)
def test_a_wrong_script_fails_the_configuration_test(
    httpd: Httpd, directive: str, arguments: str, part: str
) -> None:
    code, output = httpd.configtest(f"""WSGIDaemonProcess service threads=0
    <VirtualHost *:1>
        ServerName other
        WSGIDaemonProcess other
    </VirtualHost>
    <Location />
        {directive} {arguments}
    </Location>""")
    assert code != 0 and part in output, output


@pytest.mark.parametrize(
    "directive", ["WSGIAccessScript", "WSGIAuthUserScript", "WSGIAuthGroupScript"]
)
def test_scripts_belong_into_directories(httpd: Httpd, directive: str) -> None:
    for conf in (
        f"{directive} {{app}}/auth.py",
        f"<VirtualHost *:1>\n{directive} {{app}}/auth.py\n</VirtualHost>",
    ):
        code, output = httpd.configtest(conf)
        assert code != 0 and f"{directive} not allowed" in output


def test_require_wsgi_group_needs_names(httpd: Httpd) -> None:
    code, output = httpd.configtest("<Location />\nRequire wsgi-group\n</Location>")
    assert code != 0 and "name of at least one group" in output
