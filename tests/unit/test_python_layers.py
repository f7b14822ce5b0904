"""Which folder of src/httpd_wsgi may import from which, and no circles between modules."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator

from pythons import REPOSITORY

SOURCE = REPOSITORY / "src"
# "" are the files beside the folders: what Apache starts and what applications import.
MAY_USE = {
    "shared": set[str](),
    "supervisor": {"shared"},
    "interpreter": {"shared"},
    "worker": {"shared", "interpreter"},
    "develop": {"shared", "interpreter"},
    "command": {"shared", ""},
    "django": {"command"},
    "demo": set[str](),
    "": {"shared", "supervisor", "interpreter", "worker"},
}


def modules() -> dict[str, ast.Module]:
    paths = [path for path in (SOURCE / "httpd_wsgi").rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts): ast.parse(path.read_text()) for path in paths}


def imported(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Also what is imported within functions, and for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)} & names
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & names


def folder_of(module: str) -> str:
    _, folder, *rest = module.split(".")
    return folder if rest else ""


TREES = modules()
ARROWS = {name: set(imported(tree, set(TREES))) for name, tree in TREES.items()}


def test_folders_use_what_is_below_them() -> None:
    arrows = [(name, used) for name, all_used in ARROWS.items() for used in all_used if folder_of(name) != folder_of(used)]
    assert [pair for pair in arrows if folder_of(pair[1]) not in MAY_USE[folder_of(pair[0])]] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graphlib.TopologicalSorter(ARROWS).prepare()
