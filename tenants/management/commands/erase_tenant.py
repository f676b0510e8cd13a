"""Erase a tenant for good: when its hold is over, or at once."""

import json
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants import erasure
from tenants.audit import Actor


class Command(BaseCommand):
    help = "Suspend a tenant and erase it after seven days; called again it goes on, or shows what was removed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", type=UUID)
        parser.add_argument("--now", action="store_true", help="do not wait; this cannot be taken back")
        parser.add_argument("--withdraw", action="store_true", help="take it back while it waits")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant_id, operator = options["tenant"], Actor("operator")
        try:
            if options["withdraw"]:
                erasure.erasure_withdraw(tenant_id=tenant_id, actor=operator, now=timezone.now())
                self.stdout.write("withdrawn")
                return
            found = erasure.erasure_known(tenant_id=tenant_id) or erasure.erasure_ask(
                tenant_id=tenant_id,
                actor=operator,
                now=timezone.now(),
                hold=timedelta() if options["now"] else erasure.HOLD,
            )
        except erasure.ErasureError as error:
            raise CommandError(str(error)) from error

        if found.finished_at is None and (options["now"] or found.due_at <= timezone.now()):
            while not erasure.erase(found, now=timezone.now(), ends=time.monotonic() + erasure.RUN_SECONDS):
                self.stderr.write(json.dumps(erasure.report(erasure.erasure_known(tenant_id=tenant_id) or found)))
        self.stdout.write(json.dumps(erasure.report(erasure.erasure_known(tenant_id=tenant_id) or found), indent=2))
