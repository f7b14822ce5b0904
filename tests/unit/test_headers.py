"""Headers that compile alone, and the assertions that builds with sanitizers evaluate."""

from __future__ import annotations

import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from pythons import REPOSITORY

HEADERS = [
    path
    for folder in ("runtime", "wire")
    for path in sorted((REPOSITORY / "src" / folder).glob("*.h"))
]
STRICT = (
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",
    f"-I{REPOSITORY / 'src'}",
)


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_every_header_compiles_alone(header: Path) -> None:
    page = f'#include "{header.relative_to(REPOSITORY / "src")}"\n'
    python = f"-I{sysconfig.get_path('include')}"
    subprocess.run(
        ["cc", *STRICT, python, "-fsyntax-only", "-x", "c", "-"], input=page, text=True, check=True
    )


@pytest.mark.parametrize(("options", "status"), [((), 0), (("-DWIRE_ASSERTS=1",), -signal.SIGABRT)])
def test_an_assertion_that_does_not_hold_aborts_only_where_assertions_are_evaluated(
    tmp_path: Path, options: tuple[str, ...], status: int
) -> None:
    (tmp_path / "page.c").write_text(
        '#include "wire/assert.h"\nint main(int argc, char **argv)\n{\n    WIRE_ASSERT(argc > 1 && '
        "argv);\n    return 0;\n}\n"
    )
    program = tmp_path / "page"
    subprocess.run(
        ["cc", *STRICT, *options, str(tmp_path / "page.c"), "-o", str(program)], check=True
    )
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert ("page.c:4: httpd-wsgi: assertion failed: argc > 1 && argv" in done.stderr) == (
        status != 0
    )
    assert subprocess.run([str(program), "holds"], check=False).returncode == 0
