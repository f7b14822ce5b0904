"""Makes the pictures of the documentation: docs/pictures/NAME.svg from docs/pictures/NAME.dot, by Graphviz.

    docs/pictures.py          makes them; needs the program dot
    docs/pictures.py --check  fails when a picture was made from another text; needs nothing

The pictures are in the repository, so that the pages are complete where nothing is built. Each names the digest of the text
that it was made from: versions of Graphviz draw the same text a little differently, which is no reason to fail.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

PICTURES = Path(__file__).resolve().parent / "pictures"

# Colours on a light and on a dark background. The background is part of the picture: the theme of a page may differ from
# what the reader's system prefers.
STYLE = """\
<style>
svg { --ground: #ffffff; --ink: #1f2328; --edge: #57606a; --area: #f6f8fa; --apache: #ddf4ff; --python: #dafbe1; --memory: #fff8c5;
      --life: #8250df; --request: #0969da; --shared: #9a6700; }
@media (prefers-color-scheme: dark) {
svg { --ground: #0d1117; --ink: #e6edf3; --edge: #8b949e; --area: #161b22; --apache: #0c2d4a; --python: #10301a; --memory: #3a2d0a;
      --life: #b794f6; --request: #58a6ff; --shared: #d29922; }
}
.graph > polygon { fill: var(--ground); }
text { fill: var(--ink); }
.cluster path, .cluster polygon { fill: var(--area); stroke: var(--edge); }
.node path, .node polygon, .node polyline { fill: var(--ground); stroke: var(--edge); }
.apache path, .apache polygon { fill: var(--apache); }
.python path, .python polygon { fill: var(--python); }
.memory path, .memory polygon { fill: var(--memory); }
.edge path { fill: none; stroke: var(--edge); }
.edge polygon { fill: var(--edge); stroke: var(--edge); }
.life path { stroke: var(--life); }
.life polygon { fill: var(--life); stroke: var(--life); }
.request path { stroke: var(--request); stroke-width: 2; }
.request polygon { fill: var(--request); stroke: var(--request); }
.shared path { stroke: var(--shared); stroke-dasharray: 5 3; }
.shared polygon { fill: var(--shared); stroke: var(--shared); }
</style>
"""


def digest_of(text: str) -> str:
    return hashlib.sha256((STYLE + text).encode()).hexdigest()[:16]


def mark_of(source: Path) -> str:
    return f"<!-- made from {source.name} by docs/pictures.py: {digest_of(source.read_text())} -->\n"


def drawn(source: Path) -> str:
    """Returns the picture as SVG: what dot draws, with the colours of STYLE instead of its own."""
    svg = subprocess.run(["dot", "-Tsvg", source], check=True, stdout=subprocess.PIPE, text=True).stdout
    svg = re.sub(r"<!--.*?-->\n?", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' (?:fill|stroke)="[^"]*"', "", svg)
    head, _, rest = svg.partition(">\n")
    return f"{head}>\n{mark_of(source)}{STYLE}{rest}"


def is_current(source: Path) -> bool:
    picture = source.with_suffix(".svg")
    return picture.exists() and mark_of(source) in picture.read_text()


def main(args: list[str]) -> int:
    outdated = [source for source in sorted(PICTURES.glob("*.dot")) if not is_current(source)]
    for source in outdated:
        if args == ["--check"]:
            print(f"docs/pictures.py: {source.stem}.svg was not made from {source.name} as it is now; run make pictures", file=sys.stderr)
        else:
            source.with_suffix(".svg").write_text(drawn(source))
    return 1 if outdated and args == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
