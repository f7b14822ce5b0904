"""What httpd does around an application: both modes give the same answers, headers, errors and log
lines.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, free_port, wait_until

RESET = b"(reset)"  # what raw() puts where the connection was reset
PLAIN = {**os.environ, "LD_PRELOAD": ""}  # tools are not the object of `make asan`
MODULES = (
    "deflate",
    "dir",
    "filter",
    "headers",
    "http2",
    "include",
    "log_config",
    "ratelimit",
    "rewrite",
    "setenvif",
    "ssl",
)
PAGES = """
Listen 127.0.0.1:{tls}
H2EarlyHints on
Protocols h2 h2c http/1.1
<VirtualHost 127.0.0.1:{tls}>
    ServerName localhost
    SSLEngine on
    SSLCertificateFile {root}/cert.pem
    SSLCertificateKeyFile {root}/key.pem
    SSLOptions +StdEnvVars
    RewriteEngine On
    RewriteOptions Inherit
</VirtualHost>
LogFormat "%U %>s %X %B" short
CustomLog {root}/access_log short
DocumentRoot {root}/htdocs
<Directory {root}/htdocs>
    Require all granted
    Options +Includes
    DirectoryIndex /r/index
</Directory>
AddOutputFilter INCLUDES .shtml
RewriteEngine On
RewriteRule ^/pretty/(.*)$ /r/app/$1 [PT]
ErrorDocument 404 /error.txt
ErrorDocument 503 /r/error
AllowEncodedSlashes On
<Location /r/override>
    WSGIErrorOverride On
</Location>
<Location /r/deflate>
    SetOutputFilter DEFLATE
</Location>
<Location /r/head-on>
    WSGIMapHEADToGET On
</Location>
<Location /r/head-off>
    WSGIMapHEADToGET Off
    SetOutputFilter DEFLATE
</Location>
<Location /r/head-auto>
    WSGIMapHEADToGET Auto
</Location>
<Location /r/head-auto-filter>
    WSGIMapHEADToGET Auto
    SetOutputFilter DEFLATE
</Location>
<Location /r/rate>
    SetOutputFilter RATE_LIMIT
    SetEnv rate-limit 400
</Location>
<Location /r/headers>
    Header set X-Added "by Apache"
    Header unset X-Removed
    RequestHeader set X-Asked "by Apache"
</Location>
<Location /r/limit>
    LimitRequestBody 1000
</Location>
<Location /r/limit-now>
    LimitRequestBody 1000
    WSGIRequestBuffering Off
</Location>
<Location /r/now>
    WSGIRequestBuffering Off
</Location>
<Location /r/nochunk>
    WSGIChunkedRequest Off
</Location>
<Location /r/current>
    CGIVar REQUEST_URI current-uri
    SetEnv SHOP open
    SetEnvIf X-Kind (.+) KIND=$1
    SetEnv SCRIPT_NAME /zz
    SetEnv PATH /evil
    SetEnv mod_wsgi.x-secret 1
    SetEnv mod_wsgi.custom 1
    SetEnv wsgi.run_once nonsense
</Location>
<Location /r/https>
    SetEnvIf X-Forwarded-Proto https HTTPS=on
