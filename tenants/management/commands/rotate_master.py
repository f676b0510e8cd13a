"""Bring all tenants' keys under the newest master key, so that an older one can be taken out of the settings."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import second_factors, vault

KEYS_AT_A_TIME = 500


class Command(BaseCommand):
    help = (
        "Wrap every data key, and seal every second factor of people, by the first of CACHEAI_MASTER_KEYS. What the "
        "data keys seal is not touched; run it again freely."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        total = 0
        try:
            while count := vault.rewrap(KEYS_AT_A_TIME):
                total += count
            total += second_factors.reseal()
        except (vault.WrongMasterKey, vault.Corrupt) as error:
            raise CommandError(f"{error} {total} were wrapped anew before it.") from error
        self.stdout.write(f"rewrapped {total}")
