"""Everything that the supervisor's selector waits for is an Endpoint."""

from __future__ import annotations


class Endpoint:
    def ready(self) -> None:
        """Is called when the descriptor is readable or has ended."""
        raise NotImplementedError
