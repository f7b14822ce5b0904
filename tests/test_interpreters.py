"""Requests in parallel within one process: interpreters with a lock of their own, and Pythons
without one.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import Httpd, wait_until

# Two requests that compute until each has seen the other compute. Nothing in the loop gives the
# lock away by itself, and with this switch interval nobody asks for it, so two requests under one
# lock would never meet.
MEET = """
import mmap, os, sys, time
sys.setswitchinterval(1000)
file = os.open(BOARD, os.O_RDWR)
board = mmap.mmap(file, 2)

def application(environ, start_response):
    mine = int(environ["QUERY_STRING"])
    board[mine] = 1
    end = time.monotonic() + 60
    while not board[1 - mine] and time.monotonic() < end:
        pass
    met = board[1 - mine]
    board[mine] = 1
    start_response("200 OK", [])
    return [f"{os.getpid()} {'met' if met else 'alone'}".encode()]
"""


def version_of(home: Path) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    return tuple(map(int, subprocess.check_output([home / "bin" / "python", "-c", code]).split()))


def meeting(httpd: Httpd, conf: str) -> list[list[str]]:
    board = httpd.root / "board"
    board.write_bytes(b"\0\0")
    board.chmod(0o666)
    (httpd.app / "meet.py").write_text(MEET.replace("BOARD", repr(str(board))))
    httpd.start(conf)
    with ThreadPoolExecutor(2) as pool:
        paths = ["/a?0", "/b?1"]
        return [
            r.text.split()
            for r in pool.map(lambda path: requests.get(httpd.url(path), timeout=60), paths)
        ]


def conf_of(mode: str, home: Path, more: str, groups: tuple[str, str] = ("a", "b")) -> str:
    where = " process-group=d" if mode == "daemon" else ""
    head = (
        f"WSGIDaemonProcess d threads=4 python-home={home}"
        if mode == "daemon"
        else f"ServerLimit 1\nWSGIPythonHome {home}"
    )
    aliases = [
        f"WSGIScriptAlias /{n} {{app}}/meet.py{where} application-group={g}"
        for n, g in zip("ab", groups, strict=True)
    ]
    return "\n".join([head, more, *aliases])


def test_two_requests_compute_at_once_with_a_lock_for_each_interpreter(
    mode: str, environments: dict[str, Path]
) -> None:
    homes = [home for home in environments.values() if version_of(home) >= (3, 12)]
    if not homes:
        pytest.skip("no Python 3.12 or newer on this machine")
    for home in homes:
        server = Httpd()
        try:
            first, second = meeting(server, conf_of(mode, home, "WSGIPerInterpreterGIL On"))
            assert first[0] == second[0], "two processes, so this proves nothing"
            assert (first[1], second[1]) == ("met", "met"), home
        finally:
            server.finish()


def free_threaded(environments: dict[str, Path]) -> list[Path]:
    code = "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    homes = [
        h
        for h in environments.values()
        if subprocess.check_output([h / "bin" / "python", "-c", code]).strip() == b"1"
    ]
    if not homes:
        pytest.skip("no free-threaded Python on this machine")
    return homes


def test_two_requests_compute_at_once_without_any_lock(
    mode: str, environments: dict[str, Path]
) -> None:
    for home in free_threaded(environments):
        server = Httpd()
        try:
            first, second = meeting(
                server, conf_of(mode, home, "WSGIFreeThreading On", ("%{GLOBAL}", "%{GLOBAL}"))
            )
            assert first[0] == second[0], "two processes, so this proves nothing"
            assert (first[1], second[1]) == ("met", "met")
        finally:
            server.finish()


def test_a_free_threaded_python_runs_with_its_lock_unless_told(
    mode: str, environments: dict[str, Path]
) -> None:
    for home in free_threaded(environments):
        server = Httpd()
        try:
            (server.app / "meet.py").write_text(
                "import sys\n"
                "def application(environ, start_response):\n"
                "    start_response('200 OK', [])\n"
                "    return [str(sys._is_gil_enabled()).encode()]\n"
            )
            server.start(conf_of(mode, home, ""))
            assert requests.get(server.url("/a"), timeout=60).text == "True"
        finally:
            server.finish()


WAITS = """
import os, time
def wait_for_go():
    while not os.path.exists(GO):
        time.sleep(0.01)
