"""What serves is given up only when something better serves: restarts of Apache, reloads, broken
code.
"""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, Httpd, wait_until

from httpd_wsgi.shared import activity
from httpd_wsgi.shared.descriptors import FD_ACTIVITY, FD_SUPERVISOR

VERSION = """
import os, threading
with open({flag!r}, "a") as file:
    file.write({word!r} + "\\n")
{more}
def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        open({flag!r} + ".waits", "w").close()
        while not os.path.exists({flag!r} + ".go"):
            threading.Event().wait(0.02)
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    return [{word!r}.encode()]
"""
WAIT = """
while not os.path.exists({flag!r} + ".load"):
    threading.Event().wait(0.02)
"""
ALONE = """
try:
    os.close(os.open({flag!r} + ".first", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    while not os.path.exists({flag!r} + ".load"):
        threading.Event().wait(0.02)
"""
TALK = """
import sys
def talk():
    while not os.path.exists({flag!r} + ".say"):
        threading.Event().wait(0.02)
    print("a thread outside of any request", file=sys.stderr)
threading.Thread(target=talk, daemon=True).start()
"""


class Site:
    """One group whose script says which version of it is loaded."""

    def __init__(self, httpd: Httpd) -> None:
        self.httpd = httpd
        self.script = httpd.app / "version.py"
        self.flag = httpd.root / "loaded"
        self.versions = 0
        if AS_ROOT:
            httpd.root.chmod(0o777)

    def start(self, options: str = "", more: str = "") -> None:
        group = f"WSGIDaemonProcess d threads=4 {options}"
        self.httpd.start(f"{more}\n{group}\nWSGIScriptAlias / {{app}}/version.py process-group=d\n")
        wait_until(
            lambda: len(self.httpd.workers()) == (2 if "processes=2" in options else 1),
            "all workers are ready",
        )

    def write(self, word: str, more: str = "") -> None:
        self.versions += 1
        self.script.write_text(
            VERSION.format(flag=str(self.flag), word=word, more=more.format(flag=str(self.flag)))
        )
        os.utime(self.script, (self.versions, self.versions))

    def get(self, path: str = "/") -> tuple[int, str]:
        response = requests.get(self.httpd.url(path), timeout=60)
        return response.status_code, response.text

    def loads(self, word: str) -> int:
        return self.flag.read_text().split().count(word) if self.flag.exists() else 0

    def let(self, what: str) -> None:
        Path(f"{self.flag}.{what}").touch()


@pytest.fixture
def site(httpd: Httpd) -> Site:
    made = Site(httpd)
    made.write("one")
    return made


# ---- restarts of Apache ----


def test_the_old_generation_serves_until_the_new_one_is_loaded(site: Site) -> None:
    site.start("processes=2 reload=rolling")
    site.write("two", WAIT)
    site.httpd.graceful()
    wait_until(lambda: site.loads("two") == 1, "one new worker is loading")
    assert {site.get() for _ in range(20)} == {(200, "one")}
    site.let("load")
    wait_until(lambda: site.get() == (200, "two"), "the new generation serves")
    site.httpd.expect("WSGI0716")
    site.httpd.expect("WSGI0703", "(graceful_signal)")
    wait_until(
        lambda: len(site.httpd.supervisors()) == 1 and len(site.httpd.workers()) == 2,
        "the old generation has gone",
    )


def test_a_long_request_outlives_graceful_restarts(site: Site) -> None:
    site.start()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "the long request runs")
        for _ in range(3):
            site.httpd.graceful()
            assert site.get() == (200, "one")
        site.let("go")
        assert long.result(60) == (200, "one")
    wait_until(lambda: len(site.httpd.supervisors()) == 1, "the old generations have gone")


