"""What all parts of a supervisor share: the group's settings, its board, and the selector."""

from __future__ import annotations

import selectors

from httpd_wsgi.shared import activity, board, logs, settings
from httpd_wsgi.shared.descriptors import FD_BOARD


class Group:
    def __init__(self, config: settings.GroupSettings, number: int) -> None:
        self.config = config
        self.number = number  # of this supervisor, among all that the group has had
        self.board = board.Board(FD_BOARD)
        self.board.withdraw_credits(lambda owner: not activity.alive(owner))
        self.selector = selectors.DefaultSelector()

    def say(self, level: str, code: str, text: str) -> None:
        logs.log(level, f"{code}: group {self.config.group}: {text}")