def application(environ, start_response):
    wait_for_go()
    start_response("200 OK", [])
    return [b"done"]
"""


def check_slow_requests(server: Httpd, home: Path, more: str, known: bool) -> None:
    """One in the main interpreter, one in a sub-interpreter. known: the stack of the latter is."""
    go = server.app / "go"
    (server.app / "meet.py").write_text(WAITS.replace("GO", repr(str(go))))
    alias = "WSGIScriptAlias /{0} {{app}}/meet.py process-group=d application-group={1}"
    group = f"WSGIDaemonProcess d threads=4 slow-request=100ms python-home={home}"
    server.start("\n".join([group, more, alias.format("a", "%{GLOBAL}"), alias.format("b", "sub")]))
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(requests.get, server.url(path), timeout=60) for path in ("/a", "/b")]
        wait_until(lambda: server.log_text().count("WSGI0720") == 2, "both are slow")
        wait_until(
            lambda: server.log_text().count("in wait_for_go") == 1 + known, "what is known is shown"
        )
        wait_until(
            lambda: ("(not known:" in server.log_text()) is not known, "what is not known is said"
        )
        go.touch()
        assert [answer.result().text for answer in answers] == ["done", "done"]


@pytest.mark.parametrize(("more", "known"), [("", True), ("WSGIFreeThreading On", False)])
def test_a_slow_request_of_a_free_threaded_python_is_never_shown_with_another_stack(
    environments: dict[str, Path], more: str, known: bool
) -> None:
    for home in free_threaded(environments):
        server = Httpd()
        try:
            check_slow_requests(server, home, more, known)
        finally:
            server.finish()


def test_free_threading_needs_a_python_that_can(httpd: Httpd, mode: str) -> None:
    where = " process-group=d" if mode == "daemon" else ""
    httpd.start(
        f"ServerLimit 1\nWSGIFreeThreading On\nWSGIDaemonProcess d\nWSGIScriptAlias / {{app}}/hello.py{where}"
    )
    assert requests.get(httpd.url("/"), timeout=60).text == "Hello World!"
    httpd.expect("WSGI0831", containing="not a free-threaded Python")


def test_free_threading_for_one_application_group_is_explained(httpd: Httpd) -> None:
    section = "<WSGIInterpreterOptions application-group=a>\nWSGIFreeThreading On\n</WSGIInterpreterOptions>"
    code, output = httpd.configtest(section)
    assert code == 0 and "WSGI0226" in output and "one lock for all of them" in output


NAMED = """
import json, threading
meeting = threading.Barrier(3)
def application(environ, start_response):
    import sys  # of the interpreter that this thread is in, which is not always the script's
    if environ["QUERY_STRING"]:
        meeting.wait(60)
    start_response("200 OK", [])
    group = environ["mod_wsgi.application_group"]
    sys.groups = getattr(sys, "groups", set()) | {group}
    try:
        sys.stdin.read
        stdin = "open"
    except OSError:
        stdin = "restricted"
    return [json.dumps([group, sorted(sys.groups), stdin]).encode()]
