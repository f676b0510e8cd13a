"""Who is told by webhook of what happens to a tenant, and did it arrive?

An event is a row for each endpoint that wants it, written in the transaction of what it tells. A worker sends it,
signed as Standard Webhooks say, and again with growing pauses for a day; an endpoint that takes nothing for so long is
switched off. The same event may arrive twice, under the same `webhook-id`.

    webhook-signature   v1,base64(HMAC-SHA256(secret, "{webhook-id}.{webhook-timestamp}.{body}"))
"""

import base64
import hmac
import ipaddress
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_bytes
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import router, transaction

from tenants import audit, features, selectors, vault
from tenants.audit import SYSTEM, Actor
from tenants.hints import hint_aside
from tenants.isolation import as_owner, as_tenant
from tenants.mailing import mail_send
from tenants.models import Tenant, WebhookDelivery, WebhookEndpoint
from tenants.refusals import BadValue, LimitReached, NotFound, NotInPlan

TASK = "cache_api.default.send_webhooks"
EVENT_WORDS: Mapping[str, str] = {
    "quota.reached": "Half, 80 % or all of the plan's requests, or of the spend cap, are used.",
    "budget.reached": "Half, 80 % or all of a budget is spent.",
    "key.leaked": "A key was found in public.",
    "key.expiring": "A key ends soon.",
    "policy.drift": "Hits are wrong more often than the policy allows.",
}
EVENTS = tuple(EVENT_WORDS)
TEST = "test"
TOLD_ROLES = ("owner", "admin")
SECRET_PREFIX = "whsec_"  # noqa: S105 (no secret, only how one begins)
SECRET_BYTES = 32
HINT_LAST_CHARACTERS = 4
COLUMN = "webhook_endpoint.sealed"
ENDPOINTS_MAX = 10
URL_MAX_CHARACTERS = 2_048
ERROR_MAX_CHARACTERS = 200
# Pauses after the first, second, ... attempt: a day in all.
PAUSES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 300, 1_800, 7_200, 14_400, 28_800, 33_000)
)  # fmt: skip
LEASE = timedelta(minutes=1)  # a worker that dies while it sends leaves the delivery to the next
GONE = 410
KEPT = timedelta(days=30)

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint just made. `secret` is shown this once."""

    id: UUID
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that this worker is to send now."""

    tenant_id: UUID
    id: UUID
    endpoint_id: UUID
    url: str
    sealed: bytes = field(repr=False)
    body: bytes = field(repr=False)


def endpoint_create(*, tenant_id: UUID, actor: Actor, url: str, events: Sequence[str] = ()) -> NewEndpoint:
    """No events: all. Raises BadValue, NotInPlan or LimitReached."""
    _check_url(url)
    _check_events(events)
    endpoint_id, key = uuid4(), token_bytes(SECRET_BYTES)
    secret = SECRET_PREFIX + base64.b64encode(key).decode()
    sealed = vault.seal(tenant_id, key, column=COLUMN, row_id=endpoint_id)
    with as_tenant(tenant_id):
        tenant = Tenant.objects.select_for_update().get(id=tenant_id)
        if features.WEBHOOKS not in tenant.features:
            raise NotInPlan(f"The plan {tenant.plan} has no webhooks.")
        if WebhookEndpoint.objects.filter(tenant_id=tenant_id).count() >= ENDPOINTS_MAX:
            raise LimitReached(f"A tenant has at most {ENDPOINTS_MAX} endpoints.")
        WebhookEndpoint.objects.create(
            tenant_id=tenant_id,
            id=endpoint_id,
            url=url,
            events=list(events),
            sealed=sealed,
            hint=secret[-HINT_LAST_CHARACTERS:],
        )
        _record(tenant_id, actor, "webhook.create", endpoint_id, {"url": _host(url), "events": list(events)})
    return NewEndpoint(endpoint_id, secret)


def endpoint_change(
    *,
    tenant_id: UUID,
    actor: Actor,
    endpoint_id: UUID,
    url: str | None = None,
    events: Sequence[str] | None = None,
) -> None:
    """None leaves as it is. Raises BadValue or NotFound."""
    changes: dict[str, Any] = {}
    if url is not None:
        _check_url(url)
        changes["url"] = url
    if events is not None:
        _check_events(events)
        changes["events"] = list(events)
    if not changes:
        return
    with as_tenant(tenant_id):
        _found(tenant_id, endpoint_id)
        WebhookEndpoint.objects.filter(tenant_id=tenant_id, id=endpoint_id).update(**changes)
        told = {**changes, "url": _host(url)} if url is not None else changes
        _record(tenant_id, actor, "webhook.change", endpoint_id, told)


