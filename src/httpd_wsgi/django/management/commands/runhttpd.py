"""manage.py runhttpd: the project in the foreground, with an httpd of its own."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management import base

from httpd_wsgi.command import options, serve
from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.settings import ServerSettings
from httpd_wsgi.command.target import say
from httpd_wsgi.django import project


class Command(base.BaseCommand):
    help = "Serves this project with Apache httpd. The options are those of `httpd-wsgi serve`."
    requires_system_checks: list[str] = []  # noqa: RUF012

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        taken = frozenset(parser._option_string_actions)
        options.add_options(parser, "serve", taken=taken | {"--demo"})

    def settings_of(self, arguments: argparse.Namespace) -> ServerSettings:
        if arguments.working_directory is None:
            arguments.working_directory = project.directory()
        return options.settings_from(arguments, project.target())

    def serve(self, settings: ServerSettings, arguments: argparse.Namespace) -> int:
        if arguments.print_config:
            return serve.print_config(settings)
        return serve.run(settings, arguments.quiet)

    def handle(self, *args: Any, **given: Any) -> None:
        arguments = argparse.Namespace(**given)
        try:
            settings = project.with_files(self.settings_of(arguments))
            if project.is_static_unserved():
                say("note: STATIC_ROOT is not set, so static files are not found")
            for root in project.missing_roots(settings):
                say(
                    f"note: {root} does not exist, so its files are not found; `manage.py "
                    "collectstatic` makes STATIC_ROOT"
                )
            code = self.serve(settings, arguments)
        except CommandError as exc:
            raise base.CommandError(str(exc), returncode=exc.code) from exc
        if code:
            raise SystemExit(code)
