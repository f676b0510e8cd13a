"""Does an event reach its endpoint, signed, again if need be, and nobody else's address?"""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings

from cache_api.adapters.upstream import UrllibUpstream
from cache_api.webhook_sending import send_due
from tenants import features, vault, webhooks
from tenants.audit import SYSTEM
from tenants.isolation import as_owner, as_tenant
from tenants.models import Mail, Tenant, WebhookDelivery
from tenants.refusals import BadValue, NotFound, NotInPlan
from tests.conftest import Cast

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Receiver:
    """A tenant's own server."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def pair(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.pair[1]}/hook?token=t"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()
    one.thread.join()


@pytest.fixture
def upstream(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[UrllibUpstream]:
    """The operator allows the receiver's address, and no other private one."""
    monkeypatch.setattr(settings, "UPSTREAM_ALLOWED", [f"127.0.0.1:{receiver.pair[1]}"])
    guarded = UrllibUpstream(allowed=frozenset({receiver.pair}), denied=(), waiting_max=4)
    yield guarded
    guarded._pools.clear()


@pytest.fixture(autouse=True)
def _plan(cast: Cast) -> None:
    with as_owner():
        Tenant.objects.update(features=list(features.PRO))


@pytest.fixture(autouse=True)
def _hints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "hint_aside", lambda task: None)


def made(cast: Cast, receiver: Receiver, *events: str) -> webhooks.NewEndpoint:
    return webhooks.endpoint_create(tenant_id=cast.owner.tenant_id, actor=SYSTEM, url=receiver.url, events=events or ())


def happened(cast: Cast, event: str = "budget.reached", **data: Any) -> int:
    with as_tenant(cast.owner.tenant_id):
        tenant = Tenant.objects.get(id=cast.owner.tenant_id)
        return webhooks.event_add(tenant=tenant, event=event, data=data or {"threshold": 80}, now=NOW)


def log_of(cast: Cast, endpoint: webhooks.NewEndpoint) -> list[WebhookDelivery]:
    return webhooks.deliveries_of(tenant_id=cast.owner.tenant_id, endpoint_id=endpoint.id)


