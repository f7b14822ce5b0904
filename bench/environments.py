"""Environments with other servers, made once and kept; made anew when their recipe or the Python
has changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def ready(state: Path, name: str, arguments: Sequence[str]) -> Path | None:
    """The environment after pip install with these arguments; None when that fails."""
    venv = state / "bench" / name
    stamp, recipe = venv / "done", " ".join([sys.version, *arguments])
    if stamp.exists() and stamp.read_text() == recipe:
        return venv
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    if subprocess.run([venv / "bin" / "pip", "install", "-q", *arguments], check=False).returncode:
        print(f"{name} cannot be installed and is left out", file=sys.stderr)
        return None
    stamp.write_text(recipe)
    return venv
