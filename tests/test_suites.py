"""What others have written to test servers and clients, against this server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from conftest import MODES
from harness import SANITIZED, Httpd

SITE = f"ServerLimit 1\nWSGIPythonHome {sys.prefix}\nWSGIDaemonProcess d threads=8 python-home={sys.prefix}\n"
PLAIN = {**os.environ, "LD_PRELOAD": ""}


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"{module} is not installed"
    )


def conf(mode: str, script: str) -> str:
    group = " process-group=d" * (mode == "daemon")
    return f"{SITE}\nWSGIScriptAlias / {{app}}/{script} application-group=%{{GLOBAL}}{group}\n"


# ---- litmus: WebDAV, which uses more of HTTP than browsers do ----


@needs("wsgidav")
@pytest.mark.skipif(shutil.which("litmus") is None, reason="litmus is not installed")
def test_litmus_against_wsgidav(httpd: Httpd, mode: str) -> None:
    (httpd.app / "dav.py").write_text(
        "from wsgidav.fs_dav_provider import FilesystemProvider\n"
        "from wsgidav.wsgidav_app import WsgiDAVApp\n"
        f"application = WsgiDAVApp({{'provider_mapping': {{'/': FilesystemProvider({str(httpd.app / 'shared')!r})}},\n"
        "    'simple_dc': {'user_mapping': {'*': True}}, 'property_manager': True, 'verbose': 0})\n"
    )
    (httpd.app / "shared").mkdir()
    (httpd.app / "shared").chmod(0o777)
    httpd.start(conf(mode, "dav.py") + "WSGIPassAuthorization On\n")
    command = ["litmus", "--keep-going", httpd.url("/")]
    done = subprocess.run(
        command, cwd=httpd.root, capture_output=True, text=True, env=PLAIN, check=False, timeout=600
    )
    failed = [line for line in done.stdout.splitlines() if "FAIL" in line]
    assert done.stdout.count("summary for") == 5 and not failed, done.stdout


# ---- httpbin ----


@pytest.fixture(scope="module", params=list(MODES))
def bin_(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    if importlib.util.find_spec("httpbin") is None:
        pytest.skip("httpbin is not installed")
    httpd = Httpd()
    (httpd.app / "bin.py").write_text("from httpbin import app as application\n")
    httpd.start(conf(request.param, "bin.py") + "WSGIPassAuthorization On\n")
    yield httpd
    httpd.finish()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_httpbin_echoes_each_method(bin_: Httpd, method: str) -> None:
    url = bin_.url(f"/{method.lower()}?a=1&a=2&b=%C3%A9")
    told = requests.request(
        method, url, data={} if method == "GET" else {"k": "v"}, headers={"X-Own": "1"}, timeout=60
    ).json()
    assert told["args"] == {"a": ["1", "2"], "b": "é"} and told["headers"]["X-Own"] == "1"
    assert told["url"].startswith(bin_.url("/")) and (method == "GET" or told["form"] == {"k": "v"})


def test_httpbin_takes_uploads_of_every_kind(bin_: Httpd) -> None:
    url = bin_.url("/post")
    assert requests.post(url, json={"a": [1, 2]}, timeout=60).json()["json"] == {"a": [1, 2]}
    assert (
        requests.post(url, files={"f": ("name", b"x" * 500_000)}, timeout=60).json()["files"]["f"]
        == "x" * 500_000
    )


@pytest.mark.parametrize("status", [200, 201, 204, 301, 304, 400, 401, 404, 418, 429, 500, 503])
def test_httpbin_statuses(bin_: Httpd, status: int) -> None:
    assert (
        requests.get(bin_.url(f"/status/{status}"), allow_redirects=False, timeout=60).status_code
        == status
    )


def test_httpbin_sessions(bin_: Httpd) -> None:
    with requests.Session() as session:
        assert session.get(bin_.url("/cookies/set?a=1&b=2"), timeout=60).json() == {
            "cookies": {"a": "1", "b": "2"}
        }
        assert session.get(bin_.url("/cookies/delete?a"), timeout=60).json() == {
            "cookies": {"b": "2"}
        }
        assert len(session.get(bin_.url("/redirect/5"), timeout=60).history) == 5
        assert (
            session.get(bin_.url("/absolute-redirect/2"), timeout=60).json()["url"].endswith("/get")
        )
        assert (
            session.get(bin_.url("/basic-auth/u/p"), auth=("u", "p"), timeout=60).json()[
                "authenticated"
            ]
            is True
        )
        assert (
            session.get(bin_.url("/basic-auth/u/p"), auth=("u", "x"), timeout=60).status_code == 401
        )
        assert session.get(
            bin_.url("/digest-auth/auth/u/p"),
            auth=requests.auth.HTTPDigestAuth("u", "p"),
            timeout=60,
        ).ok
        assert (
            session.get(
                bin_.url("/bearer"), headers={"Authorization": "Bearer t"}, timeout=60
            ).json()["token"]
            == "t"
        )


@pytest.mark.parametrize(
    ("path", "length"),
    [
        ("/bytes/100000?seed=1", 100_000),
        ("/stream-bytes/70000?seed=1&chunk_size=1000", 70_000),
        ("/range/5000", 5000),
    ],
)
def test_httpbin_bytes(bin_: Httpd, path: str, length: int) -> None:
    assert len(requests.get(bin_.url(path), timeout=60).content) == length


def test_httpbin_streams_encodings_and_conditions(bin_: Httpd) -> None:
    lines = requests.get(bin_.url("/stream/50"), timeout=60).text.splitlines()
    assert len(lines) == 50
    for path, key in (("/gzip", "gzipped"), ("/deflate", "deflated")):
        assert requests.get(bin_.url(path), timeout=60).json()[key] is True
    part = requests.get(bin_.url("/range/1000"), headers={"Range": "bytes=10-19"}, timeout=60)
    assert (part.status_code, part.text) == (206, "klmnopqrst")
    assert (
        requests.get(bin_.url("/etag/x"), headers={"If-None-Match": "x"}, timeout=60).status_code
        == 304
    )
    assert (
        requests.get(bin_.url("/cache"), headers={"If-Modified-Since": "x"}, timeout=60).status_code
        == 304
    )
    assert (
        requests.get(bin_.url("/drip?numbytes=5&duration=0.1&delay=0"), timeout=60).text == "*****"
    )
    assert requests.head(bin_.url("/get"), timeout=60).headers["Content-Type"] == "application/json"
    assert "GET" in requests.options(bin_.url("/get"), timeout=60).headers["Allow"]


# ---- checkers ----


@needs("webtest")
@pytest.mark.skipif(SANITIZED, reason="covered without")
@pytest.mark.parametrize("checker", ["lint", "validate"])
def test_the_checkers_of_webtest_and_wsgiref_find_nothing(
    httpd: Httpd, mode: str, checker: str
) -> None:
    httpd.start(conf(mode, "linted.py"))
    for path, status, text in (
        ("/plain", 200, "one\ntwo"),
        ("/write", 200, "written,one\ntwo"),
        ("/exc_info", 500, "replaced"),
    ):
        response = requests.post(httpd.url(f"/{checker}{path}?x=1"), data=b"one\ntwo", timeout=60)
        assert (response.status_code, response.text) == (status, text), httpd.log_text()[-3000:]
    assert requests.get(httpd.url(f"/{checker}/empty"), timeout=60).status_code == 204
    httpd.expect("checked")
