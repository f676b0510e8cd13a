"""Make what our plans need at Stripe; a second run writes nothing."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import catalogue, stripe_api
from billing.catalogue import Immutable
from billing.errors import BillingError


class Command(BaseCommand):
    help = "Make products, prices, meter, features, portal and webhook endpoint at Stripe, or say what differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fails if anything differs")
        parser.add_argument("--webhook-url", default="", help="https://HOST/billing/webhook: makes the endpoint too")
        parser.add_argument("--return-url", default="", help="where Stripe's portal leads back to")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = catalogue.set_up(
                check=options["check"], webhook_url=options["webhook_url"], return_url=options["return_url"]
            )
        except (BillingError, Immutable) as error:
            raise CommandError(str(error)) from error

        if stripe_api.is_emulated():
            print(f"This is an emulator of Stripe's, at {settings.STRIPE_API_BASE}.")
        for line in report.told or ["Everything is as it should be."]:
            print(line)
        if report.webhook_secret:
            print(f"Add this to STRIPE_WEBHOOK_SECRETS; Stripe shows it once: {report.webhook_secret}")
        if report.check and report.told:
            raise CommandError("Stripe differs: run it without --check.")
