"""Can entries be put, found, changed and removed over HTTP?"""

from tests.api.conftest import Api


def test_an_entry_put_is_served_to_the_chat_endpoint(api: Api) -> None:
    stored = api.post("/v1/cache/entries", {"question": "Who made it?", "answer": "We did.", "model": "demo-small"})
    assert (stored.status, stored.json["status"]) == (201, "created")

    served = api.chat("Who made it?")
    assert served.headers["x-cacheai-reason"] == "exact"
    assert served.headers["x-cacheai-cache-key"] == stored.json["cache_key"]
    assert served.json["choices"][0]["message"]["content"] == "We did."
    assert served.json["usage"]["total_tokens"] > 0
