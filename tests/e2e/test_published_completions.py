"""Do OpenAI's own client's completions, embeddings and other calls work against the running stack?"""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.e2e.conftest import Stack

PROMPT = "What is the capital of France?"
RED, BLUE, GREEN = "red car", "blue sky", "green grass"


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(**_told(stack)) as client:
        yield client


def _told(stack: Stack) -> dict[str, Any]:
    return {
        "api_key": stack.api_key,
        "base_url": stack.base_url,
        "max_retries": 0,
        "default_headers": {"X-CacheAI-Namespace": stack.namespace},
    }


def asked(stack: Stack, path: str) -> list[Any]:
    """What the provider was asked there since its last reset."""
    report = requests.get(stack.control_url, timeout=30).json()
    return [call for call in report["calls"] if call["path"] == path]


@pytest.fixture(autouse=True)
def _counted_from_here(stack: Stack) -> None:
    stack.control(reset=True)


def test_a_prompt_is_answered_and_then_a_hit_plain_or_streamed(stack: Stack, client: openai.OpenAI) -> None:
    first = client.completions.create(model="demo-small", prompt=PROMPT)
    second = client.completions.create(model="demo-small", prompt=PROMPT)
    streamed = list(
        client.completions.create(
            model="demo-small", prompt=PROMPT, stream=True, stream_options={"include_usage": True}
        )
    )

    assert first.choices[0].text == second.choices[0].text
    assert "Paris" in first.choices[0].text
    assert (first.cacheback_hit, second.cacheback_hit) == (False, True)  # type: ignore[attr-defined]
    assert second.id.startswith("cmpl-") and second.id != first.id
    assert second.usage == first.usage
    assert "".join(chunk.choices[0].text for chunk in streamed[:-1]) == first.choices[0].text
    assert streamed[-1].usage == first.usage
    assert len(asked(stack, "/v1/completions")) == 1


def test_a_stream_is_bought_once_and_shared_with_plain_calls(stack: Stack) -> None:
    async def ask() -> tuple[list[Any], Any]:
        async with openai.AsyncOpenAI(**_told(stack)) as client:
            stream = await client.completions.create(model="demo-small", prompt=PROMPT, stream=True)
            chunks = [chunk async for chunk in stream]
            return chunks, await client.completions.create(model="demo-small", prompt=PROMPT)

    chunks, whole = asyncio.run(ask())

    assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert whole.cacheback_hit
    assert len(asked(stack, "/v1/completions")) == 1


def test_several_prompts_are_exact_only_and_several_answers_pass(stack: Stack, client: openai.OpenAI) -> None:
    def ask(**options: Any) -> Any:
        return client.completions.with_raw_response.create(model="demo-small", prompt=[PROMPT, "refund"], **options)

    assert [ask().headers["x-cacheai-decision"] for _ in range(2)] == ["miss", "hit"]
    assert [choice.index for choice in ask().parse().choices] == [0, 1]
    assert ask(n=2).headers["x-cacheai-reason"] == "sampling"


def test_an_error_of_the_provider_is_the_client_s_own_kind(stack: Stack, client: openai.OpenAI) -> None:
    stack.control(fail_status=429)
    with pytest.raises(openai.RateLimitError):
        client.completions.create(model="demo-small", prompt=PROMPT)
    stack.control(reset=True)
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="", prompt=PROMPT)
    assert refused.value.param == "model"


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
def test_of_a_list_only_the_missing_vectors_are_bought(stack: Stack, client: openai.OpenAI, encoding: Any) -> None:
    def embed(*texts: str) -> Any:
        return client.embeddings.create(model="demo-embed", input=list(texts), **encoding)

    first, second, third = embed(RED, BLUE), embed(BLUE, GREEN, RED), embed(GREEN, BLUE)

    red, blue = (datum.embedding for datum in first.data)
    green = second.data[1].embedding
    assert [datum.embedding for datum in second.data] == [blue, green, red]
    assert [(datum.index, datum.embedding) for datum in third.data] == [(0, green), (1, blue)]
    bought = asked(stack, "/v1/embeddings")
    assert len(bought) == 2
    assert bought[1]["body_bytes"] < bought[0]["body_bytes"]
    assert second.usage.prompt_tokens == first.usage.prompt_tokens + embed(GREEN).usage.prompt_tokens
    assert len(asked(stack, "/v1/embeddings")) == 2


def test_vectors_are_found_again_by_the_async_client(stack: Stack, client: openai.OpenAI) -> None:
    async def embed() -> Any:
        async with openai.AsyncOpenAI(**_told(stack)) as other:
            return await other.embeddings.create(model="demo-embed", input=[RED, BLUE], dimensions=8)

    mine = client.embeddings.create(model="demo-embed", input=[RED, BLUE], dimensions=8)
    assert [datum.embedding for datum in asyncio.run(embed()).data] == [datum.embedding for datum in mine.data]
    assert len(mine.data[0].embedding) == 8
    assert len(asked(stack, "/v1/embeddings")) == 1


def test_a_model_is_found_by_its_name(client: openai.OpenAI) -> None:
    demo = client.with_options(default_headers={"X-CacheAI-Backend-Provider": "demo"})
    assert demo.models.retrieve("demo-small").id == "demo-small"
    with pytest.raises(openai.NotFoundError, match="meta/llama-3"):
        demo.models.retrieve("meta/llama-3")


def test_what_is_not_cached_reaches_the_provider(stack: Stack, client: openai.OpenAI) -> None:
    """The demo provider has no such endpoints, and takes no form; it says so itself."""
    demo = client.with_options(default_headers={"X-CacheAI-Backend-Provider": "demo"})
    with pytest.raises(openai.BadRequestError, match="could not parse the JSON body"):
        demo.audio.transcriptions.create(model="demo-hears", file=("a.wav", b"\x00\xff" * 9))
    with pytest.raises(openai.NotFoundError, match="Unknown request URL: GET /v1/files"):
        demo.files.list(purpose="batch")
    (call,) = asked(stack, "/v1/audio/transcriptions")
    assert call["headers"]["content-type"].startswith("multipart/form-data; boundary=")

    body = {"model": "demo-small", "messages": [{"role": "user", "content": PROMPT}]}
    counted = stack.call("POST", "/messages/count_tokens", json=body)
    assert counted.json()["input_tokens"] > 0
    assert counted.headers["X-CacheAI-Reason"] == "endpoint"


def test_what_the_provider_did_not_finish_does_not_look_finished(stack: Stack) -> None:
    stack.control(cut_after_chunks=0)
    body = {"model": "demo-small", "messages": [{"role": "user", "content": PROMPT}]}
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        stack.call("POST", "/messages/count_tokens", json=body)


@pytest.mark.parametrize("path", ["/files/..%2Fmodels", "/files/%2e%2e/models", "/files%2f..%2fmodels"])
def test_no_way_leads_around(stack: Stack, path: str) -> None:
    """Sent as it is: a client that tidied it up would prove nothing."""
    prepared = requests.Request("GET", stack.base_url, headers={"Authorization": f"Bearer {stack.api_key}"}).prepare()
    prepared.url = stack.base_url + path
    with requests.Session() as session:
        assert session.send(prepared, timeout=30).status_code == 404
    assert asked(stack, "/v1/models") == []
