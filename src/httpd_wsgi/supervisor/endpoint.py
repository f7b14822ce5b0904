"""What the supervisor's selector waits for and hands the turn to."""

from __future__ import annotations


class Endpoint:
    def ready(self) -> None:
        raise NotImplementedError
