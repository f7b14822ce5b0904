"""The channels between Apache, its groups, other users of the machine and clients: a test for each
row of the table in docs/security.md, in the order of that table. What .htaccess files may do is in
test_admission.py.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from authsite import put
from harness import AS_ROOT, Httpd, wait_for
from pythons import REPOSITORY

STRANGER = 65534  # a user that has nothing to do with Apache or the group
AS_STRANGER = {"user": STRANGER, "group": STRANGER, "extra_groups": [], "cwd": "/"}

APP = """
import json, os, sys

def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return found

def try_to(function, *arguments):
    try:
        function(*arguments)
        return "done"
    except OSError as exc:
        return type(exc).__name__

def memory():
    "What this process can do to the sizes of memory that it shares."
    found = {}
    for fd, name in descriptors().items():
        if name.startswith("/memfd:wsgi-board") or name.startswith("/memfd:wsgi-activity"):
            size = os.fstat(fd).st_size
            found[name.split()[0]] = [try_to(os.ftruncate, fd, n) for n in (0, size - 1, size + 4096)]
    return found

def child():
    out = os.popen("ls -l /proc/self/fd").read()
    return [line.split(" -> ")[-1] for line in out.splitlines() if " -> " in line]

def application(environ, start_response):
    word = environ["PATH_INFO"].rpartition("/")[2]
    if word == "print":
        text = environ["wsgi.input"].read().decode("latin-1")
        print(text)
        print(text, file=sys.stderr)
        environ["wsgi.errors"].write(text + "\\n")
        result = None
    elif word == "environ":
        result = {key: value for key, value in environ.items() if isinstance(value, str)}
    else:
        result = {"descriptors": descriptors, "memory": memory, "child": child}[word]()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "uid": os.getuid(), "result": result}).encode()]
"""

CONF = """
ServerLimit 1
WSGIDaemonProcess shop threads=2 server-metrics=On {user}
WSGIDaemonProcess neighbour threads=1
WSGIScriptAlias /shop {app}/probe.py process-group=shop
WSGIScriptAlias /neighbour {app}/probe.py process-group=neighbour
WSGIScriptAlias /inside {app}/probe.py
<Location /status>
    SetHandler wsgi-status
    Require ip 192.0.2.1
</Location>
<Location /shop/private>
    AuthType Basic
    AuthName a
    AuthBasicProvider wsgi
    WSGIAuthUserScript {app}/users.py process-group=neighbour
    Require valid-user
</Location>
<LocationMatch ^/shop/private/passed>
    WSGIPassAuthorization On
</LocationMatch>
<Location /shop/trusting>
    WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto
    WSGITrustedProxies 192.0.2.0/24
</Location>
"""
USERS = """
def check_password(environ, user, password):
    print("KEYS", sorted(environ), any("c2VjcmV0" in str(v) or "secret" in str(v) for v in environ.values()))
    return password == "secret"
"""
MODES = ("shop", "inside")

needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def server() -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=("auth_basic", "authn_core", "authz_user", "authz_host"))
    put(httpd.app / "probe.py", APP)
    put(httpd.app / "users.py", USERS)
    user = "user=daemon group=daemon" if AS_ROOT else ""
    httpd.start(
        'ErrorLogFormat "[%t] [%-m:%l] [%{wsgi.script}n] %M"\n' + CONF.replace("{user}", user)
    )
    wait_for(lambda: len(httpd.workers()) == 2, "the workers are ready")
    yield httpd
    httpd.finish()


def ask(server: Httpd, path: str, **options: Any) -> Any:
    answer = requests.request(options.pop("method", "GET"), server.url(path), timeout=60, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_stranger(code: str, *arguments: str) -> str:
    """What a Python program prints that another user of the machine runs."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        **AS_STRANGER,  # type: ignore[call-overload]
    )
    return str(done.stdout).strip()


# ---- between users of the machine ----


def test_the_socket_of_a_group_has_no_name(server: Httpd) -> None:
    assert not [path for path in server.root.rglob("*") if path.is_socket()]
    named = [
        line.split()[-1]
        for line in Path("/proc/net/unix").read_text().splitlines()
        if str(server.root) in line
    ]
    assert named and not [name for name in named if Path(name).exists()]


CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    print("connected")
except OSError as exc:
    print(type(exc).__name__)
"""


@needs_root
def test_a_stranger_cannot_reach_the_socket_of_a_group(server: Httpd) -> None:
    (child, *_) = server.apache_children()
    handles = [path for path in Path(f"/proc/{child}/fd").iterdir() if ".sock" in os.readlink(path)]
    assert len(handles) == 2  # through which the child connects
    for path in handles:
        assert as_stranger(CONNECT, str(path)) == "PermissionError"


@needs_root
def test_a_stranger_controls_no_group(server: Httpd) -> None:
    names = re.findall(
        r"@(httpd-wsgi/(?:shop|neighbour)/\d+/\w+)", Path("/proc/net/unix").read_text()
    )
    code = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect("\\0" + sys.argv[1])
s.send(b"stop")
print(s.recv(4096).decode())
"""
    mine = [name for name in names if int(name.split("/")[2]) in server.supervisors()]
    assert len(mine) == 2
    for name in mine:
        assert "may control this group" in json.loads(as_stranger(code, name))["error"]
    server.expect("WSGI0851")
    assert len(server.workers()) == 2


@needs_root
def test_a_stranger_sees_no_memory_environment_or_descriptor(server: Httpd) -> None:
    code = """
import os, sys
for name in sys.argv[2:]:
    try:
        path = f"/proc/{sys.argv[1]}/{name}"
        os.listdir(path) if name == "fd" else open(path, "rb").read()
        print(name)
    except OSError:
        pass
"""
    for pid in (*server.workers(), *server.supervisors(), *server.apache_children()):
        assert as_stranger(code, str(pid), "environ", "fd", "mem", "maps") == ""


@needs_root
def test_spool_files_have_no_name_and_belong_to_apache(server: Httpd) -> None:
    """Half of a large body has arrived, so it is in a file."""
    (child, *_) = server.apache_children()
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(
            b"POST /shop/child HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n"
        )
        connection.sendall(b"x" * 4_000_000)

        def spool() -> list[Path]:
            return [
                path
                for path in Path(f"/proc/{child}/fd").iterdir()
                if os.readlink(path).endswith("(deleted)") and path.stat().st_size > 1_000_000
            ]

        (path, *_) = wait_for(spool, "the body is put aside")
        info = path.stat()
        assert info.st_nlink == 0 and stat.S_IMODE(info.st_mode) == 0o600 and info.st_uid == 33
        connection.sendall(b"x" * 4_000_000)
        assert connection.recv(12) == b"HTTP/1.1 200"


ADOPT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(5)
s.connect("\\0httpd-wsgi-worker/" + sys.argv[1])
try:
    s.sendall(b"log\\n")
    print(s.recv(100))
except OSError as exc:
    print(type(exc).__name__)
