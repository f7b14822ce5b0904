"""Findings about each group's Python, and about the applications that it loads."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpd_wsgi
from httpd_wsgi import _boot
from httpd_wsgi.command.check.findings import ERROR, Finding, applications

BOOT = str(Path(httpd_wsgi.__path__[0]) / "_boot.py")
LIMIT = 60
NO_GROUP = 2**32 - 1  # httpd's default without a Group directive is "#-1"


def as_user(group: dict[str, Any]) -> dict[str, Any]:
    """Returns arguments for subprocess.run() to run as the group's user. Only root can do that."""
    if os.geteuid() != 0 or group["uid"] == 0:
        return {}
    try:
        user = pwd.getpwuid(group["uid"])
    except KeyError:
        return {
            "user": group["uid"],
            "group": group["gid"] if group["gid"] != NO_GROUP else group["uid"],
            "extra_groups": [],
        }
    gid = group["gid"] if group["gid"] != NO_GROUP else user.pw_gid
    return {"user": group["uid"], "group": gid, "extra_groups": os.getgrouplist(user.pw_name, gid)}


def run_python(
    group: dict[str, Any], *arguments: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [group["python"], "-B", BOOT, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        cwd="/",
        timeout=LIMIT,
        check=False,
        **as_user(group),
        **options,
    )


def of_python(group: dict[str, Any]) -> Iterator[Finding]:
    """Does the group's Python start as the group's user, and does it have a runtime?"""
    name = f"daemon group {group['name']}: {group['python']}"
    try:
        done = run_python(group, "probe")
    except FileNotFoundError:
        yield Finding(
            ERROR,
            f"{name} does not exist",
            f"python3 -m venv {Path(group['python']).parent.parent}",
            group["where"],
        )
        return
    except (OSError, subprocess.TimeoutExpired) as exc:
        cure = "give that user access, or use a Python that is installed elsewhere (python-home=)"
        yield Finding(
            ERROR, f"{name} cannot be run by user {group['user']}: {exc}", cure, group["where"]
        )
        return
    if done.returncode == 78:
        yield Finding(
            ERROR,
            f"{name} has no runtime of httpd-wsgi",
            _boot.install_command(group["python"]),
            group["where"],
        )
    elif done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        yield Finding(
            ERROR,
            f"{name} fails: {last}",
            f"{group['python']} -c pass shows it",
            group["where"],
            detail=done.stderr,
        )


# ---- imports ----


def of_import(dump: dict[str, Any]) -> Iterator[Finding]:
    """Loads each application as its group's user in its group's Python."""
    groups = {group["name"]: group for group in dump["groups"]}
    httpd = dump["httpd"]
    embedded = {
        "name": "",
        "python": dump["python"],
        "uid": httpd["uid"],
        "gid": httpd["gid"],
        "user": httpd["user"],
        "where": "",
        "env": [],
    }
    for name, script, callable_name, where in applications(dump):
        group = groups.get(name, embedded if not name else None)
        if group is not None:
            yield from of_one_import(
                {"home": None, "python_path": None, **group}, script, callable_name, where
            )


def of_one_import(
    group: dict[str, Any], script: str, callable_name: str, where: str
) -> Iterator[Finding]:
    environment = {**os.environ, **dict(assignment.split("=", 1) for assignment in group["env"])}
    arguments = ("tryout", script, callable_name, group["python_path"] or "", group["home"] or "")
    who = f"as user {group['user']} with {group['python']}"
    try:
        done = run_python(group, *arguments, env=environment)
    except (OSError, subprocess.TimeoutExpired) as exc:
        yield Finding(
            ERROR,
            f"{script} could not be loaded {who}: {exc}",
            "see the findings about this group",
            where,
        )
        return
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        cure = "correct it; --json has its traceback"
        yield Finding(
            ERROR, f"{script} cannot be loaded {who}: {last}", cure, where, detail=done.stderr
        )
