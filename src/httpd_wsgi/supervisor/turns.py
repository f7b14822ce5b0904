"""Which supervisor of a group has its turn to serve, among older and newer ones, and what it shows
on the board.
"""

from __future__ import annotations

import enum
import os

from httpd_wsgi.shared.board import Board, Shown
from httpd_wsgi.supervisor.lifecycle import State
from httpd_wsgi.supervisor.policy import Policy


class Verdict(enum.Enum):
    GO_ON = "go on"
    SERVE = "serve"  # from now on it is this one's turn
    OVER = "over"  # newer workers serve
    LATE = "late"  # a newer supervisor has come before it was its turn


class Turn:
    def __init__(self, board: Board, number: int) -> None:
        self.board = board
        self.number = number
        # pidfd of a process that serves for an earlier supervisor
        self.predecessor: int | None = None
        self.superseded_at: float | None = None  # when a newer supervisor was started

    def find_predecessor(self) -> int | None:
        """Returns a pidfd of the supervisor whose workers serve now, or of one of them when it was
        killed; None when nobody serves.
        """
        while (pid := self.board.claimant(self.number)) is not None:
            try:
                self.predecessor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue  # it has just ended, and its claim with it
            break
        return self.predecessor

    def forget_predecessor(self) -> None:
        if self.predecessor is not None:
            os.close(self.predecessor)
        self.predecessor = None

    def judge(self, policy: Policy) -> Verdict:
        serving = self.board.get("serving")
        if policy.stopping:
            return Verdict.GO_ON
        if serving > self.number:
            return Verdict.OVER
        if serving < self.number and self.can_serve(policy):
            return Verdict.SERVE
        return (
            Verdict.LATE
            if self.superseded_at is not None and serving != self.number
            else Verdict.GO_ON
        )

    def can_serve(self, policy: Policy) -> bool:
        """Returns whether the workers can take over. That may be so even when a newer supervisor has
        come, since its code may not load; and with fewer workers when nobody else serves.
        """
        is_last = self.superseded_at is not None and self.predecessor is None
        return policy.can_take_over or (
            is_last and policy.counted(State.SERVING, State.RETIRING) > 0
        )

    def take(self) -> None:
        self.board.claim(self.number)
        self.board.put(serving=self.number)

    def show(self, policy: Policy, now: float) -> None:
        if policy.predecessor_broken is not None or self.board.get("serving") > self.number:
            if policy.on_hold:
                self.board.put(stale=1)
            return
        if policy.failed:
            state = Shown.STOPPED if policy.halted else Shown.FAILED
            retry = max(1, round(policy.next_start - now))
        else:
            state, retry = Shown.SERVING if policy.ever_ready else Shown.STARTING, 0
        serving = policy.counted(State.SERVING, State.RETIRING)
        self.board.put(state=state, retry_after=retry, ready_workers=serving, broken=policy.broken)
        if self.superseded_at is None:  # else the newer one knows whether its code loads
            self.board.put(stale=int(policy.stale))
