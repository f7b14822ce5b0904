"""Which file may use which, as docs/architecture.md says it; and that page has a place for every
file.

Three worlds are looked at: `apache/`, `src/runtime` and `src/httpd_wsgi`. A world has layers,
listed from bottom to top. A file may use its own layer and those below it, and no files of a world
use each other in a circle. What uses what is computed from the sources: `#include` lines, functions
and variables that a C file takes from another one, and imports, wherever they stand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from pythons import REPOSITORY

SUFFIXES = (".c", ".h", ".py")

Layers = tuple[frozenset[str], ...]
Graph = Mapping[str, set[str]]


def layers(*names: str) -> Layers:
    """One string per layer, from bottom to top. Rooms of one layer do not use each other."""
    return tuple(frozenset(layer.split()) for layer in names)


# Folders of apache/; "face" are the files that httpd calls, beside the folders.
APACHE = layers("config", "groups", "request", "daemon embedded", "status", "check", "face")

# Packages of src/httpd_wsgi; "face" are the modules beside them, which Apache starts and
# applications import. The command is on top, as it starts processes in the same way as Apache.
PYTHON = layers("shared", "interpreter supervisor", "worker develop", "face", "command")

# src/runtime is flat: its rooms are lists of files.
RUNTIME = layers("core", "observe", "request", "worker", "module")
ROOMS = {
    "core": "core interp stream log_buffer fork usage title process",
    "observe": "observe events metrics slow notes scoreboard activity",
    "request": "request environ response headers input file_wrapper later script hook stale module_files",
    "worker": "worker serve queue socket connection credit",
    "module": "module embed",
}


# ---- graphs ----


def circle(graph: Graph) -> list[str]:
    """Files that use each other in a circle, the first one again at the end; empty when there is
    none.
    """
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return list(exc.args[1])
    return []


def upward(graph: Graph, room_of: Mapping[str, str], order: Layers) -> list[str]:
    """Uses of a higher layer, or of another room of the same layer."""
    floor = {room: number for number, layer in enumerate(order) for room in layer}
    return sorted(
        f"{user} ({room_of[user]}) uses {used} ({room_of[used]})"
        for user in graph
        for used in graph[user]
        if room_of[user] != room_of[used] and floor[room_of[user]] <= floor[room_of[used]]
    )


# ---- C ----

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
TEXT = re.compile(r'"(?:\\.|[^"\\\n])*"')
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
NAME = re.compile(r"\b(?:wsgi|rt)_\w+")
FUNCTION = re.compile(
    r"^(?!static|typedef|extern)[A-Za-z_][^;{}=#]*?\b((?:wsgi|rt)_\w+)\([^;{}]*\)\n\{", re.MULTILINE
)
VARIABLE = re.compile(
    r"^(?!static|typedef|extern|return)[A-Za-z_][\w \*]*?[ \*]((?:wsgi|rt)_\w+)(?:\[[^\]]*\])*(?: = |;)",
    re.MULTILINE,
)


def code_of(path: Path) -> str:
    return TEXT.sub('""', COMMENT.sub("", path.read_text()))


def definitions(sources: list[Path]) -> dict[str, Path]:
    return {
        name: path
        for path in sources
        for what in (FUNCTION, VARIABLE)
        for name in what.findall(code_of(path))
    }


def apache_graph() -> tuple[Graph, dict[str, str]]:
    """A .c file and its header are one thing."""
    top = REPOSITORY / "apache"
    sources = sorted(path for path in top.rglob("*.[ch]"))
    unit = {path: str(path.relative_to(top).with_suffix("")) for path in sources}
    defined = definitions([path for path in sources if path.suffix == ".c"])
    graph: dict[str, set[str]] = {name: set() for name in unit.values()}
    for path in sources:
        included = (top / name for name in INCLUDE.findall(path.read_text()))
        used = (
            {defined[name] for name in NAME.findall(code_of(path)) if name in defined}
            if path.suffix == ".c"
            else set()
        )
        graph[unit[path]] |= {unit[other] for other in [*included, *used] if other in unit} - {
            unit[path]
        }
    return graph, {name: name.rpartition("/")[0] or "face" for name in graph}


def runtime_graph() -> tuple[Graph, dict[str, str]]:
    """Headers serve whole rooms, so only what a .c file takes from another one counts between
    those.
    """
    top = REPOSITORY / "src" / "runtime"
    sources = sorted(top.glob("*.[ch]"))
    defined = definitions([path for path in sources if path.suffix == ".c"])
    graph: dict[str, set[str]] = {path.name: set() for path in sources}
    for path in sources:
        used = (
            {defined[name].name for name in NAME.findall(code_of(path)) if name in defined}
            if path.suffix == ".c"
            else set()
        )
        included = {name for name in INCLUDE.findall(path.read_text()) if name in graph}
        graph[path.name] |= (used | included) - {path.name}
    room_of = {name: room for room, files in ROOMS.items() for name in files.split()}
    return graph, {path.name: room_of[path.stem] for path in sources}


# ---- Python ----


def imported(tree: ast.Module) -> Iterator[str]:
    """Modules and, as it cannot be told here, names in modules: httpd_wsgi.shared.logs,
    httpd_wsgi.shared.logs.log.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def python_graph() -> tuple[Graph, dict[str, str]]:
    top = REPOSITORY / "src"
    modules = {
        ".".join(path.relative_to(top).with_suffix("").parts): path
        for path in top.rglob("*.py")
        if path.name != "__init__.py" and not {"demo", "django"} & set(path.parts)
    }
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for target in imported(ast.parse(path.read_text())):
            graph[name] |= {
                used for used in (target, target.rpartition(".")[0]) if used in modules
            } - {name}
    return graph, {
        name: parts[1] if len(parts := name.split(".")) > 2 else "face" for name in graph
    }


