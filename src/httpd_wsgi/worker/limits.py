"""A worker's settings for its own process, made before it loads anything: memory limits, locale, the
stack size of its threads.

A setting that the system refuses is a warning: a group that serves without a limit is better than
one that does not serve.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from httpd_wsgi.shared import logs
from httpd_wsgi.shared.settings import GroupSettings


def apply(config: GroupSettings) -> None:
    limit_memory(config, "memory-limit", "RLIMIT_DATA", config.memory_limit)
    limit_memory(config, "virtual-memory-limit", "RLIMIT_AS", config.virtual_memory_limit)
    set_locale(config)


def limit_memory(config: GroupSettings, option: str, name: str, limit: int) -> None:
    if not limit:
        return
    import resource  # not loaded by workers that have no limits

    try:
        resource.setrlimit(getattr(resource, name), (limit, limit))
    except (OSError, ValueError) as exc:
        logs.log(
            logs.WARNING,
            f"WSGI0620: group {config.group} ({config.where}): {option}={limit} cannot be set: "
            f"{exc}; the worker runs without it",
        )


def set_locale(config: GroupSettings) -> None:
    if not config.locale:
        return
    import locale

    try:
        locale.setlocale(locale.LC_ALL, config.locale)
    except locale.Error:
        logs.log(
            logs.WARNING,
            f"WSGI0621: group {config.group} ({config.where}): locale={config.locale} is not "
            "installed (see `locale -a`); "
            "the worker runs in the C locale",
        )


@contextlib.contextmanager
def stack_size(config: GroupSettings) -> Iterator[None]:
    """Sets the stack size of threads that are started inside. The application's own threads keep the
    system's size.
    """
    if not config.stack_size:
        yield
        return
    try:
        before = threading.stack_size(config.stack_size)
    except ValueError as exc:
        logs.log(
            logs.WARNING,
            f"WSGI0622: group {config.group} ({config.where}): stack-size={config.stack_size} cannot be set: {exc}; "
            "threads have the system's size",
        )
        yield
        return
    try:
        yield
    finally:
        threading.stack_size(before)
