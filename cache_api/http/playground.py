"""How is a member's own question answered, with the cache and past it?

By the service itself, so that what is shown is what happens; it counts neither against the plan nor as a client's call.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from time import perf_counter

import orjson

from cache_api import wiring
from cache_api.dialects import openai_chat
from cache_api.dialects.bare_question import chat_body
from cache_api.dialects.errors import Refused
from cache_api.domain.call import Call
from cache_api.domain.decision import Judgement, judge
from cache_api.domain.policy import Policy
from cache_api.domain.request import Controls, Request
from cache_api.domain.signals import Signals
from cache_api.http.answering import WRITING, Identity, as_refused, build_request
from cache_api.http.query import Asked, hear
from cache_api.http.trial import Lap, watched
from cache_api.looking import milliseconds_since
from cache_api.ports import CacheUnavailable, Ledger, Limits, UpstreamError
from cache_api.service import CacheService
from tenants import throttling
from tenants.authentication import Access
from tenants.models import Project, Tenant

CANDIDATES = 5
ORIGIN = "playground"


@dataclass(frozen=True, slots=True)
class Told:
    """What a member is shown of one answer."""

    text: str
    signals: Signals
    milliseconds: int
    cost_usd: Decimal | None  # of its tokens, whether they were bought now or when they were stored
    policy: Policy
    judged: list[Judgement]  # nearest first


def access_of(tenant: Tenant, project: Project) -> Access:
    """No key is needed on this side of the wire: the project's id stands where one is counted by. Raises Refused."""
    if tenant.suspended_at is not None:
        raise Refused(403, "not_allowed", "This tenant is suspended.")
    return Access(
        tenant_id=tenant.id,
        project_id=project.id,
        key_id=project.id,
        scopes=frozenset({"proxy", "cache:read", WRITING}),
        rpm=tenant.rpm,
        key_rpm=None,
        provider="",
        default_model=project.default_model,
        ttl_max_seconds=tenant.ttl_max_seconds,
        entries_max=tenant.entries_max,
        requests_included=tenant.requests_included,
        requests_hard=tenant.requests_hard,
        created_at=tenant.created_at,
        tpm=tenant.tpm,
        bytes_max=tenant.bytes_max,
        period_start=tenant.period_start,
        read_only=tenant.read_only,
        features=frozenset(tenant.features),
        plan=tenant.plan,
        overage_cap_usd=tenant.overage_cap_usd,
    )


def ask(access: Access, question: str, *, model: str, cached: bool) -> Told:
    """Raises Refused."""
    if throttling.check(access).limited:
        raise Refused(429, "rate_limit_exceeded", "This tenant's calls of this minute are used up.")
    body = chat_body({"question": question, "model": model}, default_model=access.default_model)
    parsed = openai_chat.parse(body, "")
    who, controls = Identity(access, "", {}, {}), Controls(use_cache=cached)
    request, policy = build_request(openai_chat, who, controls, parsed, raw=orjson.dumps(body))

    laps: dict[str, Lap] = {}
    began = perf_counter()
    try:
        reply = _service(laps).answer(request, policy, openai_chat, wiring.parts().upstream.send)
        if reply.status == 403 and reply.signals.decision == "blocked" and isinstance(reply.body, bytes):
            raise Refused(403, "blocked", orjson.loads(reply.body)["error"]["message"])
        heard = hear(Asked({}, request, policy), reply)
    except UpstreamError as error:
        raise as_refused(error) from error
    took = milliseconds_since(began)
    return Told(heard.text, reply.signals, took, heard.cost_usd, policy, _judged(request, policy, laps))


def _service(laps: dict[str, Lap]) -> CacheService:
    service = copy(wiring.parts().service)
    service.embedder = watched(service.embedder, laps)
    service.ledger = _Ledger(service.ledger)
    service.limits = _Limits(service.limits)
    return service


def _judged(request: Request, policy: Policy, laps: Mapping[str, Lap]) -> list[Judgement]:
    """Without what this very call stored."""
    vector = laps.get("embed")
    if vector is None or vector.error is not None:
        return []
    parts = wiring.parts()
    try:
        near = parts.store.search(request, vector.result, limit=CANDIDATES + 1, checked=policy.checked)
    except CacheUnavailable:  # the answer stands by itself
        return []
    others = [one for one in near if one.entry.cache_key != request.cache_key]
    return judge(request, others[:CANDIDATES], policy, parts.service.now())


def _as_members(call: Call) -> Call:
    return replace(call, origin=ORIGIN, key_id=None)


class _Ledger:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def record(self, call: Call) -> None:
        self._ledger.record(_as_members(call))


class _Limits:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def enter(self, request: Request) -> Request:
        return self._limits.enter(request)

    def buy(self, request: Request) -> int:
        return self._limits.buy(request)

    def note(self, request: Request, call: Call | None, *, tokens: int) -> None:
        self._limits.note(request, call and _as_members(call), tokens=tokens)