"""


def served(httpd: Httpd, path: str, host: str = "localhost") -> list[object]:
    """The application group, the groups that this interpreter has served, and sys.stdin."""
    return list(requests.get(httpd.url(path), headers={"Host": host}, timeout=60).json())


def start_named(httpd: Httpd, mode: str, conf: str) -> None:
    (httpd.app / "named.py").write_text(NAMED)
    where = " process-group=d" if mode == "daemon" else ""
    head = "ServerLimit 1\nThreadsPerChild 3\nMaxRequestWorkers 3\n"
    group = "WSGIDaemonProcess d threads=3\n"
    httpd.start(head + group + conf.replace("{named}", "{app}/named.py" + where))


def test_the_main_interpreter_is_not_that_of_whatever_a_thread_served_first(
    httpd: Httpd, mode: str
) -> None:
    start_named(
        httpd,
        mode,
        "WSGIScriptAlias /a {named} application-group=same\n"
        "WSGIScriptAlias /g {named} application-group=%{GLOBAL}\n",
    )
    with ThreadPoolExecutor(3) as pool:  # each of the three threads serves /a, then /g
        for path, group in [("/a", "same"), ("/g", "")] * 2:
            for answer in pool.map(served, [httpd] * 3, [f"{path}?meet"] * 3):
                assert answer[:2] == [group, [group]]


def test_the_main_interpreter_is_for_its_requests_alone_when_sections_choose(
    httpd: Httpd, mode: str
) -> None:
    """Nothing is known before the requests."""
    start_named(
        httpd,
        mode,
        "WSGIScriptAliasMatch ^/(.)$ {named}\n"
        "<Location /a>\nWSGIApplicationGroup same\n</Location>\n"
        "<Location /g>\nWSGIApplicationGroup %{GLOBAL}\n</Location>\n",
    )
    assert served(httpd, "/a")[:2] == ["same", ["same"]]
    assert served(httpd, "/g")[:2] == ["", [""]]


def test_two_application_groups_of_one_script_are_two_applications(httpd: Httpd, mode: str) -> None:
    start_named(
        httpd,
        mode,
        "<WSGIInterpreterOptions application-group=free>\nWSGIRestrictStdin On\n"
        "</WSGIInterpreterOptions>\n"
        "WSGIScriptAlias /dg {named}\nWSGIScriptAlias /free {named} application-group=free\n",
    )
    group, groups, stdin = served(httpd, "/dg")
    assert groups == [group] and str(group).endswith("|/dg") and stdin == "open"
    assert served(httpd, "/free") == ["free", ["free"], "restricted"]


def test_one_script_in_two_virtual_hosts_is_two_applications(httpd: Httpd, mode: str) -> None:
    start_named(
        httpd,
        mode,
        "".join(
            f"<VirtualHost *:{{port}}>\nServerName {name}:80\nWSGIScriptAlias / {{named}}\n</VirtualHost>\n"
            for name in ("one.example", "two.example")
        ),
    )
    for name in ("one.example", "two.example"):
        assert served(httpd, "/", name)[:2] == [f"{name}|", [f"{name}|"]]


def test_options_for_the_only_application_group_hold_in_the_main_interpreter(
    httpd: Httpd, mode: str
) -> None:
    start_named(
        httpd,
        mode,
        "<WSGIInterpreterOptions application-group=free>\nWSGIRestrictStdin On\n"
        "</WSGIInterpreterOptions>\nWSGIScriptAlias / {named} application-group=free\n",
    )
    assert served(httpd, "/") == ["free", ["free"], "restricted"]


def test_an_import_for_another_application_group_is_loaded_there(httpd: Httpd, mode: str) -> None:
    (httpd.app / "early.py").write_text("import sys\nsys.groups = {'early'}\n")
    group = "d" if mode == "daemon" else "%{GLOBAL}"
    start_named(
        httpd,
        mode,
        f"WSGIImportScript {{app}}/early.py process-group={group} application-group=%{{GLOBAL}}\n"
        "WSGIScriptAlias / {named} application-group=own\n"
        "WSGIScriptAlias /later {named} application-group=own\n",
    )
    assert served(httpd, "/")[:2] == ["own", ["own"]]


def test_scripts_are_loaded_in_the_order_of_the_configuration(httpd: Httpd, mode: str) -> None:
    order = ["first", "second", "third", "fourth"]
    for name in order:
        (httpd.app / f"{name}.py").write_text(
            f"print('loading {name}')\ndef application(environ, start_response): ...\n"
        )
    group = "d" if mode == "daemon" else "%{GLOBAL}"
    where = f"process-group={group} application-group=%{{GLOBAL}}\n"
    imported = "WSGIImportScript {app}/NAME.py " + where
    alias = "WSGIScriptAlias /NAME {app}/NAME.py " + where
    vhost = "<VirtualHost *:{port}>\nServerName a\n" + imported + "</VirtualHost>\n"
    httpd.start(
        "StartServers 1\nServerLimit 1\nWSGIDaemonProcess d\n"
        + "".join(
            line.replace("NAME", name)
            for line, name in zip([imported, alias, vhost, alias], order, strict=True)
        )
    )
    httpd.expect("loading fourth")
    found = [
        name
        for line in httpd.log_text().splitlines()
        for name in order
        if f"loading {name}" in line
    ]
    assert found == order
