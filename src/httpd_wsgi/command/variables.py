"""Variables of httpd.conf that mod_wsgi-express promises to files of --include-file."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from httpd_wsgi.command import machine
from httpd_wsgi.command.settings import Pairs, ServerSettings


def of_mod_wsgi(
    settings: ServerSettings, root: Path, home: str, who: machine.Account | None
) -> Pairs:
    """who is None when httpd keeps the user of the command."""
    bind = settings.binds[0]
    user = who.name if who else user_name(os.geteuid())
    group = group_name(who.gid if who else os.getegid())
    values = {
        "MODULES_DIRECTORY": machine.modules_directory(settings.modules_directory),
        "SERVER_ROOT": str(root),
        "WORKING_DIRECTORY": home,
        "LISTENER_HOST": bind.host or "*",
        "HTTP_PORT": str(bind.port),
        "HTTPS_PORT": str(settings.https_port or ""),
        "USER": user,
        "GROUP": group,
        "RUN_USER": user,
        "RUN_GROUP": group,
    }
    # httpd takes an empty variable for one that is not defined, and says so at each start
    return tuple((f"MOD_WSGI_{name}", value) for name, value in values.items() if value)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"#{gid}"