def test_a_graceful_restart_ends_the_wait_for_a_touched_script(site: Site) -> None:
    site.start()
    site.write("two", WAIT)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(site.get)
        wait_until(lambda: site.loads("two") == 1, "the new code is being loaded")
        site.httpd.graceful()
        assert asked.result(60) == (200, "one")
        assert site.get() == (200, "one")
    site.let("load")
    wait_until(lambda: site.get() == (200, "two"), "the new code serves")


def test_a_graceful_restart_before_all_workers_are_ready_takes_nothing_from_those_that_are(
    site: Site,
) -> None:
    site.write("one", ALONE)
    site.httpd.start(
        "WSGIDaemonProcess d processes=2 threads=4 shutdown-timeout=1ms\nWSGIScriptAlias / "
        "{app}/version.py process-group=d\n"
    )
    site.httpd.worker()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "a request runs")
        site.httpd.graceful()
        wait_until(lambda: site.loads("one") == 3, "the new generation is loading")
        assert site.get() == (200, "one")
        site.let("load")
        site.httpd.expect("WSGI0716")
        assert not long.done()
        site.let("go")
        assert long.result(60) == (200, "one")
    wait_until(lambda: len(site.httpd.supervisors()) == 1, "the old generation has gone")
    assert (
        site.httpd.log_text().count("(graceful_signal)") == 2
        and "(shutdown_signal)" not in site.httpd.log_text()
    )


def catches_sigchld(pid: int) -> bool:
    (mask,) = re.findall(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) >> (signal.SIGCHLD - 1) & 1)


def test_after_a_graceful_restart_the_first_end_of_a_child_wakes_apaches_parent(site: Site) -> None:
    # Embedded mode and one child: nothing else ends.
    site.httpd.start("MinSpareThreads 1\nMaxSpareThreads 75\nWSGIScriptAlias / {app}/version.py\n")
    parent = site.httpd.process.pid if site.httpd.process else 0
    assert not catches_sigchld(parent)
    children = Path(f"/proc/{parent}/task/{parent}/children")
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "the request keeps the old child")
        old = set(children.read_text().split())
        site.httpd.graceful()
        assert catches_sigchld(parent)  # which ends its sleep
        wait_until(lambda: bool(set(children.read_text().split()) - old), "a new child is there")
        (new, *_) = set(children.read_text().split()) - old
        assert site.get() == (200, "one") and not catches_sigchld(int(new))
        site.let("go")
        assert long.result(60) == (200, "one")
    wait_until(lambda: not catches_sigchld(parent), "no other end wakes it")


def test_restarts_in_quick_succession_end_with_one_generation(site: Site) -> None:
    site.start()
    for _ in range(4):
        site.httpd.signal(signal.SIGUSR1)
        assert site.get() == (200, "one")
    wait_until(lambda: len(site.httpd.supervisors()) == 1, "one generation is left")
    assert site.get() == (200, "one")


@pytest.mark.parametrize(
    "more", ["", "<Location /elsewhere>\nWSGICallableObject other\n</Location>"]
)
def test_a_script_that_lost_its_callable_replaces_nothing(site: Site, more: str) -> None:
    site.start(more=more)
    assert site.get() == (200, "one")
    site.write("two", "")
    site.script.write_text(site.script.read_text().replace("def application(", "def aplication("))
    os.utime(site.script, (site.versions, site.versions))
    assert {site.get() for _ in range(10)} == {(200, "one")}
    record = site.httpd.expect("WSGI0403")
    assert (
        f"{site.script} has no callable named 'application'; it defines aplication; name the right one"
        in record
    )
    site.httpd.expect("WSGI0714")
    site.write("three")
    wait_until(lambda: site.get() == (200, "three"), "the mended code serves")


def test_a_graceful_restart_with_broken_code_keeps_the_old_code(site: Site) -> None:
    site.start()
    site.write("two", "raise RuntimeError('half-finished')")
    site.httpd.graceful()
    site.httpd.expect("WSGI0714")
    assert {site.get() for _ in range(10)} == {(200, "one")}
    site.httpd.expect("WSGI0415")
    site.write("three")
    wait_until(lambda: site.get() == (200, "three"), "the mended code serves")
    wait_until(lambda: len(site.httpd.supervisors()) == 1, "the old generation has gone")
    assert site.httpd.log_text().count("raise RuntimeError(") == 1


