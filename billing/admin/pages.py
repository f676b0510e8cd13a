"""How is what an operator sees laid out, as cards and tables?"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils.html import format_html

from billing.admin.across import attention as read_attention
from billing.admin.seeing import Sight, told
from billing.models import StripeEvent

GB = 1024**3
Table = dict[str, Any]
Button = Callable[..., str]  # of an act, for what the row is about


def usd(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount:,.2f}"


def dollars(amount: Decimal) -> str:
    cents = round(amount, 2)
    return f"{'-' if cents < 0 else ''}${abs(cents):,.2f}"


def cards(seen: Sight) -> list[tuple[str, str]]:
    """Title and figure."""
    tenant, overview, used = seen.tenant, seen.overview, seen.overview.usage
    return [
        ("Plan", f"{overview.plan_name}{' (given)' if seen.account.plan_given else ''}"),
        ("State", ("suspended " if tenant.suspended_at else "") + (overview.state or "never bought")),
        ("Requests this period", f"{used.requests:,} of {used.included:,}"),
        ("Overage so far", dollars(used.overage_usd)),
        ("Hits in 30 days", f"{seen.figures.hits:,} of {seen.figures.lookups:,} lookups"),
        ("Saved in 30 days, an estimate", f"{dollars(seen.figures.saved_usd)}, net {dollars(seen.figures.net_usd)}"),
        ("Paid in 30 days", dollars(seen.margin.revenue_usd)),
        ("Margin, an estimate", dollars(seen.margin.usd)),
    ]


def tables(seen: Sight, button: Button) -> list[tuple[str, Table]]:
    tenant, account = seen.tenant, seen.account
    facts: list[list[Any]] = [
        ["Tenant", tenant.id],
        ["Customer", account.customer_id],
        ["Subscription", account.subscription_id],
        ["Trial ends", told(account.trial_ends_at)],
        ["Period", f"{told(account.period_start)} to {told(account.period_end)}"],
        ["Cancels", told(account.cancels_at)],
        ["Next plan", account.next_plan],
        ["Converted", told(account.converted_at)],
        ["Limits", f"{tenant.rpm} rpm, {tenant.entries_max:,} entries, {tenant.requests_included:,} requests"],
        ["Stored", f"{seen.stored_bytes / GB:.3f} GB"],
        ["Features", ", ".join(tenant.features)],
        ["Read from Stripe", told(account.synced_at)],
    ]
    return [
        ("Facts", _table((), [row for row in facts if row[1]])),
        ("Members", _table(("mail", "role"), [[one.email, one.role] for one in seen.members])),
        (
            "Invoices",
            _table(
                ("number", "status", "for", "USD", "due", "next try", "problem"),
                [
                    [
                        format_html('<a href="{}" rel="noreferrer">{}</a>', one.hosted_invoice_url, one.number)
                        if one.hosted_invoice_url
                        else one.number,
                        one.status,
                        one.reason,
                        usd(one.total_usd),
                        usd(one.amount_due_usd),
                        told(one.next_payment_attempt),
                        one.problem,
                    ]
                    for one in seen.invoices
                ],
            ),
        ),
        (
            "Grants",
            _table(
                ("what", "value", "until", "why", ""),
                [
                    [one.name, one.value or "", told(one.until), one.reason, button("grant-revoke", grant_id=one.id)]
                    for one in seen.grants
                ],
            ),
        ),
        (
            "Credits",
            _table(
                ("USD", "why", "at", "at Stripe"),
                [[usd(one.amount_usd), one.reason, told(one.created_at), one.transaction_id] for one in seen.credits],
            ),
        ),
        (
            "Alerts",
            _table(
                ("kind", "about", "detail", "since", ""),
                [
                    [
                        one.kind,
                        one.subject,
                        one.detail,
                        told(one.created_at),
                        button("alert", kind=one.kind, subject=one.subject),
                    ]
                    for one in seen.alerts
                ],
            ),
        ),
        (
            "Pushes to settle",
            _table(
                ("hour", "value", "state", "problem", ""),
                [
                    [told(one.hour), one.value, one.state, one.problem, button("settle", identifier=one.identifier)]
                    for one in seen.stuck
                ],
            ),
        ),
        (
            "Hours Stripe was not told all of",
            _table(("hour", "used", "told"), [[told(one.hour), one.quantity, one.pushed] for one in seen.behind]),
        ),
        ("Events", _table(("type", "at", "state", "problem", ""), [_event(one, button) for one in seen.events])),
        (
            "Models without a price, 30 days",
            _table(("provider", "model", "calls"), [[one.provider, one.model, one.calls] for one in seen.unpriced]),
        ),
        (
            "Audit trail",
            _table(
                ("at", "who", "did", "to", "what"),
                [[told(one.at), one.actor_kind, one.action, one.target, one.diff] for one in seen.trail],
            ),
        ),
    ]


def attention(now: datetime) -> list[tuple[str, Table]]:
    seen = read_attention(now)

    def name(tenant_id: Any) -> str:
        href = reverse("operator:tenant", args=[tenant_id])
        return format_html('<a class="text-link" href="{}">{}</a>', href, seen.names.get(tenant_id, tenant_id))

    return [
        (
            "Alerts",
            _table(
                ("tenant", "kind", "about", "since"),
                [[name(one.tenant_id), one.kind, one.subject, told(one.created_at)] for one in seen.alerts],
            ),
        ),
        (
            "Pushes to settle",
            _table(
                ("tenant", "hour", "value", "state", "problem"),
                [[name(one.tenant_id), told(one.hour), one.value, one.state, one.problem] for one in seen.pushes],
            ),
        ),
        (
            "Events that failed",
            _table(
                ("type", "at", "tries", "problem", "customer"),
                [[one.type, told(one.created), one.attempts, one.problem, one.customer_id] for one in seen.events],
            ),
        ),
    ]


def _event(event: StripeEvent, button: Button) -> list[Any]:
    return [event.type, told(event.created), event.state, event.problem, button("event", event_id=event.id)]


def _table(headers: Sequence[str], rows: list[list[Any]]) -> Table:
    return {"headers": list(headers), "rows": rows}
