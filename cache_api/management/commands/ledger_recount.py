"""Do the roll-ups say what the calls come to?"""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api import proving


class Command(BaseCommand):
    help = "Compare the roll-ups with a recount of the calls. Ends with 1 where they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", type=UUID, help="this tenant alone")

    def handle(self, *args: Any, **options: Any) -> None:
        found = proving.recount(options["tenant"])
        for one in found.differences:
            self.stderr.write(str(one))
        if found.differences:
            raise CommandError(f"{len(found.differences)} roll-ups differ from their calls.")
        self.stdout.write(f"No difference. Hours that wait for their roll-up: {found.pending_hours}.")
