"""The supervisor of one daemon group: starts its workers, watches and replaces them.

An Apache restart starts another supervisor. This one goes on until the board says that the other
one's workers serve. It ends at once when it never served, when it is ordered to stop, and at the
end of the server lifeline, when Apache has gone. Workers notice when their control socket closes,
so nothing survives a killed supervisor and Apache.

Here is the loop, which waits for all events. What they mean is in workers.py, code.py and
generations.py; policy.py decides.
"""

from __future__ import annotations

import math
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable

from httpd_wsgi.shared import logs, settings
from httpd_wsgi.shared.descriptors import (
    FD_ACTIVITY,
    FD_BOARD,
    FD_CONTROL,
    FD_GENERATION_LIFELINE,
    FD_LISTEN,
    FD_SERVER_LIFELINE,
    FD_SETTINGS,
)
from httpd_wsgi.supervisor import lifecycle
from httpd_wsgi.supervisor.code import Code
from httpd_wsgi.supervisor.endpoint import Endpoint
from httpd_wsgi.supervisor.generations import Generations
from httpd_wsgi.supervisor.group import Group
from httpd_wsgi.supervisor.limits import Limits
from httpd_wsgi.supervisor.parent import Parent
from httpd_wsgi.supervisor.policy import Policy
from httpd_wsgi.supervisor.remote import Remote
from httpd_wsgi.supervisor.scripts import Scripts
from httpd_wsgi.supervisor.states import States
from httpd_wsgi.supervisor.turns import Turn
from httpd_wsgi.supervisor.workers import Workers

RELOAD_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
EXIT_FAILED = 70  # EX_SOFTWARE of sysexits.h


def limits_of(config: settings.GroupSettings) -> Limits:
    return Limits(
        processes=config.processes,
        startup=config.startup_timeout,
        shutdown=config.shutdown_timeout,
        graceful=config.graceful_timeout,
        eviction=config.eviction_timeout,
        restart_interval=config.restart_interval,
        starts_at_once=len(os.sched_getaffinity(0)),
        is_service=config.threads == 0,
    )


class Once(Endpoint):
    """A lifeline: a pipe that becomes readable once, at its end."""

    def __init__(self, selector: selectors.DefaultSelector, fd: int, act: Callable[[], None]):
        self.selector, self.fd, self.act = selector, fd, act
        selector.register(fd, 1, self)

    def ready(self) -> None:
        self.selector.unregister(self.fd)
        self.act()


class Signals(Endpoint):
    def __init__(self, selector: selectors.DefaultSelector, act: Callable[[int], None]) -> None:
        self.act = act
        self.fd, wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, *RELOAD_SIGNALS):
            signal.signal(number, lambda *_: None)
        selector.register(self.fd, 1, self)

    def ready(self) -> None:
        for number in os.read(self.fd, 512):
            self.act(number)


class Supervisor:
    def __init__(self, config: settings.GroupSettings, number: int) -> None:
        self.group = Group(config, number)
        turn = Turn(self.group.board, number)
        states = States(lambda text: self.group.say(logs.DEBUG, "WSGI0732", text))
        self.policy = Policy(limits_of(config), states=states)
        scripts = Scripts(config.preloads)
        self.code = Code(self.group, self.policy, scripts, turn)
        self.workers = Workers(
            self.group,
            self.policy,
            scripts,
            {
                "stale": lambda pid, fields: self.code.noticed(self.workers, fields),
                "failed": self.code.failed,
            },
        )
        self.generations = Generations(self.group, self.policy, turn, self.code, self.workers)
        if self.generations.watch_predecessor():
            self.policy.predecessor_broken = self.group.board.get("broken")
        Parent(self.group.selector, self.generations)
        Remote(self.group, self.policy, self.code, self.generations, self.workers)

    # ---- the loop ----

    def run(self) -> int:
        selector = self.group.selector
        Signals(selector, self.received)
        Once(selector, FD_GENERATION_LIFELINE, self.generations.ended)
        Once(selector, FD_SERVER_LIFELINE, lambda: self.generations.stop("Apache has gone"))
        while not self.policy.done:
            self.workers.look_for_lost(time.monotonic())
            self.workers.look(adopts=not self.generations.is_superseded)
            self.carry_out()
            self.code.look_for_mended(time.monotonic())
            self.generations.compare_turns(time.monotonic())
            self.carry_out()
            self.generations.write_board()
            for key, _ in selector.select(self.timeout()):
                key.data.ready()
        return 0

    def received(self, number: int) -> None:
        if number == signal.SIGTERM:
            self.generations.stop("it received SIGTERM")
        elif not self.generations.is_superseded and not self.policy.stopping:
            self.code.reload(f"the supervisor received {signal.Signals(number).name}")

    def carry_out(self) -> None:
        workers = self.workers
        for action in self.policy.actions(time.monotonic()):
            match action:
                case lifecycle.Start():
                    workers.start()
                case lifecycle.StartTrial():
                    workers.start(is_trial=True)
                case lifecycle.Serve(number):
                    workers.send(number, "serve")
                case lifecycle.Drain(number, reason):
                    workers.send(number, f"drain {reason}")
                case lifecycle.End(number, is_given_up):
                    workers.end(number, is_given_up)
                case lifecycle.Kill() as kill:
                    workers.kill(kill)
                case lifecycle.RejectVersion():
                    self.code.reject_loading(workers)

    def timeout(self) -> float | None:
        now = time.monotonic()
        workers = self.workers
        times = [self.policy.wake_at(), self.code.next_look(), self.generations.next_look(now)]
        times.append(workers.next_look())
        if workers.everybody() and self.group.config.threads:
            times.append(workers.overseer.next_look)
        if not self.generations.is_superseded:
            times.append(workers.adoption.look_at)
        at = min((at for at in times if at is not None), default=None)
        return None if at is None or at == math.inf else max(0.0, at - now)


def main() -> int:
    config = settings.read(FD_SETTINGS)
    logs.set_level(config.log_level)
    logs.settle()
    for fd in (
        FD_LISTEN,
        FD_GENERATION_LIFELINE,
        FD_BOARD,
        FD_CONTROL,
        FD_SERVER_LIFELINE,
        FD_ACTIVITY,
    ):
        os.set_inheritable(fd, False)
    try:
        return Supervisor(config, int(sys.argv[2])).run()
    except Exception as exc:
        logs.log(
            logs.ERROR,
            f"WSGI0710: group {config.group}: the supervisor failed: {exc!r}; Apache starts another one",
        )
        return EXIT_FAILED
