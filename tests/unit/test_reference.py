"""docs/reference.py: the page is made of the tables, and what it cannot read is an error."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "reference.py"


@pytest.fixture
def reference(tmp_path: Path) -> ModuleType:
    """The module with tables and texts of its own: one directive, one obsolete one, one option."""
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    module.DOCS = tmp_path / "docs"
    module.APACHE = tmp_path
    for directory in ("directives", "options"):
        (module.DOCS / directory).mkdir(parents=True)
    (tmp_path / "directives.c").write_text(
        "const command_rec wsgi_commands[] = {\n"
        '    AP_INIT_TAKE1("WSGIThing", set, AT(x), CTX_S, /* why */ "a thing, "\n        "or \\"two\\""),\n'
        '    OBSOLETE("WSGIOld", ANY, "it is old"),\n    {NULL},\n};\n'
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "group.c").write_text(
        'static const option options[] = {\n    {"limit", OPT_SIZE, 1024, 16 * MIB, 64 * 1024, '
        "AT(x), SENT},\n    {NULL},\n};\n"
    )
    (module.DOCS / "directives" / "WSGIThing.md").write_text(
        "Syntax: `WSGIThing x`\nDefault: none\n\nWhat it does.\n"
    )
    (module.DOCS / "options" / "limit.md").write_text("What it limits.\n")
    return module


def test_the_page_has_what_tables_and_texts_say(reference: ModuleType) -> None:
    page = reference.render()
    for part in (
        '| [WSGIThing](#wsgithing) | a thing, or "two" |',
        "- Syntax: `WSGIThing x`\n- Default: none\n- Where: main server, virtual host\n\nWhat it does.",
        "- Value: size: bytes, or with `K`, `M` or `G` from `1K` to `16M`\n- Default: `64K`\n\nWhat it limits.",
        "| WSGIOld | it is old |",
    ):
        assert part in page


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("directives.c", "CTX_S", "CTX_NEW", "does not understand the row AP_INIT_TAKE1"),
        ("directives.c", "OBSOLETE(", "SOMETHING(", "does not understand the row SOMETHING"),
        ("directives.c", "OBSOLETE(", "#if ", "does not understand the table from here"),
        ("config/group.c", "OPT_SIZE", "OPT_NEW", "does not understand the row"),
        ("config/group.c", "MIB", "TIB", "is not a number"),
        ("docs/options/limit.md", "What", "Default: 3\n\nWhat", "expected no line of a head"),
        (
            "docs/directives/WSGIThing.md",
            "Syntax: `WSGIThing x`\n",
            "",
            "expected Default: … and Syntax: …",
        ),
    ],
)
def test_what_cannot_be_read_is_an_error(
    reference: ModuleType, file: str, old: str, new: str, said: str
) -> None:
    path = reference.APACHE / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(reference.TableError, match=said):
        reference.render()


def test_a_row_without_text_and_a_text_without_row_are_errors(reference: ModuleType) -> None:
    text = reference.DOCS / "options" / "limit.md"
    text.rename(text.with_name("limits.md"))
    with pytest.raises(reference.TableError, match=r"limits.md describes nothing"):
        reference.render()
    text.with_name("limits.md").unlink()
    with pytest.raises(reference.TableError, match=r"limit.md is missing"):
        reference.render()


def test_check_notices_a_page_that_is_not_up_to_date(
    reference: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    reference.TARGET = reference.DOCS / "directives.md"
    assert reference.main(["--check"]) == 1 and "not up to date" in capsys.readouterr().err
    assert reference.main([]) == 0 and reference.main(["--check"]) == 0
