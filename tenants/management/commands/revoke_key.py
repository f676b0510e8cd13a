"""End an ApiKey, everywhere within seconds."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import api_keys


class Command(BaseCommand):
    help = "Revoke an API key, named by its id, its first seven characters, or the key itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key")

    def handle(self, *args: Any, **options: Any) -> None:
        found = api_keys.keys_matching(options["key"])
        if not found:
            raise CommandError("There is no such key, or it is revoked already.")
        if len(found) > 1:
            ids = "\n".join(f"{key.id} {key.name}" for key in found)
            raise CommandError(f"Several keys begin like that; name one by its id:\n{ids}")

        api_keys.key_revoke(tenant_id=found[0].tenant_id, key_id=found[0].id)
        self.stdout.write(f"revoked {found[0].id}")
