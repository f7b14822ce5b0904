"""The rules of PEP 3333 that look at the Python side; tests/test_http.py looks at the HTTP side."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, wait_until


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd(extra_modules=("authn_core", "authn_file", "authz_user", "auth_basic", "env"))
    (httpd.root / "users").write_text("joe:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    httpd.start(
        "ServerLimit 1\n"
        + conf_for(request.param, "rules.py", "/w").replace("processes=2", "processes=1")
        + f"\nWSGIScriptAlias /e {{app}}/environ.py{' process-group=d' * (request.param == 'daemon')}"
        + "\n<Location /e/pass>\nWSGIPassAuthorization On\n</Location>\n<Location /e/cgi>\nCGIPassAuth On\n</Location>"
        + "\n<Location /e/auth>\nAuthType Basic\nAuthName x\nAuthUserFile {root}/users\nRequire valid-user\n</Location>"
        + "\n<Location /w/wrapper>\nWSGIEnableSendfile On\n</Location>"
        + "\n<Location /e/named>\nSetEnv mod_wsgi.callable_object mine\nSetEnv wsgi.url_scheme mine\n"
        + "SetEnv mod_wsgi.handler_script mine\n</Location>"
    )
    yield httpd
    httpd.finish()


def get(server: Httpd, path: str, **options: object) -> requests.Response:
    return requests.get(server.url(path), timeout=60, **options)  # type: ignore[arg-type]


# ---- wsgi.input ----


def expected(body: bytes, ops: list[list[object]]) -> list[object]:
    stream, results = io.BytesIO(body), []
    for name, *args in ops:
        if name == "iterate":
            value: object = [next(stream, b"") for _ in range(args[0])]  # type: ignore[call-overload]
        else:
            value = getattr(stream, str(name))(*args)
        results.append(
            value.decode("latin-1")
            if isinstance(value, bytes)
            else [v.decode("latin-1") for v in value]
        )  # type: ignore
    return results


def some_ops(chance: random.Random) -> list[list[object]]:
    sizes = [-1, 0, 1, 2, 5, 100, 8191, 8192, 8193, 65_536, 100_000]
    ops: list[list[object]] = []
    for _ in range(chance.randrange(1, 12)):
        name = chance.choice(["read", "readline", "readline", "readlines", "iterate"])
        if name == "iterate":
            ops.append([name, chance.randrange(3)])
        else:
            ops.append(
                [name, chance.choice(sizes)]
                if chance.random() < 0.9 or name == "readlines"
                else [name]
            )
    return [*ops, ["read"], ["read"], ["readline"]]


@pytest.mark.parametrize("seed", range(40))
def test_input_reads_as_a_file_does(server: Httpd, seed: int) -> None:
    chance = random.Random(seed)
    lines = [
        b"x" * chance.choice([0, 1, 3, 100, 8192, 20_000, 120_007])
        for _ in range(chance.randrange(8))
    ]
    body, ops = b"\n".join(lines), some_ops(chance)
    data = iter([body[:7], body[7:]]) if seed % 2 and len(body) > 7 else body
    answer = requests.post(
        server.url("/w/input_ops"), data=data, headers={"X-Ops": json.dumps(ops)}, timeout=60
    )
    assert answer.json() == expected(body, ops)


def test_input_refuses_wrong_arguments_and_has_no_other_methods(server: Httpd) -> None:
    text = requests.post(server.url("/w/input_errors"), data=b"body", timeout=60).text
    assert text == "TypeError TypeError TypeError TypeError AttributeError AttributeError"


def test_a_huge_size_costs_nothing(server: Httpd) -> None:
    assert requests.post(server.url("/w/huge_read"), data=b"body", timeout=60).text == "4"


def test_objects_of_an_ended_request_are_all_dead(server: Httpd) -> None:
    assert get(server, "/w/keep").text == "kept"
    wait_until(
        lambda: get(server, "/w/use_kept").text == "dead",
        "the request is over, which is after its answer",
    )


# ---- Authorization ----


def environ_of(server: Httpd, path: str, host: str) -> dict[str, str]:
    told: dict[str, str] = requests.get(server.url(path), headers={"Host": host}, timeout=60).json()
    for key in (
        "REMOTE_PORT",
        "mod_wsgi.server_pid",
        "mod_wsgi.request_id",
        "mod_wsgi.connection_id",
    ):
        told.pop(key, None)  # the connection has a number only when something is logged of it
    return told


def test_environ_does_not_depend_on_the_requests_before(server: Httpd) -> None:
    asked = [
        ("/e/x", "one.test"),
        ("/e/named", "one.test"),
        ("/e/x", "two.test"),
        ("/e/y?a=b", "two.test:81"),
    ]
    first = [environ_of(server, *one) for one in asked]
    for at in (0, 0, 2, 1, 1, 3, 0, 1, 2):
        assert environ_of(server, *asked[at]) == first[at]
    assert (
        first[0]["mod_wsgi.callable_object"]
        == first[1]["mod_wsgi.callable_object"]
        == "application"
    )
    assert first[0]["wsgi.url_scheme"] == first[1]["wsgi.url_scheme"] == "http"
    assert (first[0]["mod_wsgi.handler_script"], first[1]["mod_wsgi.handler_script"]) == (
        "",
        "mine",
    )
    assert [told["HTTP_HOST"] for told in first] == [host for _, host in asked]


@pytest.mark.parametrize(
    ("path", "passed"), [("/e/x", True), ("/e/pass", True), ("/e/cgi", True), ("/e/auth", False)]
)
def test_authorization_is_passed_where_the_configuration_says(
    server: Httpd, path: str, passed: bool
) -> None:
    told = get(server, path, auth=("joe", "secret"), headers={"Proxy-Authorization": "x"}).json()
    assert ("HTTP_AUTHORIZATION" in told) == passed
    assert ("HTTP_PROXY_AUTHORIZATION" in told) == (path == "/e/cgi")
    assert (told.get("REMOTE_USER"), told.get("AUTH_TYPE")) == (
        ("joe", "Basic") if path == "/e/auth" else (None, None)
    )


# ---- wsgi.file_wrapper ----


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"seek": 100},
        {"seek": 10**9},
        {"length": 50},
        {"seek": 7, "length": 50},
        {"length": 0},
        {"subclass": True},
        {"block": 17},
        {"kind": "bytesio"},
        {"kind": "bytesio", "seek": 9990},
        {"kind": "pipe"},
        {"kind": "vanishing"},
        {"kind": "vanishing", "seek": 9000, "write": "before "},
        {"kind": "reader"},
        {"write": "before "},
    ],
    ids=str,
)
def test_a_wrapped_file_is_sent_from_its_position(server: Httpd, told: dict[str, object]) -> None:
    path = server.app / "rules.py"
    whole = path.read_bytes() if told.get("kind") in (None, "reader") else b"0123456789" * 1000
    body = str(told.get("write", "")).encode() + whole[int(str(told.get("seek", 0))) :]
    if "length" in told:
        body = body[: int(str(told["length"]))]
    response = get(
        server, "/w/wrapper", headers={"X-Told": json.dumps({**told, "file": str(path)})}
    )
    assert response.status_code == 200 and response.content == body
    if set(told) <= {"seek", "length", "subclass", "block"}:
        assert response.headers["Content-Length"] == str(len(body))
    wait_until(lambda: get(server, "/w/wrapper_closed").text == "True", "all files are closed")


@pytest.mark.parametrize("kind", ["gzip", "buffered gzip", "raw", "text", "upper"])
def test_what_is_sent_of_a_wrapped_file_is_what_its_read_gives(server: Httpd, kind: str) -> None:
    path, content = server.app / "content", b"a line\n" * 1000
    path.write_bytes(gzip.compress(content) if "gzip" in kind else content)
    response = get(
        server, "/w/wrapper", headers={"X-Told": json.dumps({"kind": kind, "file": str(path)})}
    )
    assert response.content == (content.upper() if kind == "upper" else content)


def test_a_wrapper_with_items_of_its_own_sends_those(server: Httpd) -> None:
    path = server.app / "rules.py"
    told = json.dumps({"subclass": True, "shouts": True, "file": str(path)})
    assert get(server, "/w/wrapper", headers={"X-Told": told}).content == path.read_bytes().upper()


@pytest.mark.parametrize("path", ["/proc/version", "/sys/devices/system/cpu/online"])
def test_a_file_whose_size_is_not_that_of_its_content_is_sent_whole(
    server: Httpd, path: str
) -> None:
    if not Path(path).exists():
        pytest.skip(f"there is no {path}")
    told = json.dumps({"file": path})
    assert get(server, "/w/wrapper", headers={"X-Told": told}).content == Path(path).read_bytes()


def test_a_file_shorter_than_its_content_length_is_seen_to_be(server: Httpd) -> None:
    told = json.dumps({"length": 10**6, "file": str(server.app / "rules.py")})
    with pytest.raises(
        (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)
    ):
        get(server, "/w/wrapper", headers={"X-Told": told})
    server.expect("WSGI0412")


def test_a_range_of_a_wrapped_file(server: Httpd) -> None:
    told = json.dumps({"file": str(server.app / "rules.py")})
    response = get(server, "/w/wrapper", headers={"X-Told": told, "Range": "bytes=4-8"})
    assert (response.status_code, response.content) == (
        206,
        (server.app / "rules.py").read_bytes()[4:9],
    )


# ---- logging ----


def test_everything_printed_is_a_record_with_its_client(server: Httpd) -> None:
    get(server, "/w/print_all?alpha")
    server.expect("alpha unfinished")
    records = [line for line in server.log_text().splitlines() if "alpha" in line]
    assert all("[client 127.0.0.1:" in line and "[wsgi:error]" in line for line in records)
    for text in (
        "alpha stdout",
        "alpha stderr",
        "UserWarning: alpha warning",
        "alpha lastResort",
        "alpha partial",
    ):
        assert sum(line.endswith(text) for line in records) == 1, (text, records)
    (control,) = [line for line in records if "alpha control" in line]
    assert control.endswith(r"control \x1b[31m\x1a end")


def test_long_lines_are_split_and_empty_ones_kept(server: Httpd) -> None:
    before = len(server.log_text())
    assert get(server, "/w/print_long").text == "True"
    server.expect("wrapped")
    lines = [line.split("] ", 4)[-1] for line in server.log_text()[before:].splitlines()]
    texts = [re.sub(r"^\[client \S+\] ?", "", line) for line in lines]
    assert "".join(texts).count("x") >= 100_000 and "<stdout> utf-8 False <wsgi.errors>" in texts
    start = texts.index("a")
    assert texts[start : start + 4] == ["a", "b", "", "c"]


def test_each_virtual_host_has_its_own_log(httpd: Httpd, mode: str) -> None:
    group = " process-group=d" * (mode == "daemon")
    httpd.start(
        "WSGIDaemonProcess d threads=2\n"
        + "".join(
            f"<VirtualHost *:{{port}}>\nServerName {name}\nErrorLog {{root}}/{name}.log\n"
            f"WSGIScriptAlias / {{app}}/rules.py application-group=%{{GLOBAL}}{group}\n</VirtualHost>\n"
            for name in ("one", "two")
        )
    )
    for name in ("one", "two", "one"):
        requests.get(httpd.url(f"/print_all?from-{name}"), headers={"Host": name}, timeout=60)
    for name, other in (("one", "two"), ("two", "one")):
        log = httpd.root / f"{name}.log"
        wait_until(
            lambda log=log, name=name: f"from-{name} unfinished" in log.read_text(), "the record"
        )  # type: ignore[misc]
        assert f"from-{other}" not in log.read_text()
    assert "from-" not in httpd.log_text()


# ---- threads, interpreters, ends ----


def test_helper_threads_may_write_while_the_request_lasts(server: Httpd) -> None:
    assert get(server, "/w/threads_write").content == b"x" * 100 * 50 * 4 + b"done"


def test_a_client_that_goes_is_one_kind_of_oserror_and_no_error_in_the_log(server: Httpd) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            connection.sendall(b"GET /w/gone HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(1000)
    wait_until(lambda: len(get(server, "/w/gone_seen").text.split()) == 3, "all three have noticed")
    assert set(get(server, "/w/gone_seen").text.split()) == {"ConnectionAbortedError"}
    assert not re.search(r"\[wsgi:error\].*WSGI0401.*ConnectionAborted", server.log_text())


@pytest.mark.parametrize("option", ["1.1", "1.0"])
def test_a_killed_worker_cuts_the_response_visibly(httpd: Httpd, option: str) -> None:
    httpd.start(conf_for("daemon", "rules.py", "/w") + "\nWSGIResponseBuffering Off\n")
    with socket.create_connection(("127.0.0.1", httpd.port), 60) as connection:
        connection.sendall(f"GET /w/stream_for_ever HTTP/{option}\r\nHost: x\r\n\r\n".encode())
        data = bytearray()
        while not (pid := re.search(rb"X-Pid: (\d+)\r", data)):
            data += connection.recv(65536)
        os.kill(int(pid.group(1)), signal.SIGKILL)
        with pytest.raises(ConnectionResetError) if option == "1.0" else contextlib.nullcontext():
            while chunk := connection.recv(1 << 20):
                data[:-10] = b""
                data += chunk
    assert not data.endswith(b"0\r\n\r\n")
    for code in ("WSGI0310", "WSGI0702"):
        httpd.expect(code)


def test_requests_run_in_the_interpreter_of_their_group_whatever_the_thread_did_before(
    httpd: Httpd, mode: str
) -> None:
    names = ["a", "b", "c", ""]
    group = " process-group=d" * (mode == "daemon")
    httpd.start(
        "ServerLimit 1\nThreadsPerChild 3\nMaxRequestWorkers 3\nWSGIDaemonProcess d threads=3\n"
        + "".join(
            f"WSGIScriptAlias /g{n} {{app}}/rules.py application-group={n or '%{GLOBAL}'}{group}\n"
            for n in names
        )
    )
    with ThreadPoolExecutor(3) as pool:
        wanted = [random.Random(7).choice(names) for _ in range(150)]
        assert list(pool.map(lambda n: get(httpd, f"/g{n}/group").text, wanted)) == [
            f"{n} {n}" for n in wanted
        ]
