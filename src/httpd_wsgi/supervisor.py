"""The supervisor of one daemon group: starts its workers, watches and replaces them.

An Apache restart starts another supervisor. This one goes on until the board says that the other's workers serve; it ends at
once when it never served, when it is told to stop, and when Apache has gone, which the house pipe tells. Workers in turn notice
when their control socket closes, so nothing survives a killed supervisor and Apache.
"""

from __future__ import annotations

import math
import os
import selectors
import signal
import socket
import sys
import time

from httpd_wsgi import _boot, activity, adoption, board, logs, overseer, policy, process, records, remote, settings
from httpd_wsgi.policy import Policy, State
from httpd_wsgi.process import FD_ACTIVITY, FD_BOARD, FD_CONTROL, FD_HOUSE, FD_LIFELINE, FD_LISTEN, FD_SETTINGS, Process

RELOAD_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
STALE_PAUSE = 1.0  # so often a script that did not load is looked at


class Supervisor:
    def __init__(self, config: settings.GroupSettings, number: int) -> None:
        self.config = config
        self.number = number
        self.board = board.Board(FD_BOARD)
        self.board.withdraw_offers(lambda owner: not activity.alive(owner))
        self.selector = selectors.DefaultSelector()
        self.predecessor: int | None = None  # pidfd of one who serves for an earlier supervisor
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
        self.find_predecessor()
        self.policy = Policy(limits, self.board.get("broken") if self.predecessor is not None else None)
        self.processes: dict[int, Process] = {}
        self.overseer = overseer.Overseer(config, number, self)
        self.orphanage = adoption.Orphanage(self)
        self.control = socket.socket(fileno=FD_CONTROL)
        self.control.setblocking(False)
        self.remote = remote.Remote(self)
        self.told_by_parent = b""
        self.superseded_at: float | None = None
        self.is_released = self.lifeline_ended = False
        self.said_failed = False
        self.doomed: set[int] = set()  # workers that are killed because they run no Python code any more
        self.touched: dict[str, int] = {}  # script to the time of the version that workers were last asked to load
        self.more_preloads: dict[str, None] = {}  # scripts that only requests name
        self.loading: dict[str, int] = {}  # what the worker that was started last finds
        self.look_at = 0.0

    def find_predecessor(self) -> None:
        """The supervisor whose workers serve now, or one of them when it was killed."""
        while (pid := self.board.claimant(self.number)) is not None:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue  # it has just ended, and its claim with it
            self.selector.register(fd, selectors.EVENT_READ, "predecessor")
            self.predecessor = fd
            return

    def say(self, level: str, code: str, text: str) -> None:
        logs.log(level, f"{code}: group {self.config.group}: {text}")

    # ---- workers ----

    def start_worker(self) -> None:
        self.loading = self.scripts()
        more = b"".join(b"preload=" + os.fsencode(preload) + b"\0" for preload in self.more_preloads)
        if self.config.maximum_requests:
            more += f"maximum_requests={self.own_maximum()}\0".encode()
        slots = self.overseer.slots
        slot = slots.find_free()
        worker = process.start(self.config, self.number, -1 if slot is None else slots.offset(slot), more)
        if slot is not None:
            slots.take(slot, worker.pid)
        self.processes[worker.pid] = worker
        self.selector.register(worker.pidfd, selectors.EVENT_READ, worker)
        self.selector.register(worker.control, selectors.EVENT_READ, worker)
        self.policy.started(worker.pid, worker.started)
        self.say(logs.INFO, "WSGI0701", f"worker {worker.pid} started")

    def own_maximum(self) -> int:
        """A tenth less or more of maximum-requests=, so that workers started together do not end together."""
        return self.config.maximum_requests - round(policy.chance() * (self.config.maximum_requests // 10))

    def reap(self, worker: Process) -> None:
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if pid == 0:
            return
        now = time.monotonic()
        self.receive(worker)  # its last words may change what its end means
        doing = self.overseer.serving_text(worker.pid)
        for request in self.overseer.slots.seen(worker.pid).running:
            self.board.note_death(worker.pid, status, request.asked, int(request.age(now) * 1000), request.app > 0)
        before = records.replace(self.policy.workers[worker.pid])
        planned = before.reason or (policy.STOP if self.policy.stopping else "")
        if worker.pid in self.doomed:
            self.doomed.remove(worker.pid)
            planned = "deadlock_timeout"
        self.board.withdraw_offers(lambda owner: owner == pid)
        self.board.count_end(self.number, process.end_reason(status, planned, before.state is State.STARTING))
        self.policy.exited(worker.pid, now)
        self.selector.unregister(worker.pidfd)
        self.forget_control(worker)
        os.close(worker.pidfd)
        del self.processes[worker.pid]
        self.overseer.slots.release(worker.pid)
        self.report_exit(worker, f"{process.describe_exit(status)} after {now - worker.started:.1f} s{doing}", status, before)
        for line in worker.crash_lines():
            self.say(logs.ERROR, "WSGI0718", line)
        os.close(worker.crash_fd)

    def report_exit(self, worker: Process, how: str, status: int, before: policy.Worker) -> None:
        what = f"worker {worker.pid} {how}"
        if before.reason or self.policy.stopping:
            level = logs.INFO if status == 0 else logs.WARNING
            self.say(level, "WSGI0703", f"{what} ({before.reason or policy.STOP})")
        elif before.state is not State.STARTING:
            if status == 0:
                self.say(logs.NOTICE, "WSGI0712", f"{what}, as it was told to; a new one is being started")
            else:
                self.say(logs.ERROR, "WSGI0702", f"{what}; a new one is being started")
        elif self.policy.stale:
            self.say(logs.ERROR, "WSGI0713", f"{what}, before it was ready; {self.stale_text()}")
        else:
            wait = max(0.0, self.policy.next_start - time.monotonic())
            self.say(logs.ERROR, "WSGI0704", f"{what}, before it was ready; the next attempt is in {wait:.0f} s")

    def stale_text(self) -> str:
        return "the code that is loaded serves on; mend the new one and touch the script, or reload"

    def receive(self, worker: Process) -> None:
        lines = worker.receive()
        if lines is None:
            self.forget_control(worker)
        for line in lines or []:
            try:
                self.told(worker, line)
            except (ValueError, TypeError) as exc:  # the application's code can write to that socket, too
                self.say(logs.WARNING, "WSGI0729", f"worker {worker.pid} said {line[:80]!r}, which means nothing: {exc}")

    def told(self, worker: Process, message: str) -> None:
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

    def hurry(self, pid: int) -> None:
        if pid in self.processes:
            self.policy.hurry(pid, time.monotonic())
        elif pid in self.orphanage.adopted:
            self.orphanage.adopted[pid].send("end")

    def doom(self, pid: int) -> None:
        if pid in self.processes:
            self.doomed.add(pid)
            self.policy.doom(pid, time.monotonic())

    def everybody(self) -> dict[int, overseer.Told]:
        """Also the workers that another supervisor has left behind."""
        return {**self.processes, **self.orphanage.adopted}

    def ready(self, worker: Process, broken: int, now: float) -> None:
        self.policy.ready(worker.pid, now, broken)
        state = self.policy.workers[worker.pid].state
        if state is State.DRAINING and broken:
            self.say(logs.ERROR, "WSGI0714", f"worker {worker.pid} could not load the new code; {self.stale_text()}")
        elif state in (State.SERVING, State.RETIRING):
            self.board.tell_news()
            self.say(logs.INFO, "WSGI0705", f"worker {worker.pid} is ready after {now - worker.started:.2f} s")

    def forget_control(self, worker: Process) -> None:
        if worker.control.fileno() >= 0:
            self.selector.unregister(worker.control)
            worker.control.close()

    # ---- code ----

    def noticed(self, mtime: str, application_group: str, callable: str, script: str) -> None:
        """A worker serves an older version of the script than the one on disk."""
        if self.touched.get(script) == int(mtime):
            return
        if self.superseded_at is not None:
            self.touched[script] = int(mtime)
            self.keep()  # loading it is the newer supervisor's affair; when it can, its workers answer
            return
        if not any((item.script, item.callable) == (script, callable) for item in self.config.preloads):
            self.more_preloads[f"{application_group}\n{script}\n{callable}"] = None
        self.touched[script] = int(mtime)
        self.say(logs.NOTICE, "WSGI0706", f"{script} has changed; its new version is loaded in new workers")
        # Where there are other scripts, the old workers go on answering for those.
        is_waited_for = self.config.reload == "now"
        self.policy.reload(time.monotonic(), urgent=is_waited_for, useless=is_waited_for and len(self.scripts()) == 1)

    def reload(self, why: str) -> None:
        self.say(logs.NOTICE, "WSGI0715", f"{why}: the code is loaded again in new workers")
        self.policy.reload(time.monotonic())

    def halt(self, why: str) -> None:
        until = "others get 503 until httpd-wsgi reload or a restart"
        self.say(logs.WARNING, "WSGI0852", f"{why}: workers finish their requests; {until}")
        self.policy.halt(time.monotonic())

    def keep(self) -> None:
        for worker in self.processes.values():
            for script, mtime in self.touched.items():
                worker.send(f"keep {mtime} {script}")

    def scripts(self) -> dict[str, int]:
        """Times of the files that workers load; 0: there is none."""
        paths = [item.script for item in self.config.preloads] + [item.split("\n")[1] for item in self.more_preloads]
        found = {}
        for path in paths:
            try:
                found[path] = os.stat(path).st_mtime_ns // 1000
            except OSError:
                found[path] = 0
        return found

    def look_for_mended(self, now: float) -> None:
        """While nobody asks for the new code (requests go to the older supervisor's workers), its files must be looked at."""
        if not self.policy.on_hold or now < self.look_at:
            return
        self.look_at = now + STALE_PAUSE
        for script, mtime in self.scripts().items():
            if mtime and self.touched.get(script) != mtime:
                self.touched[script] = mtime
                self.reload(f"{script} has changed")
                return
        if self.board.claimant(self.number) is None:  # those who are still there only drain
            self.policy.predecessor_gone(now)

    # ---- older and newer supervisors ----

    def compare_turns(self, now: float) -> None:
        if self.policy.stopping:
            return
        serving = self.board.get("serving")
        if serving > self.number:
            self.say(logs.INFO, "WSGI0716", "newer workers serve; the old ones finish their requests")
            self.disclaim()
            self.policy.superseded(now)
        elif serving < self.number and self.is_to_take_over():
            self.board.claim(self.number)
            self.board.put(serving=self.number)
            self.policy.predecessor_broken = None
        elif self.superseded_at is not None and serving != self.number:
            self.say_stopping("a newer configuration has come before it was ready")
            self.disclaim()
            self.policy.superseded(now)  # those that were ready have taken requests all the same

    def is_to_take_over(self) -> bool:
        """Even when a newer supervisor has come, as its code may not load; when nobody else serves, also with fewer workers."""
        is_last = self.superseded_at is not None and self.predecessor is None
        return self.policy.can_take_over or (is_last and self.policy.counted(State.SERVING, State.RETIRING) > 0)

    def write_board(self) -> None:
        if self.policy.predecessor_broken is not None or self.board.get("serving") > self.number:
            if self.policy.on_hold:
                self.board.put(stale=1)
            return
        serving = self.policy.counted(State.SERVING, State.RETIRING)
        if self.policy.failed:
            state = board.Shown.STOPPED if self.policy.halted else board.Shown.FAILED
            retry = max(1, round(self.policy.next_start - time.monotonic()))
        else:
            state, retry = board.Shown.SERVING if self.policy.ever_ready else board.Shown.STARTING, 0
        if self.policy.failed and not self.said_failed and not self.policy.halted:
            self.say(logs.ERROR, "WSGI0708", "no worker can be started; requests are answered with 503 until one can")
        self.said_failed = self.policy.failed
        self.board.put(state=state, retry_after=retry, ready_workers=serving, broken=self.policy.broken)
        if self.superseded_at is None:  # else the newer one knows whether its code loads
            self.board.put(stale=int(self.policy.stale))

    def stop(self, reason: str) -> None:
        """Drains within shutdown-timeout, whether or not it is draining already."""
        self.say_stopping(reason)
        self.disclaim()
        self.policy.stop(time.monotonic())

    def say_stopping(self, reason: str) -> None:
        if not self.policy.stopping:
            self.say(logs.INFO, "WSGI0709", f"stopping: {reason}")

    def disclaim(self) -> None:
        """Nothing of ours serves any more. A service must not run twice: it keeps the next one waiting to its end."""
        if self.config.threads:
            self.board.disclaim(self.number)

    def told_on_control(self) -> None:
        fds: list[int] = []
        try:
            data, fds, _, _ = socket.recv_fds(self.control, 4096, 4)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(self.control)  # the house tells what it means
        *lines, self.told_by_parent = (self.told_by_parent + data).split(b"\n")
        for line in lines:
            if line == b"superseded":
                self.superseded_at = time.monotonic()
                self.move_log(fds)
                self.keep()  # requests that wait for touched scripts keep Apache's old children from making room for new ones
            elif line == b"released":
                self.is_released = True
            elif line == b"stop":
                self.stop("Apache has stopped or restarted")

    def move_log(self, fds: list[int]) -> None:
        """To the newer generation's, since the old file may have been rotated away; this one may serve for long."""
        while fds:
            for worker in self.everybody().values():
                worker.send("log", fds[0])
            logs.move(fds.pop(0))

    # ---- the loop ----

    def look(self) -> None:
        serving = (State.SERVING, State.RETIRING)
        serving_now = {pid for pid, worker in self.policy.workers.items() if worker.state in serving}
        if self.superseded_at is None:  # else it is the newer one's affair
            self.orphanage.look(time.monotonic())
        self.overseer.look(self.everybody(), serving_now, self.board.get("watched"))
        for pid, worker in self.policy.workers.items():
            self.overseer.slots.show(pid, activity.SHOWN[worker.state])

    def carry_out(self) -> None:
        for action in self.policy.actions(time.monotonic()):
            match action:
                case policy.Start():
                    self.start_worker()
                case policy.Serve(number):
                    self.processes[number].send("serve")
                case policy.Drain(number, reason):
                    self.processes[number].send(f"drain {reason}")
                case policy.End(number, is_hurried):
                    limit = "were given up" if is_hurried else f"had {self.overseer.option('graceful-timeout')}"
                    self.say(logs.WARNING, "WSGI0717", f"the requests that worker {number} still has {limit}; it ends now")
                    self.processes[number].send("end")
                case policy.Kill(number, option, with_stacks):
                    limit = self.overseer.option(option)
                    doing = self.overseer.serving_text(number)
                    self.say(logs.WARNING, "WSGI0707", f"worker {number} is not done within {limit}{doing} and is killed")
                    os.kill(number, signal.SIGABRT if with_stacks else signal.SIGKILL)
                case policy.Keep():
                    self.touched.update(self.loading)
                    self.look_at = time.monotonic() + STALE_PAUSE
                    self.keep()
                    self.board.tell_news()

    def timeout(self) -> float | None:
        now = time.monotonic()
        times = [self.policy.wake_at()]
        if self.everybody() and self.config.threads:
            times.append(self.overseer.next_look)
        if self.superseded_at is None:
            times.append(self.orphanage.look_at)
        if self.policy.on_hold:
            times.append(self.look_at)
        if self.superseded_at is not None and not self.policy.stopping:
            # The newer one is mostly ready within a second; when its code is broken, this may go on for days.
            times.append(now + min(1.0, max(0.02, (now - self.superseded_at) / 20)))
        at = min((at for at in times if at is not None), default=None)
        return None if at is None or at == math.inf else max(0.0, at - now)

    def run(self) -> int:
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, *RELOAD_SIGNALS):
            signal.signal(number, lambda *_: None)
        self.selector.register(wake_read, selectors.EVENT_READ, "signal")
        self.selector.register(FD_LIFELINE, selectors.EVENT_READ, "lifeline")
        self.selector.register(FD_HOUSE, selectors.EVENT_READ, "house")
        self.selector.register(self.control, selectors.EVENT_READ, "control")
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
            case "lifeline":
                self.selector.unregister(FD_LIFELINE)
                self.lifeline_ended = True
            case "house":
                self.selector.unregister(FD_HOUSE)
                self.stop("Apache has gone")
            case "control":
                self.told_on_control()
            case "predecessor":
                self.predecessor_gone()
            case remote.Endpoint() as endpoint:
                endpoint.ready()
            case Process() as worker if key.fileobj == worker.pidfd:
                self.reap(worker)
            case Process() as worker if worker.control.fileno() >= 0:
                self.receive(worker)
        if self.is_released and self.lifeline_ended and not self.policy.stopping:
            self.stop("the configuration has no such group any more")

    def received(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGTERM:
                self.stop("it received SIGTERM")
            elif number in RELOAD_SIGNALS and self.superseded_at is None and not self.policy.stopping:
                self.reload(f"the supervisor received {signal.Signals(number).name}")

    def predecessor_gone(self) -> None:
        assert self.predecessor is not None
        self.selector.unregister(self.predecessor)
        os.close(self.predecessor)
        self.predecessor = None
        self.orphanage.look_again()
        self.find_predecessor()
        if self.predecessor is None:
            self.policy.predecessor_gone(time.monotonic())


def main() -> int:
    config = settings.read(FD_SETTINGS)
    logs.set_level(config.log_level)
    logs.settle()
    for fd in (FD_LISTEN, FD_LIFELINE, FD_BOARD, FD_CONTROL, FD_HOUSE, FD_ACTIVITY):
        os.set_inheritable(fd, False)
    try:
        return Supervisor(config, int(sys.argv[2])).run()
    except Exception as exc:
        logs.log(logs.ERROR, f"WSGI0710: group {config.group}: the supervisor failed: {exc!r}; Apache starts another one")
        return _boot.EXIT_FAILED
