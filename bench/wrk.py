"""Load by wrk for parts of a second and longer."""

from __future__ import annotations

import math
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from scenarios import Scenario

REPORT = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("bench %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50), latency:percentile(99)))
end
"""
# Each of wrk's two threads has half of the connections and asks for one of the two paths: as many
# requests are under way for one as for the other.
BOTH = """
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("path", threads == 1 and "{one}" or "{other}")
end
function request()
  return wrk.format(wrk.method, path)
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def lua(scenario: Scenario) -> str:
    lines = [
        f'wrk.headers["{name}"] = "{value}"' for name, value in scenario.request_headers().items()
    ]
    if scenario.post >= 0:
        lines += ['wrk.method = "POST"', f'wrk.body = string.rep("x", {scenario.post})']
    if scenario.alternate:
        lines.append(BOTH.replace("{one}", scenario.path).replace("{other}", scenario.alternate))
    return "\n".join(lines) + REPORT


def load(url: str, scenario: Scenario, seconds: float) -> Load:
    """wrk itself counts whole seconds; SIGINT lets it report before, its clock is exact either way."""
    limit = math.ceil(seconds) + 2  # ends it when the signal came before wrk waited for its end
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua(scenario))
        script.flush()
        threads = 2 if scenario.alternate else 1
        command = [
            "wrk",
            f"-t{threads}",
            f"-c{scenario.connections}",
            f"-d{limit}s",
            "--timeout",
            "30s",
            "-s",
            script.name,
        ]
        command.append(url + scenario.path)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(seconds + 0.05)
        process.send_signal(signal.SIGINT)
        output = process.communicate()[0]
    fields = next((line.split() for line in output.splitlines() if line.startswith("bench ")), None)
    if not fields:
        raise SystemExit(f"wrk ended with {process.returncode} and without a report:\n{output}")
    requests, micros, errors, p50, p99 = map(int, fields[1:])
    return Load(requests, micros / 1e6, errors, p50 / 1e3, p99 / 1e3)
