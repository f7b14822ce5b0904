"""The layers of src/runtime as its headers tell them, and the assertions that builds with sanitizers evaluate."""

from __future__ import annotations

import re
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from pythons import REPOSITORY

RUNTIME = REPOSITORY / "src" / "runtime"
LAYERS = {  # from bottom to top; a file includes headers of its own layer and of those below it
    ("core.h", "usage.h"): "interp stream fork usage title process",
    ("observe.h",): "events metrics slow notes scoreboard activity",
    ("request.h",): "request environ response headers input file_wrapper later script hook stale",
    ("worker.h",): "serve socket connection credit",
    (): "module embed",
}
HEADERS = [*sorted(RUNTIME.glob("*.h")), *sorted((REPOSITORY / "src" / "wire").glob("*.h"))]
STRICT = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", f"-I{REPOSITORY / 'src'}")


def test_files_include_headers_of_their_own_layer_and_of_lower_ones_only() -> None:
    permitted: set[str] = set()
    wrong = []
    for headers, files in LAYERS.items():
        permitted.update(headers)
        for name in files.split():
            included = set(re.findall(r'^#include "([^"/]+)"', (RUNTIME / f"{name}.c").read_text(), re.MULTILINE))
            wrong += [f"{name}.c includes {header}" for header in sorted(included - permitted)]
    assert wrong == []


def test_every_file_of_the_runtime_has_a_layer() -> None:
    assert sorted(f"{name}.c" for files in LAYERS.values() for name in files.split()) == sorted(
        path.name for path in RUNTIME.glob("*.c")
    )


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_every_header_compiles_alone(header: Path) -> None:
    page = f'#include "{header.relative_to(REPOSITORY / "src")}"\n'
    python = f"-I{sysconfig.get_path('include')}"
    subprocess.run(["cc", *STRICT, python, "-fsyntax-only", "-x", "c", "-"], input=page, text=True, check=True)


@pytest.mark.parametrize(("options", "status"), [((), 0), (("-DWIRE_ASSERTS=1",), -signal.SIGABRT)])
def test_an_assertion_that_does_not_hold_aborts_only_where_assertions_are_evaluated(
    tmp_path: Path, options: tuple[str, ...], status: int
) -> None:
    (tmp_path / "page.c").write_text(
        '#include "wire/assert.h"\nint main(int argc, char **argv)\n{\n    WIRE_ASSERT(argc > 1 && argv);\n    return 0;\n}\n'
    )
    program = tmp_path / "page"
    subprocess.run(["cc", *STRICT, *options, str(tmp_path / "page.c"), "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert ("page.c:4: httpd-wsgi: assertion failed: argc > 1 && argv" in done.stderr) == (status != 0)
    assert subprocess.run([str(program), "holds"], check=False).returncode == 0
