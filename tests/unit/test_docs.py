"""The documentation: what `make docs` does not look at."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

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