def test_an_event_arrives_signed(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    endpoint = made(cast, receiver)
    assert happened(cast, threshold=80) == 1

    assert send_due(upstream, lambda: NOW) == 1
    assert send_due(upstream, lambda: NOW) == 0

    ((path, headers, body),) = receiver.heard
    assert path == "/hook?token=t"
    assert json.loads(body) == {
        "type": "budget.reached",
        "timestamp": NOW.isoformat(),
        "tenant_id": str(cast.owner.tenant_id),
        "data": {"threshold": 80},
    }
    key = base64.b64decode(endpoint.secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    (delivery,) = log_of(cast, endpoint)
    assert (delivery.status, delivery.attempts, delivery.delivered_at) == (204, 1, NOW)


def test_only_who_wants_an_event_hears_it(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    made(cast, receiver, "key.leaked")
    assert happened(cast, "budget.reached") == 0
    assert happened(cast, "key.leaked") == 1


def test_what_fails_is_tried_for_a_day_then_the_endpoint_is_off(
    cast: Cast, receiver: Receiver, upstream: UrllibUpstream
) -> None:
    endpoint = made(cast, receiver)
    receiver.status = 500
    happened(cast)
    happened(cast, "key.leaked")
    now = NOW
    while (due := min((one.next_at for one in log_of(cast, endpoint) if one.next_at), default=None)) is not None:
        now = max(now, due)
        send_due(upstream, lambda now=now: now)  # type: ignore[misc]

    assert timedelta(hours=23) < now - NOW < timedelta(hours=25)
    first = {headers["webhook-id"] for _, headers, _ in receiver.heard}
    assert len(first) == 2  # however often
    (off,) = webhooks.endpoints_of(tenant_id=cast.owner.tenant_id)
    assert off.disabled_at is not None
    assert {delivery.given_up_at is not None for delivery in log_of(cast, endpoint)} == {True}
    with as_owner():
        ((to, subject, _),) = [json.loads(vault.transport_unseal(bytes(one.sealed))) for one in Mail.objects.all()]
    assert (to, subject) == ("owner@example.test", "A webhook of Team is switched off")
    assert happened(cast) == 0

    webhooks.endpoint_enable(tenant_id=cast.owner.tenant_id, actor=SYSTEM, endpoint_id=endpoint.id)
    receiver.status = 200
    for delivery in log_of(cast, endpoint):
        webhooks.delivery_again(tenant_id=cast.owner.tenant_id, delivery_id=delivery.id, now=now)
    assert send_due(upstream, lambda: now) == 2


@pytest.mark.parametrize("status", [301, 404, 429, 503])
def test_any_other_answer_is_a_failure(cast: Cast, receiver: Receiver, upstream: UrllibUpstream, status: int) -> None:
    endpoint = made(cast, receiver)
    receiver.status = status
    happened(cast)

    send_due(upstream, lambda: NOW)

    (delivery,) = log_of(cast, endpoint)
    assert (delivery.status, delivery.next_at) == (status, NOW + timedelta(seconds=5))


def test_who_is_gone_is_asked_no_more(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    endpoint = made(cast, receiver)
    receiver.status = 410
    happened(cast)

    send_due(upstream, lambda: NOW)

    (off,) = webhooks.endpoints_of(tenant_id=cast.owner.tenant_id)
    assert (off.id, off.disabled_reason) == (endpoint.id, "It answered 410.")


def test_an_endpoint_that_hangs_holds_up_no_other(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    gone = webhooks.endpoint_create(tenant_id=cast.owner.tenant_id, actor=SYSTEM, url="https://nowhere.invalid/hook")
    made(cast, receiver)
    for _ in range(3):
        happened(cast)

    assert send_due(upstream, lambda: NOW) == 3
    tried = [delivery.attempts for delivery in log_of(cast, gone)]
    assert sorted(tried) == [0, 0, 1]
    assert "could not be reached" in next(one.error for one in log_of(cast, gone) if one.attempts)


def test_a_private_address_is_not_dialled(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    """Not even one that passed when it was entered: what counts is the address that is dialled."""
    endpoint = made(cast, receiver)
    happened(cast)
    closed = UrllibUpstream(allowed=frozenset(), denied=(), waiting_max=4)

    assert send_due(closed, lambda: NOW) == 0

    assert receiver.heard == []
    (delivery,) = log_of(cast, endpoint)
    assert delivery.error
    closed._pools.clear()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com/#x",
        "https://hooks.example.com/\n",
        "https://hooks.example.com:99999/",
        "hooks.example.com",
        "",
        "https://" + "h" * 3000,
    ],
)
def test_an_address_that_cannot_be_is_refused_at_once(cast: Cast, url: str) -> None:
    with pytest.raises(BadValue):
        webhooks.endpoint_create(tenant_id=cast.owner.tenant_id, actor=SYSTEM, url=url)


def test_a_test_event_shows_in_the_log(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    endpoint = made(cast, receiver, "key.leaked")
    delivery_id = webhooks.endpoint_test(tenant_id=cast.owner.tenant_id, endpoint_id=endpoint.id, now=NOW)

    send_due(upstream, lambda: NOW)

    (delivery,) = log_of(cast, endpoint)
    assert (delivery.id, delivery.event, delivery.delivered_at) == (delivery_id, "test", NOW)


def test_the_secret_is_stored_sealed_and_shown_once(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    endpoint = made(cast, receiver)
    (stored,) = webhooks.endpoints_of(tenant_id=cast.owner.tenant_id)

    assert endpoint.secret.endswith(stored.hint)
    assert base64.b64decode(endpoint.secret.removeprefix("whsec_")) not in bytes(stored.sealed)
    assert endpoint.secret not in repr(endpoint)


def test_without_the_plan_for_it_there_are_no_webhooks(
    cast: Cast, receiver: Receiver, upstream: UrllibUpstream
) -> None:
    made(cast, receiver)
    with as_owner():
        Tenant.objects.update(features=[])
    assert happened(cast) == 0
    with pytest.raises(NotInPlan):
        made(cast, receiver)


def test_another_tenants_endpoint_is_none(cast: Cast, receiver: Receiver, upstream: UrllibUpstream) -> None:
    endpoint = made(cast, receiver)
    theirs = {"tenant_id": cast.outsider.tenant_id, "endpoint_id": endpoint.id}

    assert webhooks.endpoints_of(tenant_id=cast.outsider.tenant_id) == []
    for act in (
        lambda: webhooks.endpoint_change(**theirs, actor=SYSTEM, events=["key.leaked"]),
        lambda: webhooks.endpoint_enable(**theirs, actor=SYSTEM),
        lambda: webhooks.endpoint_delete(**theirs, actor=SYSTEM),
        lambda: webhooks.endpoint_test(**theirs, now=NOW),
    ):
        with pytest.raises(NotFound):
            act()
