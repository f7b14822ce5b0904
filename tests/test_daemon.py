"""The life of daemon groups: start, crash, reload, restart, stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, Httpd, connections_of, processes_marked, wait_until

ONE = "WSGIDaemonProcess d processes=1 threads=4\nWSGIScriptAlias / {app}/kitchen.py process-group=d\n"


def get(server: Httpd, path: str) -> requests.Response:
    return requests.get(server.url(path), timeout=60)


def test_a_worker_is_the_applications_own_interpreter(httpd: Httpd) -> None:
    httpd.start(ONE.replace("threads=4", f"threads=4 python-home={sys.prefix}"))
    info = get(httpd, "/info").json()
    assert info["prefix"] == sys.prefix and info["executable"] == f"{sys.prefix}/bin/python"
    assert info["version"] == list(sys.version_info[:2])
    assert not any("httpd_wsgi" in entry for entry in info["path"])


def test_options_of_the_process(httpd: Httpd) -> None:
    options = "home=/tmp lang=C.UTF-8 locale=C.UTF-8 umask=0027 display-name=%{GROUP}"
    httpd.start(ONE.replace("threads=4", f"threads=4 {options}"))
    info = get(httpd, "/info").json()
    assert (info["cwd"], info["lang"], info["lc_all"]) == ("/tmp", "C.UTF-8", "C.UTF-8")
    assert Path(f"/proc/{info['pid']}/cmdline").read_bytes().rstrip(b"\0") == b"(wsgi:d)"
    assert "Umask:\t0027" in Path(f"/proc/{info['pid']}/status").read_text()
    if AS_ROOT:
        assert info["uid"] != 0


def test_threads_overlap(httpd: Httpd) -> None:
    (httpd.app / "barrier.py").write_text(
        "import threading\n"
        "barrier = threading.Barrier(4, timeout=60)\n"
        "def application(environ, start_response):\n"
        "    barrier.wait()\n"
        "    start_response('200 OK', [])\n"
        "    return [b'met']\n"
    )
    httpd.start(ONE.replace("kitchen", "barrier"))
    with ThreadPoolExecutor(4) as pool:
        assert [r.text for r in pool.map(lambda _: get(httpd, "/"), range(4))] == ["met"] * 4


@pytest.mark.parametrize(
    ("path", "said"), [("/crash", "signal 11 (SIGSEGV)"), ("/exit3", "exited with status 3")]
)
def test_a_crash_costs_one_request_and_is_explained(httpd: Httpd, path: str, said: str) -> None:
    httpd.expected.add("WSGI0718")  # a signal leaves stacks
    httpd.start(ONE)
    first = get(httpd, "/info").json()["pid"]
    assert get(httpd, path).status_code == 502
    assert said in httpd.expect("WSGI0702")
    httpd.expect("WSGI0310")
    httpd.expected.add("WSGI0718")  # the stacks, where there are any
    assert get(httpd, "/info").json()["pid"] != first


def test_the_stacks_of_a_crash_begin_with_the_thread_that_crashed(httpd: Httpd) -> None:
    httpd.start(ONE)
    assert get(httpd, "/crash").status_code == 502
    httpd.expect("WSGI0702")
    httpd.expect("WSGI0310")
    httpd.expect("WSGI0718", "other threads run no code of the application")
    lines = [
        line.partition("group d: ")[2]
        for line in httpd.log_text().splitlines()
        if "WSGI0718" in line
    ]
    assert lines[0].startswith("Fatal Python error") and lines[1].startswith("Current thread")
    assert "in crash" in "".join(lines[2:5])
    assert not any("threading.py" in line or "worker.py" in line for line in lines)


def test_a_touched_script_is_new_at_the_next_request(httpd: Httpd, mode: str) -> None:
    script = httpd.app / "version.py"
    code = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']\n"
    script.write_text(code % "one")
    conf = "WSGIDaemonProcess d processes=2 threads=2\n" + "WSGIScriptAlias / {app}/version.py"
    httpd.start(conf + (" process-group=d" if mode == "daemon" else ""))
    assert get(httpd, "/").text == "one"
    for number, word in enumerate(["two", "three"]):
        script.write_text(code % word)
        os.utime(script, (number + 1, number + 1))
        assert [get(httpd, "/").text for _ in range(10)] == [word] * 10


def test_script_reloading_off(httpd: Httpd, mode: str) -> None:
    script = httpd.app / "version.py"
    code = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']\n"
    script.write_text(code % "one")
    conf = "ServerLimit 1\nWSGIScriptReloading Off\nWSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/version.py"
    httpd.start(conf + (" process-group=d" if mode == "daemon" else ""))
    assert get(httpd, "/").text == "one"
    script.write_text(code % "two")
    assert get(httpd, "/").text == "one"


def test_one_application_runs_in_the_main_interpreter_several_do_not_share(httpd: Httpd) -> None:
    (httpd.app / "where.py").write_text(
        "import _thread, sys\n"
        "state = []\n"
        "def application(environ, start_response):\n"
        "    state.append(1)\n"
        "    start_response('200 OK', [])\n"
        "    main = hasattr(sys.modules['__main__'], 'import_package')\n"
        "    return [f\"{main} {len(state)} {environ['mod_wsgi.application_group']}\".encode()]\n"
    )
    httpd.start(
        "WSGIDaemonProcess one threads=1\nWSGIDaemonProcess many threads=1\n"
        "WSGIScriptAlias /solo {app}/where.py process-group=one\n"
        "WSGIScriptAlias /a {app}/where.py process-group=many application-group=a\n"
        "WSGIScriptAlias /b {app}/where.py process-group=many application-group=b callable-object=application\n"
        "WSGIScriptAlias /h {app}/hello.py process-group=many application-group=%{GLOBAL}\n"
    )
    assert get(httpd, "/solo").text.startswith("True 1 ")
    assert get(httpd, "/a").text == "False 1 a"
    assert get(httpd, "/b").text == "False 1 b"
    assert get(httpd, "/a").text == "False 2 a"
    assert get(httpd, "/h").text == "Hello World!"


def test_applications_are_loaded_before_the_first_request(httpd: Httpd) -> None:
    (httpd.app / "loud.py").write_text(
        "print('loaded early')\n" + (httpd.app / "hello.py").read_text()
    )
    httpd.start(ONE.replace("kitchen", "loud"))
    assert "[client" not in httpd.expect("loaded early")


@pytest.mark.parametrize("how", ["graceful", "restart"])
def test_restarts_leave_only_the_new_generation(httpd: Httpd, how: str) -> None:
    httpd.start(ONE)
    old = get(httpd, "/info").json()["pid"]
    for _ in range(3):
        getattr(httpd, how)()
        assert get(httpd, "/info").status_code == 200
    wait_until(lambda: not Path(f"/proc/{old}").exists(), "the old worker is gone")
    wait_until(lambda: len(httpd.supervisors()) == 1, "one supervisor is left")


def test_kill_9_of_the_parent_leaves_nothing(httpd: Httpd) -> None:
    httpd.start(ONE)
    assert get(httpd, "/info").status_code == 200
    httpd.kill9()
    # Apache's own children outlive a killed parent; they are not ours to end, but our processes go
    # with the last of them.
    httpd.process.wait(60)  # type: ignore[union-attr]
    for pid in processes_marked(httpd.mark):
        with contextlib.suppress(OSError):  # it may be gone by now
            if b"-DFOREGROUND" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes_marked(httpd.mark), "supervisors and workers are gone")


def test_kill_9_of_the_supervisor_is_noticed(httpd: Httpd) -> None:
    httpd.start(ONE)
    old = get(httpd, "/info").json()["pid"]
    supervisor = httpd.supervisor()
    os.kill(supervisor, signal.SIGKILL)
    httpd.expect("WSGI0608", "was killed by signal 9; it is started again now")
    wait_until(lambda: not Path(f"/proc/{old}").exists(), "the orphaned worker is gone")
    assert get(httpd, "/info").json()["pid"] != old


def test_a_worker_that_cannot_start_backs_off_and_clients_get_503(httpd: Httpd) -> None:
    (httpd.app / "dies.py").write_text("import os\nos._exit(9)\n")
    httpd.start(ONE.replace("kitchen", "dies"))
    httpd.expect("WSGI0704", "exited with status 9")
    response = get(httpd, "/")
    assert response.status_code == 503 and int(response.headers["Retry-After"]) >= 1
    for code in ("WSGI0708", "WSGI0309"):
        httpd.expect(code)
    attempts = re.findall(
        r"WSGI070(1|4):.*?(?:next attempt is in (\d+) s)?$", httpd.log_text(), re.MULTILINE
    )
    # Each start but the first after a pause
    assert all(code == "14"[number % 2] for number, (code, _) in enumerate(attempts))
    pauses = [int(pause) for code, pause in attempts if code == "4"]
    assert all(pause <= most for pause, most in zip(pauses, (1, 2, 4, 8, 15), strict=False))


def test_a_python_that_does_not_exist_gives_503_at_once(httpd: Httpd) -> None:
    httpd.start(ONE.replace("threads=4", "threads=4 python-home=/nowhere/venv"))
    assert "/nowhere" in httpd.expect("WSGI0604")
    httpd.expect("WSGI0608")
    assert get(httpd, "/").status_code == 503
    httpd.expect("WSGI0309")


@pytest.mark.skipif(not AS_ROOT, reason="needs root to start Apache as another user")
def test_a_python_the_user_cannot_read_gives_503_and_names_the_directory(httpd: Httpd) -> None:
    private = httpd.root / "private"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", private / "venv"], check=True)
    private.chmod(0o700)
    httpd.start(ONE.replace("threads=4", f"threads=4 python-home={private}/venv"))
    assert str(private) in httpd.expect("WSGI0604")
    httpd.expect("WSGI0608", "exited with status 126; it is started again in 30 s")
    assert get(httpd, "/").status_code == 503
    httpd.expect("WSGI0309")


def test_a_request_in_progress_is_finished_when_apache_stops_its_group(httpd: Httpd) -> None:
    (httpd.app / "slow.py").write_text(
        "import os, threading\n"
        "go = threading.Event()\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/go':\n"
        "        go.set()\n"
        "    else:\n"
        "        open(os.environ['FLAG'], 'w').close(); go.wait(60)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'finished']\n"
    )
    flag = httpd.root / "flag"
    if AS_ROOT:
        httpd.root.chmod(0o777)
    os.environ["FLAG"] = str(flag)
    try:
        httpd.start(ONE.replace("kitchen", "slow"))
    finally:
        del os.environ["FLAG"]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, httpd, "/")
        wait_until(flag.exists, "the slow request runs")
        pid = httpd.worker()
        assert get(httpd, "/go").text == "finished"
        os.kill(pid, signal.SIGTERM)
        assert slow.result(60).text == "finished"
    assert get(httpd, "/go").text == "finished"


@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_every_mpm_serves_both_modes(mpm: str) -> None:
    server = Httpd(mpm=mpm)
    try:
        server.start(
            "WSGIDaemonProcess d\nWSGIScriptAlias /d {app}/hello.py process-group=d\nWSGIScriptAlias /e {app}/hello.py"
        )
        for path in ("/d", "/e") * 3:
            assert get(server, path).text == "Hello World!"
    finally:
        server.finish()


def test_embedded_mode_with_a_wrong_home_says_so_once_and_goes_on(httpd: Httpd) -> None:
    httpd.start("ServerLimit 1\nWSGIPythonHome /nowhere\nWSGIScriptAlias / {app}/hello.py")
    assert [get(httpd, "/").status_code for _ in range(3)] == [500] * 3
    assert "WSGIPythonHome" in httpd.expect("WSGI0501")
    assert httpd.log_text().count("WSGI0501") == 1


def test_embedded_mode_uses_the_home_it_is_given(httpd: Httpd) -> None:
    httpd.start(f"WSGIPythonHome {sys.prefix}\nWSGIScriptAlias / {{app}}/kitchen.py")
    info = get(httpd, "/info").json()
    assert info["prefix"] == sys.prefix


def test_an_application_cannot_cut_off_the_memory_it_shares_with_apache(httpd: Httpd) -> None:
    (httpd.app / "cut.py").write_text(
        "import os\n"
        "def application(environ, start_response):\n"
        "    names = [os.readlink(f'/proc/self/fd/{fd}') for fd in (6, 10)]\n"
        "    for fd in (6, 10):\n"
        "        try:\n"
        "            os.ftruncate(fd, 0)\n"
        "        except OSError as exc:\n"
        "            names.append(exc.strerror)\n"
        "    start_response('200 OK', [])\n"
        "    return [' '.join(names).encode()]\n"
    )
    httpd.start(ONE.replace("kitchen", "cut"))
    said = get(httpd, "/").text
    assert (
        "wsgi-board" in said
        and "wsgi-activity" in said
        and said.endswith("Operation not permitted Operation not permitted")
    )
    assert get(httpd, "/").status_code == 200


# An application that writes to the sockets of its worker's requests.
SENDS = """
import os, socket, stat, struct
def connections():
    for fd in map(int, os.listdir("/proc/self/fd")):
        path = f"/proc/self/fd/{fd}"
        if fd not in (3, 4) and os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            yield socket.socket(fileno=os.dup(fd))
