"""Builds the runtime for this Python and, where apxs is found, the Apache module. Metadata is in
pyproject.toml.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
SANITIZE = {
    "": [],
    "1": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1"],
    # The warning: GCC's does not know the fences of wire/scores.c
    "thread": ["-fsanitize=thread", "-Wno-tsan", "-g", "-O1"],
}[os.environ.get("HTTPD_WSGI_SANITIZE", "")]
# ThreadSanitizer does not see by which atomics httpd hands pools from thread to thread: all
# requests would be in a race.
SANITIZE_MODULE = SANITIZE if "-fsanitize=thread" not in SANITIZE else []


def sources(directory: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / directory).rglob("*.c"))


def version() -> str:
    found = re.search(
        r'__version__ = "(.*)"', (ROOT / "src" / "httpd_wsgi" / "__init__.py").read_text()
    )
    assert found
    return found[1]


def find_apxs() -> str | None:
    for name in filter(
        None,
        (os.environ.get("APXS"), "apxs", "apxs2", "/usr/sbin/apxs", "/usr/local/apache2/bin/apxs"),
    ):
        found = shutil.which(name)
        if found:
            return found
    return None


def query(program: str, *arguments: str) -> list[str]:
    return shlex.split(
        subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    )


class BuildExt(build_ext):
    def run(self) -> None:
        super().run()
        self.build_apache_module()

    def build_apache_module(self) -> None:
        apxs = find_apxs()
        if apxs is None:
            print(
                "httpd-wsgi: apxs was not found, so the Apache module is not built: "
                "install apache2-dev (Debian) or httpd-devel (Red Hat), or set APXS, and install again",
                file=sys.stderr,
            )
            return
        # The extension's place tells where the package goes, in place or in a build directory.
        target = Path(self.get_ext_fullpath("httpd_wsgi._runtime")).parent / "mod_wsgi.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        apr = query(apxs, "-q", "APR_CONFIG") or ["apr-1-config"]
        command = [
            os.environ.get("CC", "cc"),
            *(
                "-std=gnu11",
                "-O2",
                "-g",
                "-fPIC",
                "-shared",
                "-fvisibility=hidden",
                "-Wl,-z,nodelete",
            ),
            *WARNINGS,
            *SANITIZE_MODULE,
            *(
                flag
                for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS")
                for flag in shlex.split(os.environ.get(name, ""))
            ),
            *query(apxs, "-q", "EXTRA_CPPFLAGS"),
            *query(apr[0], "--cppflags", "--includes"),
            *("-I" + path for path in query(apxs, "-q", "INCLUDEDIR")),
            "-Isrc",
            "-Iapache",
            f'-DWSGI_DEFAULT_PYTHON="{os.environ.get("HTTPD_WSGI_PYTHON", sys.executable)}"',
            f'-DWSGI_VERSION="{version()}"',
            *sources("apache"),
            *sources("src/wire"),
            *("-o", str(target)),
        ]
        subprocess.run(command, check=True, cwd=ROOT)


setup(
    # In pyproject.toml old and new releases of setuptools want it in different forms
    license="Apache-2.0",
    ext_modules=[
        Extension(
            "httpd_wsgi._runtime",
            sources=[*sources("src/runtime"), *sources("src/wire")],
            include_dirs=["src"],
            depends=[str(path) for path in ROOT.glob("src/*/*.h")],
            extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", *WARNINGS, *SANITIZE],
            extra_link_args=SANITIZE,
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
