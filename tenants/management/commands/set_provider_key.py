"""Store a tenant's credential for a provider, sealed."""

import getpass
import sys
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import provider_keys


class Command(BaseCommand):
    help = "Store a provider's credential. It is read from the terminal or a pipe: an argument would stay in history."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", type=UUID, required=True)
        parser.add_argument("--provider", required=True)
        parser.add_argument("--base-url", default="", help="the only address it may go to; its provider's if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        secret = getpass.getpass("Credential: ") if sys.stdin.isatty() else sys.stdin.readline()
        if not secret.strip():
            raise CommandError("There was no credential to read.")
        provider_keys.provider_key_put(
            tenant_id=options["tenant"],
            provider=options["provider"],
            secret=secret.strip(),
            base_url=options["base_url"],
        )
        self.stdout.write(f"stored, ending in {secret.strip()[-provider_keys.HINT_LAST_CHARACTERS :]}")
