"""The man page: what docs/manpage.py makes of the parser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "manpage.py"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("man") / "httpd-wsgi.1"
    subprocess.run([sys.executable, "-B", PROGRAM, path], check=True)
    return path.read_text()


def test_each_command_with_options_has_one_section_that_is_named_after_it(page: str) -> None:
    sections = [line for line in page.splitlines() if line.startswith(".SH OPTIONS")]
    names = ("SERVE", "SETUP", "CHECK", "EXPLAIN", "STATUS", "RELOAD", "STOP", "STACKS", "EXPRESS")
    assert sections == [f".SH OPTIONS OF {name}" for name in names]


def test_options_can_be_pasted_from_it(page: str) -> None:
    assert (
        "\\fB\\-w\\fR, \\fB\\-\\-processes\\fR, \\fB\\-\\-workers\\fR \\fIN\\fR" in page
        and "\n--" not in page
    )


def test_no_line_of_text_is_taken_for_a_request_of_roff(page: str) -> None:
    known = (".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".BR", ".br")
    assert [
        line
        for line in page.splitlines()
        if line.startswith((".", "'")) and not line.startswith(known)
    ] == []
