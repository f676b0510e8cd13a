"""Does a small model answer where stored questions are near, over the whole service?"""

from typing import Any

import pytest

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Api, Rules
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

STORED = "How do I reset my password?"
ASKED = "How do I reset my password in the app?"


@pytest.fixture(autouse=True)
def _stored(api: Api, demo: DemoProvider, embedder: FixedEmbedder, rules: Rules) -> None:
    rules(synthesis="auto", synthesis_model="demo-small")
    embedder.near[ASKED] = (STORED, 0.85)
    api.chat(STORED, model="demo-large")
    demo.reset()


def models_asked(demo: DemoProvider) -> list[str]:
    return [call["model"] for call in demo.calls()]


def test_a_synthesized_answer_says_so_and_is_stored(api: Api, demo: DemoProvider) -> None:
    first = api.chat(ASKED, model="demo-large")
    again = api.chat(ASKED, model="demo-large")

    assert models_asked(demo) == ["demo-small"]
    headers = first.headers
    assert (headers["x-cacheai-decision"], headers["x-cacheai-layer"]) == ("hit", "synthesized")
    assert (headers["x-cacheback-hit"], headers["x-cacheback-synthesized"]) == ("false", "true")
    assert (headers["x-cache-hit"], headers["x-cacheai-threshold"]) == ("false", "0.8")
    assert headers["cache-status"].startswith("CacheAI; fwd=miss; stored; ")
    assert "x-cacheai-saved-usd" not in headers
    told = first.json
    assert (told["cacheback_hit"], told["cacheback_synthesized"], told["model"]) == (False, True, "demo-small")
    assert told["usage"]["prompt_tokens"] > 50
    assert (again.headers["x-cacheai-layer"], again.headers["x-cacheback-synthesized"]) == ("exact", "false")
    (entry,) = api.get("/v1/cache/entries", "source=synthesized").json["data"]
    assert (entry["question"], entry["model"]) == (ASKED, "demo-large")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("messages", {"max_tokens": 99, "messages": [{"role": "user", "content": "{}"}]}),
        ("responses", {"input": "{}", "store": False}),
        ("completions", {"prompt": "{}"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_dialect_has_it(api: Api, demo: DemoProvider, path: str, body: Any, stream: bool) -> None:
    def ask(question: str) -> Any:
        asked = _filled({**body, "model": "demo-large", "stream": stream}, question)
        return api.post(f"/v1/{path}", asked)

    ask(STORED)
    demo.reset()

    assert ask(ASKED).headers["x-cacheai-layer"] == "synthesized"
    assert ask(ASKED).headers["x-cacheai-layer"] == "exact"
    assert models_asked(demo) == ["demo-small"]


def _filled(value: Any, question: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, question) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, question) for inner in value]
    return question if value == "{}" else value


def test_a_response_that_is_to_be_continued_is_the_asked_models_own(api: Api) -> None:
    api.post("/v1/responses", {"model": "demo-large", "input": STORED})

    assert api.post("/v1/responses", {"model": "demo-large", "input": ASKED}).headers["x-cacheai-decision"] == "miss"


def test_a_query_counts_it_as_bought(api: Api) -> None:
    found = api.post("/v1/cache/query", {"prompt": ASKED, "model": "demo-large", "similarity_threshold": 0.8}).json

    assert (found["cache_hit"], found["cost_saved"]) == (False, 0)
    assert found["cacheai"]["layer"] == "synthesized"


def test_only_if_cached_asks_no_small_model_either(api: Api, demo: DemoProvider) -> None:
    answer = api.chat(ASKED, model="demo-large", headers={"x_cacheai_only_if_cached": "true"})

    assert answer.status == 504
    assert demo.calls() == []


def test_a_small_model_of_another_provider_is_asked_there(api: Api, demo: DemoProvider, rules: Rules) -> None:
    rules(synthesis_provider="demo", synthesis_model="demo-tiny")
    elsewhere = {"x_cacheai_backend_base_url": demo.base_url, "x_cacheai_backend_api_key": "theirs"}
    api.chat(STORED, model="demo-large", headers=elsewhere)

    first = api.chat(ASKED, model="demo-large", headers=elsewhere).json["cacheai"]
    again = api.chat(ASKED, model="demo-large", headers=elsewhere).json["cacheai"]

    assert (first["layer"], first["provider"]) == ("synthesized", "demo")
    assert (again["layer"], again["provider"]) == ("exact", "custom")
    assert models_asked(demo) == ["demo-large", "demo-tiny"]


def test_without_a_key_for_it_no_small_model_is_asked(api: Api, demo: DemoProvider, rules: Rules) -> None:
    rules(synthesis_provider="groq", synthesis_model="tiny")

    assert api.chat(ASKED, model="demo-large").headers["x-cacheai-decision"] == "miss"
    assert models_asked(demo) == ["demo-large"]


def test_a_small_model_that_fails_is_not_heard_of(api: Api, demo: DemoProvider, embedder: FixedEmbedder) -> None:
    failing = "How do I reset it? [demo: fail=503]"  # as the provider reads it in the prompt
    embedder.near["How do I reset it in the app?"] = (failing, 0.85)
    api.post("/v1/cache/entries", {"question": failing, "answer": "Click.", "model": "demo-large"})

    answer = api.chat("How do I reset it in the app?", model="demo-large")

    assert (answer.status, answer.headers["x-cacheai-decision"]) == (200, "miss")
    assert models_asked(demo) == ["demo-small", "demo-large"]


def test_the_ledger_bills_the_small_model(api: Api, cast: Cast) -> None:
    from cache_api.models import Call
    from tenants.isolation import as_tenant

    told = api.chat(ASKED, model="demo-large").json
    api.chat(ASKED, model="demo-large")

    with as_tenant(cast.owner.tenant_id):
        _, synthesized, hit = Call.objects.order_by("at", "id")
    assert (synthesized.decision, synthesized.layer, synthesized.reason) == ("hit", "synthesized", "synthesized")
    assert (synthesized.model_asked, synthesized.model_served) == ("demo-large", "demo-small")
    assert (synthesized.in_total, synthesized.billable) == (told["usage"]["prompt_tokens"], True)
    assert (hit.layer, hit.model_asked, hit.model_served) == ("exact", "demo-large", "demo-small")


def test_health_tells_what_a_project_synthesizes(api: Api, outsider: Api) -> None:
    assert Api("").get("/health").json["synthesis"] == "off"
    assert api.get("/health").json["synthesis"] == "auto"
    assert outsider.get("/health").json["synthesis"] == "off"
