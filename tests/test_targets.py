"""What may stand where a script stands: module:callable; and what scripts can rely on as modules."""

from __future__ import annotations

import os

import pytest
import requests
from harness import Httpd

PACKAGE = """
import sys
started = []

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['mod_wsgi.callable_object']}|VERSION|".encode()]

class Site:
    wsgi = staticmethod(application)

def create_app(kind="made"):
    started.append(kind)
    def app(environ, start_response):
        start_response("200 OK", [])
        return [f"{kind} {len(started)}".encode()]
    return app

def job():
    print("the job is done")
"""


def get(httpd: Httpd, path: str) -> requests.Response:
    return requests.get(httpd.url(path), timeout=60)


def with_package(httpd: Httpd, version: str = "one") -> None:
    package = httpd.app / "library" / "shop"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "wsgi.py").write_text(PACKAGE.replace("VERSION", version))


def conf_for_target(mode: str, target: str, mount: str = "/", path: str = "{app}/library") -> str:
    if mode == "daemon":
        return f"WSGIDaemonProcess d threads=2 python-path={path}\nWSGIScriptAlias {mount} {target} process-group=d\n"
    return f"ServerLimit 1\nWSGIPythonPath {path}\nWSGIScriptAlias {mount} {target} application-group=%{{GLOBAL}}\n"


@pytest.mark.parametrize(
    ("target", "mount", "path", "expected"),
    [
        ("shop.wsgi:application", "/", "/a/b", "|/a/b|application|one|"),
        ("shop.wsgi:application", "/shop", "/shop/x", "/shop|/x|application|one|"),
        ("shop.wsgi:application", "/shop", "/shop", "/shop||application|one|"),
        ("shop.wsgi:application", "/shop/", "/shop/x", "/shop|/x|application|one|"),
        ("shop.wsgi:Site.wsgi", "/", "/", "|/|Site.wsgi|one|"),
        ("shop.wsgi:create_app()", "/", "/", "made 1"),
    ],
)
def test_a_module_and_callable_is_served(
    httpd: Httpd, mode: str, target: str, mount: str, path: str, expected: str
) -> None:
    with_package(httpd)
    httpd.start(conf_for_target(mode, target, mount))
    assert [get(httpd, path).text for _ in range(3)] == [expected] * 3


def test_location_sections_protect_a_module(httpd: Httpd, mode: str) -> None:
    with_package(httpd)
    httpd.start(
        conf_for_target(mode, "shop.wsgi:application")
        + "<Location /private>\nRequire all denied\n</Location>"
    )
    assert (get(httpd, "/private/x").status_code, get(httpd, "/x").status_code) == (403, 200)


def test_a_touched_module_is_new_at_the_next_request(httpd: Httpd, mode: str) -> None:
    with_package(httpd)
    httpd.start(conf_for_target(mode, "shop.wsgi:application"))
    assert "|one|" in get(httpd, "/").text
    with_package(httpd, "two")
    os.utime(httpd.app / "library" / "shop" / "wsgi.py", (1, 1))
    assert all("|two|" in get(httpd, "/").text for _ in range(5))


def test_a_module_that_cannot_be_imported_gives_500_and_its_traceback(
    httpd: Httpd, mode: str
) -> None:
    httpd.start(conf_for_target(mode, "nowhere.wsgi:application"))
    assert get(httpd, "/").status_code == 500
    httpd.expect("WSGI0404", containing="nowhere.wsgi:application")
    httpd.expect("ModuleNotFoundError: No module named 'nowhere'")
    if mode == "daemon":
        httpd.expect("WSGI0415")


def test_the_client_cannot_choose_a_module(httpd: Httpd, mode: str) -> None:
    httpd.start(
        conf_for_target(mode, "{app}/hello.py", "/unused") + "WSGIScriptAliasMatch ^/m/(.*) $1\n"
    )
    assert get(httpd, "/m/os:getcwd").status_code in (403, 404)
    httpd.expected |= {"WSGI0203", "WSGI0201"}


def test_an_import_script_may_be_a_module_whose_callable_is_called(httpd: Httpd, mode: str) -> None:
    with_package(httpd)
    group = "d" if mode == "daemon" else "%{GLOBAL}"
    line = f"WSGIImportScript shop.wsgi:job process-group={group} application-group=%{{GLOBAL}}\n"
    httpd.start(conf_for_target(mode, "shop.wsgi:application") + line)
    httpd.expect("the job is done")
    assert "|one|" in get(httpd, "/").text


def test_a_module_names_its_callable_once(httpd: Httpd) -> None:
    code, output = httpd.configtest("WSGIScriptAlias / shop.wsgi:application callable-object=app")
    assert code != 0 and "names its callable already" in output


# ---- reload_required() ----

ASKING = """
import os
loaded = os.path.getmtime(VERSION_FILE)

def reload_required(resource):
    print("asked about", resource)
    return os.path.getmtime(VERSION_FILE) != loaded

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(int(loaded)).encode()]
"""


def asking(httpd: Httpd, code: str = ASKING) -> None:
    version = httpd.root / "version"
    version.touch()
    os.utime(version, (1, 1))
    (httpd.app / "asking.py").write_text(code.replace("VERSION_FILE", repr(str(version))))


