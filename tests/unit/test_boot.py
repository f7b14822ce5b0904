"""_boot.py as Apache runs it: a process of its own, with nothing of the package on sys.path."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import httpd_wsgi

INSTALLED = Path(httpd_wsgi.__file__).parent
RUNTIME = f"_runtime{sysconfig.get_config_var('EXT_SUFFIX')}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without any runtime."""
    return Path(
        shutil.copytree(
            INSTALLED, tmp_path / "httpd_wsgi", ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    )


def boot(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -S: the Python that runs the tests has httpd_wsgi installed, which must not be found here.
    command = [sys.executable, "-S", "-B", str(package / "_boot.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={}, cwd="/")


def test_the_package_beside_boot_is_used_when_it_has_a_runtime_for_this_python(
    package: Path,
) -> None:
    (package / RUNTIME).touch()
    probe = boot(package, "probe")
    facts = dict(line.split("=", 1) for line in probe.stdout.splitlines())
    assert probe.returncode == 0 and probe.stderr == ""
    assert facts["package"] == str(package) and facts["runtime"] == str(package / RUNTIME)
    assert facts["version"] == sys.version.split()[0] and facts["prefix"]
    assert facts["libpython"] == "" or Path(facts["libpython"]).is_file()


def test_the_package_directory_is_not_left_on_sys_path(package: Path) -> None:
    (package / RUNTIME).touch()
    with (package / "probe.py").open("a") as file:
        file.write("\nimport sys; print([p for p in sys.path if 'httpd_wsgi' in p])\n")
    assert boot(package, "probe").stdout.startswith("[]\n")


def test_an_installed_package_is_used_when_the_one_beside_boot_has_no_runtime(
    package: Path, tmp_path: Path
) -> None:
    installed = Path(shutil.copytree(package, tmp_path / "site" / "httpd_wsgi"))
    (installed / RUNTIME).touch()
    code = f"import sys; sys.path.append({str(installed.parent)!r}); sys.argv = ['x', 'probe']; import runpy;"
    code += f"runpy.run_path({str(package / '_boot.py')!r}, run_name='__main__')"
    probe = subprocess.run(
        [sys.executable, "-S", "-B", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={},
        cwd="/",
    )
    assert f"package={installed}" in probe.stdout.splitlines()


def test_a_python_without_runtime_is_told_how_to_get_one(package: Path) -> None:
    answer = boot(package, "supervisor")
    assert answer.returncode == 78
    assert answer.stderr.count("\n") == 1 and "WSGI0601" in answer.stderr
    assert f'"{sys.executable} -m pip install SOURCE (a clone' in answer.stderr


def test_an_unknown_role_is_refused(package: Path) -> None:
    (package / RUNTIME).touch()
    answer = boot(package, "cook")
    assert answer.returncode == 2 and "'cook'" in answer.stderr
