"""The command, as a user types it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from harness import APPS, free_port, wait_until

COMMAND = str(Path(sys.executable).with_name("httpd-wsgi"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("target", ["hello.py", "hello:instance"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_serves_and_stops_cleanly(tmp_path: Path, target: str, number: int) -> None:
    (tmp_path / "hello.py").write_text((APPS / "hello.py").read_text())
    port = free_port()
    process = subprocess.Popen([COMMAND, "serve", target, "--port", str(port)], cwd=tmp_path)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return requests.get(f"http://127.0.0.1:{port}/x", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, "the server answers")
        expected = "object" if ":" in target else "Hello World!"
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).text == expected
    finally:
        process.send_signal(number)
        assert process.wait(20) == 0


def test_module_config_prints_lines_to_paste() -> None:
    out = run("module-config").stdout
    assert out.startswith('LoadModule wsgi_module "') and f'WSGIPythonHome "{sys.prefix}"' in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["serve", "/nowhere/app.py"], 3, "no such file"),
        (["serve", "--port", "0", "x.py"], 2, "--port 0"),
        (["serve"], 2, "TARGET"),
        (["serve", "--python-home", "/nowhere", "x.py"], 2, "bin/python"),
    ],
)
def test_errors_are_one_line_with_their_own_code(arguments: list[str], code: int, said: str) -> None:
    done = run(*arguments)
    assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == 1
