"""manage.py runmodwsgi: the same with the options of mod_wsgi-express."""

from __future__ import annotations

import argparse

from httpd_wsgi.command import serve
from httpd_wsgi.command.express import express, modes
from httpd_wsgi.command.settings import ServerSettings
from httpd_wsgi.django import project
from httpd_wsgi.django.management.commands import runhttpd


class Command(runhttpd.Command):
    help = "Serves this project with Apache httpd. The options are those of mod_wsgi-express."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        express.add_options(parser, taken=frozenset(parser._option_string_actions))

    def settings_of(self, arguments: argparse.Namespace) -> ServerSettings:
        module, _, name = project.target().partition(":")
        arguments.application_type = "module"
        arguments.callable_object = arguments.callable_object or name
        if arguments.working_directory is None:
            arguments.working_directory = project.directory()
        if arguments.setup_only:
            modes.refuse(arguments)
        return express.settings_from(arguments, module, express.note)

    def serve(self, settings: ServerSettings, arguments: argparse.Namespace) -> int:
        if arguments.setup_only:
            return express.write_root(settings, arguments)
        return serve.run(settings)
