"""A supervisor's ear for `httpd-wsgi status|reload|stop|stacks`: a socket that only root and the
group's user may use.

It has an abstract name (unix(7)): nothing is left on disk, chroot= and directory permissions do not
matter. Who may use it is decided by SO_PEERCRED. The name ends in random characters, so nobody can
take it before; the client finds it in /proc/net/unix. One message asks, each message in return is a
JSON object; the end of the connection is the end of the answer.
"""

from __future__ import annotations

import os
import socket
import time

from httpd_wsgi.shared import activity, logs
from httpd_wsgi.shared.descriptors import FD_LISTEN
from httpd_wsgi.shared.peers import peer_of, supervisor_name
from httpd_wsgi.supervisor.endpoint import Endpoint

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from selectors import DefaultSelector
    from typing import Any, Protocol

    from httpd_wsgi.shared.settings import GroupSettings
    from httpd_wsgi.supervisor.overseer import Commandable, Overseer
    from httpd_wsgi.supervisor.policy import Policy
    from httpd_wsgi.supervisor.turns import Turn

    class Host(Protocol):
        """What the supervisor has for those who control it."""

        config: GroupSettings
        number: int
        selector: DefaultSelector
        turn: Turn
        policy: Policy
        overseer: Overseer

        def say(self, level: str, code: str, text: str) -> None: ...
        def reload(self, why: str) -> None: ...
        def halt(self, why: str) -> None: ...
        def everybody(self) -> dict[int, Commandable]: ...


MESSAGE_LIMIT = 4096
REFUSED_LIMIT = 8
REFUSED_PAUSE = 60.0
MOST_REQUESTS = 20  # of each worker, the longest first: an answer is one message


class Remote(Endpoint):
    """The listening socket."""

    def __init__(self, supervisor: Host) -> None:
        self.supervisor = supervisor
        self.refused: set[Client] = set()  # connections of those who may not, still open
        self.refusal_said = -REFUSED_PAUSE
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        try:
            self.socket.bind("\0" + supervisor_name(supervisor.config.group, os.getpid()))
            self.socket.listen(8)
        except OSError as exc:
            supervisor.say(
                logs.WARNING,
                "WSGI0850",
                f"no control socket: {exc}; httpd-wsgi status and its like cannot reach the group",
            )
            return
        supervisor.selector.register(self.socket, 1, self)

    def ready(self) -> None:
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return
        pid, uid = peer_of(connection)
        if uid not in (0, os.getuid()):
            if len(self.refused) >= REFUSED_LIMIT:
                connection.close()
                return
            self.say_refused(pid, uid)
        connection.setblocking(False)
        self.supervisor.selector.register(connection, 1, Client(self, connection, uid))

    def say_refused(self, pid: int, uid: int) -> None:
        """Not so often that any user of the machine could fill the log."""
        if (now := time.monotonic()) < self.refusal_said + REFUSED_PAUSE:
            return
        self.refusal_said = now
        self.supervisor.say(
            logs.NOTICE,
            "WSGI0851",
            f"user {uid} (process {pid}) may not control this group; only root and uid {os.getuid()} may "
            f"(said every {REFUSED_PAUSE:.0f} s at most)",
        )


class Client(Endpoint):
    """One question."""

    def __init__(self, remote: Remote, connection: socket.socket, uid: int) -> None:
        self.remote = remote
        self.supervisor = remote.supervisor
        self.connection = connection
        self.uid = uid
        self.may = uid in (0, os.getuid())
        if not self.may:
            remote.refused.add(self)

    def ready(self) -> None:
        try:
            command = self.connection.recv(MESSAGE_LIMIT).decode("ascii", "replace")
        except OSError:
            command = ""
        self.supervisor.selector.unregister(self.connection)
        self.remote.refused.discard(self)
        answers = {
            "status": self.status,
            "reload": self.reload,
            "stop": self.stop,
            "stacks": self.stacks,
        }
        # Told only now: closing with the question unread would make its answer unreadable
        if not self.may:
            self.answer({"error": f"only root and uid {os.getuid()} may control this group"})
        elif command in answers:
            self.answer({**self.who(), **answers[command]()})
        elif command:
            self.answer({"error": f"{command!r}: expected one of {', '.join(answers)}"})
        self.connection.close()

    def answer(self, message: dict[str, Any]) -> None:
        try:
            # Most supervisors are never asked anything, and it costs each of them 0.6 MiB
            import json

            self.connection.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)
        except OSError:
            pass  # it has not waited for the answer

    def who(self) -> dict[str, Any]:
        s = self.supervisor
        is_current = s.turn.superseded_at is None and not s.policy.stopping
        return {
            "group": s.config.group,
            "supervisor": os.getpid(),
            "parent": os.getppid(),
            "uid": os.getuid(),
            "current": is_current,
        }

    def status(self) -> dict[str, Any]:
        s, now = self.supervisor, time.monotonic()
        return {
            "where": s.config.where,
            "generation": s.number,
            "wanted": s.policy.limits.processes,
            "stale": s.policy.stale,
            "halted": s.policy.halted,
            "failed": s.policy.failed,
            "queued": activity.queue_length(FD_LISTEN),
            "workers": [
                {
                    "pid": worker.number,
                    "state": worker.state.value,
                    "seconds": round(now - worker.started, 1),
                    "reason": worker.reason,
                    "broken": worker.broken,
                    "old_code": worker.kept,
                    **self.work_of(worker.number, now),
                }
                for worker in s.policy.workers.values()
            ],
        }

    def work_of(self, pid: int, now: float) -> dict[str, Any]:
        seen = self.supervisor.overseer.slots.seen(pid)
        longest = sorted(seen.running, key=lambda item: item.start)[:MOST_REQUESTS]
        return {
            "begun": seen.begun,
            "resident_bytes": activity.resident_bytes(pid),
            "cpu_seconds": round(activity.cpu_seconds(pid), 1),
            "requests": [
                {"what": item.what, "seconds": round(item.age(now), 1), "thread": item.thread}
                for item in longest
            ],
        }

    def reload(self) -> dict[str, Any]:
        if self.who()["current"]:
            self.supervisor.reload(f"uid {self.uid} asked for it with httpd-wsgi reload")
        return {}

    def stop(self) -> dict[str, Any]:
        if self.who()["current"]:
            self.supervisor.halt(f"uid {self.uid} asked for it with httpd-wsgi stop")
        return {}

    def stacks(self) -> dict[str, Any]:
        """The workers answer by themselves; each gets this connection."""
        workers = self.supervisor.everybody()
        for worker in workers.values():
            worker.send("stacks", self.connection.fileno())
        return {"workers": list(workers)}
