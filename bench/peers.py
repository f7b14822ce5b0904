"""Other WSGI servers, standalone and behind mod_proxy. Each has two processes of eight threads
where it knows both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import environments
from server import Httpd, Server, Work, load_modules


@dataclass(frozen=True, slots=True)
class Kind:
    package: str  # on PyPI
    standalone: tuple[str, ...]  # {bin}, {port}
    proxied: tuple[str, ...] = ()  # behind mod_proxy; nothing: not there
    scheme: str = "http"
    # By scenario: why it cannot be measured standalone
    unable: dict[str, str] = field(default_factory=dict)


BJOERN = "import bjoern, everything; bjoern.run(everything.application, '127.0.0.1', {port}, reuse_port=True)"
TWICE = ("/bin/sh", "-c", f'{{bin}}/python -c "{BJOERN}" & exec {{bin}}/python -c "{BJOERN}"')
GUNICORN = (
    "{bin}/gunicorn",
    "-w2",
    "-kgthread",
    "--threads=8",
    "-b127.0.0.1:{port}",
    "everything:application",
)
# To clients, uWSGI's documentation recommends its HTTP router; workers that speak HTTP themselves
# are meant to be behind a proxy.
UWSGI = (
    "{bin}/uwsgi",
    "--master",
    "--processes=2",
    "--threads=8",
    "--module=everything",
    "--disable-logging",
    "--need-app",
)
ROUTER = ("--die-on-term", "--http=127.0.0.1:{port}", "--http-keepalive", "--http-auto-chunked")
SILENT = (
    "its workers keep a connection open for four seconds after an answer without a length, "
    "so clients wait for its end"
)
GRANIAN = (
    "{bin}/granian",
    "--interface=wsgi",
    "--workers=2",
    "--blocking-threads=8",
    "--port={port}",
    "everything:application",
)
# It takes no more than a hundred connections unless told; an Apache in front keeps one for each of
# its threads.
WAITRESS = (
    *(
        "{bin}/waitress-serve",
        "--listen=127.0.0.1:{port}",
        "--threads=8",
        "--connection-limit=1000",
    ),
    "everything:application",
)
KINDS = {
    "gunicorn": Kind("gunicorn", GUNICORN, GUNICORN),
    "uwsgi": Kind(
        "uwsgi", (*UWSGI, *ROUTER), (*UWSGI, "--die-on-term", "--socket=127.0.0.1:{port}"), "uwsgi"
    ),
    "uwsgi-http11": Kind(
        "uwsgi",
        (*UWSGI, "--die-on-term", "--http11-socket=127.0.0.1:{port}"),
        unable={"stream": SILENT},
    ),
    "granian": Kind("granian", GRANIAN, GRANIAN),
    "waitress": Kind("waitress", WAITRESS, WAITRESS),
    "bjoern": Kind("bjoern", TWICE, TWICE),
}
NAMES = tuple(
    name + suffix
    for name, kind in KINDS.items()
    for suffix in (("", "+proxy") if kind.proxied else ("",))
)


def why_not(name: str, scenario: str) -> str:
    """Why this contender cannot be measured in this scenario; nothing: it can."""
    return KINDS[name].unable.get(scenario, "") if name in KINDS else ""


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
        return {
            **super().environment(),
            "PYTHONPATH": str(self.work.root / "apps"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


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

    def wait(self) -> None:
        self.peer.wait()
        super().wait()

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
        venv = environments.ready(state, kind.package, [kind.package, "-r", str(requirements)])
        if not venv:
            continue
        if suffix:
            servers.append(
                Proxied(name, work, Peer(base, work, venv / "bin", kind.proxied), kind.scheme)
            )
        else:
            servers.append(Peer(name, work, venv / "bin", kind.standalone))
    return servers
