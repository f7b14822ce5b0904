"""Requests per second of the contenders, all up at once, loaded in turn round after round; medians of the per-round ratios."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpd_wsgi

HERE = Path(__file__).resolve().parent
HTTPD = shutil.which("apache2") or shutil.which("httpd") or "/usr/sbin/apache2"
OURS = Path(httpd_wsgi.__file__).parent / "mod_wsgi.so"
APP = """def application(environ, start_response):
    body = b"Hello World!"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [body]
"""
DAEMON = "WSGISocketPrefix {root}/wsgi\nWSGIDaemonProcess d processes=2 threads=8"
ALIAS = "WSGIScriptAlias / {root}/app.py application-group=%{GLOBAL}"


def apxs(*arguments: str) -> str:
    return subprocess.run(["apxs", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def build_limit(state: Path) -> Path:
    target = state / "bench" / "limit"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "limit" / "mod_limit.c", target)
    subprocess.run(["apxs", "-c", "mod_limit.c"], cwd=target, check=True, stdout=subprocess.DEVNULL)
    return target / ".libs" / "mod_limit.so"


def install_mod_wsgi(state: Path) -> Path | None:
    """The module of mod_wsgi from PyPI, for the same Python; None when it cannot be installed."""
    venv = state / "bench" / "mod_wsgi"
    if not (venv / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        done = subprocess.run([venv / "bin" / "pip", "install", "-q", "mod_wsgi"], check=False)
        if done.returncode:
            return None
        (venv / "done").touch()
    return next(venv.glob("lib/python*/site-packages/mod_wsgi/server/mod_wsgi*.so"), None)


class Contender:
    def __init__(self, name: str, conf: str) -> None:
        self.name = name
        self.root = Path(tempfile.mkdtemp(prefix="httpd-wsgi-bench-"))
        self.root.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (self.root / "app.py").write_text(APP)
        modules = apxs("-q", "LIBEXECDIR")
        user = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
        base = (
            f"ServerRoot {self.root}\nDefaultRuntimeDir {self.root}\nPidFile {self.root}/pid\nServerName localhost\n"
            f"Listen 127.0.0.1:{self.port}\nErrorLog {self.root}/log\nLogLevel warn\n{user}"
            f"LoadModule mpm_event_module {modules}/mod_mpm_event.so\n"
            f"LoadModule authz_core_module {modules}/mod_authz_core.so\n"
            "StartServers 2\nServerLimit 2\nThreadsPerChild 25\nMaxRequestWorkers 50\nMinSpareThreads 1\nMaxSpareThreads 50\n"
            f"KeepAlive On\nMaxKeepAliveRequests 0\n<Directory {self.root}>\nRequire all granted\n</Directory>\n"
        )
        (self.root / "conf").write_text(base + conf.replace("{root}", str(self.root)) + "\n")
        self.process = self.launch()

    def launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([HTTPD, "-f", self.root / "conf", "-DFOREGROUND"])

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.CalledProcessError):
                url = f"http://127.0.0.1:{self.port}/"
                subprocess.run(["curl", "-sf", "--max-time", "10", "-o", "/dev/null", url], check=True)
                return
            time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer:\n" + (self.root / "log").read_text())

    def load(self, seconds: float, connections: int) -> float:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{self.port}/"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"{self.name} failed under load:\n{out}")
        found = re.search(r"Requests/sec:\s+([\d.]+)", out)
        return float(found.group(1)) if found else 0.0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def contenders(state: Path) -> dict[str, str]:
    python = f"WSGIPythonHome {sys.prefix}\n"
    confs = {
        "limit (C handler)": f"LoadModule limit_module {build_limit(state)}\n<Location />\nSetHandler limit\n</Location>",
        "httpd-wsgi embedded": f"LoadModule wsgi_module {OURS}\n{python}{ALIAS}",
        "httpd-wsgi daemon": f"LoadModule wsgi_module {OURS}\n{python}{DAEMON}\n{ALIAS} process-group=d",
    }
    peer = install_mod_wsgi(state)
    if peer:
        confs["mod_wsgi embedded"] = f"LoadModule wsgi_module {peer}\n{python}{ALIAS}"
        confs["mod_wsgi daemon"] = f"LoadModule wsgi_module {peer}\n{python}{DAEMON}\n{ALIAS} process-group=d"
    return confs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="below a minute")
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    rounds, seconds = (5, 1.0) if options.quick else (11, 4.0)
    running = [Contender(name, conf) for name, conf in contenders(options.state).items()]
    rates: dict[str, list[float]] = {c.name: [] for c in running}
    try:
        for contender in running:
            contender.wait()
            contender.load(0.5 if options.quick else 2, options.connections)
        for _ in range(rounds):
            for contender in running:
                rates[contender.name].append(contender.load(seconds, options.connections))
    finally:
        for contender in running:
            contender.stop()
    limit = rates[running[0].name]
    print(f"hello, {options.connections} connections, {rounds} rounds of {seconds:g} s\n")
    print(f"{'':24}{'requests/s':>12}{'of limit':>10}{'spread':>16}")
    table = {}
    for name, values in rates.items():
        ratios = sorted(value / reference for value, reference in zip(values, limit, strict=True))
        table[name] = {"median_rps": statistics.median(values), "median_ratio": statistics.median(ratios), "ratios": ratios}
        spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
        print(f"{name:24}{statistics.median(values):12.0f}{statistics.median(ratios):10.2f}{spread:>16}")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    (results / f"hello-{stamp}.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
