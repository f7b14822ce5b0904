"""What C and Python both know: a page of C prints sizes, offsets and numbers of src/wire, and they
are compared with src/httpd_wsgi/shared.
"""

from __future__ import annotations

import ast
import re
import struct
import subprocess
from pathlib import Path

import pytest
from pythons import REPOSITORY

from httpd_wsgi.interpreter import hooks
from httpd_wsgi.shared import activity, board, descriptors, reasons, wire

# Expressions of C, and what Python has for them.
NUMBERS = {
    "sizeof(wire_activity_worker)": wire.ACTIVITY_WORKER.size,
    "sizeof(wire_activity_thread)": wire.ACTIVITY_THREAD.size,
    "WIRE_ACTIVITY_SLOT(3)": activity.size_of_slot(3),
    "sizeof(wire_death)": wire.DEATH.size,
    "WIRE_DEATHS": wire.DEATHS,
    "offsetof(wire_board, death)": 4 * len(board.Board._FIELDS),
    "offsetof(wire_board, ends)": board.Board._ENDS,
    "WIRE_END_REASON_COUNT": len(reasons.ALL),
    "WIRE_BOARD_SIZE": wire.BOARD_SIZE,
    "WIRE_BOARD_BANKS": wire.BOARD_BANKS,
    "WIRE_CREDITS": wire.CREDITS,
    "sizeof(wire_credit)": 8 * 8,
    "WIRE_SHARED_SIZE - WIRE_CREDITS_AT - offsetof(wire_credits, by_worker)": 64 * wire.CREDITS,
    **{
        f"offsetof(wire_board, {field})": 4 * number
        for number, field in enumerate(
            "state retry_after_s ready_workers serving broken stale deaths watched_s news reserved".split()
        )
    },
    **{f"WIRE_BOARD_{state.name}": state.value for state in board.Shown},
    **{
        f"WIRE_{name}": getattr(descriptors, name)
        for name in vars(descriptors)
        if name.startswith("FD_") and name not in ("FD_SUPERVISOR", "FD_CRASH")
    },
    "WIRE_FD_END": descriptors.FD_CRASH,
    **{
        f"WIRE_{name}": getattr(wire, name)
        for name in ("CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")
    },
    **{
        f"WIRE_VERDICT_{name}": getattr(hooks, name)
        for name in ("YES", "NO", "UNKNOWN", "TEXT", "FAILED")
    },
    **{
        f"WIRE_WORKER_{name}": getattr(activity, name)
        for name in ("STARTING", "SERVING", "DRAINING")
    },
}
# Types of C, their fields, and the struct format that Python reads them with.
LAYOUTS = {
    "wire_activity_worker": ("pid nthreads state supervisor", wire.ACTIVITY_WORKER),
    "wire_activity_thread": (
        "serial phase queue_us start_us app_us head_us touched_us asked_us source_line_serial "
        "what_len what source_line_len handed_back source_line",
        wire.ACTIVITY_THREAD,
    ),
    "wire_death": ("asked_us pid status ran_ms reached", wire.DEATH),
}


def offsets(layout: struct.Struct) -> list[int]:
    """Where each value of a format without padding begins."""
    parts = re.findall(r"\d*[a-zA-Z]", layout.format.lstrip("="))
    single = [part for part in parts for _ in range(1 if part[-1] == "s" else int(part[:-1] or 1))]
    single = [part if part[-1] == "s" else part[-1] for part in single]
    return [struct.calcsize("=" + "".join(single[:number])) for number in range(len(single))]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The values of the expressions, as C has them."""
    directory = tmp_path_factory.mktemp("wire")
    expressions = [
        *NUMBERS,
        *(
            f"offsetof({kind}, {field})"
            for kind, (fields, _) in LAYOUTS.items()
            for field in fields.split()
        ),
    ]
    page = "#include <stddef.h>\n#include <stdio.h>\n"
    for header in ("activity", "contract", "credits", "frames", "group"):
        page += f'#include "wire/{header}.h"\n'
    lines = "".join(f'    printf("%lld\\n", (long long)({e}));\n' for e in expressions)
    (directory / "page.c").write_text(f"{page}int main(void)\n{{\n{lines}    return 0;\n}}\n")
    program = directory / "page"
    command = ["cc", "-std=gnu11", f"-I{REPOSITORY / 'src'}", directory / "page.c", "-o", program]
    subprocess.run(command, check=True)
    values = subprocess.check_output([program], text=True).split()
    return dict(zip(expressions, map(int, values), strict=True))


@pytest.mark.parametrize("expression", NUMBERS)
def test_a_number_is_the_same_in_both_worlds(printed: dict[str, int], expression: str) -> None:
    assert printed[expression] == NUMBERS[expression]


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_layout_is_the_same_in_both_worlds(printed: dict[str, int], kind: str) -> None:
    fields, layout = LAYOUTS[kind]
    assert [printed[f"offsetof({kind}, {field})"] for field in fields.split()] == offsets(layout)


def test_the_fields_of_the_board_have_their_names() -> None:
    header = (REPOSITORY / "src/wire/group.h").read_text()
    body = re.search(r"typedef struct wire_board \{(.*?)\} wire_board;", header, re.DOTALL)
    assert body
    fields = [name.removesuffix("_s") for name in re.findall(r"uint32_t (\w+);", body[1])]
    assert tuple(fields) == board.Board._FIELDS


def test_the_phases_of_a_request_are_in_the_same_order() -> None:
    source = (REPOSITORY / "src/runtime/metrics.c").read_text()
    found = re.search(r"enum phase \{([^}]*)\}", source)
    assert found
    assert (*re.findall(r"\w+", found[1].lower())[:-1],) == wire.PHASES


def test_no_level_of_the_log_stands_as_a_number() -> None:
    calls = re.compile(r"(?:_runtime\.log(?:_record)?|set_level|log_at)\(\d|_[A-Z]+ = \d.*APLOG")
    package = REPOSITORY / "src" / "httpd_wsgi"
    assert not [
        path.name for path in sorted(package.rglob("*.py")) if calls.search(path.read_text())
    ]


# Packages whose texts may end in the log
LOGGING = ("interpreter", "shared", "supervisor", "worker")


def docstring_of(node: ast.AST) -> ast.AST | None:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr):
        return node.body[0].value
    return None


def texts_of_python(path: Path) -> set[str]:
    """Strings, without docstrings and what something is only compared with."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    others = {docstring_of(node) for node in nodes}
    for node in nodes:
        others.update(node.comparators if isinstance(node, ast.Compare) else ())
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in others
    }


def texts_of_c(path: Path) -> set[str]:
    code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return set(re.findall(r'"(?:\\.|[^"\\\n])*"', code))


def test_texts_for_the_log_are_ascii() -> None:
    """httpd writes other characters as \\xe2\\x80\\xa6."""
    package = REPOSITORY / "src" / "httpd_wsgi"
    texts = {package / "_boot.py": texts_of_python(package / "_boot.py")}
    for room in LOGGING:
        texts.update((path, texts_of_python(path)) for path in (package / room).rglob("*.py"))
    for folder in ("apache", "src/runtime", "src/wire"):
        texts.update((path, texts_of_c(path)) for path in (REPOSITORY / folder).rglob("*.c"))
    del texts[REPOSITORY / "apache/status/status_html.c"]  # a page, not the log
    assert len(texts) > 100
    assert not [(path.name, text) for path in texts for text in texts[path] if not text.isascii()]
