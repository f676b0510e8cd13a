"""Which headers does an answer carry?"""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from cache_api.domain.call import new_id
from cache_api.domain.signals import Signals, request_id_of
from tenants.throttling import Rate, span

ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_FORWARDED = {
    "no_candidate": "uri-miss",
    "exact_only": "uri-miss",
    "expired": "stale",
    "too_old": "request",
    "refresh": "request",
    "caller": "request",
}


def signal_headers(signals: Signals, *, stored: bool) -> dict[str, str]:
    """The decision, in our words and in those of RFC 9211 and other systems."""
    headers = {
        "X-CacheAI-Decision": signals.decision,
        "X-CacheAI-Reason": signals.reason,
        "X-CacheAI-Request-Id": signals.request_id,
        "Cache-Status": cache_status(signals, stored=stored),
        "X-Cacheback-Hit": _word(signals.served),
        "X-Cacheback-Synthesized": _word(signals.layer == "synthesized"),
        "X-Cache-Hit": _word(signals.served),
    }
    optional = {
        "X-CacheAI-Layer": signals.layer,
        "X-CacheAI-Similarity": signals.similarity,
        "X-CacheAI-Threshold": signals.threshold,
        "X-CacheAI-Cache-Key": signals.cache_key,
        "X-CacheAI-Age": signals.age_seconds,
        "X-CacheAI-TTL": signals.ttl_seconds,
        "X-CacheAI-Saved-USD": signals.saved_usd,
    }
    headers.update({name: str(value) for name, value in optional.items() if value is not None})
    if signals.served and signals.cache_key:
        headers["x-litellm-cache-key"] = signals.cache_key
    return headers


def cache_status(signals: Signals, *, stored: bool) -> str:
    parts = ["CacheAI"]
    if signals.served:
        parts.append("hit")
        if signals.ttl_seconds is not None:
            parts.append(f"ttl={signals.ttl_seconds}")
    elif signals.decision != "blocked":  # nothing was asked for
        default = "bypass" if signals.decision == "bypass" else "miss"
        parts.append(f"fwd={_FORWARDED.get(signals.reason, default)}")
        if stored:
            parts.append("stored")
    if signals.cache_key:
        parts.append(f'key="{signals.cache_key}"')
    if signals.reason == "coalesced":
        parts.append("collapsed")
    parts.append(f"detail={signals.reason}")
    return "; ".join(parts)


def rate_headers(rate: Rate) -> dict[str, str]:
    reset = math.ceil(rate.reset_after_seconds)
    return {
        "X-RateLimit-Limit": str(rate.limit),
        "X-RateLimit-Remaining": str(rate.remaining),
        "X-RateLimit-Reset": str(int(time.time()) + reset),
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": span(reset),
    }


def plain_headers() -> dict[str, str]:
    """Of an answer that tells nothing of a call."""
    return {**ALWAYS, "X-CacheAI-Request-Id": request_id_of(new_id(datetime.now(UTC)))}


def relayed(headers: Mapping[str, str]) -> dict[str, str]:
    """The provider's own headers; its content type is set apart."""
    return {name: value for name, value in headers.items() if name != "content-type"}


def _word(value: bool) -> str:
    return "true" if value else "false"
