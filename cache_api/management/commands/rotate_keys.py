"""Give tenants a new text key; what older keys sealed comes under it little by little."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from cache_api import sealed
from tenants import selectors, vault


class Command(BaseCommand):
    help = "Make a new text key for a tenant, or for all: each year it is done by itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", type=UUID, help="this one alone")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_ids = [options["tenant"]] if options["tenant"] else selectors.tenant_ids()
        for tenant_id in tenant_ids:
            vault.text_key_rotate(tenant_id=tenant_id)
        self.stdout.write(f"rotated {len(tenant_ids)}, resealed {sealed.reseal(timezone.now())}")