def endpoint_enable(*, tenant_id: UUID, actor: Actor, endpoint_id: UUID) -> None:
    """Raises NotFound."""
    with as_tenant(tenant_id):
        _found(tenant_id, endpoint_id)
        found = WebhookEndpoint.objects.filter(tenant_id=tenant_id, id=endpoint_id)
        if found.exclude(disabled_at=None).update(disabled_at=None, disabled_reason=""):
            _record(tenant_id, actor, "webhook.enable", endpoint_id, {})


def endpoint_delete(*, tenant_id: UUID, actor: Actor, endpoint_id: UUID) -> None:
    """Its deliveries go with it. Raises NotFound."""
    with as_tenant(tenant_id):
        endpoint = _found(tenant_id, endpoint_id)
        WebhookEndpoint.objects.filter(tenant_id=tenant_id, id=endpoint_id).delete()
        _record(tenant_id, actor, "webhook.delete", endpoint_id, {"url": _host(endpoint.url)})


def endpoint_test(*, tenant_id: UUID, endpoint_id: UUID, now: datetime) -> UUID:
    """Send it an event that means nothing; the delivery's id, to look for in the log. Raises NotFound."""
    with as_tenant(tenant_id):
        endpoint = _found(tenant_id, endpoint_id)
        return _deliver(endpoint, TEST, {"message": "CacheAI reaches this endpoint."}, now)


def delivery_again(*, tenant_id: UUID, delivery_id: UUID, now: datetime) -> None:
    """From the first attempt on. Raises NotFound."""
    with as_tenant(tenant_id):
        found = WebhookDelivery.objects.filter(tenant_id=tenant_id, id=delivery_id)
        if not found.update(next_at=now, attempts=0, delivered_at=None, given_up_at=None):
            raise NotFound("There is no such delivery.")
        _hint()


def endpoints_of(*, tenant_id: UUID) -> list[WebhookEndpoint]:
    with as_tenant(tenant_id):
        return list(WebhookEndpoint.objects.filter(tenant_id=tenant_id).order_by("created_at"))


def deliveries_of(*, tenant_id: UUID, endpoint_id: UUID, limit: int = 50) -> list[WebhookDelivery]:
    """The latest first."""
    with as_tenant(tenant_id):
        found = WebhookDelivery.objects.filter(tenant_id=tenant_id, endpoint_id=endpoint_id)
        return list(found.order_by("-created_at")[:limit])


def event_add(*, tenant: Tenant, event: str, data: Mapping[str, Any], now: datetime) -> int:
    """Inside the tenant's transaction of what it tells; to how many endpoints. `data` is plain JSON without secrets."""
    if features.WEBHOOKS not in tenant.features:
        return 0
    endpoints = WebhookEndpoint.objects.filter(tenant_id=tenant.id, disabled_at=None)
    wanting = [endpoint for endpoint in endpoints if not endpoint.events or event in endpoint.events]
    for endpoint in wanting:
        _deliver(endpoint, event, data, now)
    return len(wanting)


# -- for the worker that sends


def take_due(now: datetime, *, but_not_to: Collection[UUID] = ()) -> Due | None:
    """The next delivery that is due, as this worker's for a minute; no transaction is open while it is sent."""
    with as_owner():
        due = WebhookDelivery.objects.select_for_update(skip_locked=True).filter(next_at__lte=now)
        delivery = due.exclude(endpoint_id__in=but_not_to).order_by("next_at").first()
        if delivery is None:
            return None
        endpoint = WebhookEndpoint.objects.get(tenant_id=delivery.tenant_id, id=delivery.endpoint_id)
        delivery.attempts, delivery.next_at = delivery.attempts + 1, now + LEASE
        delivery.save(update_fields=["attempts", "next_at"])
    sealed, body = bytes(endpoint.sealed), delivery.body.encode()
    return Due(delivery.tenant_id, delivery.id, endpoint.id, endpoint.url, sealed, body)


def headers_of(due: Due, now: datetime) -> dict[str, str]:
    """What the body goes with. Raises vault.Corrupt or vault.VaultUnavailable."""
    key = vault.unseal(due.tenant_id, due.sealed, column=COLUMN, row_id=due.endpoint_id)
    message_id = f"msg_{due.id.hex}"
    timestamp = str(int(now.timestamp()))
    return {
        "content-type": "application/json",
        "user-agent": "CacheAI-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(key, message_id, timestamp, due.body),
    }


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.digest(key, b".".join((message_id.encode(), timestamp.encode(), body)), "sha256")
    return "v1," + base64.b64encode(digest).decode()


