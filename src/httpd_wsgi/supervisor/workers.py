"""A supervisor's workers: they are started, receive orders, report, and end.

Each worker has two descriptors in the selector: its pidfd, and the socket to its control thread.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping

from httpd_wsgi.shared import activity, logs, reasons, records
from httpd_wsgi.shared.descriptors import FD_LISTEN
from httpd_wsgi.supervisor import lifecycle, limits, policy, process
from httpd_wsgi.supervisor.adoption import Adoption
from httpd_wsgi.supervisor.endpoint import Endpoint
from httpd_wsgi.supervisor.group import Group
from httpd_wsgi.supervisor.lifecycle import State
from httpd_wsgi.supervisor.overseer import SHOWN, Commandable, Overseer
from httpd_wsgi.supervisor.process import Process
from httpd_wsgi.supervisor.scripts import Scripts

LOST_PAUSE = 1.0  # seconds that a worker may take to end after its sockets
STALE = "the code that is loaded serves on; mend the new one and touch the script, or reload"


class Reports(Endpoint):
    """The socket on which a worker reports."""

    def __init__(self, workers: Workers, worker: Process) -> None:
        self.workers = workers
        self.worker = worker

    def ready(self) -> None:
        if self.worker.control.fileno() >= 0:
            self.workers.receive(self.worker)


class Exit(Endpoint):
    """The pidfd of a worker."""

    def __init__(self, workers: Workers, worker: Process) -> None:
        self.workers = workers
        self.worker = worker

    def ready(self) -> None:
        self.workers.reap(self.worker)


class Workers:
    def __init__(
        self,
        group: Group,
        decisions: policy.Policy,
        scripts: Scripts,
        reports: Mapping[str, Callable[[int, list[str]], None]],
    ) -> None:
        """reports: functions for reports about scripts, by their word. They get the worker's pid and
        the fields of the report.
        """
        self.group = group
        self.policy = decisions
        self.scripts = scripts
        self.reports = reports
        self.processes: dict[int, Process] = {}
        self.overseer = Overseer(group.config, group.number, self)
        self.adoption = Adoption(group, self.overseer, self.processes.keys())
        self.lost: dict[int, float] = {}  # workers that have closed their sockets, since when
        self.pending_kill: set[int] = set()  # were sent a signal because they run no Python code

    def say(self, level: str, code: str, text: str) -> None:
        self.group.say(level, code, text)

    def everybody(self) -> dict[int, Commandable]:
        """Returns also the workers that another supervisor has left behind."""
        return {**self.processes, **self.adoption.adopted}

    def send(self, pid: int, order: str) -> None:
        self.processes[pid].send(order)

    def send_all(self, order: str) -> None:
        for worker in self.processes.values():
            worker.send(order)

    # ---- start ----

    def start(self, is_trial: bool = False) -> None:
        more = self.scripts.begin_loading()
        if self.group.config.maximum_requests:
            more += f"maximum_requests={self.own_maximum()}\0".encode()
        slots = self.overseer.slots
        slot = slots.find_free()
        offset = -1 if slot is None else slots.offset(slot)
        worker = process.start(self.group.config, self.group.number, offset, more)
        if slot is not None:
            slots.take(slot, worker.pid)
        self.processes[worker.pid] = worker
        self.group.selector.register(worker.pidfd, 1, Exit(self, worker))
        self.group.selector.register(worker.control, 1, Reports(self, worker))
        if is_trial:
            self.policy.started_trial(worker.pid, worker.started)
        else:
            self.policy.started(worker.pid, worker.started)
        self.say(logs.INFO, "WSGI0701", f"worker {worker.pid} started")

    def own_maximum(self) -> int:
        """Returns a tenth less than maximum-requests= or more, so that workers that were started
        together do not end together.
        """
        maximum = self.group.config.maximum_requests
        return maximum - round(limits.chance() * (maximum // 10))

    # ---- reports ----

    def receive(self, worker: Process) -> None:
        messages = worker.receive()
        if messages is None:
            self.lost[worker.pid] = time.monotonic()  # mostly it is about to end
            self.forget_control(worker)
        for message in messages or []:
            try:
                self.receive_message(worker, message)
            except (ValueError, TypeError) as exc:
                # The application's code can write to that socket, too
                self.say(
                    logs.WARNING,
                    "WSGI0729",
                    f"worker {worker.pid} sent {message[:80]!r}, which means nothing: {exc}",
                )

    def receive_message(self, worker: Process, message: str) -> None:
        word, _, rest = message.partition(" ")
        now = time.monotonic()
        if word == "ready":
            number, *broken = rest.split("\t")
            if int(number or 0) != len(broken):
                raise ValueError("the number of scripts is another one")
            self.ready(worker, broken, now)
        elif word == "file":
            time_of_file, script, path = rest.split("\t")
            self.scripts.note_file(script, path, int(time_of_file))
        elif word in self.reports:
            self.reports[word](worker.pid, rest.split("\t"))
        elif word == "retire":
            self.retire(worker.pid, rest)
        elif word == "pong":
            self.overseer.answered(worker.pid)
        elif word == "draining":
            self.policy.drained(worker.pid, now, rest)

    def ready(self, worker: Process, broken: list[str], now: float) -> None:
        is_trial = self.policy.workers[worker.pid].is_trial
        counted, is_better = self.scripts.note_loaded(broken)
        self.policy.ready(worker.pid, now, counted, is_better)
        state = self.policy.workers[worker.pid].state
        if broken and not counted and state is not State.DRAINING:
            worker.send("serve")  # the others cannot load these scripts either
        if state is State.DRAINING and is_trial:
            self.say(
                logs.INFO, "WSGI0733", f"worker {worker.pid} is no better than the ones that serve"
            )
        elif state is State.DRAINING and broken:
            self.say(
                logs.ERROR,
                "WSGI0714",
                f"worker {worker.pid} could not load the new code; {STALE}",
            )
        elif state in (State.SERVING, State.RETIRING):
            self.group.board.tell_news()
            self.say(
                logs.INFO,
                "WSGI0705",
                f"worker {worker.pid} is ready after {now - worker.started:.2f} s",
            )

    # ---- for the overseer ----

    def retire(self, pid: int, reason: str) -> None:
        if pid in self.processes:  # an adopted worker already has to end
            self.policy.retire(pid, reason, time.monotonic())

    def give_up_requests(self, pid: int) -> None:
        # An adopted worker may be all that serves; it keeps to graceful-timeout by itself
        if pid in self.processes:
            self.policy.give_up_requests(pid, time.monotonic())

    def kill_with_stacks(self, pid: int) -> None:
        os.kill(pid, signal.SIGABRT)
        if pid in self.processes:
            self.pending_kill.add(pid)
            self.policy.kill_with_stacks(pid, time.monotonic())

    def look(self, adopts: bool) -> None:
        """Looks after the requests. adopts: this supervisor adopts the workers of a killed one."""
        if adopts:
            self.adoption.look(time.monotonic())
        workers = self.policy.workers
        serving = {
            pid
            for pid, worker in workers.items()
            if worker.state in (State.SERVING, State.RETIRING)
        }
        self.overseer.look(self.everybody(), serving, self.group.board.get("watched"))
        for pid, worker in workers.items():
            self.overseer.slots.show(pid, SHOWN[worker.state])

    def look_for_lost(self, now: float) -> None:
        """Ends workers that live without a socket to their supervisor, as the application has closed
        it. No order reaches them.
        """
        for pid in [pid for pid, since in self.lost.items() if now >= since + LOST_PAUSE]:
            del self.lost[pid]
            self.say(
                logs.ERROR,
                "WSGI0737",
                f"worker {pid} has closed its connection to the supervisor; it is replaced",
            )
            os.kill(pid, signal.SIGTERM)
            self.policy.lost(pid, now)

    def next_look(self) -> float | None:
        return min(self.lost.values()) + LOST_PAUSE if self.lost else None

    # ---- end ----

    def end(self, pid: int, is_given_up: bool) -> None:
        limit = (
            "were given up" if is_given_up else f"had {self.overseer.option('graceful-timeout')}"
        )
        self.say(
            logs.WARNING,
            "WSGI0717",
            f"the requests that worker {pid} still has {limit}; it ends now",
        )
        self.processes[pid].send("end")

    def kill(self, action: lifecycle.Kill) -> None:
        pid, limit = action.number, self.overseer.option(action.option)
        doing = self.overseer.serving_text(pid)
        self.say(
            logs.WARNING,
            "WSGI0707",
            f"worker {pid} is not done within {limit}{doing} and is killed",
        )
        os.kill(pid, signal.SIGABRT if action.with_stacks else signal.SIGKILL)

    def reap(self, worker: Process) -> None:
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if pid == 0:
            return
        now = time.monotonic()
        self.receive(worker)  # its last reports may change what its end means
        doing = self.overseer.serving_text(pid)
        before = records.replace(self.policy.workers[pid])
        self.note_end(pid, status, before, now)
        self.policy.exited(pid, now)
        self.group.selector.unregister(worker.pidfd)
        self.forget_control(worker)
        os.close(worker.pidfd)
        del self.processes[pid]
        self.lost.pop(pid, None)
        self.overseer.slots.release(pid)
        how = f"{process.describe_exit(status)} after {now - worker.started:.1f} s{doing}"
        self.report_exit(pid, how, status, before)
        for line in worker.crash_lines():
            self.say(logs.ERROR, "WSGI0718", line)
        os.close(worker.crash_fd)

    def note_end(self, pid: int, status: int, before: lifecycle.Worker, now: float) -> None:
        """Puts the end of a worker on the board, and the requests that died with it."""
        board = self.group.board
        for request in self.overseer.slots.seen(pid).running:
            board.note_death(
                pid, status, request.asked, int(request.age(now) * 1000), request.app > 0
            )
        planned = before.reason or (reasons.STOP if self.policy.stopping else "")
        if pid in self.pending_kill:
            self.pending_kill.remove(pid)
            planned = reasons.DEADLOCK_TIMEOUT
        board.withdraw_credits(lambda owner: owner == pid)
        activity.announce_queue(FD_LISTEN)
        was_starting = before.state is State.STARTING
        board.count_end(self.group.number, process.end_reason(status, planned, was_starting))

    def report_exit(self, pid: int, how: str, status: int, before: lifecycle.Worker) -> None:
        text = f"worker {pid} {how}"
        if before.reason or self.policy.stopping:
            level = logs.INFO if status == 0 else logs.WARNING
            self.say(level, "WSGI0703", f"{text} ({before.reason or reasons.STOP})")
        elif before.is_trial:
            self.say(logs.WARNING, "WSGI0734", f"{text}, before it was ready; the others serve on")
        elif before.state is not State.STARTING and status == 0:
            self.say(
                logs.NOTICE, "WSGI0712", f"{text}, as it was ordered to; a new one is being started"
            )
        elif before.state is not State.STARTING:
            self.say(logs.ERROR, "WSGI0702", f"{text}; a new one is being started")
        elif self.policy.stale:
            self.say(logs.ERROR, "WSGI0713", f"{text}, before it was ready; {STALE}")
        else:
            wait = max(0.0, self.policy.next_start - time.monotonic())
            self.say(
                logs.ERROR,
                "WSGI0704",
                f"{text}, before it was ready; the next attempt is in {wait:.0f} s",
            )

    def forget_control(self, worker: Process) -> None:
        if worker.control.fileno() >= 0:
            self.group.selector.unregister(worker.control)
            worker.control.close()
