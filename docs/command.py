"""Writes the tables of docs/command.md from the options and exit codes in src/httpd_wsgi/command.

docs/command.py          writes them
docs/command.py --check  fails when docs/command.md is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "command.md"
sys.path.insert(0, str(TARGET.parent.parent / "src"))
sys.path.append(str(TARGET.parent))

import generated  # noqa: E402

from httpd_wsgi.command import errors, option_table  # noqa: E402
from httpd_wsgi.command.express import option_table as express_options  # noqa: E402


def option_tables() -> str:
    lines = []
    for title, section in option_table.SECTIONS:
        lines += [f"### {title}", "", "| option | value | for |", "|---|---|---|"]
        for option in section:
            names = ", ".join(f"`{name}`" for name in option.names.split())
            value = option.metavar or (
                "" if option.kind is option_table.Kind.FLAG else option.kind.name
            )
            help_text = option.help.replace(
                f"(default: {sys.prefix})", "(default: the command's own)"
            )
            only = f" ({option.command} only)" if option.command else ""
            lines.append(f"| {names} | {f'`{value}`' if value else ''} | {help_text}{only} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def express_table() -> str:
    """What is the same under the same name needs no row."""
    lines = ["| mod_wsgi-express | here |", "|---|---|"]
    for row in express_options.ROWS:
        same = row.serve == row.name or row.daemon == row.name.removeprefix("--")
        told = row.note or row.refused or (f"`{row.serve}`" if row.serve and not same else "")
        if told:
            lines.append(f"| `{row.name}` | {told.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def exit_codes() -> str:
    return "\n".join(
        [
            "| code | meaning |",
            "|---|---|",
            *(f"| {code} | {meaning} |" for code, meaning in errors.MEANINGS),
        ]
    )


def rendered(text: str) -> str:
    for name, table in (
        ("options", option_tables()),
        ("express", express_table()),
        ("exit codes", exit_codes()),
    ):
        begin, end = f"<!-- {name}: written by docs/command.py -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


def main(args: list[str]) -> int:
    return generated.write("docs/command.py", TARGET, lambda: rendered(TARGET.read_text()), args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
