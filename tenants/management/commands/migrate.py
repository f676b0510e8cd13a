"""Django's migrate, as the owner: the app's login may change no table, and on its alias there is nothing to migrate."""

from django.core.management.base import CommandParser
from django.core.management.commands import migrate

from tenants.isolation import OWNER


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database=OWNER)
