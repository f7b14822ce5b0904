"""src/wire/scores.c: one memory, writers that may die, readers that never see half of anything."""

from __future__ import annotations

import ctypes
import subprocess
import threading
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
AGE_US = 1_000_000
SIZE = 16 + 4096  # as wire_scores


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("scores") / "scores.so"
    command = [
        "cc",
        "-std=gnu11",
        "-O2",
        "-shared",
        "-fPIC",
        f"-I{SOURCE}",
        SOURCE / "wire/scores.c",
        "-o",
        path,
    ]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(path))
    library.wire_scores_begin.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    library.wire_scores_begin.restype = ctypes.c_uint32
    library.wire_scores_end.argtypes = [ctypes.c_char_p, ctypes.c_uint32, ctypes.c_size_t]
    library.wire_scores_copy.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    library.wire_scores_copy.restype = ctypes.c_size_t
    return library


class Memory:
    """A memory file and what its users do."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.memory = ctypes.create_string_buffer(SIZE)

    def begin(self, now_us: int, fields: bytes) -> int:
        ticket = int(self.library.wire_scores_begin(self.memory, now_us))
        if ticket:
            ctypes.memmove(ctypes.addressof(self.memory) + 16, fields, len(fields))
        return ticket

    def write(self, now_us: int, fields: bytes) -> bool:
        ticket = self.begin(now_us, fields)
        if ticket:
            self.library.wire_scores_end(self.memory, ticket, len(fields))
        return ticket != 0

    def read(self) -> bytes:
        copy = ctypes.create_string_buffer(SIZE)
        size = self.library.wire_scores_copy(copy, self.memory, SIZE)
        return copy.raw[:size]


@pytest.fixture
def memory(library: ctypes.CDLL) -> Memory:
    return Memory(library)


def test_before_the_first_write_there_is_nothing_to_read(memory: Memory) -> None:
    assert memory.read() == b""


def test_what_is_younger_than_a_second_is_not_written_again(memory: Memory) -> None:
    assert memory.write(5 * AGE_US, b"first") and not memory.write(6 * AGE_US - 1, b"second")
    assert memory.read() == b"first"
    assert memory.write(6 * AGE_US, b"second") and memory.read() == b"second"


def test_a_clock_that_was_set_back_does_not_stop_the_writing(memory: Memory) -> None:
    assert memory.write(500 * AGE_US, b"first") and memory.write(5 * AGE_US, b"second")
    assert memory.read() == b"second"


def test_a_writer_that_died_is_replaced_after_a_second(memory: Memory) -> None:
    assert memory.write(5 * AGE_US, b"first")
    ticket = memory.begin(6 * AGE_US, b"half")
    assert ticket and memory.read() == b""
    assert not memory.write(7 * AGE_US - 1, b"too early")
    assert memory.write(7 * AGE_US, b"third") and memory.read() == b"third"
    # It was only slow: its ticket has expired
    memory.library.wire_scores_end(memory.memory, ticket, 4)
    assert memory.write(8 * AGE_US, b"fourth") and memory.read() == b"fourth"


def test_readers_see_whole_writings_only(memory: Memory) -> None:
    clock = iter(range(10 * AGE_US, 10**15, AGE_US))
    stop = threading.Event()
    torn: list[bytes] = []
    seen: set[bytes] = set()

    def write() -> None:
        while not stop.is_set():
            now = next(clock)
            letter = b"abcdefgh"[now // AGE_US % 8 : now // AGE_US % 8 + 1]
            memory.write(now, letter * (2000 + ord(letter)))

    def read() -> None:
        for _ in range(1_000_000):
            data = memory.read()
            if data and data != data[:1] * (2000 + data[0]):
                torn.append(data)
            seen.add(data[:1])
            if len(seen) > 6:
                break

    memory.write(next(clock), b"a" * (2000 + ord("a")))
    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in (writer, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    writer.join()
    assert not torn and len(seen) > 6
