"""`httpd-wsgi status|reload|stop|stacks`, with a running Apache."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from harness import AS_ROOT, Httpd, running, wait_for, wait_until
from served import COMMAND, run

from httpd_wsgi.command import control

DOCS = Path(__file__).parents[1] / "docs" / "command.md"

APP = """
import os, time

def waiting_here():
    while not os.path.exists("ROOT/go"):
        time.sleep(0.01)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        waiting_here()
    start_response("200 OK", [])
    return [f"{os.getpid()} one".encode()]
"""


@pytest.fixture
def group() -> str:
    return "d-" + uuid.uuid4().hex[:12]  # the names are seen by the whole machine


@pytest.fixture
def started(httpd: Httpd, group: str) -> Iterator[Httpd]:
    for name in ("held.py", "other.py"):
        (httpd.app / name).write_text(APP.replace("ROOT", str(httpd.root)))
    httpd.start(
        f"WSGIDaemonProcess {group} processes=2 threads=3\n"
        f"WSGIScriptAlias /sub {{app}}/other.py process-group={group} application-group=other\n"
        f"WSGIScriptAlias / {{app}}/held.py process-group={group}\n"
    )
    wait_until(lambda: len(httpd.workers()) == 2, "workers are ready")
    yield httpd


def get(httpd: Httpd, path: str = "/") -> requests.Response:
    return requests.get(httpd.url(path), timeout=60)


def status(group: str) -> dict[str, object]:
    [found] = json.loads(run("status", group, "--json").stdout)
    return found  # type: ignore[no-any-return]


def test_status_shows_the_workers(started: Httpd, group: str) -> None:
    shown = run("status", group)
    assert shown.returncode == 0 and shown.stdout.startswith(f"{group}: 2 of 2 workers serve (")
    assert all(f"worker {pid}" in shown.stdout for pid in started.workers())
    assert group in run("status").stdout
    found = status(group)
    assert (found["stale"], found["current"], found["where"]) == (
        False,
        True,
        f"{started.root}/httpd.conf:{line_of(started, group)}",
    )


EXAMPLE = {
    "group": "shop",
    "supervisor": 812,
    "parent": 790,
    "where": "/etc/apache2/sites-enabled/shop.conf:3",
}
EXAMPLE_WORKERS: list[dict[str, object]] = [
    {"pid": 4711, "begun": 8123, "resident_bytes": 61 << 20, "cpu_seconds": 242.0},
    {"pid": 4712, "begun": 8077, "resident_bytes": 60 << 20, "cpu_seconds": 238.0},
]


def test_the_documented_output_of_status_is_what_it_prints(
    started: Httpd, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    documented = (
        DOCS.read_text()
        .partition("    $ sudo httpd-wsgi status shop\n")[2]
        .partition("\n\n")[0]
        .splitlines()
    )
    thread = threading.Thread(target=get, args=(started, "/wait"))
    thread.start()
    wait_until(lambda: " s  GET /wait\n" in run("status", group).stdout, "the request is there")
    found = status(group)
    (started.root / "go").touch()
    thread.join(60)
    workers: list[dict[str, Any]] = sorted(
        found["workers"], key=lambda worker: not worker["requests"]
    )  # type: ignore[call-overload]
    for worker, example in zip(workers, EXAMPLE_WORKERS, strict=True):
        assert set(example) < set(worker)
        worker.update(example, seconds=7380.0)
    workers[0]["requests"][0].update(what="GET /reports/2026", seconds=0.4)
    assert set(EXAMPLE) < set(found)
    monkeypatch.setattr(control, "user_name", lambda uid: "shop")
    assert list(control.status_lines({**found, **EXAMPLE, "workers": workers})) == [
        line[4:] for line in documented
    ]


def line_of(httpd: Httpd, text: str) -> int:
    lines = (httpd.root / "httpd.conf").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_reload_replaces_the_workers(started: Httpd, group: str) -> None:
    before = started.workers()
    done = run("reload", group)
    assert done.returncode == 0 and "new workers" in done.stdout
    started.expect("WSGI0715", containing="httpd-wsgi reload")
    wait_until(
        lambda: len(started.workers()) == 2 and not set(started.workers()) & set(before),
        "the workers are new",
    )
    assert get(started).status_code == 200


def test_an_order_does_not_reach_the_group_of_another_apache(started: Httpd, group: str) -> None:
    conf = f"WSGIDaemonProcess {group} threads=2\nWSGIScriptAlias / {{app}}/hello.py process-group={group}"
    with running(conf) as other:
        wait_until(lambda: len(other.workers()) == 1, "the other worker is ready")
        parents = {server.process.pid for server in (started, other) if server.process}
        refused = run("stop", group)
        assert refused.returncode == 2 and "2 Apaches have one of this name" in refused.stderr
        assert all(f"{pid} (" in refused.stderr for pid in parents) and other.workers()
        shown = run("stacks", group).stdout
        assert all(f" of Apache {pid}" in shown for pid in parents), shown
        assert (
            other.process and run("stop", group, "--apache", str(other.process.pid)).returncode == 0
        )
        other.expect("WSGI0852")
        assert "WSGI0852" not in started.log_text() and get(started).status_code == 200
        wrong = run("reload", group, "--apache", "1")
        assert wrong.returncode == 2 and "--apache 1: expected one of" in wrong.stderr


def test_stop_answers_503_until_reload(started: Httpd, group: str) -> None:
    assert run("stop", group).returncode == 0
    started.expect("WSGI0852")
    wait_until(lambda: not started.workers(), "the workers have gone")
    assert get(started).status_code == 503
    started.expect("WSGI0309", 'it was stopped with "httpd-wsgi stop"')
    shown = run("status", group)
    assert (
        "0 of 2 workers serve" in shown.stdout
        and "stopped by hand" in shown.stdout
        and shown.returncode == 9
    )
    assert run("reload", group).returncode == 0
    wait_until(lambda: get(started).status_code == 200, "it serves again")


def test_a_stopped_group_finishes_its_requests(started: Httpd, group: str) -> None:
    replies: list[str] = []
    thread = threading.Thread(target=lambda: replies.append(get(started, "/wait").text))
    thread.start()
    wait_until(lambda: "waiting_here" in run("stacks", group).stdout, "the request is there")
    run("stop", group)
    wait_until(lambda: len(started.workers()) == 1, "the idle worker has gone")
    shown = run("status", group).stdout
    assert "draining" in shown and " s  GET /wait\n" in shown
    assert not replies
    (started.root / "go").touch()
    thread.join(60)
    assert replies and replies[0].endswith("one")


@pytest.mark.parametrize(("path", "where"), [("/wait", ""), ("/sub/wait", " in interpreter other")])
def test_stacks_show_where_the_application_is(
    started: Httpd, group: str, path: str, where: str
) -> None:
    thread = threading.Thread(target=get, args=(started, path))
    thread.start()

    def asleep() -> str:
        done = run("stacks", group)
        assert done.returncode == 0, done
        return (
            done.stdout
            if "in waiting_here" in done.stdout and "    time.sleep(0.01)" in done.stdout
            else ""
        )

    text = wait_for(asleep, "the request is there, and not just looking for the file")
    assert (
        f"{where}:\n" in text
        and '.py", line ' in text
        and "    time.sleep(0.01)" in text
        and "_boot.py" not in text
    )
    assert text.index("in application") < text.index("in waiting_here")
    (started.root / "go").touch()
    thread.join(60)


@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")
def test_others_may_not_control_a_group(started: Httpd, group: str) -> None:
    for command in ("status", "reload", "stop", "stacks"):
        done = subprocess.run(
            [COMMAND, command, group],
            capture_output=True,
            text=True,
            check=False,
            user=65534,
            group=65534,
            cwd="/",
        )
        assert (
            done.returncode == 9 and "only root and uid 33 may control this group" in done.stderr
        ), done
    started.expect("WSGI0851", containing="user 65534")
    assert started.log_text().count("WSGI0851") == 1
    assert len(started.workers()) == 2
    done = subprocess.run(
        [COMMAND, "status", group],
        capture_output=True,
        text=True,
        check=False,
        user=33,
        group=33,
        cwd="/",
    )
    assert done.returncode == 0, done


def test_nobody_can_pretend_to_be_a_supervisor(group: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as pretender:
        pretender.bind(f"\0httpd-wsgi/{group}/1/0123")
        pretender.listen()
        assert control.sockets(group) == [(f"httpd-wsgi/{group}/1/0123", 1)]
        done = run("status", group)
        assert done.returncode == 9 and "does not answer" in done.stderr


def test_a_group_that_is_not_there_is_named() -> None:
    done = run("reload", "nowhere")
    assert done.returncode == 9 and done.stderr.startswith(
        "httpd-wsgi: group nowhere: no supervisor is running"
    )


def test_an_unknown_command_is_answered(started: Httpd, group: str) -> None:
    [(name, pid)] = control.sockets(group)
    [message] = control.ask(name, pid, "dance")
    assert message["error"].startswith("'dance': expected one of status")


def test_names_with_anything_in_them_work(httpd: Httpd) -> None:
    name = "a/b%c@" + uuid.uuid4().hex * 3
    httpd.start(
        f'WSGIDaemonProcess "{name}"\nWSGIScriptAlias / {{app}}/hello.py "process-group={name}"'
    )
    wait_until(lambda: bool(httpd.workers()), "a worker is ready")
    assert run("status", name).stdout.startswith(f"{name}: 1 of 1")


def test_only_listening_sockets_of_the_group_are_found(tmp_path: Path) -> None:
    table = tmp_path / "unix"
    head = "Num       RefCount Protocol Flags    Type St Inode Path\n"
    row = "0000000000000000: 00000002 00000000 {} 0005 01 1234 @{}\n"
    names = ("httpd-wsgi/shop/12/ab", "httpd-wsgi/shop2/13/ab", "httpd-wsgi/shop/x/ab", "other")
    table.write_text(
        head
        + "".join(row.format("00010000", n) for n in names)
        + row.format("00000000", "httpd-wsgi/shop/14/ab")
    )
    assert control.sockets("shop", table) == [("httpd-wsgi/shop/12/ab", 12)]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (61, "1 min 1 s"), (3700, "1 h 1 min"), (200000, "2 d 7 h")],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert control.duration(seconds) == text


def test_a_group_without_a_supervisor_is_shown_as_one_that_cannot_serve(
    httpd: Httpd, group: str
) -> None:
    """Its Python does not start, so no supervisor of it ever runs. Another group is fine."""
    home = httpd.root / "home"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (home / "bin" / "python").chmod(0o755)
    down = group + "-down"
    httpd.start(
        f"WSGIDaemonProcess {group}\nWSGIDaemonProcess {down} python-home={home} processes=3\n"
        f"WSGIScriptAlias /down {{app}}/hello.py process-group={down}\n"
        f"WSGIScriptAlias / {{app}}/hello.py process-group={group}\n"
    )
    wait_until(lambda: len(httpd.workers()) == 1, "the other group is ready")
    wait_until(lambda: get(httpd, "/down").status_code == 503, "the group is down")
    assert httpd.process
    both, one, good = run("status"), run("status", down), run("status", group)
    assert (both.returncode, one.returncode, good.returncode) == (9, 9, 0), both.stderr
    assert f"{down}: 0 of 3 workers serve (Apache {httpd.process.pid}, " in both.stdout
    assert f"{group}: 1 of 1 worker serves" in both.stdout and down in one.stdout
    assert "no supervisor of it answers" in one.stdout and down not in good.stdout
    [found] = json.loads(run("status", down, "--json").stdout)
    assert (found["failed"], found["supervisor"], found["workers"]) == (True, None, [])
    assert run("reload", down).returncode == 9
    httpd.expect("WSGI0608", down)
    httpd.expect("WSGI0309")


def test_a_group_whose_supervisor_is_stuck_is_shown_as_well(started: Httpd, group: str) -> None:
    pid = started.supervisor()
    os.kill(pid, signal.SIGSTOP)
    try:
        done = run("status", group)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 9 and f"{group}: 0 of 2 workers serve" in done.stdout, done.stderr


def test_after_a_graceful_restart_no_group_is_missed(started: Httpd, group: str) -> None:
    started.graceful()
    wait_until(lambda: run("status", group).returncode == 0, "the newer supervisor answers")
    assert "no supervisor" not in run("status", group).stdout


def test_a_misspelt_group_is_answered_with_the_nearest(started: Httpd, group: str) -> None:
    done = run("status", group[:-1])
    assert done.returncode == 9 and f"did you mean {group}?" in done.stderr, done.stderr
    assert group in run("status", "nothing-like-it").stderr
