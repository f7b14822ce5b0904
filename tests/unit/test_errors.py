"""docs/errors.py: each code of the sources has its entry, and what cannot be read is an error."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "errors.py"
ENTRY = "### {}\nCause: It is\n  so.\nOutcome: None.\nAction: None.\n"
ONE = """\
ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "WSGI0201: %s has %" APR_SIZE_T_FMT " of "
             "<them>", a, b);
"""
TWO = """\
rt_log_exception(st, WIRE_WARNING, "WSGI0401", "close() raised");
rt_log_exception(st, WIRE_ERR, "WSGI0402", what);
"""
THREE = """\
'''Speaks of WSGI9999: no.'''
say(logs.INFO, "WSGI0701", f"worker {pid} ran")
logs.log(logs.ERROR, f"WSGI0702: {x}")
SEEN = {"WSGI9998", ("WSGI9997", 1)}
"""
SOURCES = {"apache/one.c": ONE, "src/runtime/two.c": TWO, "src/httpd_wsgi/three.py": THREE}


@pytest.fixture
def errors(tmp_path: Path) -> ModuleType:
    """The module with sources and texts of its own."""
    spec = importlib.util.spec_from_file_location("errors", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["errors"] = module
    spec.loader.exec_module(module)
    module.ROOT, module.DOCS, module.TARGET = (
        tmp_path,
        tmp_path / "docs",
        tmp_path / "docs" / "errors.md",
    )
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "docs" / "errors").mkdir(parents=True)
    told = ENTRY.replace("\n", "\nMessage: told here\n", 1)
    chapters = {
        "02": ENTRY.format("WSGI0201"),
        "04": ENTRY.format("WSGI0401") + told.format("WSGI0402"),
    }
    chapters["07"] = ENTRY.format("WSGI0701") + ENTRY.format("WSGI0702")
    for name, text in chapters.items():
        (tmp_path / "docs" / "errors" / f"{name}.md").write_text(
            f"# {name}xx\n\nOf these.\n\n{text}"
        )
    return module


def test_messages_are_found_in_c_and_python_with_their_levels(errors: ModuleType) -> None:
    found = {code: (places[0].text, places[0].level) for code, places in errors.messages().items()}
    assert found == {
        "WSGI0201": ("… has … of <them>", "error"),
        "WSGI0401": ("close() raised", "warn"),
        "WSGI0402": ("", "error"),
        "WSGI0701": ("worker … ran", "info"),
        "WSGI0702": ("…", "error"),
    }


def test_the_page_has_messages_and_texts(errors: ModuleType) -> None:
    page = errors.render()
    assert "## 02xx\n\nOf these.\n\n### WSGI0201\n\n> … has … of &lt;them&gt;\n" in page
    assert (
        "> told here\n\n- **Cause.** It is so.\n- **Outcome.** None.\n- **Action.** None.\n" in page
    )
    assert "- *Level warn, from `src/runtime/two.c`*" in page


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "docs/errors/07.md",
            ENTRY.format("WSGI0702"),
            "",
            r"no text for WSGI0702 \(src/httpd_wsgi/three.py\)",
        ),
        ("src/runtime/two.c", '"WSGI0401", "close() raised"', "0", "WSGI0401, which is nowhere"),
        (
            "docs/errors/04.md",
            "Outcome: None.\n",
            "",
            "expected one entry with Cause:, Outcome: and Action:",
        ),
        ("docs/errors/04.md", "Message: told here\n", "", "WSGI0402 needs a line Message:"),
        ("src/runtime/two.c", "WSGI0402", "WSGI0401", "WSGI0401 is used for different messages"),
        ("docs/errors/02.md", "# 02xx\n", "\n", "expected a title"),
    ],
)
def test_what_does_not_fit_together_is_an_error(
    errors: ModuleType, file: str, old: str, new: str, said: str
) -> None:
    path = errors.ROOT / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(errors.CatalogueError, match=said):
        errors.render()


def test_check_notices_a_page_that_is_not_up_to_date(
    errors: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert errors.main(["--check"]) == 1 and "not up to date" in capsys.readouterr().err
    assert errors.main([]) == 0 and errors.main(["--check"]) == 0
