"""The documentation: what `make docs` does not look at."""

from __future__ import annotations

import importlib
import itertools
import re
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
GENERATED_FROM = {"directives", "options", "errors"}
PAGES = [
    path for path in (REPOSITORY / "docs").rglob("*.md") if path.parent.name not in GENERATED_FROM
]
LIST_ITEM = re.compile(r"(- |\d+\. )")


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_of_the_repositorys_own_pages_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]*)", (REPOSITORY / name).read_text())
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_list_has_an_empty_line_before_it(page: Path) -> None:
    """GitHub shows a list without one, MkDocs a paragraph."""
    lines = ["", *page.read_text().splitlines()]
    starts = [
        now
        for before, now in itertools.pairwise(lines)
        if LIST_ITEM.match(now)
        and before.strip()
        and not LIST_ITEM.match(before)
        and not before.startswith("  ")
    ]
    assert starts == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_complete_where_it_lies(page: Path) -> None:
    """On GitHub and in /usr/share/doc no program puts the examples in."""
    assert "--8<--" not in page.read_text()


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/examples.py with a page and a file of its own."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    module = importlib.import_module("examples")
    monkeypatch.setattr(module, "DOCS", tmp_path)
    monkeypatch.setattr(module, "EXAMPLES", tmp_path)
    (tmp_path / "shop.conf").write_text("one\ntwo\n")
    return module


def test_an_example_is_put_into_its_page_and_a_page_that_is_behind_is_an_error(
    examples: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "shop.md"
    page.write_text("See `conf/examples/shop.conf`:\n\n```apache\nold\n```\n\nMore.\n")
    assert (
        examples.main(["--check"]) == 1 and "shop.md is not up to date" in capsys.readouterr().err
    )
    assert examples.main([]) == 0 and examples.main(["--check"]) == 0
    assert page.read_text() == (
        "See `conf/examples/shop.conf`:\n\n```apache\none\ntwo\n```\n\nMore.\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("`conf/examples/none.conf`:\n\n```apache\n```\n", "conf/examples/none.conf is not there"),
        ("`conf/examples/shop.conf`:\n\nNo block.\n", "expected a code block after each name"),
    ],
)
def test_an_example_that_cannot_be_shown_is_an_error(
    examples: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "page.md").write_text(text)
    assert examples.main(["--check"]) == 1 and said in capsys.readouterr().err
