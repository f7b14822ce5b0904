"""Runs in the place of a group's Python: neither supervisor nor worker; speaks src/wire/frames.h as
badly as the URL says.
"""

import array
import mmap
import os
import random
import select
import socket
import struct
import sys
import threading

LISTEN, BOARD, CONTROL, SERVER_LIFELINE, ACTIVITY = 3, 6, 8, 9, 10  # of enum wire_group_fd
REQUEST_URI = 5  # of WIRE_NAMES
CREDITS_AT = 4096 + 16 * 576  # of wire/credits.h; the first word is a cache line further
KEEP = 1
HEAD = struct.Struct("=qHHI")
TIMES = struct.Struct("=IIqqqq")


def frame(kind, payload=b"", flags=0, arg=0, length=None):
    return (
        struct.pack("=IBBH", len(payload) if length is None else length, ord(kind), flags, arg)
        + payload
    )


def head_payload(status=200, reason=b"OK", headers=(), length=-1, count=None):
    pairs = b"".join(struct.pack("=II", len(n), len(v)) + n + v for n, v in headers)
    return (
        HEAD.pack(length, status, len(reason), len(headers) if count is None else count)
        + reason
        + pairs
    )


def head(kind="H", **parts):
    return frame(kind, head_payload(**parts))


def end(flags=0, number=0):
    return frame("E", TIMES.pack(os.getpid(), 1, number, number, number, number), flags)


def file(offset=0, length=10):
    return frame("F", struct.pack("=qq", offset, length))


def send_fds(connection, data, fds):
    connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


OK = head() + frame("D", b"fine") + end()
BEGUN = head() + frame("D", b"begun")

# What is sent before the connection is closed.
BYTES = {
    "nothing": b"",
    "garbage": b"\xff" * 100,
    "half-frame": b"\x10\0\0",
    "half-head": head()[:-2],
    "unknown": frame("?"),
    "request": frame("Q", b"x"),
    "huge-head": frame("H", b"x" * 100, length=1 << 30),
    "short-head": frame("H", b"x"),
    "endless-headers": frame("H", head_payload(count=0xFFFFFFFF)),
    "lying-header": frame("H", head_payload(count=1) + struct.pack("=II", 0xFFFFFFFF, 0xFFFFFFFF)),
    "lying-reason": frame("H", HEAD.pack(-1, 200, 0xFFFF, 0)),
    "length-minus-2": head(length=-2),
    "status-99": head(status=99) + end(),
    "status-101": head(status=101) + end(),
    "split-reason": head(reason=b"OK\r\nX-Injected: yes") + end(),
    "split-header": head(headers=[(b"X-A", b"b\r\nX-Injected: yes")]) + frame("D", b"x") + end(),
    "no-token": head(headers=[(b"X-Injected: yes\r\nX-A", b"b")]) + frame("D", b"x") + end(),
    "split-hints": head(
        "I", status=103, headers=[(b"Link", b"a\r\n\r\nHTTP/1.1 200 X-Injected\r\n\r\n")]
    )
    + OK,
    "no-token-hints": head("I", status=103, headers=[(b"X-Injected: yes\r\nLink", b"a")]) + OK,
    "hints-of-101": head("I", status=101) + OK,
    "hints-of-200": head("I", status=200) + OK,
    "late-hints": head() + head("I", status=103) + end(),
    "two-heads": head() + head() + end(),
    "data-first": frame("D", b"early") + end(),
    "data-then-head": frame("D", b"early") + OK,
    "end-first": end(),
    "short-end": frame("E"),
    "file-first": file() + end(),
    "file-without": head() + file() + end(),
    "file-before-0": head() + file(offset=-1) + end(),
    "file-below-0": head() + file(length=-1) + end(),
    "want-none": frame("W", struct.pack("=I", 0)),
    "want-short": frame("W", b"x"),
    "verdict": frame("V", b"yes", arg=1) + end(),
    "body": frame("B", b"x"),
    "log-at-lies": frame("G", struct.pack("=II", 1, 0xFFFFFFFF) + b"x"),
    "failure-200": frame("N", arg=200),
    "failure-404": frame("N", arg=404),
    "retry-late": head() + frame("R"),
    "long-retry": frame("R", b"x"),
    "too-much": head(length=5)
    + frame("D", b"five!")
    + frame("D", b"HTTP/1.1 200 OK\r\n\r\n")
    + end(),
    "too-little": head(length=50) + frame("D", b"begun") + end(),
    "begun": BEGUN,
    "begun-garbage": BEGUN + b"\xff" * 100,
    "begun-half-data": BEGUN + frame("D", b"x", length=1000),
    "begun-endless-data": BEGUN + frame("D", b"x" * 100_000, length=0xFFFFFFFF),
    "begun-head": BEGUN + head(),
    "begun-log-at": BEGUN
    + frame("G", struct.pack("=II", 1, 6) + b"app.pysaid with its place", arg=3),
    "begun-log": BEGUN + frame("L", b"said twice", arg=3) * 2,
    "refused-log": BEGUN
    + head(reason=frame("L", b"never said", arg=3))
    + frame("L", b"said last", arg=3),
    "log-at-lies-late": BEGUN
    + head()
    + frame("G", struct.pack("=II", 1, 0xFFFFFFFF) + b"is malformed", arg=3),
    "begun-retry": BEGUN + frame("R"),
    "begun-failure": BEGUN + frame("N", arg=500),
    "begun-file-without": BEGUN + file() + end(),
    "long-times": head() + frame("D", b"fine") + end(number=2**63 - 1),
    "times-before-0": head() + frame("D", b"fine") + end(number=-(2**63)),
    "kept-and-closed": head() + frame("D", b"fine") + end(KEEP),
    "kept-and-talking": head() + frame("D", b"fine") + end(KEEP) + b"\xff" * 100,
    "zero-length": head(length=0) + end(),
    "nul": head(headers=[(b"X-Nul", b"a\0b")]) + frame("D", b"fine") + end(),
    "log": frame("L", b"\0\r\n\n\x1b[2J" * 100, arg=0xFFFF) + OK,
}


