"""How cost grows: with the number of aliases, virtual hosts, groups and request headers, and with
the size of bodies.
"""

from __future__ import annotations

import dataclasses
import http.client
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import contenders
import processes
import report
import svg
import wrk
from options import Options
from processes import WORKER_TITLE
from scenarios import KB, MB, Scenario
from server import Httpd, Work

HELLO = Scenario("hello", "/app", "12 bytes", connections=1)
NUMBERS = (1, 10, 100)
HEADERS = (10, 20, 50, 100)
SIZES = (KB, 32 * KB, MB, 32 * MB, 1024 * MB)
BLOCK = b"x" * MB


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One measurement: x is what was varied."""

    x: int
    us_per_request: float
    start_s: float = 0.0  # from the start of httpd to the first answer
    pss_mb: float = 0.0


def load_module(mode: str) -> str:
    socket_prefix = "" if mode == "embedded" else "WSGISocketPrefix {where}/wsgi\n"
    module = f"LoadModule wsgi_module {contenders.OURS}\nWSGIPythonHome {sys.prefix}\n"
    return f"{module}{socket_prefix}LimitRequestFields 200\n"


def group(name: str) -> str:
    return f"WSGIDaemonProcess {name} processes=1 threads=4 python-home={sys.prefix} display-name={WORKER_TITLE}\n"


def alias(mode: str, path: str, script: str = "hello.py", name: str = "d") -> str:
    chosen = "%{GLOBAL}" if mode == "embedded" else name
    return f"WSGIScriptAlias {path} {{apps}}/{script} process-group={chosen} application-group=%{{GLOBAL}}\n"


# ---- configurations of growing size; the last of n things is the one that is asked ----


def with_aliases(mode: str, count: int) -> tuple[str, Scenario]:
    others = "".join(alias(mode, f"/other-{number}") for number in range(count - 1))
    return load_module(mode) + (group("d") if mode == "daemon" else "") + others + alias(
        mode, "/app"
    ), HELLO


def with_hosts(mode: str, count: int) -> tuple[str, Scenario]:
    hosts = "".join(
        f"<VirtualHost *>\nServerName host-{number}.example\n{alias(mode, '/app')}</VirtualHost>\n"
        for number in range(count)
    )
    scenario = Scenario(
        "hello", "/app", "12 bytes", connections=1, host=f"host-{count - 1}.example"
    )
    return load_module(mode) + (group("d") if mode == "daemon" else "") + hosts, scenario


def with_groups(mode: str, count: int) -> tuple[str, Scenario]:
    groups = "".join(
        group(f"d{number}") + alias(mode, f"/other-{number}", name=f"d{number}")
        for number in range(count - 1)
    )
    return load_module(mode) + groups + group("last") + alias(mode, "/app", name="last"), HELLO


Configure = Callable[[str, int], tuple[str, Scenario]]


def measure(server: Httpd, scenario: Scenario, seconds: float) -> float:
    """Microseconds of one request after another over one connection."""
    return 1e6 / max(0.001, wrk.load(server.url, scenario, seconds).rate)


def grow(configure: Configure, mode: str, numbers: tuple[int, ...], seconds: float) -> list[Step]:
    steps = []
    for number in numbers:
        conf, scenario = configure(mode, number)
        with Work() as work:
            server = Httpd(f"{mode} with {number}", work, conf)
            server.patience_s = 300
            begin = time.monotonic()
            with server:
                server.ask(scenario, timeout=300)
                start = time.monotonic() - begin
                us = measure(server, scenario, seconds)
                steps.append(
                    Step(
                        number,
                        round(us, 1),
                        round(start, 2),
                        round(processes.pss_mb(server.processes()), 1),
                    )
                )
    return steps


# ---- one configuration, requests of growing size ----


def more_headers(server: Httpd, numbers: tuple[int, ...], seconds: float) -> list[Step]:
    scenarios = {
        number: Scenario("headers", "/app", "", connections=1, headers=number) for number in numbers
    }
    return [
        Step(number, round(measure(server, scenario, seconds), 1))
        for number, scenario in scenarios.items()
    ]


def blocks(size: int) -> Iterator[bytes]:
    for start in range(0, size, MB):
        yield BLOCK[: min(MB, size - start)]


def transfer(server: Httpd, up: int, down: int) -> float:
    """Seconds until a body of `up` bytes is sent and one of `down` bytes received."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    connection.connect()
    buffer, got, begin = bytearray(MB), 0, time.perf_counter()
    connection.request(
        "POST", f"/sized?{down}", body=blocks(up), headers={"Content-Length": str(up)}
    )
    response = connection.getresponse()
    while count := response.readinto(buffer):
        got += count
    took = time.perf_counter() - begin
    connection.close()
    if response.status != 200 or got != down:
        raise SystemExit(
            f"{server.name}: status {response.status}, {got} of {down} bytes\n{server.log_text()[-4000:]}"
        )
    return took


def larger_bodies(server: Httpd, sizes: tuple[int, ...], upload: bool) -> list[Step]:
    steps = []
    for size in sizes:
        times = [
            transfer(server, *((size, 0) if upload else (0, size)))
            for _ in range(3 if size > 100 * MB else 9)
        ]
        steps.append(Step(size, round(statistics.median(times) * 1e6, 1)))
    return steps


def all_of(mode: str, quick: bool) -> dict[str, list[Step]]:
    """Series by what is varied."""
    seconds, numbers, sizes = (0.2, NUMBERS[:2], SIZES[:3]) if quick else (1.0, NUMBERS, SIZES)
    found = {
        "aliases": grow(with_aliases, mode, numbers, seconds),
        "virtual hosts": grow(with_hosts, mode, numbers, seconds),
    }
    if mode == "daemon":
        found["groups"] = grow(with_groups, mode, numbers, seconds)
    conf = with_aliases(mode, 1)[0] + alias(mode, "/sized", "sized.py")
    with Work() as work, Httpd(mode, work, conf) as server:
        server.ask(HELLO)
        transfer(server, 0, 0)
        found["request headers"] = more_headers(server, HEADERS, seconds)
        found["bytes sent"] = larger_bodies(server, sizes, upload=False)
        # Last, as 1 GB takes a while to free
        found["bytes received"] = larger_bodies(server, sizes, upload=True)
    return found


def plot(results: dict[str, object]) -> str:
    modes: dict[str, dict[str, list[dict[str, float]]]] = results["modes"]  # type: ignore[assignment]
    curves = {
        f"{name}, {mode}": [(step["x"], step["us_per_request"]) for step in steps]
        for mode, found in modes.items()
        for name, steps in found.items()
    }
    return svg.lines("Microseconds of a request", curves, "how many, or bytes", "us")


def row(step: Step) -> list[str]:
    once = [f"{step.start_s:.2f}", f"{step.pss_mb:.0f}"] if step.pss_mb else ["-", "-"]
    return [f"{step.x:,}", f"{step.us_per_request:,.0f}", *once]


def show(mode: str, found: dict[str, list[Step]]) -> None:
    for name, steps in found.items():
        print(f"\n{name}, {mode}")
        print(report.table(("", "us/request", "start s", "PSS MB"), map(row, steps)), flush=True)


def run(options: Options) -> dict[str, object]:
    modes = {}
    for mode in ("embedded", "daemon"):
        found = all_of(mode, options.quick)
        show(mode, found)
        modes[mode] = {
            name: [dataclasses.asdict(step) for step in steps] for name, steps in found.items()
        }
    return {"modes": modes}
