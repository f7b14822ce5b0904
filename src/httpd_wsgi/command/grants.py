"""Sections of httpd.conf that let clients have files. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from httpd_wsgi.command import words


def granted(path: str | os.PathLike[str], *inside: str) -> Iterator[str]:
    yield f"<Directory {words.directory(path)}>"
    for line in (*inside, "Require all granted"):
        yield "    " + line
    yield "</Directory>"


def granted_file(path: str, requirements: Sequence[str], *inside: str) -> Iterator[str]:
    """Allows one file, and not the others of its directory."""
    directory, name = os.path.split(path)
    yield f"<Directory {words.directory(directory)}>"
    yield from ("    " + line for line in inside)
    yield f"    <Files {words.directory(name)}>"
    yield from ("        " + line for line in requirements)
    yield "    </Files>"
    yield "</Directory>"


def published(path: str | os.PathLike[str], *inside: str) -> Iterator[str]:
    """Allows the files of a directory, except hidden ones such as .git, .env and .htpasswd."""
    yield from granted(
        path, *inside, '<FilesMatch "^\\.">', "    Require all denied", "</FilesMatch>"
    )
    hidden = "^" + words.pattern(os.fspath(path).rstrip("/")) + r"/(.*/)?\.(?!well-known(/|$))"
    yield f"<DirectoryMatch {words.conf(hidden)}>"
    yield "    Require all denied"
    yield "</DirectoryMatch>"
