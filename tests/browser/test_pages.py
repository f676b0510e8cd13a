"""Does every page look right and read well, on every screen, in light and dark?"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page

from tests.browser.looking import looked_at
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, write

PAGES = (
    "overview",
    "calls",
    "playground",
    "usage",
    "budgets",
    "budgets-new",
    "cache",
    "cache-purge",
    "cache-blocklist",
    "cache-duplicates",
    "cache-transfers",
    "policy",
    "keys",
    "keys-new",
    "providers",
    "providers-put",
    "projects",
    "projects-new",
    "prices",
    "webhooks",
    "webhooks-new",
    "members",
    "members-invite",
    "sso-connection",
    "billing",
    "audit",
    "settings",
)
TRANSFERRED_MAX_BYTES = 150_000


@pytest.fixture
def team(cast: Cast) -> Cast:
    """The cast in a tenant that has every feature, and has done a few things."""
    from cache_api.accounting import price_calls, roll_up
    from cache_api.budgets import budget_put
    from tenants import api_keys, features, members, provider_keys, webhooks
    from tenants.audit import Actor
    from tenants.isolation import as_tenant
    from tenants.models import Tenant

    owner, now = cast.owner, datetime.now(UTC)
    with as_tenant(owner.tenant_id):
        Tenant.objects.filter(id=owner.tenant_id).update(
            features=list(features.ENTERPRISE),
            plan="team",
            name="Acme Support",
            requests_included=1_000,
            members_max=25,
        )
    here: dict[str, Any] = {"tenant_id": owner.tenant_id, "actor": Actor("person", owner.user_id, "192.0.2.7")}
    api_keys.key_create(project_id=owner.project_id, name="support bot", models_allowed=["gpt-4o*"], rpm=60, **here)
    api_keys.key_create(
        project_id=owner.project_id, name="nightly reports", scopes=["stats:read"], networks=["203.0.113.0/24"], **here
    )
    api_keys.key_revoke(key_id=cast.teammate.key_id, **here)
    provider_keys.provider_key_put(provider="openai", secret="sk-test-000000000000abcd", **here)
    provider_keys.provider_key_put(
        provider="anthropic", secret="sk-ant-000000000wxyz", trouble="anthropic answered 529.", **here
    )
    members.invitation_send(email="new.colleague@example.test", role="viewer", **here)
    budget_put(amount_usd=Decimal("0.2"), period="month", now=now, action="block", **here)
    webhooks.endpoint_create(url="https://hooks.example.com/cacheai", events=["budget.reached"], **here)
    calls = (owner.tenant_id, owner.project_id)
    write(
        [
            make(*calls, at=now - timedelta(hours=7 * step), key_id=owner.key_id, **how)
            for step in range(40)
            for make, how in (
                (call_of, {}),
                (hit_of, {}),
                *([(hit_of, {"layer": "semantic", "reason": "similar", "similarity": 0.97})] * (step % 4)),
                *([(hit_of, {})] * (step % 3)),
            )
        ]
    )
    price_calls(now)
    roll_up()
    return cast


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_screen_and_reads_well(name: str, team: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(team.owner) as page:
        transferred = _weighed(page)
        answer = page.goto(reverse(name, args=[team.owner.tenant_id]), wait_until="networkidle")
        assert answer.status == 200
        assert 0 < sum(transferred) < TRANSFERRED_MAX_BYTES

        looked_at(page, name)


def test_a_page_of_twice_the_size_needs_no_scrolling_sideways(team: Cast, signed_in: Callable[..., Any]) -> None:
    with signed_in(team.owner, size={"width": 720, "height": 450}) as page:
        for name in ("overview", "keys", "billing"):
            page.goto(reverse(name, args=[team.owner.tenant_id]))
            assert page.evaluate("document.documentElement.scrollWidth") <= 720


def test_the_audit_log_tells_a_mail_address_in_one_piece(team: Cast, signed_in: Callable[..., Any]) -> None:
    from tenants.audit import Actor, record
    from tenants.isolation import as_tenant
    from tenants.models import User

    User.objects.filter(id=team.owner.user_id).update(email="ada.lovelace@newteam.example")
    with as_tenant(team.owner.tenant_id):
        record(
            tenant_id=team.owner.tenant_id,
            actor=Actor("person", team.owner.user_id),
            action="plan.checkout_started",
            target="Customer support, the whole of Europe",
            diff={"features": ["synthesis", "own_prices", "refusing_budgets", "webhooks", "sso", "audit_log"]},
        )
    with signed_in(team.owner) as page:
        page.goto(reverse("audit", args=[team.owner.tenant_id]))
        addresses = page.get_by_text("ada.lovelace@newteam.example").filter(visible=True)

        assert set(addresses.evaluate_all("all => all.map(one => one.getClientRects().length)")) == {1}


def _weighed(page: Page) -> list[int]:
    """Bytes of bodies as they came over the wire, filled while the page loads."""
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    return sizes
