"""Change the rules of a project."""

import json
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api.domain.policy import BadPolicy
from cache_api.services import policy_change


class Command(BaseCommand):
    help = "Change rules of a project, such as similarity_floor=0.95, and print all of them. Known within 5 s."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", type=UUID, required=True)
        parser.add_argument("--project", type=UUID, required=True)
        parser.add_argument("rules", nargs="*", metavar="NAME=VALUE", help="VALUE is JSON, or plain text; null resets")

    def handle(self, *args: Any, **options: Any) -> None:
        changes = dict(_rule(rule) for rule in options["rules"])
        try:
            policy = policy_change(tenant_id=options["tenant"], project_id=options["project"], changes=changes)
        except (BadPolicy, TypeError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(json.dumps(asdict(policy), indent=2))


def _rule(written: str) -> tuple[str, Any]:
    name, equals, value = written.partition("=")
    if not equals:
        raise CommandError(f"{written!r} is not NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
