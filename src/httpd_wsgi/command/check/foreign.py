"""What our module cannot say, from the text of the configuration: another module in its place, and
directives of other modules.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

LOADED = re.compile(r"^\s*LoadModule\s+wsgi_module\s+(\"[^\"]+\"|\S+)", re.IGNORECASE)
# "    (80) /etc/apache2/mods-enabled/wsgi.load", and "  (*) " for the main file
INCLUDED = re.compile(r"^\s*\([\d*]+\) (/.+)$", re.MULTILINE)
VERSION = re.compile(rb"mod_wsgi/(\d+(?:\.\d+)+)")
LIMIT = 60  # seconds


@dataclass(frozen=True, slots=True)
class Loaded:
    where: str  # file and line of LoadModule
    path: str
    version: str  # of mod_wsgi, "" when it does not say so

    @property
    def name(self) -> str:
        return f"mod_wsgi {self.version}" if self.version else self.path


def files_of(httpd: list[str]) -> list[str]:
    """Returns the files of the configuration. httpd is the command and its -f."""
    try:
        done = subprocess.run(
            [*httpd, "-t", "-D", "DUMP_INCLUDES"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(INCLUDED.findall(done.stdout))


def find(httpd: list[str], pattern: re.Pattern[str]) -> tuple[str, re.Match[str]] | None:
    """Returns file and line of the first line that fits, and what fits."""
    for name in files_of(httpd):
        for number, line in enumerate(lines_of(Path(name)), 1):
            if match := pattern.match(line):
                return f"{name}:{number}", match
    return None


def loaded(httpd: list[str]) -> Loaded | None:
    """Returns what the first LoadModule of this name loads; httpd skips further ones."""
    found = find(httpd, LOADED)
    if not found:
        return None
    where, match = found
    path = match[1].strip('"')
    return Loaded(where, path, version_of(path))


def request_variable(httpd: list[str], name: str) -> str:
    """Returns where SetEnv or PassEnv sets this variable, or ""."""
    pattern = re.compile(rf"^\s*(SetEnv|PassEnv)\s+\"?{re.escape(name)}\b", re.IGNORECASE)
    found = find(httpd, pattern)
    return found[0] if found else ""


def lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def version_of(path: str) -> str:
    try:
        match = VERSION.search(Path(path).read_bytes())
    except OSError:
        return ""
    return match[1].decode() if match else ""


def directives(module: Path) -> list[str]:
    """The names of our directives, as the module itself holds them."""
    try:
        found = re.findall(rb"(?<![\w%<])WSGI[A-Z][A-Za-z]+(?=\0)", module.read_bytes())
    except OSError:
        return []
    return sorted({name.decode() for name in found})
