"""Writes the man page of the command from its parser, its table of options and its exit codes.

docs/manpage.py FILE     writes it there
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import httpd_wsgi
from httpd_wsgi.command import cli, completion, errors

DESCRIPTION = (
    "Serves Python WSGI applications from Apache httpd: one application in the foreground with an "
    "httpd of its own (serve), or "
    "the same as a service (setup). The other commands look into the Apache of the machine. The "
    "documentation of the project "
    "describes directives and error codes."
)
TARGET = (
    "A TARGET is a script file that defines application, module:callable, a module alone, or "
    "module:factory(), whose result "
    "is the application."
)


def escape(text: str) -> str:
    """Text for roff. Hyphens of options must stay what can be pasted."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + text if text.startswith((".", "'")) else text


def bold(text: str) -> str:
    return f"\\fB{escape(text)}\\fR"


def names_of(action: argparse.Action) -> str:
    """ "-w, --processes N", or the name of an argument."""
    value = action.metavar if isinstance(action.metavar, str) else ""
    shown = f" \\fI{escape(value)}\\fR" if value else ""
    return (
        ", ".join(map(bold, action.option_strings)) + shown
        if action.option_strings
        else f"\\fI{escape(value)}\\fR"
    )


def item(action: argparse.Action) -> Iterator[str]:
    help_text = (
        (action.help or "")
        .replace("%%", "%")
        .replace(f"(default: {sys.prefix})", "(default: the command's own)")
    )
    yield from (".TP", names_of(action), escape(help_text))


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("…") else ".")


def usage(name: str, parser: argparse.ArgumentParser) -> str:
    """ "httpd-wsgi reload GROUP" """
    words = [
        f"\\fI{escape(str(action.metavar))}\\fR"
        for action in parser._actions
        if not action.option_strings
    ]
    optional = [
        f"[{word}]" if action.nargs == "?" else word
        for word, action in zip(words, arguments_of(parser), strict=True)
    ]
    # More than -h and --help
    options = ["[\\fIoptions\\fR]"] if len(parser._option_string_actions) > 2 else []
    return " ".join([bold(f"httpd-wsgi {name}"), *options, *optional])


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def own_options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Without those in groups with a title of their own."""
    return [
        action
        for action in parser._optionals._group_actions
        if "--help" not in action.option_strings
    ]


def synopsis(commands: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    yield ".SH SYNOPSIS"
    for name, parser in commands.items():
        yield usage(name, parser)
        yield ".br"


def overview(helps: dict[str, str], commands: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    yield ".SH COMMANDS"
    for name, parser in commands.items():
        yield from (".TP", usage(name, parser), escape(sentence(helps[name])))
        for action in arguments_of(parser):
            if action.help:
                yield from (".RS", *item(action), ".RE")


def options(commands: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    """One section for each command that has any. Those of `setup` are those of `serve`, but for a
    few.
    """
    yield from option_section("serve", commands["serve"])
    for group in titled(commands["serve"]):
        yield f".SS {escape(str(group.title))}"
        for action in group._group_actions:
            yield from item(action)
    known = commands["serve"]._option_string_actions
    more = [
        action
        for action in own_options(commands["setup"])
        if not known.keys() & set(action.option_strings)
    ]
    without = [
        name
        for name in known
        if name.startswith("--") and name not in commands["setup"]._option_string_actions
    ]
    yield ".SH OPTIONS OF SETUP"
    yield escape(f"Those of serve without {', '.join(without)}, and:")
    for action in more:
        yield from item(action)
    for name, parser in commands.items():
        if name not in ("serve", "setup"):
            yield from option_section(name, parser)
    yield from (
        ".SH OPTIONS OF EXPRESS",
        "The commands are " + escape(", ".join(completion.EXPRESS.split())) + ".",
    )
    yield "Their options are those of mod_wsgi\\-express; what differs is said when they are used."


def titled(parser: argparse.ArgumentParser) -> list[argparse._ArgumentGroup]:
    return [
        group
        for group in parser._action_groups
        if group not in (parser._positionals, parser._optionals)
    ]


def option_section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    found = own_options(parser)
    if found or titled(parser):
        yield f".SH OPTIONS OF {escape(name.upper())}"
    for action in found:
        yield from item(action)


def exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, meaning in errors.MEANINGS:
        yield from (".TP", f"\\fB{code}\\fR", escape(re.sub("`", "", meaning)))


def render() -> str:
    top = cli.parser()
    commands = completion.subparsers(top)
    helps = {
        choice.dest: choice.help or ""
        for action in top._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action._choices_actions
    }
    lines = [
        f'.TH HTTPD\\-WSGI 1 "" "httpd\\-wsgi {httpd_wsgi.__version__}" "User Commands"',
        ".SH NAME",
        "httpd\\-wsgi \\- serve Python WSGI applications from Apache httpd",
        *synopsis(commands),
        ".SH DESCRIPTION",
        escape(DESCRIPTION),
        ".PP",
        escape(TARGET),
        *overview(helps, commands),
        *options(commands),
        *exit_status(),
        ".SH SEE ALSO",
        ".BR apachectl (8),",
        ".BR httpd (8)",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
