"""Make an ApiKey. It is printed once and can never be read again."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import api_keys, selectors
from tenants.keys import DEFAULT_SCOPES
from tenants.refusals import Refusal


class Command(BaseCommand):
    help = "Make an API key of a project and print it, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", type=UUID, required=True)
        parser.add_argument("--project", help="name or id; may be left out if there is only one")
        parser.add_argument("--name", default="")
        parser.add_argument("--scopes", default=",".join(sorted(DEFAULT_SCOPES)), help="a comma list")
        parser.add_argument("--models", default="", help="a comma list of names, or beginnings with *; any if left out")
        parser.add_argument("--networks", default="", help="a comma list like 192.0.2.0/24; any if left out")
        parser.add_argument("--rpm", type=int, help="calls a minute, if fewer than the tenant's")
        parser.add_argument("--tpm", type=int, help="tokens a minute, if fewer than the tenant's")
        parser.add_argument("--ttl", type=int, metavar="SECONDS", help="how long its answers are kept at most")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            key = api_keys.key_create(
                tenant_id=options["tenant"],
                project_id=self._project(options["tenant"], options["project"]),
                name=options["name"],
                scopes=_words(options["scopes"]),
                models_allowed=_words(options["models"]),
                networks=_words(options["networks"]),
                rpm=options["rpm"],
                tpm=options["tpm"],
                ttl_max_seconds=options["ttl"],
            )
        except Refusal as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"id {key.id}\nkey {key.secret}")

    def _project(self, tenant_id: UUID, wanted: str | None) -> UUID:
        projects = selectors.projects_of(tenant_id=tenant_id)
        found = [one.id for one in projects if wanted in (None, one.name, str(one.id))]
        if len(found) != 1:
            names = ", ".join(one.name for one in projects) or "none"
            raise CommandError(f"Name one project with --project. This tenant has: {names}")
        return found[0]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
