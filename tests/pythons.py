"""The Pythons of this machine, and for each an environment with the package, from a wheel that was
made of the sdist.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("HTTPD_WSGI_STATE") or tempfile.mkdtemp(prefix="httpd-wsgi-state-"))
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def find_pythons() -> dict[str, Path]:
    """The distribution's, those of HTTPD_WSGI_PYTHONS (paths, separated by ':'), and pyenv's under
    their own names.
    """
    found = {}
    for number, path in enumerate(
        filter(None, os.environ.get("HTTPD_WSGI_PYTHONS", "").split(":"))
    ):
        found[f"given-{number}"] = Path(path)
    system = Path("/usr/bin/python3")
    if system.exists():
        found["system"] = system
    roots = [
        Path(os.environ.get("PYENV_ROOT", "/nowhere")),
        Path.home() / ".pyenv",
        Path("/opt/pyenv"),
        Path("/usr/local/pyenv"),
    ]
    for root in roots:
        if not os.access(root / "versions", os.R_OK | os.X_OK):
            continue
        for version in sorted((root / "versions").glob("3.*")):
            if (
                version.name.startswith(tuple(v + "." for v in VERSIONS))
                and (version / "bin" / "python").exists()
            ):
                found[f"pyenv-{version.name}"] = version / "bin" / "python"
    return found


def is_public(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def readable(name: str, python: Path) -> Path:
    """The interpreter, or a copy of its installation that the Apache user can read."""
    if is_public(python):
        return python
    home, copy = python.resolve().parent.parent, STATE / "pythons" / name
    if not (copy / "complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        unwanted = shutil.ignore_patterns(
            "test", "tests", "*.a", "__pycache__", "idlelib", "tkinter", "share", "site-packages"
        )
        shutil.copytree(home, copy, symlinks=True, ignore=unwanted)
        for binary in (copy / "bin").glob("python3.*[0-9]"):
            if not binary.is_symlink():
                subprocess.run(
                    ["patchelf", "--set-rpath", "$ORIGIN/../lib", str(binary)], check=True
                )
        (copy / "complete").touch()
    return copy / "bin" / python.resolve().name


def source_hash() -> str:
    total = hashlib.sha256()
    build = [
        REPOSITORY / "setup.py",
        REPOSITORY / "pyproject.toml",
        REPOSITORY / "MANIFEST.in",
        Path(__file__),
    ]
    for path in sorted(
        [*REPOSITORY.glob("src/**/*.[chp]*"), *REPOSITORY.glob("apache/**/*.[ch]"), *build]
    ):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def copy_of_repository(target: Path) -> Path:
    ignore = shutil.ignore_patterns(".git", "build", "*.so", "__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY, target, ignore=ignore)
    return target


def sdist(source: Path, target: Path) -> Path:
    """Made with this Python's setuptools, as every front end does it."""
    target.mkdir(parents=True, exist_ok=True)
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, target], cwd=source, check=True, stdout=subprocess.DEVNULL
    )
    return next(target.glob("*.tar.gz"))


@functools.cache
def sdist_of_repository() -> Path:
    """Made again when a source has changed."""
    target = STATE / "sdist"
    stamp = target / source_hash()
    if not stamp.exists():
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory() as directory:
            sdist(copy_of_repository(Path(directory, "source")), target)
        stamp.touch()
    return next(target.glob("*.tar.gz"))


def pip_for(home: Path) -> list[str | Path]:
    """This environment's pip at work in another one, which saves each the making of its own."""
    return [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        home / "bin" / "python",
    ]


def make_environment(python: Path, home: Path) -> None:
    """An empty virtual environment, without pip."""
    try:
        subprocess.run([python, "-m", "venv", "--without-pip", home], check=True)
    except subprocess.CalledProcessError as exc:
        raise OSError(f"{python} makes no virtual environments") from exc


def environment_with_package(name: str, python: Path) -> Path:
    """A virtual environment of this Python with httpd-wsgi in it; the package is built again when a
    source has changed.
    """
    home = STATE / "environments" / name
    made, stamp = home / "made", home / "dist" / source_hash()
    if not made.exists():
        shutil.rmtree(home, ignore_errors=True)
        make_environment(python, home)
        subprocess.run([*pip_for(home), "install", "-q", "setuptools>=64", "wheel"], check=True)
        made.touch()
    if not stamp.exists():
        shutil.rmtree(home / "dist", ignore_errors=True)
        wheel = [
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            home / "dist",
            sdist_of_repository(),
        ]
        subprocess.run([*pip_for(home), *wheel], check=True)
        subprocess.run(
            [*pip_for(home), "install", "-q", "--no-deps", "--force-reinstall", wheel_of(home)],
            check=True,
        )
        stamp.touch()
    return home


def wheel_of(home: Path) -> Path:
    return next((home / "dist").glob("*.whl"))


def environment_or_reason(name: str, python: Path) -> Path | OSError:
    try:
        return environment_with_package(name, readable(name, python))
    except OSError as exc:
        return exc


def build_environments() -> dict[str, Path]:
    """By name. Pythons without venv or unreadable ones are left out; one for which the package
    cannot be built is a failure.

    Processes of one suite share the environments: the first makes them, the others wait and find
    them made.
    """
    pythons = find_pythons()
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "environments.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sdist_of_repository()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = dict(
                zip(
                    pythons, pool.map(environment_or_reason, pythons, pythons.values()), strict=True
                )
            )
    for name, result in results.items():
        if isinstance(result, OSError):
            print(f"skipped {name}: {result}")
    return {name: home for name, home in results.items() if isinstance(home, Path)}
