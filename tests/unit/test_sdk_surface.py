"""What does `import cacheai` give, and what does it cost?"""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import openai
import pytest

import cacheai
from cacheai import _client, _errors, _llm_cache, _types

ROOT = Path(__file__).parents[2]


def test_all_is_sorted_and_every_name_in_it_is_there() -> None:
    assert cacheai.__all__ == sorted(set(cacheai.__all__)) == dir(cacheai)
    for name in cacheai.__all__:
        assert getattr(cacheai, name) is not None

    with pytest.raises(AttributeError, match="Clinet"):
        _ = cacheai.Clinet


def test_every_public_type_error_and_client_is_exported() -> None:
    for home in (_client, _errors, _llm_cache, _types):
        own = {
            name
            for name, member in vars(home).items()
            if inspect.isclass(member) and member.__module__.startswith("cacheai") and not name.startswith("_")
        }
        # Nobody sees these: what they wrap is given.
        wrappers = {"BlocklistCheck", "BlocklistPage", "BlocklistRemoved", "JobAnswer"}
        internal = {
            "Answer",
            "AsyncCache",
            "Cache",
            "Found",
            "Kept",
            "Nothing",
            "Settings",
            "Unserialisable",
        } | wrappers
        assert own - internal <= set(cacheai.__all__)


def test_every_exported_class_says_it_lives_in_cacheai_unless_it_is_openai_s_own() -> None:
    for name in cacheai.__all__:
        member = getattr(cacheai, name)
        if inspect.isclass(member) and member.__module__.partition(".")[0] != "openai":
            assert member.__module__ == "cacheai", name


def test_importing_the_sdk_loads_no_server_package() -> None:
    script = """
import sys, cacheai
print("openai" in sys.modules)
cacheai.Client, cacheai.LLMCache, cacheai.cached_call, cacheai.wrap_openai
heavy = {"django", "rest_framework", "celery", "redis", "torch", "sentence_transformers", "urllib3"}
heavy |= {"anthropic", "pydantic_ai", "langchain_core"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
print(sorted(name for name in sys.modules if name.startswith("cacheai.")))
"""
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert loaded[0] == "False"  # Nor does the server load openai's package with its settings.
    assert loaded[1] == "[]"
    assert all(name.startswith("cacheai._") for name in eval(loaded[2]))


def test_the_version_is_the_distribution_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert cacheai.__version__ == project["version"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("CacheAIError", openai.OpenAIError),
        ("APIError", openai.InternalServerError),
        ("TimeoutError", openai.APITimeoutError),
        ("ConnectionError", openai.APIConnectionError),
        ("AuthenticationError", openai.AuthenticationError),
        ("PermissionDeniedError", openai.PermissionDeniedError),
        ("NotFoundError", openai.NotFoundError),
        ("RateLimitError", openai.RateLimitError),
    ],
)
def test_an_error_under_our_name_is_openai_s_class(ours: str, theirs: type[Exception]) -> None:
    assert getattr(cacheai, ours) is theirs


@pytest.mark.parametrize("name", ["ChatCompletion", "ChatCompletionChunk", "ChatMessage", "Completion", "Model"])
def test_a_name_that_was_published_before_is_a_class_of_openai_s_answers(name: str) -> None:
    assert issubclass(getattr(cacheai, name), openai.BaseModel)
    assert cacheai.ModelList is openai.pagination.SyncPage


def test_our_own_errors_are_caught_as_cacheai_errors_and_as_value_errors() -> None:
    assert issubclass(cacheai.ConfigurationError, cacheai.ValidationError)
    assert issubclass(cacheai.ValidationError, cacheai.CacheAIError | ValueError)
    assert issubclass(cacheai.ValidationError, ValueError)
    assert issubclass(cacheai.CacheError, cacheai.CacheAIError)


def test_the_clients_are_openai_s_clients() -> None:
    assert issubclass(cacheai.Client, openai.OpenAI)
    assert issubclass(cacheai.AsyncClient, openai.AsyncOpenAI)


def test_help_shows_what_a_method_of_the_cache_takes_and_returns() -> None:
    for client in (cacheai.Client(api_key="ca-x"), cacheai.AsyncClient(api_key="ca-x")):
        shown = inspect.signature(client.cache.get)
        assert list(shown.parameters) == ["cache_key"]
        assert shown.return_annotation is cacheai.Entry