</Location>
"""


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=MODULES)
    httpd.tls = free_port()  # type: ignore[attr-defined]
    documents = httpd.root / "htdocs"
    documents.mkdir()
    (documents / "error.txt").write_text("Apache's own page")
    (documents / "page.shtml").write_text('[<!--#include virtual="/r/part?x" -->]')
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
    ]
    subprocess.run(
        [*command, "-subj", "/CN=localhost"], cwd=httpd.root, check=True, capture_output=True
    )
    pages = PAGES.replace("{tls}", str(httpd.tls))  # type: ignore[attr-defined]
    alias = conf_for(request.param, "reply.py", "/r").replace("processes=2", "processes=1")
    other = f"WSGIScriptAlias /flow {{app}}/flow.py {alias.partition('.py')[2]}"
    httpd.start(f"ServerLimit 1\nTraceEnable Off\n{alias}\n{other}\n{pages}")
    httpd.mode = request.param  # type: ignore[attr-defined]
    yield httpd
    httpd.finish()


def query(**told: object) -> str:
    return "?" + quote(json.dumps(told))


Told = dict[str, object]


def get(
    server: Httpd, path: str, method: str = "GET", told: Told | None = None, **options: object
) -> requests.Response:
    url = server.url(path) + (query(**told) if told is not None else "")
    options.setdefault("allow_redirects", False)
    return requests.request(method, url, timeout=60, **options)  # type: ignore[arg-type]


def raw(server: Httpd, request: str | bytes) -> bytes:
    data = bytearray()
    with socket.create_connection(("127.0.0.1", server.port), 60) as s:
        s.sendall(request if isinstance(request, bytes) else request.encode("latin-1"))
        try:
            while chunk := s.recv(65536):
                data += chunk
        except ConnectionResetError:
            data += RESET
    return bytes(data)


def environ(server: Httpd, path: str, **options: object) -> dict[str, str]:
    return dict(get(server, path, told={"environ": 1}, **options).json())


# ---- headers and statuses as the application gives them ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Location", "/elsewhere"),
        ("Status", "404 Not Found"),
        ("Last-Modified", "yesterday"),
        ("Last-Modified", "Tue, 24 Nov 2099 00:00:00 GMT"),
        ("Content-Type", "Text/PLAIN; Charset=X"),
        ("X-Quoted", 'a "b\\" c'),
        ("X-Empty", ""),
        ("X-Latin", "b\xe4r"),
        ("ETag", '"x"'),
        ("X-Tab", "a\tb"),
    ],
)
def test_a_header_arrives_as_the_application_gave_it(server: Httpd, name: str, value: str) -> None:
    response = get(server, "/r/x", told={"headers": [[name, value]], "items": ["body"]})
    assert (response.status_code, response.headers[name], response.text) == (200, value, "body")


@pytest.mark.parametrize(
    "status",
    ["200 Error", "201 Created", "404 Nix Da", "299 Odd", "600 Odd", "999 Most", "200", "200 "],
)
def test_statuses_and_reasons_are_the_applications(server: Httpd, status: str) -> None:
    line = (
        raw(server, f"GET /r/x{query(status=status, items=['b'])} HTTP/1.0\r\nHost: x\r\n\r\n")
        .split(b"\r\n")[0]
        .decode()
    )
    assert line == f"HTTP/1.1 {status}" if len(status) > 4 else line.startswith("HTTP/1.1 200")


@pytest.mark.parametrize("location", ["/there", "http://other.example/x", "there"])
@pytest.mark.parametrize("status", ["302 Found", "301 Moved Permanently", "201 Created"])
def test_a_location_is_not_changed(server: Httpd, status: str, location: str) -> None:
    assert (
        get(server, "/r/x", told={"status": status, "headers": [["Location", location]]}).headers[
            "Location"
        ]
        == location
    )


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("100 Continue", []),
        ("103 Early Hints", []),
        ("200OK", []),
        ("2000 X", []),
        ("99 X", []),
        ("200 O\r\nK", []),
        ("200 O\0K", []),
        ("200 OK", [["Transfer-Encoding", "chunked"]]),
        ("200 OK", [["X A", "1"]]),
        ("200 OK", [["X:A", "1"]]),
        ("200 OK", [["", "1"]]),
        ("200 OK", [["X-A", "1\r\nX-B: 2"]]),
        ("200 OK", [["X-A", "1\0"]]),
        ("200 OK", [["X-A", "\x1b[31m"]]),
        ("200 OK", [["Content-Length", "-1"]]),
        ("200 OK", [["Content-Length", "12x"]]),
        ("200 OK", [["Content-Length", ""]]),
        ("200 OK", [["Content-Length", "99999999999999999999"]]),
        ("200 OK", [["X-A", 1]]),
        ("200 OK", [["X-A"]]),
        ("200 OK", [["X-A", "\u20ac"]]),
        (200, []),
    ],
)
def test_what_would_be_malformed_is_refused(server: Httpd, status: object, headers: object) -> None:
    response = get(server, "/r/x", told={"status": status, "headers": headers, "items": ["body"]})
    assert response.status_code == 500 and "X-B" not in response.headers
    server.expect("WSGI0401")


@pytest.mark.parametrize(
    "name", ["Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Proxy-Authenticate"]
)
def test_headers_of_the_connection_are_apaches(server: Httpd, name: str) -> None:
    data = raw(
        server,
        f"GET /r/x{query(headers=[[name, 'nonsense']], items=['b'])} HTTP/1.0\r\nHost: x\r\n\r\n",
    )
    assert data.startswith(b"HTTP/1.1 200") and (
        b"nonsense" not in data or name == "Proxy-Authenticate"
    )


def test_connection_close_closes(server: Httpd) -> None:
    close = query(headers=[["Connection", "close"]], items=["b"])
    data = raw(server, f"GET /r/x{close} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in data


@pytest.mark.parametrize("size", [30_000, 100_000])
def test_many_and_long_headers_pass(server: Httpd, size: int) -> None:
    head = raw(server, f"GET /r/x{query(many=1000, long=size)} HTTP/1.0\r\nHost: x\r\n\r\n").split(
        b"\r\n\r\n"
    )[0]
    assert head.count(b"X-Many-") == 1000 and b"y" * size in head


@pytest.mark.parametrize(
    ("told", "length"),
    [
        ({"items": ["one"], "list": 1}, "3"),
        ({"items": ["one"]}, "3?"),
        ({"items": ["a", "b"], "list": 1}, "2?"),
        ({"items": []}, "0"),
        ({"items": [""]}, "0"),
        ({"items": ["x"], "status": "204 No Content", "list": 1}, None),
        ({"items": ["four"], "headers": [["Content-Length", "4"]]}, "4"),
        (
            {"items": ["fo", "ur"], "headers": [["Content-Length", "9"], ["Content-Length", "4"]]},
            "4",
        ),
    ],
)
def test_content_length_is_given_where_it_is_known(
    server: Httpd, told: Told, length: str | None
) -> None:
    head = (
        raw(server, f"GET /r/x{query(**told)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .split(b"\r\n\r\n")[0]
        .decode()
    )
    found = re.findall(r"(?i)^content-length: (\d*)\s*$", head, re.M)
    if length and length.endswith("?"):  # httpd may count what arrives all at once
        assert found in ([], [length[:-1]])
    else:
        assert found == ([length] if length else [])


def test_http_1_0_gets_no_chunks(server: Httpd) -> None:
    data = raw(server, f"GET /r/x{query(items=['one', 'two'])} HTTP/1.0\r\nHost: x\r\n\r\n")
    assert data.endswith(b"\r\n\r\nonetwo") and b"chunked" not in data


def test_a_connection_is_kept_over_many_requests(server: Httpd) -> None:
    with requests.Session() as session:
        for n in range(20):
            url = server.url("/r/x") + query(items=["x" * n], list=1 if n % 2 else 0)
            assert session.post(url, data=b"y" * (n * 5000), timeout=60).text == "x" * n
    pipelined = "".join(
        f"POST /r/x{query(items=[str(n)])} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: {state}\r\n\r\nabc"
        for n, state in enumerate(["keep-alive"] * 4 + ["close"])
    )
    assert raw(server, pipelined).count(b"HTTP/1.1 200") == 5


@pytest.mark.parametrize(
    ("path", "seen"),
    [("head-on", "GET"), ("head-off", "HEAD"), ("head-auto", "HEAD"), ("head-auto-filter", "GET")],
)
def test_head_is_mapped_to_get_as_configured(server: Httpd, path: str, seen: str) -> None:
    response = get(
        server,
        f"/r/{path}",
        "HEAD",
        {"method": 1, "list": 1},
        headers={"Accept-Encoding": "identity"},
    )
    assert response.status_code == 200 and response.content == b""
    assert int(response.headers["Content-Length"]) == len(seen)


# ---- errors ----


def test_the_applications_error_page_is_its_own_unless_overridden(server: Httpd) -> None:
    own_headers = [["X-Mine", "1"], ["WWW-Authenticate", "X"]]
    told: Told = {"status": "404 Not Found", "items": ["mine"], "headers": own_headers}
    own = get(server, "/r/x", told=told)
    assert (own.status_code, own.text, own.headers["X-Mine"]) == (404, "mine", "1")
    other = get(server, "/r/override", told=told)
    assert (other.status_code, other.text, other.headers["WWW-Authenticate"]) == (
        404,
        "Apache's own page",
        "X",
    )
    assert "X-Mine" not in other.headers
    assert get(server, "/r/override", "HEAD", told).status_code == 404
    assert get(server, "/r/override", told={"items": ["fine"]}).text == "fine"


@pytest.mark.parametrize("status", ["503 Busy", "429 Too Many Requests", "413 Too Large"])
def test_an_error_page_of_apaches_keeps_when_to_come_again(server: Httpd, status: str) -> None:
    for path in ("/r/x", "/r/override"):
        told: Told = {"status": status, "items": ["mine"], "headers": [["Retry-After", "120"]]}
        response = get(server, path, told=told)
        assert response.status_code == int(status[:3])
        assert response.headers["Retry-After"] == "120"


@pytest.mark.parametrize("status", ["418", "419 ", "299", "451", "599", "404", "207"])
@pytest.mark.parametrize("protocol", ["1.0", "1.1"])
def test_a_status_needs_no_reason(server: Httpd, status: str, protocol: str) -> None:
    told = query(status=status, items=["tea"], list=1)
    data = raw(server, f"GET /r/x{told} HTTP/{protocol}\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert data.startswith(f"HTTP/1.1 {status[:3]} ".encode()) and data.endswith(b"\r\n\r\ntea")


@pytest.mark.parametrize("status", ["418", "419 Odd"])
def test_an_error_page_of_apaches_keeps_a_status_that_httpd_does_not_know(
    server: Httpd, status: str
) -> None:
    response = get(server, "/r/override", told={"status": status, "items": ["mine"]})
    assert response.status_code == int(status[:3]) and response.text != "mine"


def test_an_error_document_may_be_an_application(server: Httpd) -> None:
    response = get(
        server, "/r/override", told={"status": "503 Busy", "items": ["mine"], "environ": 1}
    )
    told = response.json()
    assert response.status_code == 503
    assert (told["REDIRECT_URL"], told["REDIRECT_STATUS"], told["PATH_INFO"]) == (
        "/r/override",
        "503",
        "/error",
    )
    assert told["REQUEST_URI"].startswith("/r/override?")


def test_a_failure_shows_no_traceback_to_the_client(server: Httpd) -> None:
    response = get(server, "/r/x", told={"fail": 1})
    assert response.status_code == 500 and "told to fail" not in response.text
    server.expect("WSGI0401")


@pytest.mark.parametrize("protocol", ["1.1", "1.0"])
def test_a_truncated_response_shows_in_the_access_log(server: Httpd, protocol: str) -> None:
    path = f"/r/trunc{protocol}"
    data = raw(
        server, f"GET {path}{query(items=['part'], fail=1)} HTTP/{protocol}\r\nHost: x\r\n\r\n"
    )
    assert (
        data.endswith(b"part\r\n" if protocol == "1.1" else b"part" + RESET)
        and b"0\r\n\r\n" not in data
    )
    server.expect("WSGI0401")
    access = server.root / "access_log"
    wait_until(
        lambda: f"{path} 200 X " in access.read_text(),
        f"an aborted request in {access.read_text()}",
    )


# ---- request bodies ----


def calls(server: Httpd) -> int:
    return int(get(server, "/r/x", told={"calls": 1}).text)


def test_a_declared_body_over_the_limit_never_reaches_the_application(server: Httpd) -> None:
    before = calls(server)
    assert get(server, "/r/limit", "POST", {"read": 1}, data=b"x" * 1001).status_code == 413
    assert get(server, "/r/limit", "POST", {"read": 1}, data=b"x" * 1000).status_code == 200
    assert calls(server) == before + 2


@pytest.mark.parametrize("path", ["/r/limit", "/r/limit-now"])
def test_a_chunked_body_over_the_limit_is_413_too(server: Httpd, path: str) -> None:
    assert (
        get(server, path, "POST", {"read": 1}, data=iter([b"x" * 900, b"y" * 900])).status_code
        == 413
    )


@pytest.mark.parametrize("path", ["/r/x", "/r/now"])
@pytest.mark.parametrize(
    "chunk", ["zz\r\nabc\r\n", "5;\x01\r\nabcde\r\n0\r\n\r\n", "-5\r\nabcde\r\n"]
)
def test_a_malformed_chunk_is_400(server: Httpd, path: str, chunk: str) -> None:
    head = f"POST {path}{query(read=1)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = raw(server, head + chunk)
    assert data.startswith(b"HTTP/1.1 400") and data.count(b"HTTP/1.1") == 1


def test_chunked_bodies_may_be_switched_off(server: Httpd) -> None:
    assert get(server, "/r/nochunk", "POST", {"read": 1}, data=iter([b"x"])).status_code == 411
    assert get(server, "/r/nochunk", "POST", {"read": 1}, data=b"x").text == "x"
    server.expect("WSGI0302")


@pytest.mark.parametrize("path", ["/r/x", "/r/now"])
def test_a_body_that_does_not_come_is_408(httpd: Httpd, mode: str, path: str) -> None:
    httpd.extra_modules = ("reqtimeout",)
    now = "<Location /r/now>\nWSGIRequestBuffering Off\n</Location>"
    httpd.start(conf_for(mode, "reply.py", "/r") + f"\nRequestReadTimeout body=1\n{now}")
    assert get(httpd, "/r/x", told={}).status_code == 200
    data = raw(
        httpd, f"POST {path}{query(read=1)} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
    )
    assert data.startswith(b"HTTP/1.1 408")


# ---- environ ----


def test_configured_variables_reach_environ_but_cannot_replace_the_servers(server: Httpd) -> None:
    told = environ(server, "/r/current//x", headers={"X-Kind": "odd", "X_Under": "1", "X.Dot": "1"})
    assert (told["SHOP"], told["KIND"], told["mod_wsgi.custom"]) == ("open", "odd", "1")
    assert (told["SCRIPT_NAME"], told["PATH_INFO"], told["REQUEST_URI"]) == (
        "/r",
        "/current/x",
        "/r/current/x",
    )
    assert (
        not {"PATH", "mod_wsgi.x-secret", "wsgi.run_once", "HTTP_X_UNDER", "HTTP_X_DOT"}
        & told.keys()
    )


def test_environ_of_rewritten_and_encoded_paths(server: Httpd) -> None:
    told = environ(server, "/pretty/a%20b/%C3%A9")
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/r", "/app/a b/\xc3\xa9")
    assert told["REQUEST_URI"].startswith("/pretty/a%20b/%C3%A9?")
    assert environ(server, "/r/a%252Fb%2Fc")["PATH_INFO"] == "/a%2Fb/c"


def test_https_may_come_from_a_variable(server: Httpd) -> None:
    told = environ(server, "/r/https", headers={"X-Forwarded-Proto": "https"})
    assert (
        told["wsgi.url_scheme"] == "https"
        and told["REQUEST_SCHEME"] == "http"
        and "HTTPS" not in told
    )
    assert environ(server, "/r/https")["wsgi.url_scheme"] == "http"


def test_an_index_and_an_included_part_may_be_applications(server: Httpd) -> None:
    assert get(server, "/").status_code == 200
    assert get(server, "/page.shtml").text == "[]"


def test_options_trace_and_odd_methods(server: Httpd) -> None:
    assert get(server, "/r/x", "OPTIONS", {"method": 1}).text == "OPTIONS"
    assert get(server, "/r/x", "PROPFIND", {"method": 1}).text == "PROPFIND"
    assert get(server, "/r/x", "BREW", {"method": 1}).text == "BREW"
    assert get(server, "/r/x", "TRACE").status_code == 405


# ---- filters ----


def test_filters_work_on_every_kind_of_response(server: Httpd) -> None:
    text = ["word " * 100, "x", "more " * 300]
    for headers in (
        [["Content-Type", "text/plain"]],
        [["Content-Type", "text/plain"], ["Content-Length", "100050"]],
    ):
        response = get(server, "/r/deflate", told={"items": text, "times": 50, "headers": headers})
        assert response.headers["Content-Encoding"] == "gzip" and response.text == "".join(
            text * 50
        )
    assert get(server, "/r/rate", told={"items": ["x" * 1000], "times": 5}).text == "x" * 5000
    response = get(server, "/r/headers", told={"headers": [["X-Removed", "1"]], "environ": 1})
    assert response.headers["X-Added"] == "by Apache" and "X-Removed" not in response.headers
    assert response.json()["HTTP_X_ASKED"] == "by Apache"


# ---- TLS and HTTP/2 ----


def curl(server: Httpd, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("curl")
    assert program
    return subprocess.run(
        [program, "-sS", "-k", "-m", "60", *arguments], capture_output=True, check=check, env=PLAIN
    )


def http2(server: Httpd, secure: bool) -> tuple[str, str]:
    if secure:
        return "--http2", f"https://localhost:{server.tls}"  # type: ignore[attr-defined]
    return "--http2-prior-knowledge", f"http://127.0.0.1:{server.port}"


def test_tls_shows_in_environ(server: Httpd) -> None:
    base = f"https://localhost:{server.tls}"  # type: ignore[attr-defined]
    told = json.loads(curl(server, "--http1.1", base + "/r/x" + query(environ=1)).stdout)
    assert told["wsgi.url_scheme"] == told["REQUEST_SCHEME"] == "https" and "HTTPS" not in told
    assert told["SSL_PROTOCOL"].startswith("TLSv1") and told["SERVER_PROTOCOL"] == "HTTP/1.1"
    facts = curl(server, "--http1.1", "-d", "abcdef", base + "/flow/tls").stdout.decode()
    assert re.fullmatch(r"\[1, 'TLSv1\.\d', None, b'abcdef'\]", facts)


@pytest.mark.parametrize("secure", [False, True])
def test_http2_carries_bodies_both_ways(server: Httpd, secure: bool) -> None:
    option, base = http2(server, secure)
    assert (
        json.loads(curl(server, option, base + "/r/x" + query(environ=1)).stdout)["SERVER_PROTOCOL"]
        == "HTTP/2.0"
    )
    upload = server.root / "upload"
    upload.write_bytes(b"0123456789" * 100_000)
    for path in ("/r/x", "/r/now"):
        assert (
            curl(server, option, "--data-binary", f"@{upload}", base + path + query(read=1)).stdout
            == upload.read_bytes()
        )
    huge = curl(server, option, base + "/flow/huge").stdout
    assert len(huge) == 20_000_000 and huge[:3] == b"\0\0\0"


@pytest.mark.parametrize("secure", [False, True])
def test_http2_carries_what_comes_with_pauses(server: Httpd, secure: bool) -> None:
    option, base = http2(server, secure)
    assert curl(server, option, base + "/flow/pauses").stdout == b"".join(
        bytes([n]) * 300_000 for n in range(8)
    )
    assert "WSGI0315" not in server.log_text()


@pytest.mark.parametrize(
    "told",
    [{"items": ["part"], "fail": 1}, {"items": ["part"], "headers": [["Content-Length", "9"]]}],
)
def test_http2_resets_the_stream_of_a_truncated_response(server: Httpd, told: Told) -> None:
    option, base = http2(server, False)
    done = curl(server, option, base + "/r/x" + query(**told), check=False)
    assert done.returncode in (18, 92), done  # 92: stream not closed cleanly
    server.expect("WSGI0401" if told.get("fail") else "WSGI0412")


def test_http2_streams_each_item_at_once(server: Httpd) -> None:
    option, base = http2(server, False)
    program = shutil.which("curl")
    assert program
    command = [program, "-sSN", option, base + "/flow/wait?h2,text/plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=PLAIN) as waiting:
        assert waiting.stdout
        assert waiting.stdout.read(6) == b"first,"
        get(server, "/flow/set?h2")
        assert waiting.stdout.read() == b"second"


def test_http2_sends_early_hints(server: Httpd) -> None:
    option, base = http2(server, False)
    head = curl(server, "-i", option, base + "/flow/hints").stdout.decode()
    assert (
        head.startswith("HTTP/2 103")
        and "link: </a.css>; rel=preload" in head
        and "HTTP/2 200" in head
    )
