"""Processes that an application forks: they may end as they like, and answer nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator

import pytest
import requests
from conftest import MODES, conf_for
from harness import Httpd, is_marked, processes_marked, wait_until

GLOBAL = "\nServerLimit 1\nWSGIApplicationGroup %{GLOBAL}\n"  # forking needs the main interpreter


@pytest.fixture(scope="module", params=list(MODES))
def server(request: pytest.FixtureRequest) -> Iterator[Httpd]:
    httpd = Httpd()
    httpd.start(conf_for(request.param, "forks.py").replace("processes=2", "processes=1") + GLOBAL)
    yield httpd
    httpd.finish()


@pytest.mark.parametrize(
    ("deed", "status"), [("return", 0), ("write", 0), ("exit", 3), ("raise", 1)]
)
def test_a_copy_that_leaves_the_application_ends_and_only_the_original_answers(
    server: Httpd, deed: str, status: int
) -> None:
    requests.get(server.url("/exit"), timeout=60)  # there is a worker
    processes = set(processes_marked(server.mark))
    with requests.Session() as session:  # over one connection, which a copy must not serve on
        for _ in range(5):
            response = session.get(server.url(f"/{deed}"), timeout=60)
            assert (response.status_code, response.text) == (200, f"original {status}")
    wait_until(
        lambda: set(processes_marked(server.mark)) <= processes,
        f"no others than {processes} are left",
    )
    if deed == "raise":
        server.expect(
            "WSGI0418", containing="a process that the application has forked raised an exception"
        )
    if deed == "return":
        server.expect("WSGI0419")
    wait_until(
        lambda: f"a line of {deed} without end\n" in server.log_text(), "what it printed is logged"
    )


def test_a_copy_does_not_go_on_with_a_response(server: Httpd) -> None:
    assert requests.get(server.url("/yield"), timeout=60).text == "both original 0"


def test_a_process_that_was_forked_in_apache_keeps_no_group_alive(httpd: Httpd) -> None:
    httpd.start(
        f"{conf_for('embedded', 'forks.py', '/forks')}\n{conf_for('daemon', 'hello.py')}{GLOBAL}"
    )
    wait_until(lambda: len(httpd.workers()) == 2, "both workers")
    copy = int(requests.get(httpd.url(f"/forks/stay?{httpd.root}/go"), timeout=60).text.split()[1])
    groups = httpd.workers() + httpd.supervisors()
    httpd.kill9()
    for pid in set(processes_marked(httpd.mark)) - {copy, *groups}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not any(is_marked(pid, httpd.mark) for pid in groups),
        "the group's processes are gone",
    )
    assert is_marked(copy, httpd.mark)
    os.kill(copy, signal.SIGKILL)


def test_what_a_copy_prints_logs_and_raises_is_logged(server: Httpd) -> None:
    name = uuid.uuid4().hex
    assert requests.get(server.url(f"/saying?{name}"), timeout=60).text == "1"
    for text in ("printed", "logged", "written"):
        wait_until(lambda text=text: f"{name} {text}" in server.log_text(), f"{text} is there")  # type: ignore[misc]
    wait_until(lambda: f"ValueError: {name} raised" in server.log_text(), "the traceback is there")


def test_a_copy_may_write_whatever_other_threads_did_when_it_was_forked(server: Httpd) -> None:
    assert requests.get(server.url("/while_writing"), timeout=60).text == "0"


@pytest.mark.parametrize(
    ("deed", "result"),
    [("terminate", str(-signal.SIGTERM)), ("program", "124"), ("pool", "[1, 2]")],
)
def test_processes_of_the_application_end_when_they_are_told_to(
    server: Httpd, deed: str, result: str
) -> None:
    assert requests.get(server.url(f"/{deed}"), timeout=60).text == result


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_a_process_of_an_embedded_application_does_not_hold_the_port(mpm: str) -> None:
    server = Httpd(mpm=mpm)
    (server.root / "told").mkdir()
    (server.root / "told").chmod(0o777)
    try:
        server.start(conf_for("embedded", "forks.py") + GLOBAL)
        copy = int(requests.get(server.url(f"/staying?{server.root}/told/pid"), timeout=60).text)
        server.kill9()
        for pid in set(processes_marked(server.mark)) - {copy}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: processes_marked(server.mark) == [copy], "only the copy is left")
        server.start(conf_for("embedded", "forks.py") + GLOBAL)
        os.kill(copy, signal.SIGTERM)
        wait_until(lambda: not is_marked(copy, server.mark), "the copy has ended")
        server.stopped_by_force = False
    finally:
        server.finish()
