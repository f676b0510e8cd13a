"""Is the net under the tenants whole? Ends with 1 if not."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import selfcheck


class Command(BaseCommand):
    help = "Check that the app's login cannot pass row-level security and that stored keys can be read."

    def handle(self, *args: Any, **options: Any) -> None:
        for warning in selfcheck.warnings():
            self.stderr.write(self.style.WARNING(warning))
        if problems := selfcheck.problems():
            raise CommandError("\n".join(problems))
        self.stdout.write("Tenants are isolated, and their keys can be read.")
