"""A supervisor among the older and newer ones of its group: when it begins to serve, and when it
ends.
"""

from __future__ import annotations

import time

from httpd_wsgi.shared import logs
from httpd_wsgi.supervisor.code import Code
from httpd_wsgi.supervisor.endpoint import Endpoint
from httpd_wsgi.supervisor.group import Group
from httpd_wsgi.supervisor.policy import Policy
from httpd_wsgi.supervisor.turns import Turn, Verdict
from httpd_wsgi.supervisor.workers import Workers


class Generations(Endpoint):
    """As an endpoint it is the end of the predecessor."""

    def __init__(
        self, group: Group, policy: Policy, turn: Turn, code: Code, workers: Workers
    ) -> None:
        self.group = group
        self.policy = policy
        self.turn = turn
        self.code = code
        self.workers = workers
        self.is_released = False  # a later configuration has no such group
        self.has_ended = False  # no Apache process of this generation is left
        self.has_logged_failure = False

    # ---- older ----

    def watch_predecessor(self) -> bool:
        """Returns False when nobody serves for an earlier supervisor."""
        if (fd := self.turn.find_predecessor()) is not None:
            self.group.selector.register(fd, 1, self)
        return fd is not None

    def ready(self) -> None:
        """The predecessor has gone."""
        if self.turn.predecessor is not None:
            self.group.selector.unregister(self.turn.predecessor)
        self.turn.forget_predecessor()
        self.workers.adoption.look_again()
        if not self.watch_predecessor():
            self.policy.predecessor_gone(time.monotonic())

    # ---- newer ----

    @property
    def is_superseded(self) -> bool:
        return self.turn.superseded_at is not None

    def next_look(self, now: float) -> float | None:
        """Returns when to compare turns again: soon after a newer supervisor has started, as it is
        mostly ready within a second; later and later when its code is broken, which may be so for
        days.
        """
        since = self.turn.superseded_at
        if since is None or self.policy.stopping:
            return None
        return now + min(1.0, max(0.02, (now - since) / 20))

    def superseded(self, log: list[int]) -> None:
        """A newer supervisor has been started. log: the file that it writes to, since the old one
        may have been rotated away.
        """
        self.turn.superseded_at = time.monotonic()
        while log:
            for worker in self.workers.everybody().values():
                worker.send("log", log[0])
            logs.move(log.pop(0))
        # Requests that wait for touched scripts would keep Apache's old children from making room
        # for new ones
        self.code.reject_asked(self.workers)

    def compare_turns(self, now: float) -> None:
        verdict = self.turn.judge(self.policy)
        if verdict is Verdict.SERVE:
            self.turn.take()
            self.policy.predecessor_broken = None
        elif verdict is Verdict.OVER:
            self.group.say(
                logs.INFO, "WSGI0716", "newer workers serve; the old ones finish their requests"
            )
        elif verdict is Verdict.LATE:
            self.say_stopping("a newer configuration has come before it was ready")
        # When it is late, workers that were ready may have taken requests all the same
        if verdict in (Verdict.OVER, Verdict.LATE):
            self.disclaim()
            self.policy.superseded(now)

    # ---- the end ----

    def released(self) -> None:
        self.is_released = True
        self.stop_when_unused()

    def ended(self) -> None:
        self.has_ended = True
        self.stop_when_unused()

    def stop_when_unused(self) -> None:
        if self.is_released and self.has_ended and not self.policy.stopping:
            self.stop("the configuration has no such group any more")

    def stop(self, reason: str) -> None:
        """Drains within shutdown-timeout, whether or not it is draining already."""
        self.say_stopping(reason)
        self.disclaim()
        self.policy.stop(time.monotonic())

    def say_stopping(self, reason: str) -> None:
        if not self.policy.stopping:
            self.group.say(logs.INFO, "WSGI0709", f"stopping: {reason}")

    def disclaim(self) -> None:
        """None of this supervisor's workers serves any more. A service must not run twice: it makes
        the next one wait for its end.
        """
        if self.group.config.threads:
            self.group.board.disclaim(self.group.number)

    def halt(self, why: str) -> None:
        until = "others get 503 until httpd-wsgi reload or a restart"
        self.group.say(logs.WARNING, "WSGI0852", f"{why}: workers finish their requests; {until}")
        self.policy.halt(time.monotonic())

    # ---- the board ----

    def write_board(self) -> None:
        has_failed = self.policy.failed
        is_new = has_failed and not self.has_logged_failure
        if is_new and not self.policy.halted and self.policy.predecessor_broken is None:
            self.group.say(
                logs.ERROR,
                "WSGI0708",
                "no worker can be started; requests are answered with 503 until one can",
            )
        self.has_logged_failure = has_failed
        self.turn.show(self.policy, time.monotonic())
