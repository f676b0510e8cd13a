"""Make what a newcomer needs on the first start, and write down how to reach it."""

import json
import os
import secrets
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from tenants import api_keys, features, projects, provider_keys, selectors, services
from tenants.models import User
from tenants.services import Limits

EMAIL = "demo@cacheai.local"
NAME = "Demo"
MODEL = "demo-small"
OPENAI_MODEL = "gpt-4o-mini"
# Generous: the demo is there to be tried, benchmarked and replayed to.
LIMITS = Limits(
    plan="demo",
    rpm=100_000,
    requests_included=10_000_000,
    requests_hard=False,
    entries_max=1_000_000,
    detail_days=90,
    projects_max=50,
    members_max=25,
    keys_max=100,
    features=features.ENTERPRISE,
)


class Command(BaseCommand):
    help = "Make the demo tenant, project, key and sign-in once; later starts only bring the addresses up to date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-url", required=True, help="where SDKs go, with /v1")
        parser.add_argument("--dashboard-url", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.HOME / "demo.json"
        demo = _written(path) or _made()
        model = OPENAI_MODEL if "openai" in settings.PROVIDER_KEYS else MODEL
        (key,) = api_keys.keys_matching(demo["api_key"])
        demo |= {"base_url": options["base_url"], "dashboard_url": options["dashboard_url"], "model": model}
        _write(path, demo | {"project_id": str(key.project_id)})
        _keep_provider_keys(key.tenant_id)


def _written(path: Path) -> dict[str, str] | None:
    """What an earlier start wrote, if its key still works."""
    try:
        demo: dict[str, str] = json.loads(path.read_text())
        return demo if api_keys.keys_matching(demo["api_key"]) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _made() -> dict[str, str]:
    """Also after demo.json was lost: then there is a new key, and a new password."""
    password = secrets.token_urlsafe(12)
    user = User.objects.filter(email=EMAIL).first() or services.user_create(email=EMAIL)
    services.password_set(user=user, password=password)

    owned = [one for one in selectors.memberships_of(user_id=user.id) if one.tenant_name == NAME]
    tenant_id = owned[0].tenant_id if owned else services.tenant_create(name=NAME, limits=LIMITS)
    services.member_add(tenant_id=tenant_id, user_id=user.id, role="owner")
    made = selectors.projects_of(tenant_id=tenant_id)
    project_id = made[0].id if made else projects.project_create(tenant_id=tenant_id, name=NAME, default_model=MODEL)
    key = api_keys.key_create(tenant_id=tenant_id, project_id=project_id, name=NAME, created_by=user.id)
    return {"api_key": key.secret, "email": EMAIL, "password": password}


def _keep_provider_keys(tenant_id: UUID) -> None:
    """The environment's credentials become the demo tenant's own: no other tenant may spend them."""
    for provider, secret in settings.PROVIDER_KEYS.items():
        provider_keys.provider_key_put(tenant_id=tenant_id, provider=provider, secret=secret)


def _write(path: Path, demo: dict[str, str]) -> None:
    """Moved into place whole: a start that is cut off leaves the old file."""
    draft = path.with_suffix(".new")
    with open(draft, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(demo, file, indent=2)
        file.write("\n")
    draft.replace(path)
