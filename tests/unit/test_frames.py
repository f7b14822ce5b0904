"""The frame protocol: enum wire_frame_type, what src/wire/frames.c knows of each type, and what Apache
does about it (apache/daemon/replies.c) are about the same frames.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRAMES = (ROOT / "src/wire/frames.h").read_text()
REPLIES = (ROOT / "apache/daemon/replies.c").read_text()
FROM_APACHE, FROM_WORKER = range(2)


class Kind(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("sender", ctypes.c_int),
        ("least", ctypes.c_uint32),
        ("most", ctypes.c_uint32),
        ("may_be_empty", ctypes.c_int),
    )


class Frame(ctypes.Structure):
    _fields_ = (
        ("len", ctypes.c_uint32),
        ("type", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("arg", ctypes.c_uint16),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("frames") / "frames.so"
    source = ROOT / "src/wire/frames.c"
    command = ["cc", "-std=gnu11", "-shared", "-fPIC", f"-I{ROOT / 'src'}", source, "-o", path]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(path))
    library.wire_frame_kind_of.argtypes = [ctypes.c_uint8]
    library.wire_frame_kind_of.restype = ctypes.POINTER(Kind)
    library.wire_frame_fits.argtypes = [ctypes.POINTER(Frame), ctypes.c_int]
    return library


def kinds(library: ctypes.CDLL) -> dict[str, tuple[int, Kind]]:
    found = {kind: library.wire_frame_kind_of(kind) for kind in range(256)}
    return {
        pointer.contents.name.decode(): (kind, pointer.contents)
        for kind, pointer in found.items()
        if pointer
    }


def declared() -> dict[str, tuple[int, int]]:
    """Name: type and sender, as frames.h lists them under the two senders."""
    listing = FRAMES[FRAMES.index("enum wire_frame_type {") :]
    listing = listing[: listing.index("};")]
    apache, worker = listing.split("/* worker to Apache */")
    return {
        name: (ord(letter), sender)
        for sender, part in ((FROM_APACHE, apache), (FROM_WORKER, worker))
        for name, letter in re.findall(r"WIRE_(\w+) = '(.)'", part)
    }


def test_each_type_has_a_row_with_its_name_and_its_sender(library: ctypes.CDLL) -> None:
    rows = {name: (kind, row.sender) for name, (kind, row) in kinds(library).items()}
    assert rows == declared()


def test_apache_has_a_handler_for_every_frame_of_a_worker_and_for_no_other() -> None:
    handled = re.findall(r"^    \[WIRE_(\w+)\] = \{on_", REPLIES, re.MULTILINE)
    assert sorted(handled) == sorted(
        name for name, (_, sender) in declared().items() if sender == FROM_WORKER
    )


def test_lengths_and_direction_decide_what_fits(library: ctypes.CDLL) -> None:
    for kind, row in kinds(library).values():
        for length in {0, row.least - 1, row.least, row.most, row.most + 1}:
            if not 0 <= length < 1 << 32:
                continue
            frame = Frame(len=length, type=kind)
            right = row.least <= length <= row.most or (length == 0 and row.may_be_empty)
            assert bool(library.wire_frame_fits(frame, row.sender)) == bool(right)
            assert not library.wire_frame_fits(frame, 1 - row.sender)


def test_an_unknown_type_never_fits(library: ctypes.CDLL) -> None:
    known = {kind for kind, _ in kinds(library).values()}
    for kind in set(range(256)) - known:
        assert not any(library.wire_frame_fits(Frame(type=kind), sender) for sender in range(2))
