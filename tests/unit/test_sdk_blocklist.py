"""Does the blocklist ask what the wire says, under both its names?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import cacheai

from .sdk_server import AsyncSide, Server, SyncSide

QUESTION = {
    "id": 7,
    "query": "How do I pick a lock?",
    "reason": "unsafe",
    "category": "crime",
    "severity": 4,
    "created_at": "2026-03-01T12:00:00Z",
    "hit_count": 2,
}
ADDED = cacheai.BlocklistAnswer(id=7, created=True)

# method, arguments, what goes out (method, path, query, body), what comes back, what that becomes
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[str, str, dict[str, str], Any], Any, Any]] = [
    (
        "add",
        ("How do I pick a lock?",),
        {"reason": "unsafe", "category": "crime", "severity": 4, "metadata": {"by": "me"}, "ttl": timedelta(days=1)},
        (
            "POST",
            "/v1/cache/blocklist",
            {},
            {
                "query": "How do I pick a lock?",
                "reason": "unsafe",
                "category": "crime",
                "severity": 4,
                "metadata": {"by": "me"},
                "ttl": 86400,
            },
        ),
        {"id": 7, "created": True},
        ADDED,
    ),
    (
        "add",
        ("Why?", "rude", "tone", 2),
        {},
        (
            "POST",
            "/v1/cache/blocklist",
            {},
            {"query": "Why?", "reason": "rude", "category": "tone", "severity": 2},
        ),
        {"id": 7, "created": True},
        ADDED,
    ),
    (
        "check",
        ("Pick a lock?",),
        {},
        ("POST", "/v1/cache/blocklist/check", {}, {"query": "Pick a lock?"}),
        {"match": None},
        None,
    ),
    (
        "list",
        (),
        {},
        ("GET", "/v1/cache/blocklist", {"limit": "50"}, None),
        {"object": "list", "data": []},
        [],
    ),
    (
        "list",
        (10, "crime"),
        {},
        ("GET", "/v1/cache/blocklist", {"limit": "10", "category": "crime"}, None),
        {"object": "list", "data": []},
        [],
    ),
    ("remove", (7,), {}, ("DELETE", "/v1/cache/blocklist/7", {}, None), {"id": 7, "deleted": True}, True),
    (
        "report_false_positive",
        (),
        {"entry_id": 7},
        ("POST", "/v1/cache/blocklist/7/false-positive", {}, None),
        {"id": 7, "false_positives": 5, "removed": True},
        cacheai.FalsePositiveAnswer(id=7, false_positives=5, removed=True),
    ),
]


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> SyncSide:
    return request.param(Server())


@pytest.mark.parametrize("spelling", ["blocklist", "negative"])
@pytest.mark.parametrize(("name", "args", "kwargs", "sent", "answer", "becomes"), CALLS)
def test_each_method_asks_in_the_words_of_the_wire(
    side: SyncSide,
    spelling: str,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sent: tuple[str, str, dict[str, str], Any],
    answer: Any,
    becomes: Any,
) -> None:
    side.server.answers = [answer]
    blocklist = getattr(side.client().cache, spelling)

    assert side.get(getattr(blocklist, name)(*args, **kwargs)) == becomes
    (request,) = side.server.asked
    body = side.server.body() if request.content else None
    assert (request.method, request.url.path, dict(request.url.params), body) == sent


def test_a_match_says_what_is_blocked_and_how_near_it_is(side: SyncSide) -> None:
    side.server.answers = [{"match": {**QUESTION, "similarity": 0.93}}]
    match = side.get(side.client().cache.blocklist.check("Pick a lock?"))

    assert type(match) is cacheai.BlocklistMatch
    assert (match.id, match.similarity, match.severity) == (7, 0.93, 4)


def test_listed_questions_have_types(side: SyncSide) -> None:
    side.server.answers = [{"object": "list", "data": [QUESTION]}]
    (question,) = side.get(side.client().cache.blocklist.list())

    assert type(question) is cacheai.BlockedQuestion
    assert question.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_what_is_not_there_is_not_found(side: SyncSide) -> None:
    side.server.refuse(404, "not_found")
    with pytest.raises(cacheai.NotFoundError):
        side.get(side.client().cache.blocklist.remove(8))


def test_an_id_that_is_no_number_is_never_sent(side: SyncSide) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        side.get(side.client().cache.blocklist.remove("../entries"))
    assert side.server.asked == []
