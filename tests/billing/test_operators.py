"""Can operators find any tenant and do what has to be done, with a second factor and a reason, and nobody else?"""

import re
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core.management import call_command
from django.test import Client
from django.urls import URLResolver, get_resolver

from billing.margin import margin
from billing.models import BillingAlert, Credit, Grant, MeterPush, StripeEvent, UsageBucket
from cacheai import env
from tenants import audit, authentication, services
from tenants.isolation import as_owner, as_tenant
from tenants.models import AuditEvent, Tenant, User
from tests.api.conftest import Api
from tests.api.people import PASSWORD, Person
from tests.billing.buying import Buyer
from tests.conftest import Cast

WHY = "asked by mail"


@pytest.fixture
def staff(cast: Cast) -> Person:
    """An operator who is no member of any tenant, with password and second factor, signed in with both."""
    person = Person()
    user = services.user_create(email=person.email, password=PASSWORD)
    call_command("make_operator", person.email)
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    assert person.sign_in() == "/account/2fa/authenticate/"
    code = format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))
    assert person.at.post("/account/2fa/authenticate/", {"code": code}).status_code == 302
    return person


@pytest.fixture
def operator(staff: Person) -> Client:
    return staff.at


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.headers)
    return answer.content.decode()


def act(client: Client, tenant_id: UUID, name: str, /, **fields: Any) -> str:
    """What is said of it on the tenant's page."""
    form = {f"{name}-{field}": value for field, value in {"reason": WHY, **fields}.items()}
    answer = client.post(f"/operator/tenant/{tenant_id}/{name}", form, follow=True)
    assert answer.status_code == 200
    return " ".join(str(message) for message in answer.context["messages"])


def trail(tenant_id: UUID) -> list[AuditEvent]:
    with as_tenant(tenant_id):
        assert list(audit.faults(tenant_id=tenant_id)) == []
        return list(AuditEvent.objects.filter(tenant_id=tenant_id, actor_kind="operator").order_by("seq"))


@pytest.fixture
def buyer(buyer: Buyer) -> Buyer:
    """Here Stripe's time is ours: the pages tell it by the wall."""
    buyer.stripe.advance(to=int(time.time()))
    return buyer


# -- Who may come in


def _paths(cast: Cast) -> list[str]:
    known = {"tenant_id": str(cast.owner.tenant_id), "plan": "pro", "name": "suspend"}
    found = []
    for pattern in get_resolver().url_patterns:
        if isinstance(pattern, URLResolver) and str(pattern.pattern) == "operator/":
            for one in pattern.url_patterns:
                route = str(one.pattern) if not isinstance(one, URLResolver) else f"{one.pattern}"
                found.append("/operator/" + re.sub(r"<\w+:(\w+)>", lambda match: known.get(match[1], "1"), route))
    return [path for path in found if "(?P" not in path and path not in ("/operator/login/", "/operator/logout/")]


def test_no_page_of_theirs_opens_to_strangers_or_members(cast: Cast) -> None:
    services.password_set(user=User.objects.get(id=cast.owner.user_id), password=PASSWORD)
    owner = Person(email="owner@example.test")
    assert owner.sign_in()
    paths = _paths(cast)
    assert len(paths) > 5

    for path in paths:
        assert Client().get(path, follow=True).redirect_chain[-1][0].startswith("/sign-in"), path
        assert owner.at.get(path, follow=True).status_code == 403, path
        assert owner.at.post(path, follow=True).status_code in (403, 405), path


def test_staff_without_a_second_factor_are_led_to_one(cast: Cast) -> None:
    person = Person()
    services.user_create(email=person.email, password=PASSWORD)
    call_command("make_operator", person.email)
    assert person.sign_in()

    assert person.at.get("/operator/", follow=True).redirect_chain[-1][0] == "/account/2fa/"


def test_a_second_factor_counts_in_the_session_that_proved_it(cast: Cast, staff: Person) -> None:
    other = Person(email=staff.email)
    other.at.force_login(User.objects.get(email=staff.email), "allauth.account.auth_backends.AuthenticationBackend")

    chain = other.at.get("/operator/", follow=True).redirect_chain

    assert chain[-1][0] == "/account/2fa/reauthenticate/?next=%2Foperator%2F"


@pytest.mark.parametrize(("networks", "status"), [("", 200), ("2001:db8::/32", 200), ("10.0.0.0/8,::1", 302)])
def test_only_addresses_on_the_list_are_answered(
    operator: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, networks: str, status: int
) -> None:
    monkeypatch.setenv("CACHEAI_OPERATOR_NETWORKS", networks)
    settings.OPERATOR_NETWORKS = env.networks("CACHEAI_OPERATOR_NETWORKS")

    assert operator.get("/operator/").status_code == status


