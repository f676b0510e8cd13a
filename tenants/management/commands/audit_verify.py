"""Can anybody have changed who did what? Ends with 1 if so."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import audit_check


class Command(BaseCommand):
    help = "Check the chain of every tenant's audit trail, and print where each ends."

    def handle(self, *args: Any, **options: Any) -> None:
        faults = []
        for trail in audit_check.trails():
            self.stdout.write(f"{trail.tenant_id} {trail.seq} {trail.hash}")
            faults += [f"{trail.tenant_id}: {fault}" for fault in trail.faults]
        if faults:
            raise CommandError("\n".join(faults))
