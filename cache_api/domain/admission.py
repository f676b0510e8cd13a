"""May the cache be used for this call at all, and by similarity too?"""

from cache_api.domain.cacheable import exact_only, volatile
from cache_api.domain.categories import KINDS, is_one_of
from cache_api.domain.decision import Reason
from cache_api.domain.policy import Policy
from cache_api.domain.request import Request

QUESTION_MAX_CHARACTERS = 32_000


def bypass_reason(request: Request, policy: Policy) -> Reason | None:
    """Why the call only passes through, or None."""
    parsed, caller = request.parsed, request.caller
    if not request.controls.use_cache:
        return Reason.CALLER
    if policy.mode == "off" or (policy.end_users == "separate" and not request.controls.end_user):
        return Reason.POLICY
    if parsed.unparsed:
        return Reason.UNPARSED
    if not request.fingerprint:
        return Reason.CACHE_UNAVAILABLE
    if not caller.may_read:
        return Reason.KEY_SCOPE
    if caller.over_quota:
        return Reason.OVER_QUOTA
    if parsed.stateful:
        return Reason.STATEFUL
    if parsed.unsupported:
        return Reason.UNSUPPORTED_CONTENT
    if parsed.tools and policy.tools == "off":
        return Reason.TOOLS
    if parsed.choices != 1 or (parsed.temperature or 0) > policy.max_temperature:
        return Reason.SAMPLING
    question = request.question
    if question is not None and len(question) > QUESTION_MAX_CHARACTERS:
        return Reason.TOO_LONG
    if question is not None and policy.volatile_ttl_seconds == 0 and volatile(question):
        return Reason.VOLATILE
    if question is not None and (never := _kinds(policy, "off")) and is_one_of(question, never):
        return Reason.POLICY
    return None


def fuzzy(request: Request, policy: Policy) -> bool:
    """Whether similarity counts for this call; if not, only the very same call is a hit."""
    parsed = request.parsed
    question = request.question
    if question is None or policy.mode == "exact" or (request.controls.threshold or 0) >= 1:
        return False
    if not policy.max_wrong_hit_rate:
        return False
    if parsed.tools and policy.tools != "similar":
        return False
    if exact_only(question):
        return False
    return not ((alike := _kinds(policy, "exact")) and is_one_of(question, alike))


def ttl_seconds(request: Request, policy: Policy) -> int | None:
    """How long an answer may be kept: the shortest of all who have a say."""
    question = request.question
    limits = [policy.ttl_seconds, request.caller.ttl_max_seconds, request.controls.ttl_seconds]
    if question is not None and policy.volatile_ttl_seconds and volatile(question):
        limits.append(policy.volatile_ttl_seconds)
    return min((limit for limit in limits if limit is not None), default=None)


def _kinds(policy: Policy, rule: str) -> list[str]:
    """Those that this rule is set for."""
    return [kind for kind in KINDS if getattr(policy, kind) == rule]


def may_store(request: Request) -> bool:
    return request.caller.may_write and not request.controls.no_store and not request.caller.entries_full
