"""What may an operator do to a tenant, and what is each act asked with? All of them with a reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from billing import events, operating, reconciliation, services
from billing.accounts import account_sync
from billing.limits import FEATURES, LIMITS
from billing.plans import PLANS
from tenants import audit
from tenants.audit import Actor
from tenants.hints import hint
from tenants.isolation import as_tenant
from tenants.suspension import tenant_restore, tenant_suspend

REASON_MIN_CHARACTERS = 5


@dataclass(frozen=True, slots=True)
class Asked:
    tenant_id: UUID
    reason: str
    actor: Actor
    now: datetime
    values: Mapping[str, Any]

    @property
    def known(self) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "reason": self.reason, "actor": self.actor, "now": self.now}


@dataclass(frozen=True, slots=True)
class Act:
    title: str
    form: type["Reasoned"]
    run: Callable[[Asked], str]  # what is said of it


class Reasoned(forms.Form):
    reason = forms.CharField(
        min_length=REASON_MIN_CHARACTERS,
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="For the tenant's audit trail.",
    )

    field_order: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "reason"])


def _a_day() -> UnfoldAdminTextInputWidget:
    """The browser's own calendar."""
    return UnfoldAdminTextInputWidget({"type": "date"})


def _plans(*more: tuple[str, str], sold: bool = False) -> list[tuple[str, str]]:
    return [*more, *((plan.name, plan.title) for plan in PLANS.values() if plan.is_sold or not sold)]


class PlanGiven(Reasoned):
    plan = forms.ChoiceField(choices=_plans(("", "What was bought")), required=False, widget=UnfoldAdminSelectWidget)


class PlanSold(Reasoned):
    plan = forms.ChoiceField(choices=_plans(sold=True), widget=UnfoldAdminSelectWidget)


class PlanLater(Reasoned):
    plan = forms.ChoiceField(choices=[*_plans(sold=True), ("free", "Free")], widget=UnfoldAdminSelectWidget)


class Amount(Reasoned):
    usd = forms.DecimalField(min_value=0, decimal_places=2, label="USD", widget=UnfoldAdminDecimalFieldWidget)


class Until(Reasoned):
    until = forms.DateField(widget=_a_day(), help_text="To the end of that day, UTC.")


class Granted(Reasoned):
    name = forms.ChoiceField(
        choices=[(name, name.replace("_", " ")) for name in (*sorted(FEATURES), *sorted(LIMITS))],
        label="Feature or limit",
        widget=UnfoldAdminSelectWidget,
    )
    value = forms.IntegerField(
        required=False, min_value=1, widget=UnfoldAdminIntegerFieldWidget, help_text="Of a limit: at least so much."
    )
    until = forms.DateField(required=False, widget=_a_day(), help_text="Empty: no end.")


class GrantNamed(Reasoned):
    grant_id = forms.UUIDField(widget=forms.HiddenInput)


class Linked(Reasoned):
    subscription_id = forms.CharField(
        label="Subscription", widget=UnfoldAdminTextInputWidget, help_text="sub_..., as made in Stripe."
    )
    plan = forms.ChoiceField(choices=_plans(), widget=UnfoldAdminSelectWidget)


class Settled(Reasoned):
    identifier = forms.CharField(widget=forms.HiddenInput)
    counted = forms.ChoiceField(
        choices=[("yes", "Stripe counted it"), ("no", "Stripe did not: tell it again")], widget=UnfoldAdminSelectWidget
    )


class AlertNamed(Reasoned):
    kind = forms.CharField(widget=forms.HiddenInput)
    subject = forms.CharField(widget=forms.HiddenInput, required=False)


class EventNamed(Reasoned):
    event_id = forms.CharField(widget=forms.HiddenInput)


class Since(Reasoned):
    since = forms.DateField(widget=_a_day(), help_text="Stripe keeps 30 days.")


def _plan_set(asked: Asked) -> str:
    operating.plan_set(plan=asked.values["plan"], **asked.known)
    return "The plan is set."


def _change_now(asked: Asked) -> str:
    _record(asked, "plan.change_asked", asked.values["plan"])
    url = services.plan_change_now(
        tenant_id=asked.tenant_id, plan=asked.values["plan"], actor=asked.actor, now=asked.now
    )
    return f"The payment has to be confirmed first: {url}" if url else "The plan is changed."


