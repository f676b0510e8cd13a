"""Does every page look right, for everybody, on every screen?"""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from tests.browser.conftest import NARROW, WIDE, screenshot
from tests.conftest import Cast

PAGES = (
    "overview",
    "usage",
    "budgets",
    "budgets-new",
    "keys",
    "keys-new",
    "providers",
    "providers-put",
    "projects",
    "projects-new",
    "webhooks",
    "webhooks-new",
    "members",
    "members-invite",
    "sso-connection",
    "billing",
    "audit",
    "settings",
)


@pytest.fixture
def team(cast: Cast) -> Cast:
    """The cast in a tenant that has every feature, and has done a few things."""
    from tenants import api_keys, features, provider_keys
    from tenants.audit import Actor
    from tenants.isolation import as_tenant
    from tenants.models import Tenant

    owner = cast.owner
    who = Actor("person", owner.user_id, "192.0.2.7")
    with as_tenant(owner.tenant_id):
        Tenant.objects.filter(id=owner.tenant_id).update(features=list(features.ENTERPRISE), plan="team")
    here = {"tenant_id": owner.tenant_id, "actor": who}
    api_keys.key_create(project_id=owner.project_id, name="support bot", models_allowed=["gpt-4o*"], rpm=60, **here)
    api_keys.key_create(
        project_id=owner.project_id, name="nightly reports", scopes=["stats:read"], networks=["203.0.113.0/24"], **here
    )
    api_keys.key_revoke(key_id=cast.teammate.key_id, **here)
    provider_keys.provider_key_put(provider="openai", secret="sk-test-000000000000abcd", **here)
    provider_keys.provider_key_put(
        provider="anthropic", secret="sk-ant-000000000wxyz", trouble="anthropic answered 529.", **here
    )
    return cast


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_a_page_fits_its_screen(
    name: str, size: dict[str, int], scheme: str, team: Cast, signed_in: Callable[..., Any]
) -> None:
    with signed_in(team.owner, size=size, scheme=scheme) as page:
        answer = page.goto(reverse(name, args=[team.owner.tenant_id]))
        screenshot(page, name, size, scheme)

        assert answer.status == 200
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
