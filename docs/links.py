"""Fetches what the documentation links to outside of it: docs/links.py. Without a network it says
so and succeeds.

Links inside are checked when the site is built.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = [*DOCS.rglob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
LINK = re.compile(r"\]\((https?://[^)\s]+)\)|<(https?://[^>\s]+)>")
TIMEOUT_S = 20


def links() -> dict[str, Path]:
    """Each with a page that has it."""
    found = {}
    for page in PAGES:
        for match in LINK.finditer(page.read_text()):
            found[match[1] or match[2]] = page
    return found


def failure(url: str) -> str:
    """What is wrong with it, or ""; OSError: nothing can be reached."""
    request = urllib.request.Request(
        url, headers={"User-Agent": "Mozilla/5.0 (links of the documentation)"}
    )
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as exc:
        return f"answers {exc.code} {exc.reason}"
    return ""


def main() -> int:
    failures, unreachable = 0, []
    for url, page in sorted(links().items()):
        try:
            problem = failure(url)
        except OSError as exc:
            unreachable.append(f"{url}: {exc}")
            continue
        if problem:
            failures += 1
            print(f"{page.relative_to(DOCS.parent)}: {url} {problem}", file=sys.stderr)
    for text in unreachable:
        print(f"skipped, not reachable from here: {text}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