def test_whoever_is_no_operator_any_more_is_out_at_once(operator: Client, staff: Person) -> None:
    call_command("make_operator", staff.email, "--revoke")

    assert operator.get("/operator/").status_code == 302


# -- Finding and seeing


def test_a_tenant_is_found_by_whatever_is_known_of_it(buyer: Buyer, cast: Cast, operator: Client) -> None:
    buyer.subscribe("pro")
    account = buyer.account
    words = [
        buyer.tenant.name,
        "owner@example",
        cast.owner.api_key,
        str(buyer.tenant_id),
        account.customer_id,
        account.subscription_id,
        buyer.invoices[0].id,
    ]
    with as_owner():
        others = Tenant.objects.get(id=cast.outsider.tenant_id).name

    for word in words:
        found = page(operator, f"/operator/tenants/tenant/?q={word}")
        assert f"/operator/tenant/{buyer.tenant_id}" in found, word
        assert f"/operator/tenant/{cast.outsider.tenant_id}" not in found, word
    assert others in page(operator, "/operator/tenants/tenant/")
    assert f"/operator/tenant/{buyer.tenant_id}" not in page(operator, "/operator/tenants/tenant/?q=cus_nobodys")


def test_the_page_of_a_tenant_tells_plan_bill_and_margin(buyer: Buyer, operator: Client) -> None:
    buyer.subscribe("pro")
    buyer.wait(days=1)

    seen = page(operator, f"/operator/tenant/{buyer.tenant_id}")

    for told in ("Pro", "active", "owner@example.test", buyer.account.customer_id, "29.00", "Margin", "invoice.paid"):
        assert told in seen, told
    assert "unsafe-eval" in operator.get(f"/operator/tenant/{buyer.tenant_id}")["Content-Security-Policy"]
    assert "unsafe-eval" not in operator.get("/account/2fa/")["Content-Security-Policy"]


def test_a_tenant_that_never_bought_has_a_page_too(cast: Cast, operator: Client) -> None:
    assert "never bought" in page(operator, f"/operator/tenant/{cast.outsider.tenant_id}")
    assert operator.get(f"/operator/tenant/{UUID(int=9)}").status_code == 404


def test_a_hostile_name_is_text(cast: Cast, operator: Client) -> None:
    with as_owner():
        Tenant.objects.filter(id=cast.owner.tenant_id).update(name="<script>alert(1)</script>")

    for path in ("/operator/tenants/tenant/", f"/operator/tenant/{cast.owner.tenant_id}"):
        assert "<script>alert" not in page(operator, path)


def test_margin_is_what_is_left_after_a_tenants_share_of_our_costs() -> None:
    left = margin(revenue_usd=Decimal(29), requests=100_000, embeddings=50_000, stored_bytes=2 * 1024**3)

    assert (left.cost_usd, left.usd) == (Decimal("1.4"), Decimal("27.6"))


# -- Acting


@pytest.mark.parametrize("reason", ["", "no"])
def test_nothing_is_done_without_a_reason(cast: Cast, operator: Client, reason: str) -> None:
    assert "Nothing was done" in act(operator, cast.owner.tenant_id, "suspend", reason=reason)

    assert trail(cast.owner.tenant_id) == []


def test_nothing_is_done_by_a_link(cast: Cast, operator: Client) -> None:
    assert operator.get(f"/operator/tenant/{cast.owner.tenant_id}/suspend").status_code == 405


def test_a_suspended_tenants_keys_answer_401_until_it_is_restored(
    cast: Cast, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "UNKNOWN_SECONDS", 0)  # else a key that was refused is for so long

    def asks() -> int:
        return Api(cast.owner.api_key).get("/v1/cache/stats").status

    tenant_id, before = cast.owner.tenant_id, asks()
    assert before != 401

    assert "suspended" in act(operator, tenant_id, "suspend")
    assert asks() == 401
    assert "already" in act(operator, tenant_id, "suspend")
    assert "restored" in act(operator, tenant_id, "restore")
    assert asks() == before

    assert [(one.action, one.diff["reason"]) for one in trail(tenant_id)] == [
        ("tenant.suspended", WHY),
        ("tenant.restored", WHY),
    ]


def test_a_plan_and_a_limit_can_be_given(cast: Cast, operator: Client) -> None:
    tenant_id = cast.owner.tenant_id
    act(operator, tenant_id, "plan", plan="enterprise")
    act(operator, tenant_id, "grant", name="rpm", value=40_000, until="2099-01-01")

    with as_tenant(tenant_id):
        tenant, grant = Tenant.objects.get(id=tenant_id), Grant.objects.get(tenant_id=tenant_id)
    assert (tenant.plan, tenant.rpm) == ("enterprise", 40_000)

    act(operator, tenant_id, "grant-revoke", grant_id=grant.id)
    act(operator, tenant_id, "plan", plan="")
    with as_tenant(tenant_id):
        assert Tenant.objects.get(id=tenant_id).plan == "free"
    assert all(one.diff["reason"] == WHY for one in trail(tenant_id) if one.action != "plan.applied")


