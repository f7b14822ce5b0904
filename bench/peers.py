"""Other WSGI servers, standalone and behind mod_proxy. Each has two processes of eight threads where it knows both."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from server import Httpd, Server, Work, load_modules


@dataclass(frozen=True, slots=True)
class Kind:
    package: str  # on PyPI
    arguments: tuple[str, ...]  # {bin}, {port}, {apps}
    scheme: str = "http"
    standalone: tuple[str, ...] = ()  # instead of arguments, when it is not behind a proxy


BJOERN = "import bjoern, everything; bjoern.run(everything.application, '127.0.0.1', {port}, reuse_port=True)"
UWSGI = ("{bin}/uwsgi", "--master", "--processes=2", "--threads=8", "--module=everything", "--disable-logging", "--need-app")
KINDS = {
    "gunicorn": Kind(
        "gunicorn", ("{bin}/gunicorn", "-w2", "-kgthread", "--threads=8", "-b127.0.0.1:{port}", "everything:application")
    ),
    "uwsgi": Kind("uwsgi", (*UWSGI, "--socket=127.0.0.1:{port}"), "uwsgi", (*UWSGI, "--http11-socket=127.0.0.1:{port}")),
    "granian": Kind(
        "granian",
        ("{bin}/granian", "--interface=wsgi", "--workers=2", "--blocking-threads=8", "--port={port}", "everything:application"),
    ),
    "waitress": Kind("waitress", ("{bin}/waitress-serve", "--listen=127.0.0.1:{port}", "--threads=8", "everything:application")),
    "bjoern": Kind("bjoern", ("/bin/sh", "-c", f'{{bin}}/python -c "{BJOERN}" & exec {{bin}}/python -c "{BJOERN}"')),
}
NAMES = tuple(name + suffix for name in KINDS for suffix in ("", "+proxy"))


def install(state: Path, name: str, requirements: Path) -> Path | None:
    """The bin directory of an environment with this server; None when it cannot be installed."""
    venv = state / "bench" / name
    if not (venv / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        command = [venv / "bin" / "pip", "install", "-q", KINDS[name].package, "-r", requirements]
        if subprocess.run(command, check=False).returncode:
            print(f"{name} cannot be installed and is left out", file=sys.stderr)
            return None
        (venv / "done").touch()
    return venv / "bin"


class Peer(Server):
    def __init__(self, name: str, work: Work, binaries: Path, arguments: tuple[str, ...]) -> None:
        super().__init__(name, work)
        places = {"{bin}": binaries, "{port}": self.port}
        self.arguments = []
        for argument in arguments:
            for place, value in places.items():
                argument = argument.replace(place, str(value))
            self.arguments.append(argument)

    def command(self) -> list[str]:
        return self.arguments

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(self.work.root / "apps"), "PYTHONDONTWRITEBYTECODE": "1"}


class Proxied(Httpd):
    """An httpd in front of a peer. Both carry the same mark, so both are counted."""

    def __init__(self, name: str, work: Work, peer: Peer, scheme: str) -> None:
        modules = load_modules("proxy", f"proxy_{scheme}")
        super().__init__(name, work, f"{modules}ProxyPass / {scheme}://127.0.0.1:{peer.port}/")
        self.peer = peer
        peer.mark = self.mark

    def start(self) -> None:
        self.peer.start()
        super().start()

    def wait(self, patience: float = 60) -> None:
        self.peer.wait(patience)
        super().wait(patience)

    def stop(self) -> None:
        if self.peer.process:
            self.peer.process.terminate()
        super().stop()
        if self.peer.process:
            self.peer.process.wait()


def make(names: list[str], state: Path, work: Work, requirements: Path) -> list[Server]:
    """Not started yet."""
    servers: list[Server] = []
    for name in names:
        base, _, suffix = name.partition("+")
        kind = KINDS[base]
        binaries = install(state, base, requirements)
        if not binaries:
            continue
        if suffix:
            servers.append(Proxied(name, work, Peer(base, work, binaries, kind.arguments), kind.scheme))
        else:
            servers.append(Peer(name, work, binaries, kind.standalone or kind.arguments))
    return servers
