"""Quoting for httpd.conf and systemd units, so that each value stays one word. Numbers as words of a
sentence.
"""

from __future__ import annotations

import os
import re
import shlex

from httpd_wsgi.command.errors import CommandError

DOLLAR = "HTTPD_WSGI_DOLLAR"  # a variable of the configuration that holds "$"


def conf(value: object) -> str:
    """A quoted word of httpd.conf. `${…}` is replaced by httpd wherever it stands, so the "$" comes
    from a variable itself.
    """
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise CommandError(
            f"{text!r}: a value with a line break cannot be written to an Apache configuration"
        )
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", f"${{{DOLLAR}}}{{")
    return f'"{text}"'


def directory(path: str | os.PathLike[str]) -> str:
    """Returns an argument of <Directory> or <Files>. httpd takes it literally unless it has wildcards."""
    text = os.fspath(path)
    if re.search(r"[*?]|\[.*\]", text):
        text = re.sub(r"([*?\[])", r"[\1]", text.replace("\\", "\\\\"))
    return conf(text)


def pattern(text: str) -> str:
    """Returns a literal for a regular expression of httpd. It is not quoted."""
    return re.sub(r"([^\w\-/])", r"\\\1", text)


def rewrite(pattern: str) -> str:
    """A quoted word of mod_rewrite, which takes backslashes as they are. What is literal in it went
    through pattern().
    """
    return f'"{pattern}"'


def shell(value: object) -> str:
    return shlex.quote(str(value))


def unit(value: object) -> str:
    """A quoted word of an Exec… line of a systemd unit."""
    text = (
        str(value).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    )
    return f'"{text}"' if re.search(r"[^\w@%+=:,./-]", str(value)) or not text else text


def count(number: int, noun: str) -> str:
    """ "1 worker", "2 workers"."""
    return (
        f"{number} {noun}"
        if number == 1
        else f"{number} {noun}{'es' if noun.endswith('s') else 's'}"
    )
