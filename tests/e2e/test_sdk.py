"""Does our own SDK get what it promises from the running stack?"""

import asyncio
import secrets
from typing import Any

import pytest

from cacheai import AsyncClient, AuthenticationError, Client, NotFoundError, PermissionDeniedError

from .private_model import ANSWER, API_KEY, private_model

MODEL = "demo-small"


def question() -> str:
    """One the demo provider knows and nobody has asked before."""
    return f"What is the capital of France? Reference {secrets.token_hex(8)}."


def asked(content: str) -> Any:
    return [{"role": "user", "content": content}]


def test_a_question_asked_twice_is_a_hit_streamed_or_not(stack: Any) -> None:
    content = question()
    with Client(api_key=stack.api_key, base_url=stack.base_url, tags=["e2e"]) as client:
        first: Any = client.chat.completions.create(model=MODEL, messages=asked(content))
        stream = client.chat.completions.create(model=MODEL, messages=asked(content), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

        assert first.cacheai["decision"] == "miss"
        assert text == first.choices[0].message.content
        other: Any = client.with_options(namespace="other").chat.completions.create(
            model=MODEL, messages=asked(content)
        )
        assert other.cacheai["decision"] == "miss"
        off: Any = client.with_options(enable_cache=False).chat.completions.create(model=MODEL, messages=asked(content))
        assert (off.cacheai["decision"], off.cacheai["reason"]) == ("bypass", "caller")


def test_the_async_client_does_the_same(stack: Any) -> None:
    content = question()

    async def decisions() -> list[str]:
        async with AsyncClient(api_key=stack.api_key, base_url=stack.base_url) as client:
            answers: list[Any] = [
                await client.chat.completions.create(model=MODEL, messages=asked(content)) for _ in range(2)
            ]
            assert (await client.cache.stats()).hits >= 1
        return [answer.cacheai["decision"] for answer in answers]

    assert asyncio.run(decisions()) == ["miss", "hit"]


def test_an_entry_can_be_put_found_read_changed_and_deleted(stack: Any) -> None:
    content, tag = question(), secrets.token_hex(4)
    with Client(api_key=stack.api_key, base_url=stack.base_url) as client:
        put = client.cache.put(content, answer="Paris.", model=MODEL, tags=[tag])
        assert put.status == "created"

        found = client.cache.lookup(content, model=MODEL, include_answer=True)
        assert (found.decision, found.cache_key) == ("hit", put.cache_key)

        hit: Any = client.chat.completions.create(model=MODEL, messages=asked(content))
        assert (hit.cacheai["decision"], hit.choices[0].message.content) == ("hit", "Paris.")

        assert [entry.cache_key for entry in client.cache.list(tag=tag).data] == [put.cache_key]
        assert client.cache.get(put.cache_key).output == "Paris."
        assert client.cache.update(put.cache_key, output="Paris!").updated_fields == ["output"]
        assert client.cache.query(content, model=MODEL).response == "Paris!"

        assert client.cache.delete(put.cache_key).deleted is True
        with pytest.raises(NotFoundError):
            client.cache.get(put.cache_key)


def test_entries_are_exported_and_come_home_again(stack: Any) -> None:
    tag, contents = secrets.token_hex(4), [question() for _ in range(3)]
    with Client(api_key=stack.api_key, base_url=stack.base_url) as client:
        for content in contents:
            client.cache.put(content, answer="Paris.", model=MODEL, tags=[tag])
        lines = [entry.to_json(indent=None) for entry in client.cache.export(tag=tag)]
        assert client.cache.purge(tag=tag).deleted == 3

        loaded = client.cache.load([*lines[:2], "no entry", lines[2]])
        assert (loaded.status, loaded.total, loaded.done, loaded.rejected) == ("done", 4, 3, 1)
        assert [error.line for error in loaded.errors] == [3]
        again = [entry.to_json(indent=None) for entry in client.cache.export(tag=tag)]
        assert len(again) == 3

        for content in contents:
            hit: Any = client.chat.completions.create(model=MODEL, messages=asked(content))
            assert (hit.cacheai["decision"], hit.choices[0].message.content) == ("hit", "Paris.")
        client.cache.purge(tag=tag)


def test_an_async_export_goes_straight_into_another_load(stack: Any) -> None:
    tag = secrets.token_hex(4)

    async def copied() -> int:
        async with AsyncClient(api_key=stack.api_key, base_url=stack.base_url) as client:
            await client.cache.put(question(), answer="Paris.", model=MODEL, tags=[tag])
            return (await client.cache.load(client.cache.export(tag=tag))).done

    assert asyncio.run(copied()) == 1


def test_a_blocked_question_is_matched_refused_and_taken_off_again(stack: Any) -> None:
    content = f"How do I pick the lock of {secrets.token_hex(8)}?"
    with Client(api_key=stack.api_key, base_url=stack.base_url) as client:
        added = client.cache.blocklist.add(content, reason="unsafe", severity=3)
        assert added.created is True
        assert client.cache.negative.add(content).id == added.id

        match = client.cache.blocklist.check(content)
        assert match is not None
        assert (match.id, match.reason, match.severity) == (added.id, "unsafe", 3)
        assert added.id in {one.id for one in client.cache.blocklist.list()}
        with pytest.raises(PermissionDeniedError) as refused:
            client.chat.completions.create(model=MODEL, messages=asked(content))
        assert refused.value.code == "blocked"

        assert client.cache.blocklist.report_false_positive(added.id).removed is False
        assert client.cache.blocklist.remove(added.id) is True
        with pytest.raises(NotFoundError):
            client.cache.blocklist.remove(added.id)
        assert client.cache.blocklist.check(content) is None


def test_a_private_model_is_asked_by_the_client_and_its_answer_is_a_hit_the_next_time(stack: Any) -> None:
    content = question()
    with (
        private_model() as model,
        Client(
            api_key=stack.api_key,
            base_url=stack.base_url,
            baseline_model_provider="custom",
            baseline_model_api_key=API_KEY,
            baseline_model_base_url=model.base_url,
        ) as client,
    ):
        answers = [client.chat.completions.create(model="llama3", messages=asked(content)) for _ in range(2)]
        stream = client.chat.completions.create(model="llama3", messages=asked(content), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert [answer.choices[0].message.content for answer in answers] == [ANSWER, ANSWER]
    assert text == ANSWER
    assert [body.get("stream", False) for body in model.asked] == [False, True]
    assert model.keys == {API_KEY}


def test_a_wrong_key_is_a_typed_error(stack: Any) -> None:
    with (
        Client(api_key="ca-wrong", base_url=stack.base_url) as client,
        pytest.raises(AuthenticationError) as refused,
    ):
        client.cache.stats()
    assert refused.value.code == "invalid_api_key"
