"""Can Prometheus read what a project's calls come to?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cache_api.domain.call import Timings
from cache_api.domain.usage import Usage
from tests.api.conftest import Api
from tests.conftest import Cast
from tests.db.calls import call_of, hit_of, write

# wire.md 2.5: each family and the labels of its samples
FAMILIES = {
    "cacheai_calls": {"decision", "layer", "reason", "provider", "model"},
    "cacheai_tokens": {"provider", "model"},
    "cacheai_cost_usd": {"provider", "model"},
    "cacheai_saved_usd": {"provider", "model"},
    "cacheai_unpriced_calls": {"provider", "model"},
    "cacheai_feedback": {"verdict"},
    "cacheai_checked_hits": {"verdict"},
    "cacheai_wrong_hit_rate_promised": set(),
    "cacheai_entries": set(),
    "cacheai_latency_seconds": {"decision", "le"},
    "llm_cache_entries_total": set(),
    "llm_cache_hits": set(),
    "llm_cache_misses": set(),
    "llm_cache_cost_saved_usd": set(),
    "llm_cache_provider_entries_total": {"provider"},
    "llm_cache_provider_cost": {"provider"},
}


def scraped(api: Api, path: str = "/metrics") -> dict[tuple[str, ...], float]:
    """Each sample under its name and the values of its labels, in the alphabet's order of those."""
    answer = api.get(path)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.body.decode())
    return {
        (one.name, *dict(sorted(one.labels.items())).values()): one.value
        for family in families
        for one in family.samples
    }


def close_the_books() -> None:
    from cache_api import accounting

    accounting.price_calls(datetime.now(UTC))
    accounting.roll_up()


def test_every_family_is_there_with_its_labels(api: Api) -> None:
    api.chat("Who made it?")
    families = list(text_string_to_metric_families(api.get("/metrics").body.decode()))
    told = {one.name: {label for sample in one.samples for label in sample.labels} for one in families}
    assert told == FAMILIES


def test_calls_count_at_once_and_the_same_after_the_roll_up(api: Api) -> None:
    before = scraped(api)
    assert (before["llm_cache_hits_total",], before["llm_cache_entries_total",]) == (0, 0)

    made = api.chat("Who made it?").json["usage"]
    api.chat("Who made it?")
    api.chat("What is the weather now?")
    live = scraped(api)
    close_the_books()
    rolled_up = scraped(api)

    counts = {name: value for name, value in live.items() if "usd" not in name[0] and "cost" not in name[0]}
    assert counts.items() <= rolled_up.items()
    assert live["cacheai_calls_total", "hit", "exact", "demo-small", "demo", "exact"] == 1
    assert live["cacheai_calls_total", "miss", "", "demo-small", "demo", "no_candidate"] == 1
    assert live["cacheai_calls_total", "bypass", "", "demo-small", "demo", "volatile"] == 1
    assert live["cacheai_tokens_total", "demo-small", "demo"] >= made["total_tokens"]
    assert (live["llm_cache_hits_total",], live["llm_cache_misses_total",]) == (1, 1)
    assert live["cacheai_entries",] == live["llm_cache_provider_entries_total", "demo"] == 1
    assert live["cacheai_latency_seconds_count", "hit"] == live["cacheai_latency_seconds_bucket", "hit", "+Inf"] == 1
    assert rolled_up["cacheai_cost_usd_total", "demo-small", "demo"] > 0
    assert rolled_up["llm_cache_cost_saved_usd",] == rolled_up["cacheai_saved_usd_total", "demo-small", "demo"] > 0