def note(due: Due, *, status: int | None, error: str, now: datetime) -> None:
    """What came of an attempt: delivered, due again, or given up."""
    with as_tenant(due.tenant_id):
        found = WebhookDelivery.objects.select_for_update().filter(tenant_id=due.tenant_id, id=due.id)
        delivery = found.first()
        if delivery is None:  # Deleted with its endpoint meanwhile.
            return
        delivery.status, delivery.error = status, error[:ERROR_MAX_CHARACTERS]
        if status is not None and 200 <= status < 300:
            delivery.delivered_at, delivery.next_at = now, None
        elif status == GONE or delivery.attempts > len(PAUSES):
            delivery.given_up_at, delivery.next_at = now, None
            _disable(due, "It answered 410." if status == GONE else "It took nothing for a day.", now)
        else:
            delivery.next_at = now + PAUSES[delivery.attempts - 1]
        delivery.save()


def remove_old(now: datetime) -> int:
    with as_owner():
        return WebhookDelivery.objects.filter(next_at=None, created_at__lt=now - KEPT).delete()[0]


def _disable(due: Due, reason: str, now: datetime) -> None:
    """And give up what else waits for it."""
    found = WebhookEndpoint.objects.filter(tenant_id=due.tenant_id, id=due.endpoint_id, disabled_at=None)
    if not found.update(disabled_at=now, disabled_reason=reason):
        return
    waiting = WebhookDelivery.objects.filter(tenant_id=due.tenant_id, endpoint_id=due.endpoint_id)
    waiting.exclude(id=due.id).exclude(next_at=None).update(next_at=None, given_up_at=now, error="switched off")
    _record(due.tenant_id, SYSTEM, "webhook.disable", due.endpoint_id, {"reason": reason})
    tenant = Tenant.objects.get(id=due.tenant_id)
    mail_send(
        to=selectors.emails_of(tenant_id=due.tenant_id, roles=TOLD_ROLES),
        subject=f"A webhook of {tenant.name} is switched off",
        text=f"The endpoint at {_host(due.url)} hears of nothing any more. {reason}\n"
        "Switch it on again when it works; what was not delivered can be sent again from its log.\n",
    )


def _deliver(endpoint: WebhookEndpoint, event: str, data: Mapping[str, Any], now: datetime) -> UUID:
    body = {"type": event, "timestamp": now.astimezone(UTC).isoformat(), "tenant_id": str(endpoint.tenant_id)}
    delivery = WebhookDelivery.objects.create(
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.id,
        event=event,
        body=json.dumps({**body, "data": data}, separators=(",", ":"), ensure_ascii=False),
        created_at=now,
        next_at=now,
    )
    _hint()
    return delivery.id


def _hint() -> None:
    transaction.on_commit(lambda: hint_aside(TASK), using=router.db_for_write(WebhookDelivery))


def _found(tenant_id: UUID, endpoint_id: UUID) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.filter(tenant_id=tenant_id, id=endpoint_id).first()
    if endpoint is None:
        raise NotFound("There is no such endpoint.")
    return endpoint


def _record(tenant_id: UUID, actor: Actor, action: str, endpoint_id: UUID, diff: Mapping[str, Any]) -> None:
    audit.record(tenant_id=tenant_id, actor=actor, action=action, target=str(endpoint_id), diff=diff)


def _host(url: str) -> str:
    """All that is told of an address elsewhere: its path may be a secret of the receiver's."""
    return urlsplit(url).netloc


def _check_events(events: Sequence[str]) -> None:
    if unknown := sorted(set(events) - set(EVENTS)):
        raise BadValue(f"There is no event {unknown[0]}.", field="events")


def _check_url(url: str) -> None:
    """What a person can be told at once. What counts is checked when it is dialled."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadValue("The address cannot be read.", field="url") from None
    if len(url) > URL_MAX_CHARACTERS or not url.isascii() or not url.isprintable() or not parts.hostname:
        raise BadValue("The address must be a whole URL.", field="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadValue("The address must hold no user name, password or fragment.", field="url")
    if f"{parts.hostname}:{port}" in settings.UPSTREAM_ALLOWED and parts.scheme in {"http", "https"}:
        return
    if parts.scheme != "https":
        raise BadValue("The address must begin with https://.", field="url")
    try:
        is_public = ipaddress.ip_address(parts.hostname).is_global
    except ValueError:
        is_public = parts.hostname != "localhost"
    if not is_public:
        raise BadValue("The address is not a public one.", field="url")
