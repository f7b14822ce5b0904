"""The old code serves on in every order of good and broken versions, however they come: at a start,
with a touch, a reload, a graceful restart. A failed load never outlives its process.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, Httpd, wait_until
from served import run

GOOD = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"{word}"]
def make():
    return application
"""
FAULTS = {
    "syntax error": "def application(:\n",
    "exception": GOOD + "raise RuntimeError('half-finished')\n",
    "missing name": "import os\n",
}
FACTORY_FAULTS = {
    **FAULTS,
    "factory raises": "def make():\n    raise RuntimeError('half-finished')\n",
    "factory returns 5": "def make():\n    return 5\n",
}
KINDS = {
    "script": ("{app}/shop.py", FAULTS),
    "module": ("shop:application", FAULTS),
    "factory": ("shop:make()", FACTORY_FAULTS),
}
NOISE = ("WSGI0403", "WSGI0404", "WSGI0415", "WSGI0713", "WSGI0714", "WSGI0733")


def every_order(symbols: str, length: int) -> str:
    """Returns a text that contains all words of this length (a sequence of de Bruijn)."""
    order: list[int] = []
    word = [0] * (len(symbols) * length)

    def extend(at: int, period: int) -> None:
        if at > length:
            order.extend(word[1 : period + 1] if length % period == 0 else [])
            return
        word[at] = word[at - period]
        extend(at + 1, period)
        for symbol in range(word[at - period] + 1, len(symbols)):
            word[at] = symbol
            extend(at + 1, at)

    extend(1, 1)
    return "".join(symbols[number] for number in order + order[: length - 1])


def test_every_order_has_every_order() -> None:
    text = every_order("gb", 4)
    assert len({text[at : at + 4] for at in range(len(text) - 3)}) == 2**4


class Site:
    def __init__(self, httpd: Httpd, kind: str) -> None:
        self.httpd = httpd
        target, faults = KINDS[kind]
        self.faults: Iterator[str] = cycle(faults.values())
        self.conf = (
            "WSGIDaemonProcess d threads=2 python-path={app}\n"
            f"WSGIScriptAlias / {target} process-group=d\n"
        )
        self.file = httpd.app / "shop.py"
        self.version = 0
        self.answer: tuple[int, str] = (500, "")  # until something good was loaded
        self.is_behind = False  # workers of an older generation serve on
        httpd.expected |= set(NOISE)
        if AS_ROOT:
            httpd.root.chmod(0o777)

    def write(self, code: str) -> None:
        self.version += 1
        self.file.write_text(code)
        os.utime(self.file, (self.version, self.version))

    def get(self) -> tuple[int, str]:
        response = requests.get(self.httpd.url("/"), timeout=60)
        return response.status_code, response.text if response.status_code == 200 else ""

    def tried(self) -> int:
        text = self.httpd.log_text()
        return text.count("WSGI0415") + text.count("WSGI0403")

    def begin(self, how: str) -> None:
        if how == "start":
            self.httpd.start(self.conf)
        elif how == "reload":
            os.kill(self.httpd.supervisors()[-1], signal.SIGHUP)
        elif how == "graceful":
            self.httpd.graceful()

    def good(self, how: str) -> None:
        self.write(GOOD.format(word=f"version {self.version}"))
        before, self.answer = self.answer, (200, f"version {self.version - 1}")
        self.begin(how)
        if how == "start" or (how == "touch" and not self.is_behind):
            assert self.get() == self.answer
        self.is_behind = False
        seen = []
        wait_until(
            lambda: seen.append(self.get()) or seen[-1] == self.answer,  # type: ignore[func-returns-value]
            f"{self.answer} is served",
        )
        assert set(seen) <= {before, self.answer}
        wait_until(lambda: self.marks() == (False, 0), "no mark is left")

    def broken(self, how: str) -> None:
        before = self.tried()
        self.is_behind |= how == "graceful" and self.answer[0] == 200
        self.write(next(self.faults))
        self.begin(how)
        if how == "touch":
            assert self.is_answer(self.get())
        wait_until(lambda: self.tried() > before, "the broken version was tried")
        assert all(self.is_answer(self.get()) for _ in range(3))

    def is_answer(self, got: tuple[int, str]) -> bool:
        """A script without the name gives 404 where nothing good was ever loaded."""
        return got == self.answer or (self.answer[0] == 500 and got[0] == 404)

    def marks(self) -> tuple[bool, int]:
        """Is the group stale, and how many scripts of its workers are broken?"""
        groups = json.loads(run("status", "--json").stdout or "[]")
        pid = self.httpd.supervisors()[-1]
        found = [group for group in groups if group["supervisor"] == pid]
        if not found:
            return True, -1
        return found[0]["stale"], max((w["broken"] for w in found[0]["workers"]), default=-1)

    def step(self, is_good: bool, how: str) -> None:
        self.good(how) if is_good else self.broken(how)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["touch", "reload", "graceful"])
def test_old_code_serves_on_in_every_order(httpd: Httpd, kind: str, how: str) -> None:
    """All sequences of four versions, the first of them at the start."""
    site = Site(httpd, kind)
    for number, symbol in enumerate(every_order("bg", 4)):
        site.step(symbol == "g", how if number else "start")