def test_days_that_are_over_count_on(api: Api, cast: Cast) -> None:
    ids = (cast.owner.tenant_id, cast.owner.project_id)
    long_ago = datetime.now(UTC) - timedelta(days=40)
    write(
        [
            call_of(*ids, at=long_ago, timings=Timings(total=900)),
            call_of(*ids, at=long_ago + timedelta(days=3), model_asked="new-9", model_served="new-9"),
            hit_of(*ids, at=long_ago, timings=Timings(total=2)),
            hit_of(*ids, at=datetime.now(UTC), timings=Timings(total=5)),
            call_of(*ids, at=long_ago, decision="blocked", reason="blocklist", usage=Usage()),
        ]
    )
    close_the_books()
    told = scraped(api)

    assert told["cacheai_calls_total", "hit", "exact", "gpt-5", "openai", "exact"] == 2
    assert told["cacheai_calls_total", "blocked", "", "gpt-5", "openai", "blocklist"] == 1
    assert told["cacheai_unpriced_calls_total", "new-9", "openai"] == 1
    assert told["cacheai_cost_usd_total", "gpt-5", "openai"] == pytest.approx(0.003348)
    assert told["llm_cache_provider_cost_total", "openai"] == pytest.approx(0.003348)
    assert told["cacheai_saved_usd_total", "gpt-5", "openai"] == pytest.approx(2 * 0.003348)
    assert told["cacheai_latency_seconds_sum", "hit"] == pytest.approx(0.007)
    assert [told["cacheai_latency_seconds_bucket", "hit", le] for le in ("0.002", "0.003", "0.006")] == [0, 1, 2]
    assert told["cacheai_latency_seconds_bucket", "miss", "1.024"] == 2


def test_feedback_is_counted(api: Api) -> None:
    key = api.chat("Who made it?").headers["x-cacheai-cache-key"]
    api.post("/v1/cache/feedback", {"cache_key": key, "verdict": "right"})
    api.post("/v1/cache/feedback", {"cache_key": key, "verdict": "wrong"})
    told = scraped(api)
    assert (told["cacheai_feedback_total", "right"], told["cacheai_feedback_total", "wrong"]) == (1, 1)


def test_a_label_may_hold_anything_a_caller_calls_a_model(api: Api, cast: Cast) -> None:
    name = 'a "quoted\\"\nmodel'
    write([call_of(cast.owner.tenant_id, cast.owner.project_id, model_asked=name, model_served=name)])
    assert scraped(api)["cacheai_calls_total", "miss", "", name, "openai", "no_candidate"] == 1


def test_metrics_are_the_key_s_project_s(api: Api, sibling: Api, outsider: Api) -> None:
    api.chat("Who made it?")
    for stranger in sibling, outsider:
        told = scraped(stranger)
        assert (told["llm_cache_misses_total",], told["cacheai_entries",]) == (0, 0)
        assert not any(name[0] == "cacheai_calls_total" for name in told)


def test_metrics_need_a_key_with_stats_read(key_with: Any) -> None:
    assert Api("").get("/metrics").status == 401
    refused = key_with("proxy").get("/metrics")
    assert (refused.status, refused.json["error"]["code"]) == (403, "insufficient_scope")


def test_metrics_answer_under_v1_and_as_openmetrics_too(api: Api) -> None:
    assert scraped(api, "/v1/metrics")["cacheai_entries",] == 0
    wanted = api.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert wanted.headers["content-type"].startswith("application/openmetrics-text")
    assert wanted.body.endswith(b"# EOF\n")


def test_every_reason_stands_for_the_decision_that_gives_it() -> None:
    from cache_api.domain.decision import Reason
    from cache_api.domain.reasons import decision_of, layer_of

    by_decision: dict[str, set[str]] = {}
    for reason in Reason:
        by_decision.setdefault(decision_of(reason), set()).add(reason.value)
    assert by_decision["hit"] == {"exact", "similar", "synthesized", "coalesced", "stale_on_error"}
    assert by_decision["miss"] == {
        "no_candidate",
        "exact_only",
        "below_threshold",
        "guard",
        "known_wrong",
        "expired",
        "too_old",
        "refresh",
    }
    assert by_decision["blocked"] == {"blocklist"}
    assert {layer_of(reason) for reason in by_decision["hit"]} == {"exact", "semantic", "synthesized"}
    assert {layer_of(reason) for reason in by_decision["bypass"]} == {""}
