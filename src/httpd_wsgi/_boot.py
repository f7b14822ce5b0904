"""Entry point of every Python process that Apache starts: `PYTHON _boot.py ROLE [arguments]`.

It runs before the package can be imported and puts the package into `sys.modules` without adding
anything to `sys.path`, so the application's own packages are never shadowed. Roles: supervisor,
worker, probe, tryout.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EXIT_NO_RUNTIME = 78  # EX_CONFIG of sysexits.h: trying again soon is pointless
# Where a distribution puts the package, and beside it what pip needs for other Pythons; package.c
# has both names, too.
PACKAGED = "/usr/lib/python3/dist-packages/httpd_wsgi"
PACKAGED_SOURCE = "/usr/share/httpd-wsgi/httpd-wsgi.tar.gz"


def runtime_path(directory: str) -> str:
    return os.path.join(directory, "_runtime" + importlib.machinery.EXTENSION_SUFFIXES[0])


def import_from(directory: str) -> None:
    spec = importlib.util.spec_from_file_location(
        "httpd_wsgi", os.path.join(directory, "__init__.py"), submodule_search_locations=[directory]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["httpd_wsgi"] = module
    spec.loader.exec_module(module)


def install_command(python: str) -> str:
    """What installs the package for another Python."""
    if HERE == PACKAGED:
        return f"{python} -m pip install {PACKAGED_SOURCE}"
    return f"{python} -m pip install SOURCE (a clone of httpd-wsgi or its sdist)"


def import_package() -> bool:
    """The package beside this file when it was built for this Python, else the one this Python has
    installed.
    """
    if os.path.exists(runtime_path(HERE)):
        import_from(HERE)
        return True
    spec = importlib.util.find_spec("httpd_wsgi")
    if spec is None or not spec.submodule_search_locations:
        return False
    directory = spec.submodule_search_locations[0]
    if not os.path.exists(runtime_path(directory)):
        return False
    import_from(directory)
    return True


def main() -> int:
    # A script's directory is sys.path[0] unless Python was told not to add it.
    if sys.path and os.path.abspath(sys.path[0]) == HERE:
        del sys.path[0]
    role = sys.argv[1] if len(sys.argv) > 1 else ""
    if not import_package():
        version = ".".join(map(str, sys.version_info[:2]))
        print(
            f"WSGI0601: no runtime for Python {version} ({sys.executable}); "
            f'build one with "{install_command(sys.executable)}"',
            file=sys.stderr,
        )
        return EXIT_NO_RUNTIME
    if role == "supervisor":
        from httpd_wsgi.supervisor import supervisor

        return supervisor.main()
    if role == "worker":
        from httpd_wsgi.worker import worker

        return worker.main()
    if role == "probe":
        from httpd_wsgi import probe

        return probe.main()
    if role == "tryout":
        from httpd_wsgi import tryout

        return tryout.main()
    print(
        f"_boot.py: unknown role {role!r}: expected supervisor, worker, probe or tryout",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
