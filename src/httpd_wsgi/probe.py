"""What an Apache child must know to load this Python: printed as key=value lines.

Each child asks before it takes a connection, so nothing is imported here that takes long (pathlib
and platform do).
"""

from __future__ import annotations

import os
import sys
import sysconfig

import httpd_wsgi


def shared_library() -> str:
    """Path of libpython, or "" when this Python was built without a shared one."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return ""
    names = [str(sysconfig.get_config_var(key)) for key in ("INSTSONAME", "LDLIBRARY")]
    directories = [os.path.join(sys.base_prefix, "lib"), str(sysconfig.get_config_var("LIBDIR"))]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if multiarch:
        directories.append(os.path.join(sys.base_prefix, "lib", str(multiarch)))
    for directory in directories:
        for name in names:
            path = os.path.join(directory, name)
            if name.split(".")[-1] != "a" and os.path.exists(path):
                return path
    return ""


def facts() -> dict[str, str]:
    package = os.path.normpath(httpd_wsgi.__path__[0])
    return {
        "version": sys.version.split()[0],
        "executable": sys.executable,
        "prefix": sys.prefix,
        "libpython": shared_library(),
        "runtime": os.path.join(package, "_runtime" + str(sysconfig.get_config_var("EXT_SUFFIX"))),
        "package": package,
    }


def main() -> int:
    for key, value in facts().items():
        sys.stdout.write(f"{key}={value}\n")
    return 0
