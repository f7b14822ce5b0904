"""The board of a daemon group (wire_board in src/wire/group.h): what its supervisors and Apache's
children tell each other.
"""

from __future__ import annotations

import enum
import fcntl
import mmap
import os
import struct
from collections.abc import Callable

from httpd_wsgi.shared import reasons, wire

SIZE = wire.BOARD_SIZE
BANKS = wire.BOARD_BANKS


class Shown(enum.IntEnum):
    STARTING = 0
    SERVING = 1
    FAILED = 2
    STOPPED = 3


class Board:
    """Aligned 32-bit words, each written in one piece."""

    _FIELDS = (
        "state",
        "retry_after",
        "ready_workers",
        "serving",
        "broken",
        "stale",
        "deaths",
        "watched",
        "news",
        "reserved",
    )
    _ENDS = 4 * len(_FIELDS) + wire.DEATHS * wire.DEATH.size
    _LOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.memory = mmap.mmap(fd, 0)
        self.words = memoryview(self.memory).cast("I")
        self.credits = memoryview(self.memory).cast("Q")[-8 * wire.CREDITS :: 8]

    def get(self, name: str) -> int:
        return self.words[self._FIELDS.index(name)]

    def put(self, **values: int) -> None:
        for name, value in values.items():
            index = self._FIELDS.index(name)
            if self.words[index] != value:
                self.words[index] = value

    def tell_news(self) -> None:
        """To requests that wait for newer code."""
        self.put(news=(self.get("news") + 1) & 0xFFFFFFFF)

    # This process's locks end with it, and when it closes any descriptor of the board; memory has
    # one: never let a Board go.

    def claim(self, supervisor: int) -> None:
        """This process serves for the supervisor of this number."""
        fcntl.lockf(self.fd, fcntl.LOCK_SH, 1, supervisor)

    def disclaim(self, supervisor: int) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, supervisor)

    def claimant(self, before: int) -> int | None:
        """A process that serves for an earlier supervisor than this one."""
        asked = self._LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, before, 0)
        kind, _, _, _, pid = self._LOCK.unpack(fcntl.fcntl(self.fd, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else int(pid)

    def note_death(self, pid: int, status: int, asked: int, ran_ms: int, reached: bool) -> None:
        """A request that died with its worker."""
        count = self.get("deaths")
        at = 4 * len(self._FIELDS) + count % wire.DEATHS * wire.DEATH.size
        wire.DEATH.pack_into(self.memory, at, 0, pid, status, ran_ms, reached)
        struct.pack_into("=q", self.memory, at, asked)
        self.put(deaths=(count + 1) & 0xFFFFFFFF)

    def withdraw_credits(self, is_gone: Callable[[int], bool]) -> None:
        """Those of workers that have gone without doing it themselves, so that Apache looks for no
        free threads there.
        """
        for index, word in enumerate(self.credits):
            if word and is_gone(word >> 32):
                self.credits[index] = 0

    def pids_with_credits(self) -> list[int]:
        """Workers that serve or drain, of whichever supervisor."""
        return [word >> 32 for word in self.credits if word]

    def count_end(self, supervisor: int, reason: str) -> None:
        """A worker has ended. Supervisors that are there at the same time count in different banks."""
        known = reasons.ALL.index(reason if reason in reasons.ALL else reasons.OTHER)
        self.words[self._ENDS // 4 + supervisor % BANKS * len(reasons.ALL) + known] += 1