def test_what_serves_on_behind_broken_code_writes_to_the_new_log(site: Site) -> None:
    site.write("one", TALK)
    site.start()
    site.write("two", "raise RuntimeError('half-finished')")
    site.httpd.log.rename(site.httpd.root / "old_log")
    site.httpd.graceful()
    for code in ("WSGI0415", "WSGI0714"):
        site.httpd.expect(code)
    site.let("say")
    wait_until(
        lambda: "a thread outside of any request" in site.httpd.log_text(),
        "the worker writes to the new log",
    )
    site.write("three")
    site.httpd.expect("WSGI0716")  # from its supervisor


def test_broken_code_at_a_cold_start_is_shown(httpd: Httpd) -> None:
    (httpd.app / "version.py").write_text("raise RuntimeError('half-finished')\n")
    httpd.start(
        "WSGIDaemonProcess d threads=4\nWSGIScriptAlias / {app}/version.py process-group=d\n"
    )
    assert requests.get(httpd.url("/"), timeout=60).status_code == 500
    for code in ("WSGI0415", "WSGI0404"):
        httpd.expect(code)
    (httpd.app / "version.py").write_text((httpd.app / "hello.py").read_text())
    assert requests.get(httpd.url("/"), timeout=60).text == "Hello World!"


def test_a_hard_restart_does_not_wait_for_the_new_code(site: Site) -> None:
    site.start("reload=rolling")
    old = site.httpd.worker()
    site.write("two", WAIT)
    site.httpd.restart()
    # At once: what is asked after the restart is answered by the new code
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(site.get) for _ in range(4)]
        wait_until(lambda: not Path(f"/proc/{old}").exists(), "the old worker has gone")
        site.let("load")
        assert {answer.result(60) for answer in asked} == {(200, "two")}


def test_a_group_that_is_no_longer_configured_ends_with_its_last_request(site: Site) -> None:
    site.start()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "the long request runs")
        site.httpd.write_conf("WSGIScriptAlias / {app}/hello.py\n")
        site.httpd.graceful()
        assert site.get() == (200, "Hello World!")
        site.let("go")
        assert long.result(60) == (200, "one")
    wait_until(lambda: not site.httpd.supervisors(), "the group has gone")


# ---- reload ----


def test_a_touched_script_with_broken_code_leaves_the_old_code_serving(site: Site) -> None:
    site.start("processes=2")
    site.write("two", "raise RuntimeError('half-finished')")
    assert {site.get() for _ in range(20)} == {(200, "one")}
    site.httpd.expect("WSGI0714")
    site.httpd.expect("WSGI0415")
    assert site.httpd.log_text().count("raise RuntimeError(") == 1
    site.write("three")
    assert site.get() == (200, "three")


def test_a_touched_script_whose_import_ends_the_process_leaves_the_old_code_serving(
    site: Site,
) -> None:
    site.start()
    site.write("two", "os._exit(9)")
    assert {site.get() for _ in range(5)} == {(200, "one")}
    assert "exited with status 9" in site.httpd.expect("WSGI0713")


def test_with_rolling_reload_nobody_waits_for_the_new_code(site: Site) -> None:
    site.start("reload=rolling")
    site.write("two", WAIT)
    assert site.get() == (200, "one")
    wait_until(lambda: site.loads("two") == 1, "the new code is being loaded")
    assert site.get() == (200, "one")
    site.let("load")
    wait_until(lambda: site.get() == (200, "two"), "the new code serves")


def test_the_request_that_notices_a_touched_script_waits_and_gets_the_new_code(site: Site) -> None:
    site.start()
    with ThreadPoolExecutor(1) as pool:
        site.write("two", WAIT)
        asked = pool.submit(site.get)
        wait_until(lambda: site.loads("two") == 1, "the new code is being loaded")
        site.let("load")
        assert asked.result(60) == (200, "two")


