"""What fast clients notice of a thousand connections that are idle, and of five hundred clients
that read slowly.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable

import contenders
import report
import wrk
from options import Options
from scenarios import MB, Scenario
from server import CROWD_LIMITS, Server, Work

FAST = Scenario("hello", "/hello", "12 bytes")
LARGE = Scenario("body-1m", "/body-1m", "1 MB", answer=MB)
READ_EVERY_S, READ_BYTES = 2.0, 4096
HEAD = ("", "requests/s", "beside", "requests/s", "change", "lost connections")


def dial(server: Server, path: str, receive_buffer: int = 0) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


class Crowd:
    """Connections that are held until close()."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self.lost = 0

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class Idle(Crowd):
    """Each has had one answer."""

    def __init__(self, server: Server, count: int) -> None:
        super().__init__()
        for _ in range(count):
            connection = dial(server, FAST.path)
            connection.recv(4096)
            self.connections.append(connection)

    def close(self) -> None:
        for connection in self.connections:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self.lost += not connection.recv(1)
        super().close()


class Slow(Crowd):
    """Each reads a megabyte at two kilobytes a second, through a small receive buffer."""

    def __init__(self, server: Server, count: int) -> None:
        super().__init__()
        settle_s = count * 0.003  # until every response is where it stays
        self.enough = threading.Event()
        self.connections = [dial(server, LARGE.path, READ_BYTES) for _ in range(count)]
        # An interrupted bench does not wait for it
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        time.sleep(settle_s)

    def read(self) -> None:
        for connection in self.connections:
            connection.setblocking(False)
        while not self.enough.wait(READ_EVERY_S):
            for connection in self.connections:
                with contextlib.suppress(BlockingIOError, ConnectionResetError):
                    connection.recv(READ_BYTES)

    def close(self) -> None:
        self.enough.set()
        self.reader.join()
        super().close()


def compare(
    server: Server, kind: Callable[[Server, int], Crowd], count: int, rounds: int, seconds: float
) -> dict[str, object]:
    """The median of the ratios of rounds with the crowd to rounds without it, in turn."""
    alone, beside, ratios, lost = [], [], [], 0
    for _ in range(rounds):
        alone.append(wrk.load(server.url, FAST, seconds).rate)
        crowd = kind(server, count)
        try:
            beside.append(wrk.load(server.url, FAST, seconds).rate)
        finally:
            crowd.close()
        lost += crowd.lost
        ratios.append(beside[-1] / alone[-1])
        time.sleep(0.5)
    values = {
        "alone": round(statistics.median(alone), 1),
        "beside": round(statistics.median(beside), 1),
    }
    return {
        "count": count,
        **values,
        "change": round(statistics.median(ratios) - 1, 3),
        "lost": lost,
    }


def run(options: Options) -> dict[str, object]:
    found: dict[str, dict[str, object]] = {}
    names = options.contenders[:3] if options.quick else options.contenders
    sizes = {"idle": 100, "slow": 50} if options.quick else {"idle": 1000, "slow": 500}
    kinds = {"idle": Idle, "slow": Slow}
    rounds, seconds = (1, 0.3) if options.quick else (3, 1.0)
    with Work() as work:
        for server in contenders.make(names, options.state, work, [FAST, LARGE], CROWD_LIMITS):
            with server:
                server.ask(FAST)
                server.ask(LARGE)
                wrk.load(server.url, FAST, min(1.0, seconds))
                found[server.name] = {
                    name: compare(server, kinds[name], sizes[name], rounds, seconds)
                    for name in kinds
                }
    print(
        report.table(
            HEAD,
            [
                row(name, crowd, values)
                for name, of in found.items()
                for crowd, values in of.items()
            ],
        )
    )
    return {"contenders": found}


def row(name: str, crowd: str, values: object) -> list[str]:
    assert isinstance(values, dict)
    change = f"{values['change'] * 100:+.1f} %"
    rates = [f"{values['alone']:.0f}", f"{values['count']} {crowd}", f"{values['beside']:.0f}"]
    return [name, *rates, change, str(values["lost"] or "-")]
