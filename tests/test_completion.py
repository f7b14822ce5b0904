"""Completion, by the shell that uses it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from served import run


def completed(words: list[str], directory: Path) -> list[str]:
    script = run("completion", "bash").stdout
    typed = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
    ask = f"{typed}; _httpd_wsgi; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ser"], ["serve"]),
        (["serve", "--reque"], ["--request-timeout"]),
        (["serve", "--log-format", "j"], ["json"]),
        (["serve", "hel"], ["hello.py"]),
        (["setup", "--syst"], ["--systemd"]),
        (["setup", "--relo"], []),
        (["express", "setup"], ["setup-server"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes(tmp_path: Path, words: list[str], expected: list[str]) -> None:
    (tmp_path / "hello.py").touch()
    assert completed(["httpd-wsgi", *words], tmp_path) == expected


def test_zsh_accepts_its_script(tmp_path: Path) -> None:
    script = run("completion", "zsh").stdout
    assert (
        script.startswith("#compdef httpd-wsgi\n")
        and "complete -F _httpd_wsgi httpd-wsgi" in script
    )
    if shutil.which("zsh"):
        (tmp_path / "completion").write_text(script)
        subprocess.run(["zsh", "-n", str(tmp_path / "completion")], check=True)


def test_another_shell_is_refused_in_one_line() -> None:
    done = run("completion", "tcsh")
    assert done.returncode == 2 and "tcsh" in done.stderr and done.stderr.count("\n") == 1
