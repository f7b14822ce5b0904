"""docs/architecture.md has a place for every source file, and no place for one that is not there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from pythons import REPOSITORY

SUFFIXES = (".c", ".h", ".py")


def named() -> Iterator[str]:
    """Paths in the first column. Within a row the directory of one name holds for the next ones."""
    table = (REPOSITORY / "docs" / "architecture.md").read_text().partition("## Files")[2].partition("\n## ")[0]
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        directory = ""
        for name in re.findall(r"`([^`]+)`", cell):
            path = name if name.startswith(("apache/", "src/")) or not directory else directory + name
            if "/" in name and not name.startswith(("apache/", "src/")):
                path = "src/httpd_wsgi/" + name
            directory = path.rpartition("/")[0] + "/"
            yield path


def sources() -> set[str]:
    files = [path for top in ("apache", "src") for path in (REPOSITORY / top).rglob("*") if path.suffix in SUFFIXES]
    return {str(path.relative_to(REPOSITORY)) for path in files if path.name != "__init__.py"}


def is_told(source: str, told: set[str]) -> bool:
    """A header goes with its .c file, a directory stands for what is in it."""
    path = Path(source)
    return source in told or str(path.with_suffix(".c")) in told or any(f"{parent}/" in told for parent in path.parents)


def test_every_source_file_has_its_place_in_the_table() -> None:
    told = set(named())
    assert [source for source in sorted(sources()) if not is_told(source, told)] == []


def test_what_the_table_names_is_there() -> None:
    assert [name for name in named() if not (REPOSITORY / name).exists()] == []


# Of apache/, from bottom to top; "" is apache/ itself.
FOLDERS = [("config",), ("groups",), ("request",), ("daemon", "embedded"), ("status",), ("check",), ("",)]
INCLUDE = re.compile(r'^#include "((?:(\w+)/)?\w+)\.h"', re.MULTILINE)


def test_no_include_in_apache_goes_up() -> None:
    floor = {folder: number for number, folders in enumerate(FOLDERS) for folder in folders}
    for path in (REPOSITORY / "apache").rglob("*.[ch]"):
        own = path.parent.name if path.parent.name in floor else ""
        for _, folder in INCLUDE.findall(path.read_text()):
            assert folder in (own, "wire") or floor[folder] < floor[own], f"{path} includes from {folder or 'apache'}/"


def test_no_includes_in_apache_go_in_a_circle() -> None:
    top = REPOSITORY / "apache"
    uses: defaultdict[str, set[str]] = defaultdict(set)
    for path in top.rglob("*.[ch]"):
        own = str(path.relative_to(top).with_suffix(""))
        uses[own] |= {name for name, _ in INCLUDE.findall(path.read_text())} - {own}
    TopologicalSorter(uses).prepare()
