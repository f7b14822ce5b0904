"""Pages of this directory that programs write: without arguments they do, with --check they fail
when the page is not what would be written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


class SourceError(Exception):
    """What the page is made of is not as it must be."""


def write(program: str, target: Path, render: Callable[[], str], args: list[str]) -> int:
    """The exit status. args are those of the program."""
    try:
        page = render()
    except SourceError as exc:
        print(f"{program}: {exc}", file=sys.stderr)
        return 1
    if args != ["--check"]:
        target.write_text(page)
    elif not target.exists() or target.read_text() != page:
        print(
            f"{program}: {target.parent.name}/{target.name} is not up to date; run {program}",
            file=sys.stderr,
        )
        return 1
    return 0
