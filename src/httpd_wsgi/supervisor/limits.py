"""The options of a group that its policy keeps to."""

from __future__ import annotations

import os

from httpd_wsgi.shared.records import dataclass

BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
DEFAULT_GRACEFUL = 600.0


def chance() -> float:
    """Returns a random number from 0 to 1. The module random would import hashlib."""
    return int.from_bytes(os.urandom(4), "little") / 2**32


@dataclass(frozen=True, slots=True)
class Limits:
    """Options of the group in seconds; 0 means no limit."""

    processes: int = 1
    startup: float = 0.0
    shutdown: float = 5.0
    graceful: float = DEFAULT_GRACEFUL
    eviction: float = 0.0
    restart_interval: float = 0.0
    starts_at_once: int = 1  # number of processors, for loading code that requests wait for
    # Workers end when their work is done and are started again a second later
    is_service: bool = False
