"""`httpd-wsgi status|reload|stop|stacks`: the client of supervisor/remote.py."""

from __future__ import annotations

import difflib
import json
import os
import pwd
import socket
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from httpd_wsgi.command import configured, words
from httpd_wsgi.command.errors import EXIT_CONTROL, CommandError
from httpd_wsgi.shared import peers, reasons

PATIENCE = 5.0  # seconds for an answer
START = 2.0  # seconds after which a supervisor that is being started listens
REASONS = {reasons.RELOAD: "reload"}  # the name that applications know; others ask for it, too
LISTENING = 0x10000  # __SO_ACCEPTCON in /proc/net/unix


def sockets(group: str = "", table: Path = Path("/proc/net/unix")) -> list[tuple[str, int]]:
    """Returns names of sockets that supervisors listen on, and the process numbers in the names. ""
    stands for all groups.
    """
    wanted = f"@{peers.PREFIX}" + (peers.word_of(group) + "/" if group else "")
    found = []
    for line in table.read_text(errors="replace").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7].startswith(wanted) and int(fields[3], 16) & LISTENING:
            pid = fields[7].split("/")[2]
            if pid.isdecimal():
                found.append((fields[7][1:], int(pid)))
    return sorted(found)


def printable(value: Any) -> Any:
    """Escapes text from another process, which could hold control sequences for the terminal."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c in "\n" else f"\\x{ord(c):02x}" for c in value)
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def ask(name: str, pid: int, command: str) -> Iterator[dict[str, Any]]:
    """Yields the messages of one supervisor and of its workers. The kernel confirms that the process
    is the one in the socket's name.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.connect("\0" + name)
            if peers.peer_of(connection)[0] != pid:
                return
            connection.send(command.encode())
            end = time.monotonic() + PATIENCE
            while data := connection.recv(1 << 20):
                message = json.loads(data)
                yield printable(message)
                if "error" in message:
                    return
                connection.settimeout(max(0.01, end - time.monotonic()))
        except TimeoutError:
            return
        except OSError as exc:
            yield {"error": f"process {pid} does not answer: {exc.strerror}"}


def answers(
    group: str, command: str, supervisors: Collection[int] = ()
) -> list[list[dict[str, Any]]]:
    """Returns the messages of every supervisor of the group, or of those given. Raises CommandError
    when there is none, or all of them refuse.
    """
    found = [(name, pid) for name, pid in sockets(group) if not supervisors or pid in supervisors]
    if not found:
        raise CommandError(nothing_runs(group), EXIT_CONTROL)
    collected = [list(ask(name, pid, command)) for name, pid in found]
    good = [messages for messages in collected if messages and "error" not in messages[0]]
    if not good:
        reasons = [messages[0]["error"] for messages in collected if messages]
        reason = reasons[0] if reasons else "the supervisor does not answer"
        raise CommandError(
            f"{f'group {group}' if group else 'daemon groups'}: {reason}", EXIT_CONTROL
        )
    return good


def nothing_runs(group: str) -> str:
    what = f"group {group}" if group else "any daemon group"
    if group and configured.groups(group):
        return f"{what}: no supervisor of it is running; the error log says why (WSGI0604)"
    names = {name.split("/")[1] for name, _ in sockets()}
    names |= {printable(known.name) for known in configured.groups()}
    near = difflib.get_close_matches(group, names, 1)
    listed = f"; there are {', '.join(sorted(names)[:10])}" if names else ""
    hint = f"; did you mean {near[0]}?" if near else listed
    return (
        f"{what}: no supervisor is running on this machine; is Apache started, and the name right? "
        f"When the group's Python cannot be started, the error log says why (WSGI0604){hint}"
    )


# ---- what to show ----


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def duration(seconds: float) -> str:
    for size, unit, smaller, factor in (
        (86400, "d", "h", 3600),
        (3600, "h", "min", 60),
        (60, "min", "s", 1),
    ):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // factor)} {smaller}"
    return f"{seconds:.1f} s"


