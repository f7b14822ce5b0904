"""Who is compared: the C handler, this module and mod_wsgi from PyPI, embedded and with a daemon
group each.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import environments
from processes import WORKER_TITLE
from scenarios import Scenario
from server import HERE, MPM_LIMITS, Httpd, Server, Work

import httpd_wsgi

OURS = Path(httpd_wsgi.__file__).parent / "mod_wsgi.so"
DAEMON = (
    "WSGISocketPrefix {where}/wsgi\n"
    f"WSGIDaemonProcess d processes=2 threads=8 display-name={WORKER_TITLE} {{options}}\n"
)
LIMIT = "limit"
NAMES = (LIMIT, "embedded", "daemon", "mod_wsgi-embedded", "mod_wsgi-daemon")


def build_limit(state: Path) -> Path:
    target = state / "bench" / "limit"
    source, built = target / "mod_limit.c", target / ".libs" / "mod_limit.so"
    original = HERE / "limit" / "mod_limit.c"
    if not built.exists() or source.read_bytes() != original.read_bytes():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(original, target)
        subprocess.run(
            ["apxs", "-c", "-Wc,-O2", "mod_limit.c"], cwd=target, check=True, capture_output=True
        )
    return built


def install_mod_wsgi(state: Path) -> Path | None:
    """The module of mod_wsgi from PyPI, for the same Python; None when it cannot be installed."""
    # pip may have kept a build for another Python of the same version, which brings the wrong
    # library along.
    venv = environments.ready(state, "mod_wsgi", ["--no-cache-dir", "mod_wsgi"])
    module = (
        next(venv.glob("lib/python*/site-packages/mod_wsgi/server/mod_wsgi*.so"), None)
        if venv
        else None
    )
    if module and not has_our_library(module):
        print(
            f"mod_wsgi is left out: {module} was built for another Python; remove {venv}",
            file=sys.stderr,
        )
        return None
    return module


def has_our_library(module: Path) -> bool:
    """Whether the libpython it is linked with is that of the Python that runs here."""
    loaded = subprocess.run(["ldd", module], check=True, capture_output=True, text=True).stdout
    paths = re.findall(r"libpython\S+ => (\S+)", loaded)
    return all(
        Path(path).resolve().parent == Path(sysconfig.get_config_var("LIBDIR")).resolve()
        for path in paths
    )


def aliases(scenarios: Iterable[Scenario], group: str) -> str:
    """No application is loaded before its first request, so memory after the first scenario is that
    of this one alone.
    """
    mounts = {scenario.mount: scenario.script for scenario in scenarios}
    lines = [f"WSGIScriptAlias {mount} {{apps}}/{script}" for mount, script in mounts.items()]
    selected = f"WSGIProcessGroup {group}\nWSGIApplicationGroup %{{GLOBAL}}\n"
    return "\n".join(lines) + f"\n<Location />\n{selected}</Location>\n"


def limit_conf(state: Path) -> str:
    return (
        f"LoadModule limit_module {build_limit(state)}\n<Location />\nSetHandler limit\n</Location>"
    )


def wsgi_conf(
    module: Path,
    scenarios: Iterable[Scenario],
    mode: str,
    options: str = "",
    home: str = sys.prefix,
) -> str:
    head = f"LoadModule wsgi_module {module}\nWSGIEnableSendfile On\n"
    if mode == "embedded":
        return f"{head}WSGIPythonHome {home}\n{aliases(scenarios, '%{GLOBAL}')}"
    return f"{head}{DAEMON.replace('{options}', f'python-home={home} {options}')}{aliases(scenarios, 'd')}"


def make(
    names: Iterable[str],
    state: Path,
    work: Work,
    scenarios: list[Scenario],
    limits: str = MPM_LIMITS,
) -> list[Server]:
    """Not started yet. What cannot be had on this machine is left out."""
    servers: list[Server] = []
    peer = install_mod_wsgi(state) if any(name.startswith("mod_wsgi") for name in names) else None
    for name in names:
        module = peer if name.startswith("mod_wsgi") else OURS
        if name == LIMIT:
            servers.append(Httpd(name, work, limit_conf(state), limits))
        elif module:
            servers.append(
                Httpd(
                    name, work, wsgi_conf(module, scenarios, name.removeprefix("mod_wsgi-")), limits
                )
            )
    return servers