"""


@needs_root
def test_a_stranger_adopts_no_worker(httpd: Httpd) -> None:
    """Its supervisor was killed, and the next one cannot start its workers."""
    app = put(httpd.app / "probe.py", APP)
    httpd.start("WSGIDaemonProcess d threads=1\nWSGIScriptAlias / {app}/probe.py process-group=d")
    worker = httpd.worker()
    put(app, "import signal\nwhile True:\n    signal.pause()\n")
    name = f"@httpd-wsgi-worker/{worker}"
    os.kill(httpd.supervisor(), signal.SIGKILL)
    httpd.expect("WSGI0608")
    wait_for(lambda: name in Path("/proc/net/unix").read_text(), "the worker waits to be adopted")
    answer = as_stranger(ADOPT, str(worker))
    # Nothing: the worker closes the connection, or leaves it in its queue once it is adopted
    assert answer in ("b''", "ConnectionResetError", "BrokenPipeError", "TimeoutError")
    assert ask(httpd, "/child")["pid"] == worker


# ---- between an application and Apache ----

DOCUMENTED = {
    0: r"/dev/null",
    1: r".*/error_log",
    2: r".*/error_log",
    3: r"socket:.*",
    4: r"socket:.*",
    6: r"/memfd:wsgi-board .*",
    9: r"pipe:.*",
    10: r"/memfd:wsgi-activity .*",
    11: r"/memfd:wsgi-crash .*",
}
OWN = r"anon_inode:.*|socket:.*|pipe:.*|/proc/.*|/memfd:wsgi-.*|.*\.py"  # what the worker itself opens


def test_workers_inherit_only_documented_descriptors(server: Httpd) -> None:
    found = {int(fd): name for fd, name in ask(server, "/shop/descriptors")["result"].items()}
    for fd, name in DOCUMENTED.items():
        assert re.fullmatch(name, found[fd]), (fd, found)
    others = {fd: name for fd, name in found.items() if fd not in DOCUMENTED}
    assert all(re.fullmatch(OWN, name) for name in others.values()), others
    assert not [name for name in found.values() if "settings" in name or "httpd.pid" in name]


def test_programs_of_an_application_inherit_no_descriptor(server: Httpd) -> None:
    for mode in MODES:
        names = ask(server, f"/{mode}/child")["result"]
        assert all(
            re.fullmatch(r"/dev/null|.*/error_log|pipe:.*|/proc/\d+/fd", n) for n in names
        ), names


def test_workers_cannot_change_the_size_of_shared_memory(server: Httpd) -> None:
    """They map a copy of the scoreboard for reading and close its descriptor."""
    found = ask(server, "/shop/memory")["result"]
    assert found == {
        "/memfd:wsgi-board": ["PermissionError"] * 3,
        "/memfd:wsgi-activity": ["PermissionError"] * 3,
    }


@needs_root
def test_a_group_has_its_own_user(server: Httpd) -> None:
    assert ask(server, "/shop/child")["uid"] == 1
    assert ask(server, "/neighbour/child")["uid"] == ask(server, "/inside/child")["uid"] == 33
    (worker,) = [p for p in server.workers() if Path(f"/proc/{p}").stat().st_uid == 1]
    status = Path(f"/proc/{worker}/status").read_text()
    assert "CapEff:\t0000000000000000" in status and "CapPrm:\t0000000000000000" in status
    assert re.search(r"Groups:\t(1 )+\n", status)


# ---- the log ----

FORGED = "[Mon Nov 30 00:00:00 2026] [core:emerg] forged"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "mark", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1b[2K", "\x00", "\x85", "\x08"]
)
def test_output_cannot_forge_records(server: Httpd, mode: str, mark: str) -> None:
    word = f"before-{mode}-{ord(mark[0])}-{len(mark)}"
    ask(server, f"/{mode}/print", method="POST", data=f"{word}{mark}{FORGED}".encode("latin-1"))

    def records() -> list[bytes]:
        found = [line for line in server.log.read_bytes().split(b"\n") if word.encode() in line]
        return found if len(found) == 3 else []

    wait_for(records, "all is logged")
    for line in re.split(rb"[\n\r\x0b\x0c\x1b\x08]", server.log.read_bytes()):
        assert not line.startswith(FORGED.encode()), line


def test_urls_and_headers_cannot_forge_records(server: Httpd) -> None:
    for target in ("/shop/x%0A" + FORGED.replace(" ", "%20"), "/nothing%0D%0A%1B[2K"):
        requests.get(server.url(target), timeout=60)  # a KeyError with the path as its text
    server.expect("WSGI0401")
    request = b"GET /shop/environ HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: a\x1b[2K\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall(request)
        assert connection.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 400")
    assert not [line for line in server.log_text().splitlines() if line.startswith(FORGED)]
    assert b"\x1b" not in server.log.read_bytes()


@pytest.mark.parametrize("mode", MODES)
def test_records_name_the_script(server: Httpd, mode: str) -> None:
    ask(server, f"/{mode}/print", method="POST", data=f"named by {mode}".encode())
    for line in wait_for(
        lambda: [x for x in server.log_text().splitlines() if x.endswith(f"named by {mode}")],
        "the output is logged",
    ):
        assert f"[{server.app}/probe.py]" in line


def test_records_of_a_hook_name_its_script(server: Httpd) -> None:
    ask(server, "/shop/private/environ", auth=("anna", "secret"))
    assert f"[{server.app}/users.py]" in server.expect("KEYS")


# ---- the status ----


def test_the_status_obeys_require(server: Httpd) -> None:
    for query in ("", "?format=json", "?format=openmetrics", "?format=prometheus"):
        answer = requests.get(server.url("/status" + query), timeout=60)
        assert answer.status_code == 403 and "shop" not in answer.text


# ---- between clients and applications ----


def environ_of(server: Httpd, path: str, **headers: str) -> dict[str, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    found: dict[str, str] = ask(server, path, headers=names)["result"]
    return found


CREDENTIALS = "Basic " + base64.b64encode(b"anna:secret").decode()


def test_passwords_reach_neither_hooks_nor_applications(server: Httpd) -> None:
    environ = environ_of(server, "/shop/private/environ", Authorization=CREDENTIALS)
    assert environ["REMOTE_USER"] == "anna" and "HTTP_AUTHORIZATION" not in environ
    assert not [value for value in environ.values() if "secret" in value or CREDENTIALS in value]
    record = server.expect("KEYS")
    assert "AUTHORIZATION" not in record and record.rstrip().endswith("False")
    passed = environ_of(server, "/shop/private/passed/environ", Authorization=CREDENTIALS)
    assert passed["HTTP_AUTHORIZATION"] == CREDENTIALS


def test_clients_cannot_pretend_to_be_proxies(server: Httpd) -> None:
    forwarded = {
        "X_Forwarded_For": "203.0.113.9",
        "X_Forwarded_Host": "evil.example.com",
        "X_Forwarded_Proto": "https",
    }
    environ = environ_of(server, "/shop/trusting/environ", **forwarded)
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and "evil" not in environ["HTTP_HOST"]
    assert not [name for name in environ if name.startswith("HTTP_X_FORWARDED")]
    assert environ.get("wsgi.url_scheme", "http") == "http"


def raw(server: Httpd, *lines: str, body: bytes = b"") -> bytes:
    """All that the server answers to these lines on one connection."""
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def test_headers_cannot_imitate_others(server: Httpd) -> None:
    answer = raw(
        server,
        "GET /shop/environ HTTP/1.1",
        "Host: a",
        "Proxy: http://evil/",
        "X_Forwarded_For: 203.0.113.9",
        "Remote-User: admin",
    )
    environ = json.loads(answer[answer.index(b'{"pid"') :].split(b"\r\n")[0])["result"]
    assert not {"HTTP_PROXY", "HTTP_X_FORWARDED_FOR", "REMOTE_USER"} & set(environ)
    assert environ["HTTP_REMOTE_USER"] == "admin"


SMUGGLED = b"GET /shop/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5, 6",),
        ("Content-Length: +5",),
        ("Content-Length: -5",),
        ("Content-Length: 0x5",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Content-Length: 5", "Transfer-Encoding: xchunked"),
    ],
)
def test_a_request_of_unclear_length_is_refused(
    server: Httpd, mode: str, headers: tuple[str, ...]
) -> None:
    start = f"POST /{mode}/child HTTP/1.1"
    answer = raw(server, start, "Host: a", *headers, body=b"hello" + SMUGGLED)
    assert re.match(rb"HTTP/1.1 (400|413|501) ", answer), answer
    assert answer.count(b"HTTP/1.1 ") == 1 and b'"pid"' not in answer
    server.expected |= {"WSGI0301"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((f"Content-Length: {len(SMUGGLED)}",), SMUGGLED),
        (
            ("Transfer-Encoding: chunked",),
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        ),
        (
            ("Transfer-Encoding: chunked", "Content-Length: 4"),
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        ),
    ],
)
def test_a_body_that_nobody_reads_is_no_request(
    server: Httpd, mode: str, headers: tuple[str, ...], body: bytes
) -> None:
    start = f"POST /{mode}/environ HTTP/1.1"
    answer = raw(server, start, "Host: a", *headers, body=body)
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"HTTP/1.1 200") == 1
    assert b"smuggled" not in answer.replace(SMUGGLED, b"")


def test_the_page_names_tests_that_are_there() -> None:
    page = (REPOSITORY / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {
        name
        for file in (REPOSITORY / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    assert named and not named - there
    channels = page.partition("### The channels")[2].partition("What this does not")[0]
    rows = [line for line in channels.splitlines() if line.startswith("| ")][1:]
    assert rows and not [row for row in rows if "`test_" not in row]
