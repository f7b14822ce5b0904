"""Looks after the requests of a supervisor's workers: reads what they are doing when a look is due,
and carries out what the watch decides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from httpd_wsgi.shared import activity, logs, reasons, records, settings, watch
from httpd_wsgi.shared.descriptors import FD_ACTIVITY, FD_LISTEN
from httpd_wsgi.supervisor.lifecycle import State

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

# Seconds after a look at the status page in which it is kept up to date with the source lines of
# requests that have been running for SHOW_AFTER seconds
WATCHED = 10.0
SHOW_AFTER = 0.5
SHOWN = {
    State.STARTING: activity.STARTING,
    State.SERVING: activity.SERVING,
    State.RETIRING: activity.SERVING,
    State.DRAINING: activity.DRAINING,
    State.ENDING: activity.DRAINING,
}
REASONS = {
    "cpu-time-limit": reasons.CPU_TIME_LIMIT,
    "memory-rss-limit": reasons.MEMORY_RSS_LIMIT,
    "inactivity-timeout": reasons.INACTIVITY_TIMEOUT,
}


class Host(Protocol):
    """What is done about workers whose requests need it."""

    def say(self, level: str, code: str, text: str) -> None: ...
    def retire(self, pid: int, reason: str) -> None: ...
    def give_up_requests(self, pid: int) -> None: ...
    def kill_with_stacks(self, pid: int) -> None: ...


class Commandable(Protocol):
    """A worker that receives orders."""

    def send(self, message: str, *fds: int) -> None: ...


class Overseer:
    def __init__(self, config: settings.GroupSettings, number: int, host: Host) -> None:
        self.config = config
        self.host = host
        self.slots = activity.Slots(FD_ACTIVITY, config.threads, number)
        # Of workers that a killed supervisor has left behind
        self.adopted: dict[int, activity.Slots] = {}
        request = config.request_timeout
        if config.request_timeout_scaling:
            request = watch.scaled(request, config.threads)
        self.watch = watch.Watch(
            watch.Limits(
                threads=config.threads,
                slow=config.slow_request,
                request=request,
                interrupt=config.interrupt_timeout,
                deadlock=config.deadlock_timeout,
                inactivity=config.inactivity_timeout,
                cpu=config.cpu_time_limit,
                resident=config.memory_rss_limit,
            ),
            lambda: activity.queue_length(FD_LISTEN),
        )
        self.next_look = 0.0

    def adopt(self, pid: int, slots: activity.Slots) -> None:
        """Looks after a worker that a killed supervisor has left behind, too."""
        self.adopted[pid] = slots
        self.next_look = 0.0

    def abandon(self, pid: int) -> None:
        self.adopted.pop(pid, None)

    def answered(self, pid: int) -> None:
        self.watch.answered(pid)

    def option(self, name: str) -> str:
        """Returns an option with its value and the place where it is set."""
        value = getattr(self.config, name.replace("-", "_"))
        return (
            f"{name}={value:g} ({self.config.where})"
            if isinstance(value, float)
            else f"{name}={value} ({self.config.where})"
        )

    def slow_option(self) -> str:
        return self.config.slow_request_set or self.option("slow-request")

    def slots_of(self, pid: int) -> activity.Slots:
        return self.adopted.get(pid, self.slots)

    def serving_text(self, pid: int) -> str:
        """Returns what a worker is doing, for the message about its end."""
        now = time.monotonic()
        requests = sorted(self.slots_of(pid).seen(pid).running, key=lambda request: request.start)
        if not requests:
            return ""
        named = ", ".join(f"{request.what} ({request.age(now):.1f} s)" for request in requests[:3])
        more = f" and {len(requests) - 3} more" if len(requests) > 3 else ""
        return f" while serving {named}{more}"

    def look(self, processes: Mapping[int, Commandable], serving: set[int], watched: float) -> None:
        """serving: workers that are neither starting nor draining. watched: when somebody last looked
        at the status page.
        """
        now = time.monotonic()
        if now < self.next_look or not self.config.threads:
            return
        workers = [self.seen(pid, pid in serving) for pid in processes]
        for action in self.watch.look(now, workers):
            self.act(action, processes, now)
        if watched > now - WATCHED:
            for request in (
                request
                for seen in workers
                for request in seen.running
                if request.age(now) >= SHOW_AFTER
            ):
                processes[request.worker].send(f"source_line {request.thread} {request.serial} ")
        self.next_look = self.watch.next_look(now, workers)

    def seen(self, pid: int, is_serving: bool) -> activity.Seen:
        limits = self.watch.limits
        return records.replace(
            self.slots_of(pid).seen(pid),
            is_serving=is_serving,
            cpu=activity.cpu_seconds(pid) if limits.cpu else 0.0,
            resident=activity.resident_bytes(pid) if limits.resident else 0,
        )

    def act(self, action: watch.Action, processes: Mapping[int, Commandable], now: float) -> None:
        match action:
            case watch.Slow(request):
                text = f"has been running for {request.age(now):.1f} s ({request.phases(now)}); {self.slow_option()}"
                self.send(processes, "slow", request, f"WSGI0720: {self.describe(request)} {text}")
            case watch.Interrupt(request):
                text = f"({request.phases(now)}) is over {self.option('request-timeout')} and is interrupted"
                self.send(
                    processes, "interrupt", request, f"WSGI0721: {self.describe(request)} {text}"
                )
            case watch.Expire(request):
                limits = self.option("request-timeout")
                if self.config.interrupt_timeout > 0:
                    limits += f" and {self.option('interrupt-timeout')}"
                text = f"({request.phases(now)}) is over {limits}; its client is answered, the worker is replaced"
                self.send(
                    processes, "expire", request, f"WSGI0722: {self.describe(request)} {text}"
                )
                self.host.retire(request.worker, reasons.REQUEST_TIMEOUT)
            case watch.Retire(worker, option):
                self.host.say(
                    logs.NOTICE,
                    "WSGI0723",
                    f"worker {worker} has reached {self.option(option)} and is replaced",
                )
                self.host.retire(worker, REASONS[option])
            case watch.GiveUpRequests(worker):
                self.host.give_up_requests(worker)
            case watch.Ping(worker):
                processes[worker].send("ping")
            case watch.Deadlocked(worker):
                limit = self.option("deadlock-timeout")
                text = f"has run no Python code within {limit}{self.serving_text(worker)}; it is ended with its stacks"
                self.host.say(logs.ERROR, "WSGI0724", f"worker {worker} {text}")
                self.host.kill_with_stacks(worker)
            case watch.Busy(slowest, queue):
                waiting = "an unknown number" if queue is None else str(queue)
                text = f"the longest since {slowest.age(now):.1f} s: {slowest.what}; see threads= and request-timeout="
                self.host.say(
                    logs.WARNING,
                    "WSGI0725",
                    f"all threads are busy and requests wait ({waiting}); {text}",
                )

    def describe(self, request: activity.Running) -> str:
        return f"group {self.config.group}: {request.what} in thread {request.thread + 1} of worker {request.worker}"

    def send(
        self, processes: Mapping[int, Commandable], word: str, request: activity.Running, text: str
    ) -> None:
        line = text.replace("\n", " ").replace("\r", " ")
        processes[request.worker].send(f"{word} {request.thread} {request.serial} {line}")
