"""Is who asks providers for too many tokens a minute told to wait, while stored answers are served?"""

import pytest

from tests.api.conftest import Api
from tests.api.test_quotas import _restarted, decided, tenant  # noqa: F401 (a fixture)
from tests.conftest import Cast

LONG = "Tell me about the history of lighthouses, please. " * 60


@pytest.fixture(autouse=True)
def _mid_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throttled.utils.now_sec", lambda: 1_000_000_000)


def test_a_minutes_tokens_are_for_providers_alone(api: Api, cast: Cast) -> None:
    tenant(cast, tpm=1_100)
    assert decided(api.chat(LONG))[0] == "miss"

    refused = api.chat(LONG + "And of ships.")
    served = api.chat(LONG)

    assert refused.status == 429
    assert refused.json["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-cacheai-limited-by"] == "cacheai"
    assert refused.headers["x-ratelimit-limit-tokens"] == "1100"
    assert int(refused.headers["x-ratelimit-remaining-tokens"]) < 500
    assert refused.headers["x-ratelimit-reset-tokens"] == "20s"
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert decided(served) == ("hit", "exact")
    assert api.chat("Why?").status == 200  # small enough for what is left


def test_no_limit_no_headers(api: Api) -> None:
    assert not [name for name in api.chat("Why?").headers if name.startswith("x-ratelimit") and "tokens" in name]