def test_the_name_of_an_interpreter_is_no_message_to_the_supervisor(site: Site) -> None:
    site.httpd.start(
        "WSGIDaemonProcess d threads=4\nWSGIScriptAliasMatch ^/[^/]+ {app}/version.py process-group=d\n"
    )
    assert site.get("/a%0Aretire%20b") == (200, "one")
    supervisor = site.httpd.supervisor()
    site.write("two")
    assert site.get("/a%0Aretire%20b") == (200, "two")
    assert site.httpd.supervisors() == [supervisor]


def test_requests_that_are_handed_back_do_not_count(site: Site) -> None:
    site.start("maximum-requests=4")
    worker = site.httpd.worker()
    site.write("two", "raise RuntimeError('half-finished')")
    # Handed back until it is known that the new code does not load
    assert site.get() == (200, "one")
    for code in ("WSGI0415", "WSGI0714"):
        site.httpd.expect(code)
    supervisor = site.httpd.supervisor()
    slots = activity.Slots(os.open(f"/proc/{supervisor}/fd/{FD_ACTIVITY}", os.O_RDWR), 4, 1)
    slots.taken[worker] = 0
    assert slots.seen(worker).begun == 1
    site.write("three")
    assert site.get() == (200, "three")
    assert "(script_reload)" in site.httpd.expect("WSGI0703", str(worker))  # not (maximum_requests)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT, signal.SIGHUP])
def test_signals_to_the_supervisor_load_the_code_again(site: Site, number: signal.Signals) -> None:
    site.start("processes=2")
    before = set(site.httpd.workers())
    supervisor = site.httpd.supervisor()
    os.kill(supervisor, number)
    site.httpd.expect("WSGI0715", number.name)
    wait_until(
        lambda: len(site.httpd.workers()) == 2 and not before & set(site.httpd.workers()),
        "both workers are new",
    )
    assert site.get() == (200, "one")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_signals_to_a_worker_replace_it(site: Site, number: signal.Signals) -> None:
    site.start()
    before = site.httpd.worker()
    os.kill(before, number)
    wait_until(
        lambda: site.httpd.workers() and before not in site.httpd.workers(), "the worker is another"
    )
    site.httpd.expect("WSGI0703")
    assert site.httpd.log_text().index(
        "is ready after", site.httpd.log_text().index("is ready after") + 1
    ) < (site.httpd.log_text().index("WSGI0703"))


# ---- the supervisor's death ----


def test_requests_of_a_killed_supervisors_workers_have_as_long_as_after_a_restart(
    site: Site,
) -> None:
    site.start("shutdown-timeout=1ms", "LogLevel wsgi:debug")
    supervisor = site.httpd.supervisor()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "the request runs")
        os.kill(supervisor, signal.SIGKILL)
        site.httpd.expect("WSGI0608")
        site.httpd.expect("WSGI0711")
        site.let("go")
        assert long.result(60) == (200, "one")


def test_the_end_of_a_request_without_a_supervisor_is_explained(site: Site) -> None:
    site.start("graceful-timeout=1ms")
    supervisor = site.httpd.supervisor()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "the request runs")
        os.kill(supervisor, signal.SIGKILL)
        assert long.result(60)[0] == 502
    for code in ("WSGI0608", "WSGI0730", "WSGI0310"):
        site.httpd.expect(code)


def test_workers_without_a_supervisor_serve_while_none_can_be_started(site: Site) -> None:
    site.start("reload=rolling")
    site.write("two", WAIT)
    first = site.httpd.supervisor()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: site.loads("two") == 1, "a worker of the second supervisor is loading")
    second = site.httpd.supervisor()
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: site.loads("two") == 2, "a worker of the third supervisor is loading")
    third = site.httpd.supervisor()
    os.kill(third, signal.SIGKILL)
    site.httpd.expect("WSGI0608", "started again in 1 s")
    assert site.get() == (200, "one")


