"""Makes the pictures of the documentation: docs/pictures/NAME.svg from docs/pictures/NAME.dot, by
Graphviz.

    docs/pictures.py          makes them; needs the program dot
    docs/pictures.py --check  fails when a picture was made from another text

The pictures are in the repository, so that the pages are complete where nothing is built. Each
names the digest of the text that it was made from. The drawings are not compared, since versions of
Graphviz draw a text a little differently.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

PICTURES = Path(__file__).resolve().parent / "pictures"

STYLE = (PICTURES / "style.css").read_text()


def digest_of(text: str) -> str:
    return hashlib.sha256((STYLE + text).encode()).hexdigest()[:16]


def mark_of(source: Path) -> str:
    return (
        f"<!-- made from {source.name} by docs/pictures.py: {digest_of(source.read_text())} -->\n"
    )


def drawn(source: Path) -> str:
    """Returns the picture as SVG: what dot draws, with the colours of style.css instead of its own."""
    svg = subprocess.run(
        ["dot", "-Tsvg", source], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    svg = re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' (?:fill|stroke)="[^"]*"', "", svg)
    head, _, rest = svg.partition(">\n")
    return f"{head}>\n{mark_of(source)}<style>\n{STYLE}</style>\n{rest}"


def is_current(source: Path) -> bool:
    picture = source.with_suffix(".svg")
    return picture.exists() and mark_of(source) in picture.read_text()


def main(args: list[str]) -> int:
    outdated = [source for source in sorted(PICTURES.glob("*.dot")) if not is_current(source)]
    for source in outdated:
        if args == ["--check"]:
            print(
                f"docs/pictures.py: {source.stem}.svg is not up to date; run make pictures",
                file=sys.stderr,
            )
        else:
            source.with_suffix(".svg").write_text(drawn(source))
    return 1 if outdated and args == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
