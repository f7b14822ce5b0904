"""Sections of httpd.conf that let clients have files. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator

from httpd_wsgi.command import words


def granted(path: str | os.PathLike[str], *inside: str) -> Iterator[str]:
    yield f"<Directory {words.directory(path)}>"
    for line in (*inside, "Require all granted"):
        yield "    " + line
    yield "</Directory>"


def granted_file(path: str, requirement: str, *inside: str) -> Iterator[str]:
    """One file and not what lies beside it."""
    directory, name = os.path.split(path)
    yield f"<Directory {words.directory(directory)}>"
    yield from ("    " + line for line in inside)
    yield f"    <Files {words.directory(name)}>"
    yield f"        {requirement}"
    yield "    </Files>"
    yield "</Directory>"


def published(path: str | os.PathLike[str], *inside: str) -> Iterator[str]:
    """Files that clients may have, but for .git, .env, .htpasswd and their kind."""
    yield from granted(
        path, *inside, '<FilesMatch "^\\.">', "    Require all denied", "</FilesMatch>"
    )
    hidden = "^" + words.pattern(os.fspath(path).rstrip("/")) + r"/(.*/)?\.(?!well-known(/|$))"
    yield f"<DirectoryMatch {words.conf(hidden)}>"
    yield "    Require all denied"
    yield "</DirectoryMatch>"
