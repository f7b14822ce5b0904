"""Puts the files of conf/examples into the pages that show them, so that a page is complete where
it lies.

docs/examples.py          writes the pages
docs/examples.py --check  fails when a page does not show what the file holds

A page shows a file in the code block after a line that ends with its name: "`conf/examples/NAME`:".
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.append(str(DOCS))

import generated  # noqa: E402

EXAMPLES = DOCS.parent / "conf" / "examples"
NAMED = re.compile(r"`conf/examples/([^`]+)`:\n")
SHOWN = re.compile(
    r"(?P<head>`conf/examples/(?P<name>[^`]+)`:\n\n```\w+\n).*?(?P<end>^```$)", re.DOTALL | re.M
)


def pages() -> list[Path]:
    return [path for path in sorted(DOCS.rglob("*.md")) if NAMED.search(path.read_text())]


def text_of(name: str) -> str:
    path = EXAMPLES / name
    if not path.exists():
        raise generated.SourceError(f"conf/examples/{name} is not there")
    return path.read_text()


def rendered(page: Path) -> str:
    text = page.read_text()
    if len(NAMED.findall(text)) != len(SHOWN.findall(text)):
        raise generated.SourceError(f"{page.name}: expected a code block after each name of a file")
    return SHOWN.sub(lambda found: found["head"] + text_of(found["name"]) + found["end"], text)


def main(args: list[str]) -> int:
    return max(
        generated.write("docs/examples.py", page, lambda page=page: rendered(page), args)
        for page in pages()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