def others(status: dict[str, Any]) -> str:
    """Describes workers in states other than serving: ", 1 of them until its successor does, 1 is
    starting".
    """
    states = [worker["state"] for worker in status["workers"]]
    retiring, starting = states.count("retiring"), states.count("starting")
    leaving = states.count("draining") + states.count("ending")
    parts = [
        f"{retiring} of them until {'its successor does' if retiring == 1 else 'their successors do'}"
        if retiring
        else "",
        f"{starting} {'is' if starting == 1 else 'are'} starting" if starting else "",
        f"{leaving} {'is' if leaving == 1 else 'are'} finishing" if leaving else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def status_lines(status: dict[str, Any]) -> Iterator[str]:
    serving = sum(worker["state"] in ("serving", "retiring") for worker in status["workers"])
    note = "" if status["current"] else ", being replaced by a newer supervisor"
    owner = f"Apache {status['parent']}"
    if status["supervisor"] is not None:
        owner = f"user {user_name(status['uid'])}, supervisor {status['supervisor']}, {owner}"
    wanted = words.count(status["wanted"], "worker")
    workers = f"{serving} of {wanted} {'serves' if serving == 1 else 'serve'}{others(status)}"
    yield f"{status['group']}: {workers} ({owner}, {status['where']}){note}"
    if status["supervisor"] is None:
        yield "  no supervisor of it answers, and requests get 503; the error log says why (WSGI0604)"
    elif status["halted"]:
        yield f"  stopped by hand; httpd-wsgi reload {status['group']} starts it"
    elif status["failed"]:
        yield "  no worker can be started; the error log says why"
    if status["queued"]:
        yield f"  requests that wait for a worker: {status['queued']}"
    if status["stale"]:
        yield "  stale: newer code could not be loaded, the old code serves on; the error log has the traceback"
    for worker in status["workers"]:
        reason = REASONS.get(worker["reason"], worker["reason"])
        extra = [text for text in (reason, "with old code" if worker["old_code"] else "") if text]
        if worker["broken"]:
            extra.append(f"{words.count(worker['broken'], 'script')} could not be loaded")
        memory = f"{worker['resident_bytes'] / 2**20:.0f} MB"
        processor = f"{duration(worker['cpu_seconds'])} of processor time"
        work = f"{words.count(worker['begun'], 'request')}, {memory}, {processor}"
        life = f"{worker['state']:<9} {duration(worker['seconds']):>12}"
        yield f"  worker {worker['pid']:<8} {life}  {'; '.join([work, *extra])}"
        for request in worker["requests"]:
            yield f"    {duration(request['seconds']):>10}  {request['what']}"


def without_supervisor(group: configured.Group) -> dict[str, Any]:
    """Returns a status like that of a supervisor, for a group that has none."""
    message: dict[str, Any] = {
        "group": group.name,
        "supervisor": None,
        "parent": group.parent,
        "uid": None,
        "current": True,
        "where": group.where,
        "generation": 0,
        "wanted": group.processes,
        "stale": False,
        "halted": False,
        "failed": True,
        "queued": 0,
        "workers": [],
    }
    return dict(printable(message))


def statuses(group: str) -> list[dict[str, Any]]:
    """Returns the status of each supervisor, and of groups that have none."""
    deadline = time.monotonic() + START
    while True:
        known, refusal = configured.groups(group), None
        try:
            found = [messages[0] for messages in answers(group, "status")]
        except CommandError as exc:
            found, refusal = [], exc
        answered = {(message["group"], message["parent"]) for message in found}
        down = [
            message
            for message in map(without_supervisor, known)
            if (message["group"], message["parent"]) not in answered
        ]
        if refusal and not down:
            raise refusal
        if not down or time.monotonic() > deadline:
            return found + down
        time.sleep(0.1)


def status(group: str, is_json: bool) -> int:
    found = statuses(group)
    found.sort(key=lambda message: (message["group"], message["parent"], message["generation"]))
    if is_json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.writelines(line + "\n" for message in found for line in status_lines(message))
    return EXIT_CONTROL if any(message["failed"] and message["current"] for message in found) else 0


def supervisors_of(group: str, apache: int | None) -> list[int]:
    """Returns the supervisors of one Apache. Raises CommandError when several Apaches have a group of
    this name and none was chosen.
    """
    found = [messages[0] for messages in answers(group, "status")]
    places = {message["parent"]: message["where"] for message in found}
    if apache is None and len(places) > 1:
        listed = ", ".join(f"{parent} ({where})" for parent, where in sorted(places.items()))
        raise CommandError(
            f"group {group}: {len(places)} Apaches have one of this name: {listed}; choose with --apache PID"
        )
    if apache is not None and apache not in places:
        known = ", ".join(map(str, sorted(places)))
        raise CommandError(
            f"--apache {apache}: expected one of {known}, which have the group {group}"
        )
    return [message["supervisor"] for message in found if apache in (None, message["parent"])]


def order(group: str, command: str, done: str, apache: int | None) -> int:
    """Sends an order (reload, stop) to current supervisors. Supervisors that are being replaced do
    not take orders.
    """
    asked = answers(group, command, supervisors_of(group, apache))
    taken = [messages[0] for messages in asked if messages[0]["current"]]
    if not taken:
        raise CommandError(
            f"group {group}: its supervisor is just being replaced; try again", EXIT_CONTROL
        )
    for message in taken:
        print(f"{message['group']}: {done}")
    return 0


def stacks(group: str, is_json: bool) -> int:
    found: dict[int, str] = {}
    apaches: dict[int, int] = {}  # of each worker
    for messages in answers(group, "stacks"):
        for message in messages:  # workers may be faster than their supervisor
            found.update({pid: found.get(pid, "") for pid in message.get("workers", ())})
            apaches.update({pid: message["parent"] for pid in message.get("workers", ())})
            found.update({message["worker"]: message["stacks"]} if "worker" in message else {})
    if is_json:
        json.dump(
            [{"worker": pid, "stacks": text or None} for pid, text in found.items()],
            sys.stdout,
            indent=2,
        )
        sys.stdout.write("\n")
        return 0
    for pid, text in found.items():
        silent = f"does not answer within {PATIENCE:.0f} s: it is loading, or stuck; try py-spy dump -p {pid}"
        several = len(set(apaches.values())) > 1 and pid in apaches
        of_apache = f" of Apache {apaches[pid]}" if several else ""
        print(f"worker {pid}{of_apache}" + (f"\n{text}\n" if text else f" {silent}"))
    return 0


def run(command: str, group: str, is_json: bool, apache: int | None) -> int:
    if not os.path.exists("/proc/net/unix"):
        raise CommandError(
            "/proc/net/unix: cannot be read, so supervisors cannot be found; is /proc mounted?",
            EXIT_CONTROL,
        )
    if command == "status":
        return status(group, is_json)
    if command == "stacks":
        return stacks(group, is_json)
    if command == "reload":
        where = (
            "httpd-wsgi status says when they serve, the error log what is wrong when they do not"
        )
        return order(group, command, f"its code is loaded in new workers; {where}", apache)
    return order(
        group,
        command,
        "its workers finish their requests and end; others get 503 until it is reloaded",
        apache,
    )