@pytest.mark.parametrize("kind", KINDS)
def test_old_code_serves_on_however_versions_come(httpd: Httpd, kind: str) -> None:
    """All pairs of a version and its way, one after the other."""
    site = Site(httpd, kind)
    site.good("start")
    ways = {"t": "touch", "r": "reload", "g": "graceful"}
    for symbol in every_order("trgTRG", 2):
        site.step(symbol.isupper(), ways[symbol.lower()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["start", "touch", "reload", "graceful"])
@pytest.mark.parametrize("fault", FACTORY_FAULTS)
def test_each_fault_leaves_the_old_code_answering_at_once(
    httpd: Httpd, kind: str, how: str, fault: str
) -> None:
    site = Site(httpd, kind)
    if fault not in KINDS[kind][1]:
        pytest.skip("it is a fault of factories")
    site.faults = cycle([FACTORY_FAULTS[fault]])
    if how != "start":
        site.good("start")
    site.broken(how)
    site.good("touch")


# ---- a failed load is never tried again in the same process ----

NEEDS_HELPER = """
import helper
VALUE = helper.value
def application(environ, start_response):
    start_response("200 OK", [])
    return [VALUE.encode()]
"""


def with_helper(httpd: Httpd, kind: str, options: str = "") -> str:
    library = httpd.app / "lib"
    library.mkdir()
    (library / "helper.py").write_text('valu = "typo"\n')
    (httpd.app / "shop.py").write_text(NEEDS_HELPER)
    os.utime(httpd.app / "shop.py", (1, 1))
    target = KINDS[kind][0].replace("shop:make()", "shop:application")
    httpd.expected |= set(NOISE)
    return (
        f"WSGIDaemonProcess d threads=2 python-path={{app}}:{{app}}/lib {options}\n"
        f"WSGIScriptAlias / {target} process-group=d\n"
    )


@pytest.mark.parametrize("kind", ["script", "module"])
def test_a_helper_is_mended_and_the_script_touched(httpd: Httpd, kind: str) -> None:
    httpd.start(with_helper(httpd, kind))
    assert requests.get(httpd.url("/"), timeout=60).status_code == 500
    (httpd.app / "lib" / "helper.py").write_text('value = "mended"\n')
    os.utime(httpd.app / "shop.py", (2, 2))
    response = requests.get(httpd.url("/"), timeout=60)
    assert (response.status_code, response.text) == (200, "mended")


@pytest.mark.parametrize("kind", ["script", "module"])
def test_a_helper_is_mended_and_nothing_else_happens_but_requests(httpd: Httpd, kind: str) -> None:
    httpd.start(with_helper(httpd, kind))
    assert requests.get(httpd.url("/"), timeout=60).status_code == 500
    (httpd.app / "lib" / "helper.py").write_text('value = "mended"\n')
    wait_until(
        lambda: requests.get(httpd.url("/"), timeout=60).text == "mended", "a new process serves"
    )


def test_a_script_that_nobody_names_in_the_configuration_is_tried_in_a_new_process(
    httpd: Httpd,
) -> None:
    with_helper(httpd, "script")
    (httpd.app / "fine.py").write_text(GOOD.format(word="fine"))
    httpd.start(
        "WSGIDaemonProcess d threads=2 python-path={app}/lib\n"
        "WSGIScriptAliasMatch ^/(.*) {app}/$1 process-group=d\n"
    )
    fine = lambda: requests.get(httpd.url("/fine.py"), timeout=60).text  # noqa: E731
    assert fine() == "fine"
    assert requests.get(httpd.url("/shop.py"), timeout=60).status_code == 500
    worker = httpd.worker()
    httpd.expect("WSGI0733")  # a new worker has tried it, and the old one serves on
    assert fine() == "fine" and worker in httpd.workers()
    (httpd.app / "lib" / "helper.py").write_text('value = "mended"\n')
    wait_until(
        lambda: requests.get(httpd.url("/shop.py"), timeout=60).text == "mended",
        "a new process serves",
    )
    assert fine() == "fine"


ONCE = """
import os
try:
    os.close(os.open({flag!r}, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    pass
else:
    raise RuntimeError("the first process cannot")
"""


def test_startup_timeout_replaces_a_process_whose_script_failed(httpd: Httpd) -> None:
    """Without any request."""
    if AS_ROOT:
        httpd.root.chmod(0o777)
    httpd.expected |= set(NOISE)
    (httpd.app / "shop.py").write_text(
        ONCE.format(flag=str(httpd.root / "first")) + GOOD.format(word="the second")
    )
    httpd.start(
        "WSGIDaemonProcess d threads=2 startup-timeout=1\n"
        "WSGIScriptAlias / {app}/shop.py process-group=d\n"
    )
    first = httpd.worker()
    wait_until(lambda: not Path(f"/proc/{first}").exists(), "the first process is replaced")
    assert requests.get(httpd.url("/"), timeout=60).text == "the second"


@pytest.mark.parametrize("how", ["touch", "reload"])
def test_a_broken_script_that_is_mended_without_a_request_serves(httpd: Httpd, how: str) -> None:
    site = Site(httpd, "script")
    site.broken("start")
    site.write(GOOD.format(word="mended"))
    wait_until(lambda: site.marks() == (False, 0), "the mark has gone")
    assert site.get() == (200, "mended")
    site.answer = (200, "mended")
    site.broken(how)
