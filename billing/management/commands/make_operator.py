"""Let a person see the operators' pages, or no longer."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.models import User


class Command(BaseCommand):
    help = "Make the person with this mail, who has signed up, an operator; --revoke takes it back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--revoke", action="store_true")

    def handle(self, *args: Any, email: str, revoke: bool, **options: Any) -> None:
        if not User.objects.filter(email__iexact=email).update(is_staff=not revoke):
            raise CommandError(f"Nobody has signed up as {email}.")
        print(f"{email} is {'no operator any more' if revoke else 'an operator; a second factor is asked for'}.")