def application(environ, start_response):
    sent = 0
    for connection in connections():
        with connection:
            socket.send_fds(connection, [FRAME], FDS)
            sent += 1
    start_response("200 OK", [])
    return [str(sent).encode()]
"""


def test_descriptors_that_a_worker_sends_without_being_asked_are_closed(httpd: Httpd) -> None:
    frame = "struct.pack('=IBBH', 0, ord('L'), 0, 7)"
    (httpd.app / "sends.py").write_text(SENDS.replace("FRAME", frame).replace("FDS", "[0, 0]"))
    httpd.start("ServerLimit 1\n" + ONE.replace("kitchen", "sends"))

    def sent() -> str:
        """Apache has its connection to the worker back when it has closed that of the client."""
        text = get(httpd, "/").text
        wait_until(lambda: connections_of(httpd.port) == 0, "the client's connection is closed")
        return text

    assert sent() == "1"
    (child,) = httpd.apache_children()
    descriptors = Path(f"/proc/{child}/fd")
    before = len(list(descriptors.iterdir()))
    assert {sent() for _ in range(10)} == {"1"}
    wait_until(lambda: len(list(descriptors.iterdir())) <= before, "no descriptor is left")


def test_a_file_of_negative_length_is_refused(httpd: Httpd) -> None:
    frame = "struct.pack('=IBBHqHHIIBBHqq', 16, ord('H'), 0, 0, -1, 200, 0, 0, 16, ord('F'), 0, 0, 0, -1)"
    (httpd.app / "sends.py").write_text(
        SENDS.replace("FRAME", frame).replace("FDS", "[os.open(__file__, os.O_RDONLY)]")
    )
    httpd.start(ONE.replace("kitchen", "sends"))
    assert get(httpd, "/").status_code == 502
    httpd.expect("WSGI0312", "malformed FILE")
