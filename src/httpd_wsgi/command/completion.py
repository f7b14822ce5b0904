"""`httpd-wsgi completion bash|zsh`: a completion script made from the parser itself."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

CHOICES = {
    "--log-level": "error warn notice info debug trace1",
    "--log-format": "text json",
    "--mpm": "event worker prefork",
    "--access-log-format": "combined common",
}
GROUPS = "status|reload|stop|stacks"
EXPRESS = "start-server setup-server module-config module-location install-module"

BASH = """\
# Completion of httpd-wsgi for bash. Use it with: source <(httpd-wsgi completion bash)
_httpd_wsgi()
{{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {commands} -- "$word"))
        return
    fi
    case "$before" in
{choices}
    esac
    case "$command" in
{options}
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$words" -- "$word")); return ;;
    esac
    case "$command" in
        {groups})
            words=$(sed -n 's,.*@httpd-wsgi/\\([^/]*\\)/.*,\\1,p' /proc/net/unix 2>/dev/null | sort -u)
            COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
        completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")) ;;
        express)
            [ "$COMP_CWORD" -eq 2 ] && words={express} && COMPREPLY=($(compgen -W "$words" -- "$word")) && return
            COMPREPLY=($(compgen -f -- "$word")) ;;
        *) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -F _httpd_wsgi httpd-wsgi
"""

ZSH = """\
#compdef httpd-wsgi
# Completion of httpd-wsgi for zsh. Use it with: source <(httpd-wsgi completion zsh), after compinit
autoload -U +X bashcompinit && bashcompinit
"""


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def option_lines(commands: dict[str, argparse.ArgumentParser]) -> Iterator[str]:
    for name, parser in commands.items():
        words = " ".join(
            sorted(word for word in parser._option_string_actions if word.startswith("--"))
        )
        yield f"        {name}) words={shlex.quote(words)} ;;"


def choice_lines() -> Iterator[str]:
    for option, words in CHOICES.items():
        yield f'        {option}) COMPREPLY=($(compgen -W {shlex.quote(words)} -- "$word")); return ;;'


def bash(parser: argparse.ArgumentParser) -> str:
    commands = subparsers(parser)
    return BASH.format(
        commands=shlex.quote(" ".join([*commands, "--help", "--version"])),
        choices="\n".join(choice_lines()),
        options="\n".join(option_lines(commands)),
        groups=GROUPS,
        express=shlex.quote(EXPRESS),
    )


def render(shell: str, parser: argparse.ArgumentParser) -> str:
    """Returns the script. zsh can run completion functions of bash."""
    return bash(parser) if shell == "bash" else ZSH + bash(parser).split("\n", 1)[1]
