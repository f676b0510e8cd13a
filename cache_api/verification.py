"""Was the answer that was served right? A judge model looks at some pairs, off the request path.

It is the tenant's own, on the tenant's key and within a monthly budget; what it says goes into the books of the entry
and of the project. A judge that is down is asked again later, one that contradicts the team's members is not believed.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from time import perf_counter
from uuid import UUID

import orjson

from cache_api import wiring
from cache_api.adapters import checks
from cache_api.adapters.store import entry_under
from cache_api.adapters.targets import tenants_own
from cache_api.adapters.upstream import headers_up
from cache_api.dialects import openai_chat
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.dialects.tape import ANSWER_MAX_BYTES
from cache_api.domain.call import Call, Timings, new_id
from cache_api.domain.checking import Wanted, prompt_of, verdict_in
from cache_api.domain.entry import Vector
from cache_api.domain.policy import Policy
from cache_api.domain.scope import question_fingerprint
from cache_api.domain.usage import Usage, estimated_usage
from cache_api.looking import milliseconds_since
from cache_api.ports import CacheUnavailable, UpstreamError
from tenants import vault

AT_A_TIME = 20
ATTEMPTS_MAX = 4
PAUSE = timedelta(minutes=1)  # doubled with each attempt
JUDGE_SECONDS = 60.0
EMBED_SECONDS = 5.0
# A judge whose verdicts differ from the members' more often than this teaches nothing.
NOISE_MAX = 0.25
AUDITS_NEEDED = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Heard:
    text: str
    usage: Usage
    model: str


class _Again(Exception):
    """Not now."""


def verify(now: datetime) -> int:
    """Look at what is due; how many pairs."""
    claimed = checks.claim(now, limit=AT_A_TIME)
    for tenant_id, check_id in claimed:
        found = checks.wanted(tenant_id, check_id)
        if found is None:
            continue
        wanted, attempts = found
        try:
            _look_at(wanted, now)
        except (_Again, UpstreamError, CacheUnavailable, vault.VaultUnavailable) as error:
            log.info("check_postponed", extra={"reason": type(error).__name__})
            if attempts >= ATTEMPTS_MAX:
                checks.forget(tenant_id, check_id)
            else:
                checks.again(tenant_id, check_id, now + PAUSE * 2**attempts)
    return len(claimed)


def _look_at(wanted: Wanted, now: datetime) -> None:
    tenant_id, project_id = wanted.tenant_id, wanted.project_id
    policy = wiring.parts().policies.of(tenant_id, project_id)
    entry = entry_under(tenant_id, wanted.entry_id)
    bought = entry_under(tenant_id, wanted.bought_id) if wanted.bought_id else None
    if entry is None or entry.question is None or not _may_ask(policy, tenant_id, project_id, now):
        checks.forget(tenant_id, wanted.call_id)
        return

    prompt = prompt_of(
        asked=wanted.asked,
        stored=entry.question,
        answer=_text_of(entry.endpoint, entry.answer),
        fresh=_text_of(bought.endpoint, bought.answer) if bought else None,
    )
    heard = _asked(policy, wanted, prompt, now)
    right = verdict_in(heard.text)
    if right is None:
        raise _Again
    asked = question_fingerprint(vault.digest_key(tenant_id), entry.scope, wanted.asked)
    checks.verdict_put(wanted, right=right, asked=asked, vector=None if right else _vector(wanted.asked), now=now)


def _may_ask(policy: Policy, tenant_id: UUID, project_id: UUID, now: datetime) -> bool:
    if not policy.verify_model:
        return False
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if checks.spent_usd(tenant_id, project_id, month) >= Decimal(str(policy.verify_budget_usd)):
        return False
    audited, differed = checks.judge_against_members(tenant_id, project_id)
    if audited >= AUDITS_NEEDED and differed > NOISE_MAX * audited:
        log.warning("judge_not_believed", extra={"project_id": str(project_id)})
        return False
    return True


def _asked(policy: Policy, wanted: Wanted, prompt: str, now: datetime) -> _Heard:
    """The judge's reply; the ledger has a row of it, whatever it says. Raises _Again or UpstreamError."""
    try:
        target = tenants_own(wanted.tenant_id, policy.verify_provider, policy.verify_model)
    except Refused as refused:
        log.warning("no_judge", extra={"reason": refused.code})
        raise _Again from refused
    began = perf_counter()
    body = orjson.dumps({"model": target.model, "messages": [{"role": "user", "content": prompt}]})
    arriving = wiring.parts().upstream.relay(
        "POST",
        f"{target.base_url}/{openai_chat.ENDPOINT}",
        headers_up(target, {}, openai_chat.ENDPOINT),
        body,
        read_seconds=JUDGE_SECONDS,
        total_seconds=JUDGE_SECONDS,
    )
    try:
        read = b""
        for chunk in arriving.chunks:
            read += chunk
            if len(read) > ANSWER_MAX_BYTES:
                raise _Again
    finally:
        arriving.close()
    if arriving.status >= 400:
        raise _Again
    try:
        said = openai_chat.read_answer(orjson.loads(read))
    except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
        raise _Again from error
    heard = _Heard(said.text, said.usage or estimated_usage([prompt], said.text), said.model)
    _record(wanted, heard, target.provider, policy.verify_model, milliseconds_since(began), arriving.status, now)
    return heard


def _record(
    wanted: Wanted, heard: _Heard, provider: str, model: str, milliseconds: int, status: int, now: datetime
) -> None:
    call = Call(
        id=new_id(now),
        tenant_id=wanted.tenant_id,
        project_id=wanted.project_id,
        key_id=None,
        dialect=openai_chat.NAME,
        provider=provider,
        model_asked=model,
        model_served=heard.model or model,
        stream=False,
        status=status,
        decision="bypass",
        layer="",
        reason="policy",
        usage=heard.usage,
        timings=Timings(total=milliseconds, upstream=milliseconds),
        origin="shadow",
        parent_id=wanted.call_id,
    )
    wiring.parts().ledger.record(call)


def _vector(text: str) -> Vector | None:
    try:
        return wiring.parts().embedder.embed(text, EMBED_SECONDS)
    except CacheUnavailable:  # then the very question is remembered, not its rewordings
        return None


def _text_of(endpoint: str, answer: dict[str, object]) -> str:
    return dialect_at(endpoint).answer_text(answer)
