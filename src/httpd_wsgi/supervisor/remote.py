"""The socket on which a supervisor answers `httpd-wsgi status|reload|stop|stacks`. Only root and the
group's user may use it.

It has an abstract name (unix(7)): nothing is left on disk, chroot= and directory permissions do not
matter. SO_PEERCRED decides whether a client may use it. The name ends in random characters, so nobody can
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
    from typing import Any, Protocol

    from httpd_wsgi.supervisor.group import Group
    from httpd_wsgi.supervisor.overseer import Commandable, Overseer
    from httpd_wsgi.supervisor.policy import Policy

    class Code(Protocol):
        def reload(self, why: str) -> None: ...

    class Generations(Protocol):
        @property
        def is_superseded(self) -> bool: ...
        def halt(self, why: str) -> None: ...

    class Workers(Protocol):
        overseer: Overseer

        def everybody(self) -> dict[int, Commandable]: ...


MESSAGE_LIMIT = 4096
REFUSED_LIMIT = 8
REFUSED_PAUSE = 60.0
MOST_REQUESTS = 20  # of each worker, the longest first: an answer is one message


class Remote(Endpoint):
    """The listening socket."""

    def __init__(
        self,
        group: Group,
        policy: Policy,
        code: Code,
        generations: Generations,
        workers: Workers,
    ) -> None:
        self.group = group
        self.policy = policy
        self.code = code
        self.generations = generations
        self.workers = workers
        self.refused: set[Client] = set()  # open connections of users that are not allowed
        self.refusal_logged = -REFUSED_PAUSE
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        try:
            self.socket.bind("\0" + supervisor_name(group.config.group, os.getpid()))
            self.socket.listen(8)
        except OSError as exc:
            group.say(
                logs.WARNING,
                "WSGI0850",
                f"no control socket: {exc}; httpd-wsgi status and its like cannot reach the group",
            )
            return
        group.selector.register(self.socket, 1, self)

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
        self.group.selector.register(connection, 1, Client(self, connection, uid))

    def say_refused(self, pid: int, uid: int) -> None:
        """Logs a refusal, but rarely: else any user of the machine could fill the log."""
        if (now := time.monotonic()) < self.refusal_logged + REFUSED_PAUSE:
            return
        self.refusal_logged = now
        self.group.say(
            logs.NOTICE,
            "WSGI0851",
            f"user {uid} (process {pid}) may not control this group; only root and uid {os.getuid()} may "
            f"(said every {REFUSED_PAUSE:.0f} s at most)",
        )


class Client(Endpoint):
    """One question."""

    def __init__(self, remote: Remote, connection: socket.socket, uid: int) -> None:
        self.remote = remote
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
        self.remote.group.selector.unregister(self.connection)
        self.remote.refused.discard(self)
        answers = {
            "status": self.status,
            "reload": self.reload,
            "stop": self.stop,
            "stacks": self.stacks,
        }
        # Only now, since closing with the question unread would make the answer unreadable
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
            pass  # the client has not waited for the answer

    def who(self) -> dict[str, Any]:
        remote = self.remote
        return {
            "group": remote.group.config.group,
            "supervisor": os.getpid(),
            "parent": os.getppid(),
            "uid": os.getuid(),
            "current": not remote.generations.is_superseded and not remote.policy.stopping,
        }

    def status(self) -> dict[str, Any]:
        group, policy, now = self.remote.group, self.remote.policy, time.monotonic()
        return {
            "where": group.config.where,
            "generation": group.number,
            "wanted": policy.limits.processes,
            "stale": policy.stale,
            "halted": policy.halted,
            "failed": policy.failed,
            "queued": activity.queue_length(FD_LISTEN),
            "workers": [
                {
                    "pid": worker.number,
                    "state": worker.state.value,
                    "seconds": round(now - worker.started, 1),
                    "reason": worker.reason,
                    "broken": worker.broken,
                    "old_code": worker.has_older_code,
                    **self.work_of(worker.number, now),
                }
                for worker in policy.workers.values()
            ],
        }

    def work_of(self, pid: int, now: float) -> dict[str, Any]:
        seen = self.remote.workers.overseer.slots.seen(pid)
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
            self.remote.code.reload(f"uid {self.uid} asked for it with httpd-wsgi reload")
        return {}

    def stop(self) -> dict[str, Any]:
        if self.who()["current"]:
            self.remote.generations.halt(f"uid {self.uid} asked for it with httpd-wsgi stop")
        return {}

    def stacks(self) -> dict[str, Any]:
        """The workers answer by themselves; each gets this connection."""
        workers = self.remote.workers.everybody()
        for worker in workers.values():
            worker.send("stacks", self.connection.fileno())
        return {"workers": list(workers)}
