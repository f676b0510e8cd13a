"""Argument, else environment, else default; and the header each becomes."""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cacheai import AsyncClient, Client, ConfigurationError, ValidationError

from .sdk_server import BASE_URL, KEY, MESSAGES, AsyncSide, Server, SyncSide

OPENAI_VARIABLES = {
    "OPENAI_API_KEY": "sk-theirs",
    "OPENAI_BASE_URL": "https://theirs.example.com/v1",
    "OPENAI_ORG_ID": "org-theirs",
    "OPENAI_PROJECT_ID": "proj-theirs",
    "OPENAI_WEBHOOK_SECRET": "whsec-theirs",
    "OPENAI_ADMIN_KEY": "sk-admin-theirs",
    "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer sk-theirs\nX-Theirs: 1",
}


@pytest.fixture(autouse=True)
def _an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("CACHEAI_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture(params=[SyncSide, AsyncSide])
def side(request: pytest.FixtureRequest) -> Iterator[SyncSide]:
    return request.param(Server())


def headers_sent(side: SyncSide, **options: Any) -> dict[str, str]:
    client = side.client(**options)
    side.get(client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES))
    return side.server.headers()


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {}),
        ({"enable_cache": True}, {}),
        ({"enable_cache": False}, {"x-cacheai-enable-cache": "false"}),
        ({"backend_provider": "groq"}, {"x-cacheai-backend-provider": "groq"}),
        ({"backend_api_key": "gsk-1"}, {"x-cacheai-backend-api-key": "gsk-1"}),
        (
            {"backend_base_url": "https://a.example/v1"},
            {"x-cacheai-backend-base-url": "https://a.example/v1"},
        ),
        ({"baseline_model_provider": "groq"}, {"x-cacheai-baseline-model-provider": "groq"}),
        ({"baseline_model": "llama"}, {"x-cacheai-baseline-model": "llama"}),
        ({"baseline_model_api_key": "gsk-1"}, {"x-cacheai-baseline-model-api-key": "gsk-1"}),
        (
            {"baseline_model_base_url": "https://a.example/v1"},
            {"x-cacheai-baseline-model-base-url": "https://a.example/v1"},
        ),
        (
            {"backend_provider": "groq", "baseline_model_provider": "groq"},
            {"x-cacheai-backend-provider": "groq", "x-cacheai-baseline-model-provider": "groq"},
        ),
        ({"namespace": "docs-v2"}, {"x-cacheai-namespace": "docs-v2"}),
        ({"ttl": 90}, {"x-cacheai-ttl": "90"}),
        ({"ttl": 0}, {"x-cacheai-ttl": "0"}),
        ({"ttl": "2h"}, {"x-cacheai-ttl": "2h"}),
        ({"ttl": timedelta(minutes=5)}, {"x-cacheai-ttl": "300"}),
        ({"similarity_threshold": 0.9}, {"x-cacheai-similarity-threshold": "0.9"}),
        ({"similarity_threshold": 0}, {"x-cacheai-similarity-threshold": "0"}),
        ({"tags": ["faq", "de"]}, {"x-cacheai-tags": "faq,de"}),
        ({"tags": "faq,de"}, {"x-cacheai-tags": "faq,de"}),
        ({"tags": (tag for tag in ("faq", "de"))}, {"x-cacheai-tags": "faq,de"}),
        ({"end_user": "u-7"}, {"x-cacheai-end-user": "u-7"}),
        ({"task": "summaries"}, {"x-cacheai-task": "summaries"}),
        ({"ttl": 90, "default_headers": {"X-CacheAI-TTL": "5"}}, {"x-cacheai-ttl": "5"}),
    ],
)
def test_each_argument_becomes_its_header(options: dict[str, Any], sent: dict[str, str]) -> None:
    assert headers_sent(SyncSide(Server()), **options) == sent


def test_both_clients_send_the_key_the_headers_and_their_name(side: SyncSide) -> None:
    assert headers_sent(side, ttl=90, enable_cache=False) == {
        "x-cacheai-ttl": "90",
        "x-cacheai-enable-cache": "false",
    }
    request = side.server.asked[0]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("cacheai-python/")
    assert str(request.url) == f"{BASE_URL}/chat/completions"


@pytest.mark.parametrize(
    ("variable", "value", "header"),
    [
        ("CACHEAI_BACKEND_PROVIDER", "groq", "x-cacheai-backend-provider"),
        ("CACHEAI_BACKEND_API_KEY", "gsk-1", "x-cacheai-backend-api-key"),
        ("CACHEAI_BACKEND_BASE_URL", "https://a.example/v1", "x-cacheai-backend-base-url"),
        ("CACHEAI_BASELINE_MODEL_PROVIDER", "groq", "x-cacheai-baseline-model-provider"),
        ("CACHEAI_BASELINE_MODEL", "llama", "x-cacheai-baseline-model"),
        ("CACHEAI_BASELINE_MODEL_API_KEY", "gsk-1", "x-cacheai-baseline-model-api-key"),
        ("CACHEAI_BASELINE_MODEL_BASE_URL", "https://a.example/v1", "x-cacheai-baseline-model-base-url"),
    ],
)
def test_a_variable_speaks_where_no_argument_does(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, header: str
) -> None:
    monkeypatch.setenv(variable, value)
    argument = variable.removeprefix("CACHEAI_").lower()
    other = "https://b.example/v1" if "URL" in variable else "other"

    assert headers_sent(SyncSide(Server())) == {header: value}
    assert headers_sent(SyncSide(Server()), **{argument: other}) == {header: other}
    assert headers_sent(SyncSide(Server()), **{argument: ""}) == {}


