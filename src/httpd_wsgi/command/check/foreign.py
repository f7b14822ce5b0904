"""A configuration with another module of the name wsgi_module: where it is loaded, and which it is."""

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


def loaded(httpd: list[str]) -> Loaded | None:
    """httpd: the command and its -f. The last line wins in no case: httpd skips a second one."""
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
        return None
    for name in INCLUDED.findall(done.stdout):
        for number, line in enumerate(lines_of(Path(name)), 1):
            if match := LOADED.match(line):
                path = match[1].strip('"')
                return Loaded(f"{name}:{number}", path, version_of(path))
    return None


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