def test_requests_wait_when_a_supervisor_is_killed_twice_before_a_worker_was_ready(
    site: Site,
) -> None:
    site.write("one", WAIT)
    site.httpd.start("WSGIDaemonProcess d\nWSGIScriptAlias / {app}/version.py process-group=d\n")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(site.get)
        for started in (1, 2):
            wait_until(lambda count=started: site.loads("one") == count, "its worker is loading")  # type: ignore[misc]
            os.kill(site.httpd.supervisor(), signal.SIGKILL)
        wait_until(lambda: site.loads("one") == 3, "the third one's worker is loading")
        site.let("load")
        assert asked.result(60) == (200, "one")
    assert site.httpd.log_text().count("it is started again now") == 2
    site.httpd.expect("WSGI0608")


@pytest.mark.skipif(not AS_ROOT, reason="only root can become somebody else")
def test_what_waits_to_become_a_supervisor_is_not_yet_the_groups_user(site: Site) -> None:
    site.write("one", WAIT)
    site.httpd.start("WSGIDaemonProcess d\nWSGIScriptAlias / {app}/version.py process-group=d\n")
    for died in range(1, 5):  # the last one is replaced after two seconds
        supervisor = site.httpd.supervisor()
        os.kill(supervisor, signal.SIGKILL)
        wait_until(
            lambda count=died: site.httpd.log_text().count("WSGI0608") == count,
            "it has been missed",
        )  # type: ignore[misc]
    site.httpd.expect("WSGI0608", "started again in 2 s")
    waiting = site.httpd.supervisor()
    descriptors, status = Path(f"/proc/{waiting}/fd"), Path(f"/proc/{waiting}/status")
    wait_until(
        lambda: len(list(descriptors.iterdir())) <= 11 and "State:\tS" in status.read_text(),
        "it waits",
    )
    assert "Uid:\t0\t0\t0\t0" in status.read_text()


def test_workers_of_a_killed_supervisor_serve_until_others_do(site: Site) -> None:
    site.start()
    worker, supervisor = site.httpd.worker(), site.httpd.supervisor()
    site.write("two", WAIT)
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        os.kill(supervisor, signal.SIGKILL)
        site.httpd.expect("WSGI0608")
        wait_until(lambda: site.loads("two") == 1, "the next supervisor's worker is loading")
        assert Path(f"/proc/{worker}").exists()
        site.let("load")
        site.let("go")
        assert long.result(60)[0] == 200
    wait_until(
        lambda: site.get() == (200, "two") and not Path(f"/proc/{worker}").exists(),
        "only the new worker serves",
    )


def kill_supervisor_before_broken_code(site: Site, options: str = "") -> int:
    """The next one cannot load what is on disk. The worker that serves on."""
    site.start(options)
    worker, supervisor = site.httpd.worker(), site.httpd.supervisor()
    site.write("two", "raise RuntimeError('half-finished')")
    os.kill(supervisor, signal.SIGKILL)
    for code in ("WSGI0608", "WSGI0415", "WSGI0714"):
        site.httpd.expect(code)
    return worker


def test_broken_code_never_replaces_the_workers_of_a_killed_supervisor(site: Site) -> None:
    worker = kill_supervisor_before_broken_code(site)
    assert {site.get() for _ in range(10)} == {(200, "one")}
    site.httpd.graceful()
    wait_until(
        lambda: site.httpd.log_text().count("WSGI0714") == 2,
        "the next generation has tried it, too",
    )
    assert {site.get() for _ in range(10)} == {(200, "one")}
    site.write("three")
    wait_until(
        lambda: site.get() == (200, "three") and not Path(f"/proc/{worker}").exists(),
        "only the mended code serves",
    )