def test_a_feature_that_is_not_a_limit_takes_no_value(cast: Cast, operator: Client) -> None:
    assert "Grant a feature, or a limit" in act(operator, cast.owner.tenant_id, "grant", name="sso", value=3)


def test_a_credit_comes_off_the_next_invoice(buyer: Buyer, operator: Client) -> None:
    buyer.subscribe("pro")
    act(operator, buyer.tenant_id, "credit", usd="5.00")

    with as_tenant(buyer.tenant_id):
        assert Credit.objects.get(tenant_id=buyer.tenant_id).transaction_id
    buyer.wait(days=31, hours=2)
    assert [one.amount_due_usd for one in buyer.invoices] == [29, 24]


def test_a_plan_is_changed_after_a_preview(buyer: Buyer, operator: Client) -> None:
    buyer.subscribe("pro")
    seen = page(operator, f"/operator/tenant/{buyer.tenant_id}/preview/team")
    assert "Due now: $170.00" in seen

    assert "changed" in act(operator, buyer.tenant_id, "change-now", plan="team")
    assert buyer.tenant.plan == "team"
    assert "period" in act(operator, buyer.tenant_id, "change-later", plan="pro")
    assert buyer.account.next_plan == "pro"
    assert {"plan.change_asked", "plan.changed"} <= {one.action for one in trail(buyer.tenant_id)}


def test_a_trial_is_extended(buyer: Buyer, operator: Client) -> None:
    buyer.subscribe("pro", card=None, trial_days=14)
    until = (buyer.now + timedelta(days=40)).date()

    act(operator, buyer.tenant_id, "trial", until=until.isoformat())

    assert buyer.account.trial_ends_at is not None
    assert buyer.account.trial_ends_at.date() == until
    assert "Only a trial" in act(operator, buyer.tenant_id, "trial", until="2020-01-01")


def test_a_subscription_made_in_stripe_is_linked(buyer: Buyer, operator: Client) -> None:
    v1 = buyer.stripe.client.v1
    customer = v1.customers.create({"email": "contract@example.test"}).id
    method = v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    price = v1.prices.list({"lookup_keys": ["team.month"]}).data[0].id
    made = v1.subscriptions.create(
        {"customer": customer, "items": [{"price": price}], "default_payment_method": method}
    )

    act(operator, buyer.tenant_id, "link", subscription_id=made.id, plan="enterprise")

    assert (buyer.account.subscription_id, buyer.tenant.plan) == (made.id, "enterprise")


def test_a_push_is_settled_and_an_alert_resolved(buyer: Buyer, operator: Client) -> None:
    buyer.subscribe("pro")
    place = {"tenant_id": buyer.tenant_id, "hour": buyer.now, "period_start": buyer.now, "revision": 1}
    with as_tenant(buyer.tenant_id):
        times = {"stamped_at": buyer.now, "next_try_at": buyer.now, "created_at": buyer.now}
        bucket = {name: place[name] for name in ("tenant_id", "hour", "period_start")}
        UsageBucket.objects.create(**bucket, quantity=3)
        MeterPush.objects.create(**place, **times, identifier="one", value=3, state=MeterPush.FAILED, problem="why")
        BillingAlert.objects.create(tenant_id=buyer.tenant_id, kind="dispute", subject="dp_1")
    assert "why" in page(operator, "/operator/")
    assert "dp_1" in page(operator, "/operator/")

    act(operator, buyer.tenant_id, "settle", identifier="one", counted="no")
    act(operator, buyer.tenant_id, "alert", kind="dispute", subject="dp_1")

    with as_tenant(buyer.tenant_id):
        assert MeterPush.objects.get(**place).state == MeterPush.LOST
    assert "dp_1" not in page(operator, "/operator/")


def test_books_are_reconciled_and_events_fetched_and_run_again(buyer: Buyer, operator: Client) -> None:
    buyer.subscribe("pro")
    with as_owner():
        event = StripeEvent.objects.filter(customer_id=buyer.account.customer_id).first()
    assert event is not None and event.state == StripeEvent.DONE

    assert "again" in act(operator, buyer.tenant_id, "event", event_id=event.id)
    with as_owner():
        assert StripeEvent.objects.get(id=event.id).state == StripeEvent.WAITING
    assert "events since then" in act(operator, buyer.tenant_id, "fetch", since=buyer.now.date().isoformat())
    assert "agree" in act(operator, buyer.tenant_id, "reconcile")


def test_operators_are_no_members_for_that(cast: Cast, staff: Person) -> None:
    assert staff.at.get(f"/t/{cast.owner.tenant_id}/keys").status_code == 404
