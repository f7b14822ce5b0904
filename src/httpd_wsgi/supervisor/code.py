"""The code that a group's workers load: reloads, and versions that do not load."""

from __future__ import annotations

import time

from httpd_wsgi.shared import logs
from httpd_wsgi.supervisor.group import Group
from httpd_wsgi.supervisor.lifecycle import Haste
from httpd_wsgi.supervisor.policy import Policy
from httpd_wsgi.supervisor.scripts import Scripts

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from typing import Protocol

    from httpd_wsgi.supervisor.turns import Turn

    class Workers(Protocol):
        def send_all(self, order: str) -> None: ...


LOOK_PAUSE = 1.0  # seconds between two looks at scripts that did not load


class Code:
    def __init__(self, group: Group, policy: Policy, scripts: Scripts, turn: Turn) -> None:
        self.group = group
        self.policy = policy
        self.scripts = scripts
        self.turn = turn
        self.look_at = 0.0

    def noticed(self, workers: Workers, fields: list[str]) -> None:
        """A worker serves an older version of a script than the one on disk."""
        mtime, application_group, callable, script, file = fields
        self.scripts.note_file(script, file)
        if not self.scripts.ask(script, int(mtime)):
            return
        if self.turn.superseded_at is not None:
            # The newer supervisor loads it, and its workers answer when they can
            self.reject_asked(workers)
            return
        self.scripts.add(application_group, script, callable)
        self.group.say(
            logs.NOTICE,
            "WSGI0706",
            f"{script} has changed; its new version is loaded in new workers",
        )
        haste = Haste.NONE
        if self.group.config.reload == "now":
            # Where there are other scripts, the old workers go on answering for those
            haste = Haste.USELESS if len(self.scripts.times()) == 1 else Haste.URGENT
        self.policy.reload(time.monotonic(), haste)

    def failed(self, pid: int, fields: list[str]) -> None:
        """A worker could not load a script for a request, and does not try again."""
        _, application_group, callable, script, file = fields
        self.scripts.note_file(script, file)
        if self.turn.superseded_at is None:
            self.scripts.note_failed(application_group, script, callable)
            self.policy.try_again()

    def reload(self, why: str) -> None:
        self.group.say(logs.NOTICE, "WSGI0715", f"{why}: the code is loaded again in new workers")
        self.policy.reload(time.monotonic())

    def reject_loading(self, workers: Workers) -> None:
        """The worker that was started last could not load what it found."""
        self.scripts.reject_loading()
        self.look_at = time.monotonic() + LOOK_PAUSE
        self.reject_asked(workers)
        self.group.board.tell_news()

    def reject_asked(self, workers: Workers) -> None:
        """Orders the workers to answer with what they have loaded, whatever is on disk."""
        for script, mtime in self.scripts.asked.items():
            workers.send_all(f"reject {mtime} {script}")

    def needs_looks(self) -> bool:
        """Nobody asks for the new code while requests go to the workers of the older supervisor, and
        perhaps nobody asks for a script that could not be loaded.
        """
        is_newest = self.turn.superseded_at is None
        return self.policy.on_hold or (is_newest and self.policy.serves_broken)

    def next_look(self) -> float | None:
        return self.look_at if self.needs_looks() else None

    def look_for_mended(self, now: float) -> None:
        if not self.needs_looks() or now < self.look_at:
            return
        self.look_at = now + LOOK_PAUSE
        if self.policy.on_hold:
            script = self.scripts.ask_for_changed()
            # Processes of the older supervisor that are still there may only drain
            if script is None and self.group.board.claimant(self.group.number) is None:
                self.policy.predecessor_gone(now)
        else:
            script = self.scripts.changed_since_loading()
        if script is not None:
            self.reload(f"{script} has changed")
