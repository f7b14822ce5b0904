"""The supervisor of one daemon group: starts its workers, watches and replaces them.

An Apache restart starts another supervisor. This one goes on until the board says that the other's
workers serve. It ends at once when it never served, when it is told to stop, and at the end of the
server lifeline, when Apache has gone. Workers notice when their control socket closes, so nothing
survives a killed supervisor and Apache.
"""

from __future__ import annotations

import math
import os
import selectors
import signal
import sys
import time

from httpd_wsgi.shared import activity, board, logs, reasons, records, settings
from httpd_wsgi.shared.descriptors import (
    FD_ACTIVITY,
    FD_BOARD,
    FD_CONTROL,
    FD_GENERATION_LIFELINE,
    FD_LISTEN,
    FD_SERVER_LIFELINE,
    FD_SETTINGS,
)
from httpd_wsgi.supervisor import adoption, lifecycle, overseer, policy, process, remote
from httpd_wsgi.supervisor.endpoint import Endpoint
from httpd_wsgi.supervisor.lifecycle import State
from httpd_wsgi.supervisor.parent import Parent
from httpd_wsgi.supervisor.policy import Policy
from httpd_wsgi.supervisor.process import Process
from httpd_wsgi.supervisor.scripts import Scripts
from httpd_wsgi.supervisor.turns import Turn, Verdict

RELOAD_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
EXIT_FAILED = 70  # EX_SOFTWARE of sysexits.h
STALE_PAUSE = 1.0  # so often a script that did not load is looked at


