"""Stands in for every access, authentication, group and dispatch script of the corpus."""

import hashlib


def allow_access(environ, host):
    return "HTTP_X_DENIED" not in environ and host == environ["REMOTE_ADDR"]


def check_password(environ, user, password):
    return password == "secret" if user in ("joe", "ann") else None


def get_realm_hash(environ, user, realm):
    return (
        hashlib.md5(f"{user}:{realm}:secret".encode()).hexdigest()
        if user in ("joe", "ann")
        else None
    )


def groups_for_user(environ, user):
    return ["editors"] if user == "ann" else ["readers"]


def process_group(environ):
    return {"two.example.com": "two"}.get(environ["HTTP_HOST"])


def application_group(environ):
    return "%{GLOBAL}"