def conf_for_asking(mode: str, more: str = "") -> str:
    group = " process-group=d" if mode == "daemon" else ""
    return f"ServerLimit 1\nWSGIDaemonProcess d threads=2\nWSGIScriptAlias / {{app}}/asking.py{group}\n{more}"


def test_a_script_may_ask_to_be_loaded_again(httpd: Httpd, mode: str) -> None:
    asking(httpd)
    httpd.start(conf_for_asking(mode))
    assert [get(httpd, "/").text for _ in range(2)] == ["1", "1"]
    os.utime(httpd.root / "version", (2, 2))
    assert [get(httpd, "/").text for _ in range(3)] == ["2"] * 3
    httpd.expect(f"asked about {httpd.app}/asking.py")


def test_reloading_off_never_asks(httpd: Httpd, mode: str) -> None:
    asking(httpd)
    httpd.start(conf_for_asking(mode, "WSGIScriptReloading Off"))
    os.utime(httpd.root / "version", (2, 2))
    get(httpd, "/")
    get(httpd, "/")
    assert "asked about" not in httpd.log_text()


def test_a_failing_reload_required_is_logged_and_the_code_stays(httpd: Httpd, mode: str) -> None:
    asking(httpd, ASKING.replace("return os.path", "return undefined.path"))
    httpd.start(conf_for_asking(mode))
    assert [get(httpd, "/").text for _ in range(3)] == ["1"] * 3
    httpd.expect("WSGI0830", containing="asking.py")
    httpd.expect("NameError: name 'undefined' is not defined")


def test_deleting_mtime_forces_a_reload(httpd: Httpd, mode: str) -> None:
    code = ASKING.replace("def reload_required", "def unused")
    code = code.replace("start_response(", "globals().pop('__mtime__'); start_response(")
    asking(httpd, code)
    httpd.start(conf_for_asking(mode))
    assert get(httpd, "/").text == "1"
    os.utime(httpd.root / "version", (2, 2))
    assert get(httpd, "/").text == "2"


# ---- a script is a module like any other ----

MODULE = """
import dataclasses, pickle, sys, typing

@dataclasses.dataclass
class Point:
    x: "int"
    other: "Point | None" = None

def application(environ, start_response):
    start_response("200 OK", [])
    back = pickle.loads(pickle.dumps(Point(1, Point(2))))
    hints = typing.get_type_hints(Point)
    same = sys.modules[__name__].Point is Point
    named = __name__.startswith("_mod_wsgi_") and __spec__.name == __name__
    return [f"{back.other.x} {hints['x'].__name__} {same} {named}".encode()]
"""


def test_pickle_dataclasses_and_type_hints_work_in_a_script(httpd: Httpd, mode: str) -> None:
    asking(httpd, MODULE)
    httpd.start(conf_for_asking(mode))
    assert get(httpd, "/").text == "2 int True True"


def test_httpd_answers_trace_for_a_module_too(httpd: Httpd) -> None:
    httpd.start("TraceEnable off\nWSGIPythonPath {app}\nWSGIScriptAlias / hello:application\n")
    assert get(httpd, "/").text == "Hello World!"
    assert requests.request("TRACE", httpd.url("/"), timeout=60).status_code == 405


NO_APPLICATIONS = {
    "None": (
        "application = None\n",
        "is there and is not callable (its value is of type NoneType)",
    ),
    "an object": (
        "class Site:\n    pass\napplication = Site()\n",
        "is there and is not callable (its value is of type Site)",
    ),
    "ASGI": ("async def application(scope, receive, send):\n    pass\n", "looks like ASGI"),
    "an ASGI object": (
        "class Site:\n    async def __call__(self, scope, receive, send):\n        pass\n"
        "application = Site()\n",
        "looks like ASGI",
    ),
    "an asynchronous function": (
        "async def application(environ, start_response):\n    return []\n",
        "looks like ASGI",
    ),
}


@pytest.mark.parametrize("case", NO_APPLICATIONS)
@pytest.mark.parametrize("target", ["{app}/odd.py", "odd:application"])
def test_what_is_no_application_is_said_in_one_record(
    httpd: Httpd, mode: str, case: str, target: str
) -> None:
    code, text = NO_APPLICATIONS[case]
    (httpd.app / "odd.py").write_text(code)
    httpd.start(conf_for_target(mode, target, path="{app}"))
    response = get(httpd, "/")
    assert response.status_code == 500
    if ":" in target and "not callable" in text:  # a module of which nothing can be used
        record = httpd.expect("WSGI0404")
        record = next(line for line in httpd.log_text().splitlines() if "is there and" in line)
    else:
        record = httpd.expect("WSGI0421", "'application' of ")
    assert text in record
    assert "Traceback" not in httpd.log_text() and "WSGI0401" not in httpd.log_text()
    if mode == "daemon":
        httpd.expected |= {"WSGI0415", "WSGI0704"}


def test_an_error_of_an_application_is_its_own(httpd: Httpd, mode: str) -> None:
    (httpd.app / "odd.py").write_text("def application(environ):\n    pass\n")
    httpd.start(conf_for_target(mode, "{app}/odd.py"))
    assert get(httpd, "/").status_code == 500
    httpd.expect("WSGI0401", "TypeError")