def slow_request_is_shown(site: Site, pool: ThreadPoolExecutor) -> None:
    """One that an old worker serves."""
    slow = pool.submit(site.get, "/wait")
    site.httpd.expect("WSGI0720", "GET /wait")
    site.httpd.expect("in application")
    site.let("go")
    assert slow.result(60) == (200, "one")


def test_slow_requests_of_a_killed_supervisors_workers_are_shown_by_the_next_one(
    site: Site,
) -> None:
    worker = kill_supervisor_before_broken_code(site, "slow-request=100ms")
    site.httpd.expect("WSGI0731", f"worker {worker}")
    with ThreadPoolExecutor(1) as pool:
        slow_request_is_shown(site, pool)


def test_the_next_generation_looks_after_the_workers_of_a_killed_supervisor(site: Site) -> None:
    site.write("one", TALK)
    worker = kill_supervisor_before_broken_code(site, "slow-request=100ms")
    site.httpd.log.rename(site.httpd.root / "old_log")
    site.httpd.graceful()
    site.httpd.expect("WSGI0731", f"worker {worker}")
    site.let("say")
    wait_until(
        lambda: "a thread outside of any request" in site.httpd.log_text(),
        "the worker writes to the new log",
    )
    with ThreadPoolExecutor(1) as pool:
        slow_request_is_shown(site, pool)
    site.write("three")
    wait_until(
        lambda: site.get() == (200, "three") and not Path(f"/proc/{worker}").exists(),
        "only the new worker serves",
    )


def test_broken_code_is_shown_when_the_last_worker_of_a_killed_supervisor_has_gone(
    site: Site,
) -> None:
    worker = kill_supervisor_before_broken_code(site)
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(site.get, "/wait")
        wait_until(Path(f"{site.flag}.waits").exists, "the worker has a request")
        os.kill(worker, signal.SIGTERM)
        wait_until(
            lambda: site.get()[0] == 500, "the broken code answers although the worker still drains"
        )
        site.let("go")
        assert long.result(60) == (200, "one")
    site.httpd.expect("WSGI0404")


def test_a_service_never_runs_twice_when_its_supervisor_is_killed(httpd: Httpd) -> None:
    runs = httpd.root / "runs"
    if AS_ROOT:
        httpd.root.chmod(0o777)
    (httpd.app / "service.py").write_text(
        "import os, time\n"
        f"def note(word):\n    with open({str(runs)!r}, 'a') as file:\n        file.write(word)\n"
        "note('[')\n"
        "try:\n    while True:\n        time.sleep(0.05)\n"
        "finally:\n    time.sleep(0.3)\n    note(']')\n"
    )
    httpd.start(
        "WSGIDaemonProcess s threads=0\nWSGIImportScript {app}/service.py process-group=s application-group=%{GLOBAL}"
    )
    wait_until(lambda: runs.exists() and runs.read_text() == "[", "it runs")
    os.kill(httpd.supervisor(), signal.SIGKILL)
    httpd.expect("WSGI0608")
    wait_until(lambda: runs.read_text().count("[") == 2, "it runs again")
    httpd.graceful()
    wait_until(lambda: runs.read_text().count("[") == 3, "and again")
    assert runs.read_text() == "[][]["


def test_a_supervisor_that_dies_again_and_again_comes_back_after_its_pause(httpd: Httpd) -> None:
    httpd.start("WSGIDaemonProcess d threads=1\nWSGIScriptAlias / {app}/hello.py process-group=d\n")
    httpd.expected |= {"WSGI0608", "WSGI0718"}
    wait_until(
        lambda: len(httpd.workers()) == 1, "the first supervisor knows that its worker is ready"
    )
    for number in range(3):
        httpd.supervisor()
        assert requests.get(httpd.url("/"), timeout=60).status_code == 200
        pid = httpd.supervisor()
        wait_until(
            lambda pid=pid: b"_boot.py" in Path(f"/proc/{pid}/cmdline").read_bytes(), "Python"
        )  # type: ignore[misc]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda n=number: httpd.log_text().count("WSGI0607") > n + 1, "the next one")  # type: ignore[misc]
    httpd.supervisor()
    assert requests.get(httpd.url("/"), timeout=60).status_code == 200
    codes = re.findall("WSGI060[78]", httpd.log_text())
    # When the end is noticed, not with httpd's next maintenance
    assert codes == ["WSGI0607", *["WSGI0608", "WSGI0607"] * 3]