class Supervisor:
    def __init__(self, config: settings.GroupSettings, number: int) -> None:
        self.config = config
        self.number = number
        self.board = board.Board(FD_BOARD)
        self.board.withdraw_credits(lambda owner: not activity.alive(owner))
        self.turn = Turn(self.board, number)
        self.selector = selectors.DefaultSelector()
        limits = policy.Limits(
            processes=config.processes,
            startup=config.startup_timeout,
            shutdown=config.shutdown_timeout,
            graceful=config.graceful_timeout,
            eviction=config.eviction_timeout,
            restart_interval=config.restart_interval,
            starts_at_once=len(os.sched_getaffinity(0)),
            is_service=config.threads == 0,
        )
        is_first = not self.watch_predecessor()
        self.policy = Policy(limits, None if is_first else self.board.get("broken"))
        self.scripts = Scripts(config.preloads)
        self.processes: dict[int, Process] = {}
        self.overseer = overseer.Overseer(config, number, self)
        self.adoption = adoption.Adoption(self)
        self.parent = Parent(self)
        self.remote = remote.Remote(self)
        self.is_released = self.generation_has_ended = False
        self.said_failed = False
        # Workers that were told to die because they run no Python code any more
        self.pending_kill: set[int] = set()
        self.look_at = 0.0  # at scripts that did not load

    def say(self, level: str, code: str, text: str) -> None:
        logs.log(level, f"{code}: group {self.config.group}: {text}")

    # ---- workers ----

    def start_worker(self) -> None:
        more = self.scripts.begin_loading()
        if self.config.maximum_requests:
            more += f"maximum_requests={self.own_maximum()}\0".encode()
        slots = self.overseer.slots
        slot = slots.find_free()
        worker = process.start(
            self.config, self.number, -1 if slot is None else slots.offset(slot), more
        )
        if slot is not None:
            slots.take(slot, worker.pid)
        self.processes[worker.pid] = worker
        self.selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        self.selector.register(worker.control, selectors.EVENT_READ, worker)
        self.policy.started(worker.pid, worker.started)
        self.say(logs.INFO, "WSGI0701", f"worker {worker.pid} started")

    def own_maximum(self) -> int:
        """A tenth less or more of maximum-requests=, so that workers started together do not end
        together.
        """
        return self.config.maximum_requests - round(
            policy.chance() * (self.config.maximum_requests // 10)
        )

    def reap(self, worker: Process) -> None:
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if pid == 0:
            return
        now = time.monotonic()
        self.receive(worker)  # its last words may change what its end means
        doing = self.overseer.serving_text(worker.pid)
        for request in self.overseer.slots.seen(worker.pid).running:
            self.board.note_death(
                worker.pid, status, request.asked, int(request.age(now) * 1000), request.app > 0
            )
        before = records.replace(self.policy.workers[worker.pid])
        planned = before.reason or (reasons.STOP if self.policy.stopping else "")
        if worker.pid in self.pending_kill:
            self.pending_kill.remove(worker.pid)
            planned = reasons.DEADLOCK_TIMEOUT
        self.board.withdraw_credits(lambda owner: owner == pid)
        self.board.count_end(
            self.number, process.end_reason(status, planned, before.state is State.STARTING)
        )
        self.policy.exited(worker.pid, now)
        self.selector.unregister(worker.pidfd)
        self.forget_control(worker)
        os.close(worker.pidfd)
        del self.processes[worker.pid]
        self.overseer.slots.release(worker.pid)
        self.report_exit(
            worker,
            f"{process.describe_exit(status)} after {now - worker.started:.1f} s{doing}",
            status,
            before,
        )
        for line in worker.crash_lines():
            self.say(logs.ERROR, "WSGI0718", line)
        os.close(worker.crash_fd)

    def report_exit(self, worker: Process, how: str, status: int, before: lifecycle.Worker) -> None:
        what = f"worker {worker.pid} {how}"
        if before.reason or self.policy.stopping:
            level = logs.INFO if status == 0 else logs.WARNING
            self.say(level, "WSGI0703", f"{what} ({before.reason or reasons.STOP})")
        elif before.state is not State.STARTING:
            if status == 0:
                self.say(
                    logs.NOTICE,
                    "WSGI0712",
                    f"{what}, as it was told to; a new one is being started",
                )
            else:
                self.say(logs.ERROR, "WSGI0702", f"{what}; a new one is being started")
        elif self.policy.stale:
            self.say(logs.ERROR, "WSGI0713", f"{what}, before it was ready; {self.stale_text()}")
        else:
            wait = max(0.0, self.policy.next_start - time.monotonic())
            self.say(
                logs.ERROR,
                "WSGI0704",
                f"{what}, before it was ready; the next attempt is in {wait:.0f} s",
            )

    def stale_text(self) -> str:
        return "the code that is loaded serves on; mend the new one and touch the script, or reload"

    def receive(self, worker: Process) -> None:
        messages = worker.receive()
        if messages is None:
            self.forget_control(worker)
        for message in messages or []:
            try:
                self.receive_message(worker, message)
            except (ValueError, TypeError) as exc:
                # The application's code can write to that socket, too
                self.say(
                    logs.WARNING,
                    "WSGI0729",
                    f"worker {worker.pid} said {message[:80]!r}, which means nothing: {exc}",
                )

    def receive_message(self, worker: Process, message: str) -> None:
        word, _, rest = message.partition(" ")
        now = time.monotonic()
        if word == "ready":
            self.ready(worker, int(rest or 0), now)
        elif word == "stale":
            self.noticed(*rest.split("\t", 3))
        elif word == "retire":
            self.retire(worker.pid, rest)
        elif word == "pong":
            self.overseer.watch.answered(worker.pid)
        elif word == "draining":
            self.policy.drained(worker.pid, now, rest)

    def retire(self, pid: int, reason: str) -> None:
        if pid in self.processes:  # those that were adopted are on their way out
            self.policy.retire(pid, reason, time.monotonic())

    def give_up_requests(self, pid: int) -> None:
        # One that was adopted may be all that serves; it keeps to graceful-timeout by itself
        if pid in self.processes:
            self.policy.give_up_requests(pid, time.monotonic())

    def kill_with_stacks(self, pid: int) -> None:
        os.kill(pid, signal.SIGABRT)
        if pid in self.processes:
            self.pending_kill.add(pid)
            self.policy.kill_with_stacks(pid, time.monotonic())

    def everybody(self) -> dict[int, overseer.Commandable]:
        """Also the workers that another supervisor has left behind."""
        return {**self.processes, **self.adoption.adopted}

    def ready(self, worker: Process, broken: int, now: float) -> None:
        self.policy.ready(worker.pid, now, broken)
        state = self.policy.workers[worker.pid].state
        if state is State.DRAINING and broken:
            self.say(
                logs.ERROR,
                "WSGI0714",
                f"worker {worker.pid} could not load the new code; {self.stale_text()}",
            )
        elif state in (State.SERVING, State.RETIRING):
            self.board.tell_news()
            self.say(
                logs.INFO,
                "WSGI0705",
                f"worker {worker.pid} is ready after {now - worker.started:.2f} s",
            )

    def forget_control(self, worker: Process) -> None:
        if worker.control.fileno() >= 0:
            self.selector.unregister(worker.control)
            worker.control.close()

    # ---- code ----

    def noticed(self, mtime: str, application_group: str, callable: str, script: str) -> None:
        """A worker serves an older version of the script than the one on disk."""
        if not self.scripts.ask(script, int(mtime)):
            return
        if self.turn.superseded_at is not None:
            # Loading it is the newer supervisor's affair; when it can, its workers answer
            self.keep()
            return
        self.scripts.add(application_group, script, callable)
        self.say(
            logs.NOTICE,
            "WSGI0706",
            f"{script} has changed; its new version is loaded in new workers",
        )
        # Where there are other scripts, the old workers go on answering for those.
        is_waited_for = self.config.reload == "now"
        self.policy.reload(
            time.monotonic(),
            urgent=is_waited_for,
            useless=is_waited_for and len(self.scripts.times()) == 1,
        )

    def reload(self, why: str) -> None:
        self.say(logs.NOTICE, "WSGI0715", f"{why}: the code is loaded again in new workers")
        self.policy.reload(time.monotonic())

    def halt(self, why: str) -> None:
        until = "others get 503 until httpd-wsgi reload or a restart"
        self.say(logs.WARNING, "WSGI0852", f"{why}: workers finish their requests; {until}")
        self.policy.halt(time.monotonic())

    def keep(self) -> None:
        for worker in self.processes.values():
            for script, mtime in self.scripts.asked.items():
                worker.send(f"keep {mtime} {script}")

    def look_for_mended(self, now: float) -> None:
        """While nobody asks for the new code (requests go to the older supervisor's workers), its
        files must be looked at.
        """
        if not self.policy.on_hold or now < self.look_at:
            return
        self.look_at = now + STALE_PAUSE
        if (script := self.scripts.ask_for_changed()) is not None:
            self.reload(f"{script} has changed")
        elif self.board.claimant(self.number) is None:  # those who are still there only drain
            self.policy.predecessor_gone(now)

    # ---- older and newer supervisors ----

    def compare_turns(self, now: float) -> None:
        verdict = self.turn.judge(self.policy)
        if verdict is Verdict.SERVE:
            self.turn.take()
            self.policy.predecessor_broken = None
        elif verdict is Verdict.OVER:
            self.say(
                logs.INFO, "WSGI0716", "newer workers serve; the old ones finish their requests"
            )
        elif verdict is Verdict.LATE:
            self.say_stopping("a newer configuration has come before it was ready")
        # Also then those that were ready have taken requests
        if verdict in (Verdict.OVER, Verdict.LATE):
            self.disclaim()
            self.policy.superseded(now)

    def write_board(self) -> None:
        if (
            self.policy.failed
            and not self.said_failed
            and not self.policy.halted
            and self.policy.predecessor_broken is None
        ):
            self.say(
                logs.ERROR,
                "WSGI0708",
                "no worker can be started; requests are answered with 503 until one can",
            )
        self.said_failed = self.policy.failed
        self.turn.show(self.policy, time.monotonic())

    def stop(self, reason: str) -> None:
        """Drains within shutdown-timeout, whether or not it is draining already."""
        self.say_stopping(reason)
        self.disclaim()
        self.policy.stop(time.monotonic())

    def say_stopping(self, reason: str) -> None:
        if not self.policy.stopping:
            self.say(logs.INFO, "WSGI0709", f"stopping: {reason}")

    def disclaim(self) -> None:
        """Nothing of ours serves any more. A service must not run twice: it keeps the next one
        waiting to its end.
        """
        if self.config.threads:
            self.board.disclaim(self.number)

    def superseded(self, log: list[int]) -> None:
        """A newer one has been started. log: the file that it writes to, as the old one may have
        been rotated away.
        """
        self.turn.superseded_at = time.monotonic()
        while log:
            for worker in self.everybody().values():
                worker.send("log", log[0])
            logs.move(log.pop(0))
        # Requests that wait for touched scripts keep Apache's old children from making room for new
        # ones
        self.keep()

    # ---- the loop ----

    def look(self) -> None:
        serving = (State.SERVING, State.RETIRING)
        serving_now = {
            pid for pid, worker in self.policy.workers.items() if worker.state in serving
        }
        if self.turn.superseded_at is None:  # else it is the newer one's affair
            self.adoption.look(time.monotonic())
        self.overseer.look(self.everybody(), serving_now, self.board.get("watched"))
        for pid, worker in self.policy.workers.items():
            self.overseer.slots.show(pid, overseer.SHOWN[worker.state])

    def carry_out(self) -> None:
        for action in self.policy.actions(time.monotonic()):
            match action:
                case lifecycle.Start():
                    self.start_worker()
                case lifecycle.Serve(number):
                    self.processes[number].send("serve")
                case lifecycle.Drain(number, reason):
                    self.processes[number].send(f"drain {reason}")
                case lifecycle.End(number, is_given_up):
                    limit = (
                        "were given up"
                        if is_given_up
                        else f"had {self.overseer.option('graceful-timeout')}"
                    )
                    self.say(
                        logs.WARNING,
                        "WSGI0717",
                        f"the requests that worker {number} still has {limit}; it ends now",
                    )
                    self.processes[number].send("end")
                case lifecycle.Kill(number, option, with_stacks):
                    limit = self.overseer.option(option)
                    doing = self.overseer.serving_text(number)
                    self.say(
                        logs.WARNING,
                        "WSGI0707",
                        f"worker {number} is not done within {limit}{doing} and is killed",
                    )
                    os.kill(number, signal.SIGABRT if with_stacks else signal.SIGKILL)
                case lifecycle.Keep():
                    self.scripts.reject_loading()
                    self.look_at = time.monotonic() + STALE_PAUSE
                    self.keep()
                    self.board.tell_news()

    def timeout(self) -> float | None:
        now = time.monotonic()
        times = [self.policy.wake_at()]
        if self.everybody() and self.config.threads:
            times.append(self.overseer.next_look)
        if self.turn.superseded_at is None:
            times.append(self.adoption.look_at)
        if self.policy.on_hold:
            times.append(self.look_at)
        if self.turn.superseded_at is not None and not self.policy.stopping:
            # The newer one is mostly ready within a second; when its code is broken, this may go on
            # for days.
            times.append(now + min(1.0, max(0.02, (now - self.turn.superseded_at) / 20)))
        at = min((at for at in times if at is not None), default=None)
        return None if at is None or at == math.inf else max(0.0, at - now)

    def run(self) -> int:
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, *RELOAD_SIGNALS):
            signal.signal(number, lambda *_: None)
        self.selector.register(wake_read, selectors.EVENT_READ, "signal")
        self.selector.register(FD_GENERATION_LIFELINE, selectors.EVENT_READ, "generation lifeline")
        self.selector.register(FD_SERVER_LIFELINE, selectors.EVENT_READ, "server lifeline")
        while not self.policy.done:
            self.look()
            self.carry_out()
            self.look_for_mended(time.monotonic())
            self.compare_turns(time.monotonic())
            self.carry_out()
            self.write_board()
            for key, _ in self.selector.select(self.timeout()):
                self.dispatch(key, wake_read)
        return 0

    def dispatch(self, key: selectors.SelectorKey, wake_read: int) -> None:
        match key.data:
            case "signal":
                self.received(os.read(wake_read, 512))
            case "generation lifeline":
                self.selector.unregister(FD_GENERATION_LIFELINE)
                self.generation_has_ended = True
            case "server lifeline":
                self.selector.unregister(FD_SERVER_LIFELINE)
                self.stop("Apache has gone")
            case "predecessor":
                self.predecessor_gone()
            case Endpoint() as endpoint:
                endpoint.ready()
            case Process() as worker if key.fileobj == worker.pidfd:
                self.reap(worker)
            case Process() as worker if worker.control.fileno() >= 0:
                self.receive(worker)
        if self.is_released and self.generation_has_ended and not self.policy.stopping:
            self.stop("the configuration has no such group any more")

    def received(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGTERM:
                self.stop("it received SIGTERM")
            elif (
                number in RELOAD_SIGNALS
                and self.turn.superseded_at is None
                and not self.policy.stopping
            ):
                self.reload(f"the supervisor received {signal.Signals(number).name}")

    def watch_predecessor(self) -> bool:
        """False: nobody serves for an earlier supervisor."""
        if (fd := self.turn.find_predecessor()) is not None:
            self.selector.register(fd, selectors.EVENT_READ, "predecessor")
        return fd is not None

    def predecessor_gone(self) -> None:
        if self.turn.predecessor is not None:
            self.selector.unregister(self.turn.predecessor)
        self.turn.forget_predecessor()
        self.adoption.look_again()
        if not self.watch_predecessor():
            self.policy.predecessor_gone(time.monotonic())


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
