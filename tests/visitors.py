"""Clients that know what they asked: each request has a token of its own, which its answer must
carry, and no other.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from typing import BinaryIO

FILE_REPEATS = 3000  # of tests/apps/tokens.py
RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"  # struct linger
SHAPES = (
    *("plain", "plain", "digest", "digest", "chunked", "unread", "part"),
    *("stream", "large", "file", "cut", "raise", "pipeline", "leave"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Question:
    token: bytes
    query: str
    body: bytes = b""
    is_chunked: bool = False

    def wire(self) -> bytes:
        method = b"POST" if self.body else b"GET"
        head = (
            method
            + b" /?"
            + self.query.encode()
            + b" HTTP/1.1\r\nHost: x\r\nX-Token: "
            + self.token
            + b"\r\n"
        )
        if self.is_chunked:
            half = len(self.body) // 2
            parts = [
                b"%x\r\n%b\r\n" % (len(part), part)
                for part in (self.body[:half], self.body[half:])
                if part
            ]
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n"
        return (
            head
            + (b"Content-Length: %d\r\n\r\n" % len(self.body) if self.body else b"\r\n")
            + self.body
        )

    def expected(self) -> bytes:
        shape, _, count = self.query.partition("=")
        match shape:
            case "digest":
                return self.token + hashlib.sha256(self.body).hexdigest().encode()
            case "part":
                return self.token + str(min(len(self.body), int(count))).encode()
            case "stream" | "large":
                return self.token * int(count)
            case "file":
                return self.token * FILE_REPEATS
        return self.token


def read_answer(file: BinaryIO) -> Answer | None:
    """None: the connection has ended before there was a head."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    headers = {}
    while (field := file.readline()) not in (b"\r\n", b""):
        name, _, value = field.partition(b":")
        headers[name.lower()] = value.strip()
    status = int(line[9:12])
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        body = b""
        while size := file.readline():
            length = int(size, 16)
            body += file.read(length)
            file.readline()
            if length == 0:
                return Answer(status, headers, body, True)
        return Answer(status, headers, body, False)
    if b"content-length" in headers:
        length = int(headers[b"content-length"])
        body = file.read(length)
        return Answer(status, headers, body, len(body) == length)
    return Answer(status, headers, file.read(), True)


class Visitors:
    """Threads with one kept connection each. `outcomes` counts statuses; `wrong` says what must not
    have been.
    """

    tokens = itertools.count(1)

    def __init__(self, port: int, clients: int, seed: int = 0) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [
            threading.Thread(target=self.run, args=(random.Random(seed + n),), daemon=True)
            for n in range(clients)
        ]

    def __enter__(self) -> Visitors:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(120)
        assert not any(
            thread.is_alive() for thread in self.threads
        ), "a client still waits for its answer"

    def note(self, what: str) -> None:
        with self.lock:
            self.outcomes[what] += 1

    def run(self, chance: random.Random) -> None:
        connection: socket.socket | None = None
        while not self.over.is_set():
            is_fresh = connection is None
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self.port), 60)
                is_kept = self.visit(connection, chance, is_fresh)
            except OSError as exc:
                is_kept = False
                if is_fresh or isinstance(exc, TimeoutError):
                    self.note(repr(exc))
            if not is_kept and connection:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def question(self, shape: str, chance: random.Random) -> Question:
        token = b"<%d-%d>" % (next(self.tokens), chance.getrandbits(40))
        size = chance.choice((1, 1000, 20_000, 70_000, 300_000))
        match shape:
            case "digest" | "unread":
                return Question(token, shape, token * (size // len(token) + 1))
            case "chunked":
                return Question(token, "digest", token * (size // len(token) + 1), is_chunked=True)
            case "part":
                return Question(
                    token, f"part={chance.randrange(100, 50_000)}", token * (size // len(token) + 1)
                )
            case "stream" | "large":
                return Question(
                    token,
                    f"{shape}={chance.choice((1, 10, 200, 9000 if shape == 'large' else 500))}",
                )
        return Question(token, shape)

    def visit(self, connection: socket.socket, chance: random.Random, is_fresh: bool) -> bool:
        """False: the connection is of no further use."""
        shape = chance.choice(SHAPES)
        if shape == "leave":
            return self.leave(connection, chance)
        questions = (
            [self.question("plain", chance) for _ in range(3)]
            if shape == "pipeline"
            else [self.question(shape, chance)]
        )
        connection.sendall(b"".join(question.wire() for question in questions))
        with connection.makefile("rb") as file:
            for number, question in enumerate(questions):
                answer = read_answer(file)
                if not answer:
                    if is_fresh and number == 0:
                        self.note("closed")
                    return False
                self.judge(question, answer)
                if not answer.is_complete or answer.headers.get(b"connection") == b"close":
                    return False
        return True

    def leave(self, connection: socket.socket, chance: random.Random) -> bool:
        """Goes away somewhere in the middle of its request or of the answer."""
        wire = self.question(
            chance.choice(("digest", "chunked", "stream", "large", "file", "plain")), chance
        ).wire()
        connection.sendall(wire[: chance.randrange(len(wire) + 1)])
        if chance.random() < 0.5:
            connection.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                connection.recv(chance.choice((1, 100, 20_000)))
        if chance.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        return False

    def judge(self, question: Question, answer: Answer) -> None:
        expected, body = question.expected(), answer.body
        self.note(f"{answer.status}" if answer.is_complete else "cut off")
        if answer.status != 200:
            return
        if answer.headers.get(b"x-token") != question.token:
            why = "of another request"
        elif answer.is_complete and (body != expected or question.query == "cut"):
            why = f"not {len(expected)} bytes"
        elif not expected.startswith(body):
            why = "cut off, and not its own"
        else:
            return
        self.wrong.append(
            f"{question.query} {question.token!r}: {why}: {answer.headers}, {len(body)} bytes {body[:80]!r}"
        )