WORLDS = {
    "apache": (apache_graph, APACHE),
    "runtime": (runtime_graph, RUNTIME),
    "python": (python_graph, PYTHON),
}


@pytest.mark.parametrize("world", WORLDS)
def test_no_files_use_each_other_in_a_circle(world: str) -> None:
    graph, _ = WORLDS[world][0]()
    assert circle(graph) == []


@pytest.mark.parametrize("world", WORLDS)
def test_nothing_uses_a_layer_above_its_own(world: str) -> None:
    make, order = WORLDS[world]
    graph, room_of = make()
    assert upward(graph, room_of, order) == []


@pytest.mark.parametrize(("world", "least"), [("apache", 150), ("runtime", 60), ("python", 100)])
def test_the_graph_is_read_from_the_sources(world: str, least: int) -> None:
    """An empty graph has no circles either."""
    graph, _ = WORLDS[world][0]()
    assert sum(map(len, graph.values())) > least


def test_circles_and_upward_uses_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert set(circle(graph)) == {"a", "b", "c"}
    rooms = {"a": "low", "b": "low", "c": "high", "d": "beside"}
    assert upward(graph, rooms, layers("low", "high beside")) == ["b (low) uses c (high)"]
    assert upward({"c": {"d"}, "d": set()}, rooms, layers("low", "high beside")) == [
        "c (high) uses d (beside)"
    ]


# ---- the table of docs/architecture.md ----


def named() -> Iterator[str]:
    """Paths in the first column. Within a row the directory of one name holds for the next ones."""
    table = (
        (REPOSITORY / "docs" / "architecture.md")
        .read_text()
        .partition("## Files")[2]
        .partition("\n## ")[0]
    )
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        directory = ""
        for name in re.findall(r"`([^`]+)`", cell):
            path = (
                name if name.startswith(("apache/", "src/")) or not directory else directory + name
            )
            if "/" in name and not name.startswith(("apache/", "src/")):
                path = "src/httpd_wsgi/" + name
            directory = path.rpartition("/")[0] + "/"
            yield path


def sources() -> set[str]:
    files = [
        path
        for top in ("apache", "src")
        for path in (REPOSITORY / top).rglob("*")
        if path.suffix in SUFFIXES
    ]
    return {str(path.relative_to(REPOSITORY)) for path in files if path.name != "__init__.py"}


def is_told(source: str, told: set[str]) -> bool:
    """A header goes with its .c file, a directory stands for what is in it."""
    path = Path(source)
    return (
        source in told
        or str(path.with_suffix(".c")) in told
        or any(f"{parent}/" in told for parent in path.parents)
    )


def test_every_source_file_has_its_place_in_the_table() -> None:
    told = set(named())
    assert [source for source in sorted(sources()) if not is_told(source, told)] == []


def test_what_the_table_names_is_there() -> None:
    assert [name for name in named() if not (REPOSITORY / name).exists()] == []