def strange_file(connection, kind):
    """Descriptors that are no files to send."""
    opened = {
        "pipe": lambda: os.pipe(),
        "directory": lambda: (os.open("/", os.O_RDONLY),),
        "device": lambda: (os.open("/dev/zero", os.O_RDONLY),),
        "socket": lambda: tuple(s.detach() for s in socket.socketpair()),
    }[kind]()
    connection.sendall(head(length=10))
    send_fds(connection, file(), opened[:1])
    connection.sendall(end())
    for fd in opened:
        os.close(fd)


def unwanted_descriptors(connection, _):
    for number in range(20):
        send_fds(connection, frame("L", b"x", arg=7), [0] * (1 + number))
    send_fds(connection, OK, [0])


def want(connection, _):
    """Asks for more of a body than there is, again and again."""
    for _ in range(50):
        connection.sendall(frame("W", struct.pack("=I", 0xFFFFFFFF)))
        connection.recv(1 << 20)
    connection.sendall(OK)


def hand_back_late(connection, _):
    connection.sendall(frame("W", struct.pack("=I", 10)))
    connection.recv(1 << 20)
    connection.sendall(frame("R"))


def many_hints(connection, _):
    hint = head("I", status=103, headers=[(b"Link", b"x" * 8000)])
    for _ in range(3000):
        connection.sendall(hint)
    connection.sendall(OK)


def many_lookups(connection, _):
    for _ in range(3000):
        connection.sendall(frame("S", b"x" * 4096))
        connection.recv(4096)
    connection.sendall(OK)


def scribble(connection, seed):
    """All that this process shares with Apache becomes random, as does what it shares next."""
    noise = random.Random(int(seed))
    for fd in (BOARD, ACTIVITY):
        with mmap.mmap(fd, 0) as memory:
            memory[:] = noise.randbytes(len(memory))
            if fd == BOARD:  # neither of the states in which Apache answers by itself
                memory[:4] = struct.pack("=I", noise.choice([0, 1, 4, 0xFFFFFFFF]))
    connection.sendall(OK)


def grant(connection, count):
    """Lets Apache keep the connection, and grants credits for threads that it does not have."""
    with mmap.mmap(BOARD, 0) as memory:
        memory[CREDITS_AT : CREDITS_AT + 4] = struct.pack("=I", 1)
        memory[CREDITS_AT + 64 : CREDITS_AT + 72] = struct.pack(
            "=HHI", int(count) & 0x7FFF, int(count) & 0x7FFF, os.getpid()
        )
    connection.sendall(head() + frame("D", b"fine") + end(KEEP))


DEEDS = {
    "file": strange_file,
    "fds": unwanted_descriptors,
    "want": want,
    "hand-back": hand_back_late,
    "hints": many_hints,
    "lookups": many_lookups,
    "scribble": scribble,
    "grant": grant,
}


def read_request(connection):
    data = b""
    while len(data) < 8 or len(data) < 8 + struct.unpack_from("=I", data)[0]:
        part = connection.recv(1 << 16)
        if not part:
            return None
        data += part
    return data[8 : 8 + struct.unpack_from("=I", data)[0]]


def path_of(block):
    at = struct.calcsize("=IIIIqqqqqIIHHI")
    while at < len(block):
        code, name_len, value_len = struct.unpack_from("=BxHI", block, at)
        at += 8 + name_len
        if code == REQUEST_URI:
            return block[at : at + value_len].decode()
        at += value_len
    return ""


def converse(connection):
    deed = "grant"
    with connection:
        while deed == "grant" and (block := read_request(connection)) is not None:
            _, deed, *argument = path_of(block).split("/")
            try:
                if deed in BYTES:
                    connection.sendall(BYTES[deed])
                else:
                    DEEDS[deed](connection, *(argument or [""]))
            except OSError:
                return  # Apache has heard enough


def main():
    listener = socket.socket(fileno=LISTEN)
    listener.setblocking(True)
    print("hostile: at its worst from now on", file=sys.stderr, flush=True)
    threading.Thread(target=obey, daemon=True).start()
    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


def obey():
    """Whatever it is told, or when Apache has gone."""
    select.select([CONTROL, SERVER_LIFELINE], [], [])
    os._exit(0)


if __name__ == "__main__":
    main()