def test_a_request_that_had_reached_no_application_code_is_asked_of_another_worker(
    httpd: Httpd,
) -> None:
    (httpd.app / "holds.py").write_text(
        "import ctypes\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/hold':\n"
        "        ctypes.PyDLL(None).sleep(60)  # with the GIL\n"
        "    start_response('200 OK', [])\n"
        "    return [b'fine']\n"
    )
    httpd.start("WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/holds.py process-group=d\n")
    assert requests.get(httpd.url("/"), timeout=60).text == "fine"
    supervisor, worker = httpd.supervisor(), httpd.worker()
    slots = activity.Slots(os.open(f"/proc/{supervisor}/fd/{FD_ACTIVITY}", os.O_RDWR), 2, 1)
    slots.taken[worker] = 0
    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(requests.get, httpd.url("/hold"), timeout=60)
        wait_until(
            lambda: any(one.app for one in slots.seen(worker).running),
            "the application holds the GIL",
        )
        while True:  # the first ones may slip through before the lock is held for good
            waiting = pool.submit(requests.post, httpd.url("/"), data=b"x" * 1000, timeout=60)
            done = waiting.done
            wait_until(
                lambda done=done: done() or len(slots.seen(worker).running) == 2, "a thread has it"
            )  # type: ignore[misc]
            if not waiting.done():
                break
        os.kill(worker, signal.SIGKILL)
        assert holder.result().status_code == 502
        assert (waiting.result().status_code, waiting.result().text) == (200, "fine")
    httpd.expect("WSGI0310", containing="/hold")
    httpd.expect("WSGI0702")
    assert httpd.log_text().count("WSGI0310") == 1


def test_no_request_is_taken_before_all_threads_are_there(httpd: Httpd) -> None:
    (httpd.app / "late.py").write_text(
        "import threading, time\n"
        "start = threading.Thread.start\n"
        "def start_late(thread):\n"
        "    time.sleep(0.3 * (thread.name == 'wsgi-request-2'))\n"
        "    start(thread)\n"
        "threading.Thread.start = start_late\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(sum('wsgi-request' in thread.name for thread in threading.enumerate())).encode()]\n"
    )
    httpd.start("WSGIDaemonProcess d threads=3\nWSGIScriptAlias / {app}/late.py process-group=d\n")
    assert requests.get(httpd.url("/"), timeout=60).text == "3"


def test_a_process_that_the_application_forks_ends_by_sigterm(httpd: Httpd) -> None:
    (httpd.app / "forks.py").write_text(
        "import multiprocessing, time\n"
        "def application(environ, start_response):\n"
        "    child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "    child.start()\n"
        "    child.terminate()\n"
        "    child.join(60)\n"
        "    start_response('200 OK', [])\n"
        "    return [str(child.exitcode).encode()]\n"
    )
    httpd.start("WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/forks.py process-group=d\n")
    assert requests.get(httpd.url("/"), timeout=60).text == "-15"


def test_what_an_application_writes_to_its_supervisor_is_ignored(httpd: Httpd) -> None:
    (httpd.app / "writes.py").write_text(
        "import os\n"
        f"os.write({FD_SUPERVISOR}, b'ready x\\nstale\\n')\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'fine']\n"
    )
    httpd.start(
        "WSGIDaemonProcess d threads=2\nWSGIScriptAlias / {app}/writes.py process-group=d\n"
    )
    assert requests.get(httpd.url("/"), timeout=60).text == "fine"
    httpd.expect("WSGI0729", containing="ready x")
    assert "WSGI0608" not in httpd.log_text()
