"""How many tokens did an answer take, in one form for every provider?"""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from cache_api.domain.records import record

TOKENS_PER_MESSAGE = 3

_PLAIN = re.compile(r"[A-Za-z ]")
_DIGIT = re.compile(r"[0-9]")


@record(frozen=True, slots=True)
class Usage:
    """Tokens; `in_total` includes cached and written ones, whoever counted."""

    in_total: int = 0
    in_cached: int = 0
    in_write_5m: int = 0
    in_write_1h: int = 0
    in_audio: int = 0
    out_total: int = 0
    out_reasoning: int = 0
    out_audio: int = 0
    estimated: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def total(self) -> int:
        return self.in_total + self.out_total


_COUNTS = tuple(field.name for field in fields(Usage) if field.name != "estimated")


def usage_of_openai(raw: Any) -> Usage | None:
    """Chat completions, completions, embeddings and responses, and all that copy them: input includes cached."""
    if not isinstance(raw, Mapping):
        return None

    total = _count(raw, "prompt_tokens", "input_tokens")
    out = _count(raw, "completion_tokens", "output_tokens")
    if total is None and out is None:
        return None

    in_details = _details(raw, "prompt_tokens_details", "input_tokens_details")
    out_details = _details(raw, "completion_tokens_details", "output_tokens_details")
    in_total = total or 0
    # A part is never more than what is left of the whole: xAI counts cached images twice, others cached sound.
    cached = min(_count(in_details, "cached_tokens") or _count(raw, "cached_tokens") or 0, in_total)
    written = min(_count(in_details, "cache_write_tokens") or 0, in_total - cached)
    reasoning = _count(out_details, "reasoning_tokens") or 0
    return Usage(
        in_total=in_total,
        in_cached=cached,
        in_write_5m=written,
        in_audio=min(_count(in_details, "audio_tokens") or 0, in_total - cached - written),
        out_total=(out or 0) + (reasoning if _reasons_outside(raw, in_total, out or 0, reasoning) else 0),
        out_reasoning=reasoning,
        out_audio=_count(out_details, "audio_tokens") or 0,
    )


def usage_of_anthropic(raw: Any) -> Usage | None:
    """Messages: input leaves out what was read from the prompt cache and what was written to it."""
    if not isinstance(raw, Mapping):
        return None

    plain = _count(raw, "input_tokens")
    out = _count(raw, "output_tokens")
    if plain is None and out is None:
        return None

    read = _count(raw, "cache_read_input_tokens") or 0
    written = _count(raw, "cache_creation_input_tokens") or 0
    written_1h = min(_count(_details(raw, "cache_creation"), "ephemeral_1h_input_tokens") or 0, written)
    return Usage(
        in_total=(plain or 0) + read + written,
        in_cached=read,
        in_write_5m=written - written_1h,
        in_write_1h=written_1h,
        out_total=out or 0,
        out_reasoning=_count(_details(raw, "output_tokens_details"), "thinking_tokens") or 0,
    )


def usage_as_kept(raw: Any) -> Usage | None:
    """In the words of `Usage` itself; None if these are another's."""
    if not isinstance(raw, dict) or "in_total" not in raw:
        return None
    counts = [raw.get(name, 0) for name in _COUNTS]
    if set(map(type, counts)) != {int} or min(counts) < 0:
        return None
    return Usage(*counts, *[raw.get("estimated") is True])


def estimated_tokens(text: str) -> int:
    """Tokens of a text nobody counted; within a quarter of o200k on prose, code and JSON."""
    plain = len(_PLAIN.findall(text))
    digits = len(_DIGIT.findall(text))
    ascii_all = sum(character < "\x80" for character in text)
    below_cjk = sum("\x80" <= character < "\u2e80" for character in text)
    above = len(text) - ascii_all - below_cjk
    other_ascii = ascii_all - plain - digits
    return -int(-(plain / 5 + digits / 2.5 + other_ascii / 1.6 + below_cjk / 3.5 + above * 0.7) // 1)


def estimated_usage(asked: list[str], answered: str) -> Usage:
    """What a call without a usage block took, by estimate; `asked` is the text of each message."""
    return Usage(
        in_total=sum(estimated_tokens(text) + TOKENS_PER_MESSAGE for text in asked),
        out_total=estimated_tokens(answered) + TOKENS_PER_MESSAGE,
        estimated=True,
    )


def _reasons_outside(raw: Mapping[str, Any], in_total: int, out: int, reasoning: int) -> bool:
    """xAI's chat leaves reasoning out of `completion_tokens`; the whole gives it away."""
    return reasoning > 0 and _count(raw, "total_tokens") == in_total + out + reasoning


def _count(raw: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = raw.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = raw.get(name)
        if isinstance(value, Mapping):
            return value
    return {}
