"""Functions that Apache asks; query string, password or user say what they return."""

import base64
import json
import os
import re
import sys
from urllib.parse import unquote

RESULTS = {
    "True": True,
    "False": False,
    "None": None,
    "one": 1,
    "zero": 0,
    "empty": "",
    "empty-bytes": b"",
    "object": object(),
    "match": re.match("a", "a"),
    "control": "a\nb",
    "name": "renamed",
    "greek": "Ωmega",
    "bytes": b"renamed",
}
kept = []


def fail(how):
    if how == "raises":
        raise ValueError("boom")
    if how == "exits":
        sys.exit(3)
    if how == "dies":
        os._exit(9)
    if how == "hangs":
        import threading

        threading.Event().wait(3)


def describe(environ, **more):
    """A line for the log that survives the log's escaping."""
    shown = {k: v if isinstance(v, str | tuple) else type(v).__name__ for k, v in environ.items()}
    print("ENVIRON", base64.b64encode(json.dumps({**shown, **more}).encode()).decode())


def allow_access(environ, host):
    how = unquote(environ["QUERY_STRING"])
    fail(how)
    if how == "environ":
        describe(
            environ,
            host=host,
            https=environ["mod_ssl.is_https"](),
            cipher=environ["mod_ssl.var_lookup"](b"SSL_CIPHER"),
        )
        kept[:] = [environ]
    if how == "late":
        for use in (lambda: kept[0]["wsgi.errors"].write("x"), kept[0]["mod_ssl.is_https"]):
            try:
                use()
            except RuntimeError as exc:
                print("LATE", exc)
    if how == "errors":
        print("to errors", file=environ["wsgi.errors"])
        print("to stderr", file=sys.stderr)
        print("without newline", end="")
    return RESULTS.get(how, True)


def check_password(environ, user, password):
    """The right password is the user's name turned round; other passwords name a result."""
    fail(password)
    if password == "environ":
        describe(environ, user=user, password=password)
    if password == "same":
        return user
    if password == "decoded":
        return user.encode("latin-1").decode("utf-8")
    if password in RESULTS:
        return RESULTS[password]
    return password == user[::-1]


def get_realm_hash(environ, user, realm):
    import hashlib

    fail(user)
    digest = hashlib.md5(f"{user}:{realm}:secret".encode("latin-1")).hexdigest()
    return {"text": digest, "as-bytes": digest.encode(), "upper": digest.upper(), **RESULTS}[user]


def broken_groups():
    yield "staff"
    raise ValueError("no more groups")


def groups_for_user(environ, user):
    fail(user)
    if user == "environ":
        describe(environ, user=user)
    return {
        "environ": ["staff"],
        "anna": ["other", "STAFF"],
        "bytes": [b"staff"],
        "tuple": ("staff",),
        "set": {"staff"},
        "iterator": iter(["staff"]),
        "letters": "staff",
        "nobody": [],
        "stranger": ["strangers"],
        "None": None,
        "number": 5,
        "item": ["staff", 5],
        "greek": ["Größe", "Ωmega"],
        "midway": broken_groups(),
        "renamed": ["staff"],
    }.get(user, [])