def _change_later(asked: Asked) -> str:
    _record(asked, "plan.change_asked", asked.values["plan"])
    at_once = services.downgrade_at_period_end(
        tenant_id=asked.tenant_id, plan=asked.values["plan"], actor=asked.actor, now=asked.now
    )
    return "The trial goes on with it at once." if at_once else "The plan changes at the period's end."


def _credit(asked: Asked) -> str:
    operating.credit_give(usd=asked.values["usd"], **asked.known)
    return f"${asked.values['usd']} are taken off the next invoice."


def _grant(asked: Asked) -> str:
    until = asked.values["until"]
    values = {**asked.values, "until": until and _end_of(until)}
    operating.grant_give(**values, **asked.known)
    return "It is granted."


def _grant_revoke(asked: Asked) -> str:
    operating.grant_revoke(grant_id=asked.values["grant_id"], **asked.known)
    return "The grant is revoked."


def _trial(asked: Asked) -> str:
    operating.trial_extend(until=_end_of(asked.values["until"]), **asked.known)
    return "The trial is extended."


def _link(asked: Asked) -> str:
    operating.subscription_link(**asked.values, **asked.known)
    return "The subscription is this tenant's now."


def _suspend(asked: Asked) -> str:
    tenant_suspend(**asked.known)
    return "The tenant is suspended: its keys answer 401."


def _restore(asked: Asked) -> str:
    tenant_restore(**asked.known)
    return "The tenant is restored."


def _reconcile(asked: Asked) -> str:
    _record(asked, "books.reconciled")
    account_sync(tenant_id=asked.tenant_id, now=asked.now)
    drifts = reconciliation.reconcile(tenant_id=asked.tenant_id, now=asked.now)
    return f"{len(drifts)} hours differ: see the alerts." if drifts else "Ledger, pushes and Stripe agree."


def _settle(asked: Asked) -> str:
    counted = asked.values["counted"] == "yes"
    operating.push_settle(identifier=asked.values["identifier"], counted=counted, **asked.known)
    return "The push is settled."


def _alert_resolve(asked: Asked) -> str:
    operating.alert_resolve(**asked.values, **asked.known)
    return "The alert is resolved."


def _event_again(asked: Asked) -> str:
    _record(asked, "event.run_again", asked.values["event_id"])
    events.event_again(event_id=asked.values["event_id"], now=asked.now)
    hint("billing.act")
    return "The event is acted on again."


def _refetch(asked: Asked) -> str:
    _record(asked, "event.fetched", asked.values["since"].isoformat())
    since = datetime.combine(asked.values["since"], time.min, UTC)
    found = events.fetch(asked.now, since=since)
    hint("billing.act")
    return f"{found} events since then; those that were new are acted on."


ACTS: Mapping[str, Act] = MappingProxyType(
    {
        "plan": Act("Set the plan, whatever was bought", PlanGiven, _plan_set),
        "change-now": Act("Change what was bought, now", PlanSold, _change_now),
        "change-later": Act("Change it at the period's end", PlanLater, _change_later),
        "credit": Act("Give a credit", Amount, _credit),
        "grant": Act("Grant a limit or a feature", Granted, _grant),
        "grant-revoke": Act("Revoke", GrantNamed, _grant_revoke),
        "trial": Act("Extend the trial", Until, _trial),
        "link": Act("Link a subscription made in Stripe", Linked, _link),
        "suspend": Act("Suspend", Reasoned, _suspend),
        "restore": Act("Restore", Reasoned, _restore),
        "reconcile": Act("Reconcile the books", Reasoned, _reconcile),
        "settle": Act("Settle", Settled, _settle),
        "alert": Act("Resolve", AlertNamed, _alert_resolve),
        "event": Act("Run again", EventNamed, _event_again),
        "fetch": Act("Fetch events from Stripe again", Since, _refetch),
    }
)
# Those with a button of their own beside what they are about.
BESIDE = frozenset({"grant-revoke", "settle", "alert", "event"})


def _record(asked: Asked, action: str, target: str = "") -> None:
    """For acts that tell the trail what they did, and not why."""
    with as_tenant(asked.tenant_id):
        audit.record(
            tenant_id=asked.tenant_id, actor=asked.actor, action=action, target=target, diff={"reason": asked.reason}
        )


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC).replace(microsecond=0)
