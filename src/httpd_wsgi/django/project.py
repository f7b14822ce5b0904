"""What a Django project's settings say that a server must know."""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from pathlib import Path

from django.conf import settings as project

from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.settings import ServerSettings


def target() -> str:
    """module:callable of WSGI_APPLICATION, of the module `wsgi` beside the settings when that is
    not set.
    """
    path = getattr(project, "WSGI_APPLICATION", None)
    if not path:
        package = os.environ["DJANGO_SETTINGS_MODULE"].rpartition(".")[0]
        path = f"{package}.wsgi.application" if package else "wsgi.application"
    module, dot, name = path.rpartition(".")
    if not dot:
        raise CommandError(
            f"WSGI_APPLICATION = {path!r}: expected module.callable, such as 'shop.wsgi.application'"
        )
    return f"{module}:{name}"


def directory() -> str:
    """BASE_DIR, else what is above the package of the settings."""
    base = getattr(project, "BASE_DIR", None)
    if base:
        return str(Path(base).absolute())
    module = importlib.import_module(os.environ["DJANGO_SETTINGS_MODULE"])
    return str(Path(str(module.__file__)).absolute().parent.parent)


def published() -> list[tuple[str, str]]:
    """URL prefixes and directories for static and media files. WhiteNoise serves static ones
    itself.
    """
    found = []
    if not any("whitenoise" in name for name in project.MIDDLEWARE):
        found.append((project.STATIC_URL, getattr(project, "STATIC_ROOT", None)))
    found.append((project.MEDIA_URL, getattr(project, "MEDIA_ROOT", None)))
    return [
        (url.rstrip("/") + "/", str(Path(root).absolute()))
        for url, root in found
        if url and root and url.startswith("/") and url != "/"
    ]


def with_files(settings: ServerSettings) -> ServerSettings:
    """The project's own files, unless the command line maps the same URL."""
    given = {url.rstrip("/") for url, _ in settings.url_aliases}
    return replace(
        settings,
        url_aliases=(
            *settings.url_aliases,
            *(pair for pair in published() if pair[0].rstrip("/") not in given),
        ),
    )


def is_static_unserved() -> bool:
    """Does the project have static files without a STATIC_ROOT to serve them from?"""
    return (
        "django.contrib.staticfiles" in project.INSTALLED_APPS
        and not getattr(project, "STATIC_ROOT", None)
        and not any("whitenoise" in name for name in project.MIDDLEWARE)
    )


def missing_roots(settings: ServerSettings) -> list[str]:
    return [root for _, root in settings.url_aliases if not os.path.exists(root)]