@pytest.mark.parametrize("name", ["NAMESPACE", "TTL", "TAGS", "TASK", "END_USER", "SIMILARITY_THRESHOLD"])
def test_the_new_arguments_have_no_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"CACHEAI_{name}", "1")

    assert headers_sent(SyncSide(Server())) == {}


@pytest.mark.parametrize(
    ("text", "off"),
    [("false", True), ("0", True), ("No", True), (" OFF ", True), ("true", False), ("1", False), ("", False)],
)
def test_the_switch_in_the_environment_reads_plain_words(monkeypatch: pytest.MonkeyPatch, text: str, off: bool) -> None:
    monkeypatch.setenv("CACHEAI_ENABLE_CACHE", text)

    assert headers_sent(SyncSide(Server())) == ({"x-cacheai-enable-cache": "false"} if off else {})
    assert headers_sent(SyncSide(Server()), enable_cache=True) == {}


def test_a_switch_that_is_no_switch_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEAI_ENABLE_CACHE", "disabled")

    with pytest.raises(ConfigurationError, match="CACHEAI_ENABLE_CACHE"):
        Client(api_key=KEY)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_key_and_address_come_from_the_environment_or_the_default(
    monkeypatch: pytest.MonkeyPatch, kind: type[Client] | type[AsyncClient]
) -> None:
    monkeypatch.setenv("CACHEAI_API_KEY", KEY)
    assert kind().api_key == KEY
    assert str(kind().base_url) == "https://api.cacheai.tech/v1/"

    monkeypatch.setenv("CACHEAI_BASE_URL", "http://127.0.0.1:8100/v1")
    assert str(kind().base_url) == "http://127.0.0.1:8100/v1/"
    assert str(kind(base_url=BASE_URL).base_url) == f"{BASE_URL}/"
    assert (kind().timeout, kind().max_retries) == (60.0, 2)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_without_a_key_there_is_no_client(
    monkeypatch: pytest.MonkeyPatch, kind: type[Client] | type[AsyncClient]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs")

    with pytest.raises(ValidationError, match="CACHEAI_API_KEY"):
        kind()


def test_what_openai_s_variables_say_is_never_read(monkeypatch: pytest.MonkeyPatch, side: SyncSide) -> None:
    for name, value in OPENAI_VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CACHEAI_API_KEY", KEY)

    client = side.client(api_key=None, base_url=None)
    for one in (client, client.with_options(timeout=5)):
        side.get(one.chat.completions.create(model="gpt-5-mini", messages=MESSAGES))
        assert one.webhook_secret is None
        assert one.admin_api_key is None

    for request in side.server.asked:
        assert request.url.host == "api.cacheai.tech"
        assert "theirs" not in repr(request.headers.raw)


def test_openai_s_own_arguments_are_taken(side: SyncSide) -> None:
    client = side.client(organization="org-1", project="proj-1", webhook_secret="whsec-1", default_query={"trace": "1"})
    side.get(client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES))

    request = side.server.asked[0]
    assert request.headers["openai-organization"] == "org-1"
    assert request.headers["openai-project"] == "proj-1"
    assert request.url.params["trace"] == "1"
    assert client.with_options(timeout=1).webhook_secret == "whsec-1"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_arguments_have_names(kind: type) -> None:
    with pytest.raises(TypeError):
        kind(KEY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend_provider": "groq", "baseline_model_provider": "xai"}, "backend_provider"),
        ({"backend_api_key": "a", "baseline_model_api_key": "b"}, "backend_api_key"),
        (
            {"backend_base_url": "https://a.example", "baseline_model_base_url": "https://b.example"},
            "backend_base_url",
        ),
        ({"backend_base_url": "localhost:11434/v1"}, "backend_base_url"),
        ({"base_url": "localhost:8080/v1"}, "base_url"),
        ({"baseline_model_base_url": "https://host:port/v1"}, "baseline_model_base_url"),
        ({"namespace": "東京"}, "Namespace"),
        ({"task": "a\r\nX-Other: 1"}, "Task"),
        ({"backend_api_key": "sk-secret\n"}, "API-Key"),
        ({"tags": ["a,b"]}, "comma"),
        ({"api_key": "ca-secret\n"}, "api_key"),
        ({"api_key": ""}, "api_key"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_without_its_value(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Client(**{"api_key": KEY, **options})
    assert "secret" not in str(refused.value)


def test_two_spellings_that_differ_are_refused_wherever_they_come_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CACHEAI_BASELINE_MODEL_PROVIDER", "xai")

    with pytest.raises(ValidationError, match="mean the same"):
        Client(api_key=KEY, backend_provider="groq")


def test_a_client_shows_no_key_of_a_provider() -> None:
    client = Client(api_key=KEY, backend_api_key="sk-hidden", baseline_model_api_key="sk-hidden")

    assert "hidden" not in repr(vars(client))
