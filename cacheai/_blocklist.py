"""Which questions shall never be answered?"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from openai import AsyncOpenAI, OpenAI

from ._asking import Ask, given, seconds, sent, sent_async
from ._types import (
    BlockedQuestion,
    BlocklistAnswer,
    BlocklistCheck,
    BlocklistMatch,
    BlocklistPage,
    BlocklistRemoved,
    FalsePositiveAnswer,
)


def _add(
    query: str,
    reason: str | None = None,
    category: str | None = None,
    severity: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    ttl: int | str | timedelta | None = None,
) -> Ask[BlocklistAnswer]:
    """Block a question and its rewordings. One that is blocked already is given back instead."""
    body = given(query=query, reason=reason, category=category, severity=severity, metadata=metadata, ttl=seconds(ttl))
    return Ask("post", "/cache/blocklist", BlocklistAnswer, body)


def _check(query: str) -> Ask[BlocklistMatch | None]:
    """The blocked question that this one means, if any."""
    return Ask("post", "/cache/blocklist/check", BlocklistCheck, {"query": query}, part="match")


def _list(limit: int = 50, category: str | None = None) -> Ask[list[BlockedQuestion]]:
    """What is blocked, the newest first."""
    query = given(limit=limit, category=category)
    return Ask("get", "/cache/blocklist", BlocklistPage, query=query, part="data")


def _remove(entry_id: int) -> Ask[bool]:
    """Let a question be answered again. Raises NotFoundError."""
    return Ask("delete", f"/cache/blocklist/{int(entry_id)}", BlocklistRemoved, part="deleted")


def _report_false_positive(entry_id: int) -> Ask[FalsePositiveAnswer]:
    """Say that a question was blocked that should not have been. The fifth report removes what blocked it."""
    return Ask("post", f"/cache/blocklist/{int(entry_id)}/false-positive", FalsePositiveAnswer)


class Blocklist:
    """The questions that the project does not answer."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    add = sent(_add)
    check = sent(_check)
    list = sent(_list)
    remove = sent(_remove)
    report_false_positive = sent(_report_false_positive)


class AsyncBlocklist:
    """The questions that the project does not answer."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    add = sent_async(_add)
    check = sent_async(_check)
    list = sent_async(_list)
    remove = sent_async(_remove)
    report_false_positive = sent_async(_report_false_positive)
