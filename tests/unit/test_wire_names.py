"""Is every name that clients may use known to the code, and tried by a test?

The list is the contract's: a name that is renamed in code and tests alike is still missed here. That a name is written
in a test says little of what the test holds it to; that it is written in none says enough.
"""

# ruff: noqa: SIM905  (word lists read better as words)

from functools import cache
from pathlib import Path

import pytest

from cache_api.adapters.upstream import _headers_down
from cacheai._cli.arguments import read

ROOT = Path(__file__).resolve().parents[2]
CODE = ("cache_api", "cacheai", "tenants")
TESTS = ("tests/api", "tests/e2e", "tests/unit", "tests/db")

NAMES = {
    "headers that say what is wished": """
        X-CacheAI-Enable-Cache X-CacheAI-Refresh X-CacheAI-No-Store X-CacheAI-Only-If-Cached X-CacheAI-TTL
        X-CacheAI-Similarity-Threshold X-CacheAI-Namespace X-CacheAI-End-User X-CacheAI-Tags
        X-CacheAI-Depends-On X-CacheAI-Task X-CacheAI-Backend-Provider X-CacheAI-Backend-API-Key
        X-CacheAI-Backend-Base-URL X-CacheAI-Baseline-Model-Provider X-CacheAI-Baseline-Model-API-Key
        X-CacheAI-Baseline-Model-Base-URL X-CacheAI-Baseline-Model
    """.split(),
    "names in the body's `cache`": """
        use-cache no-cache no-store only-if-cached ttl s-maxage similarity_threshold namespace end_user tags
        depends_on task
    """.split(),
    "other systems' headers": """
        X-Cache-Bypass cf-aig-skip-cache Helicone-Cache-Enabled X-OpenRouter-Cache Cache-Control
        x-portkey-cache-force-refresh X-OpenRouter-Cache-Clear x-bf-cache-no-store cf-aig-cache-ttl
        x-bf-cache-ttl X-OpenRouter-Cache-TTL x-bf-cache-threshold x-bf-cache-type Helicone-Cache-Seed
        x-portkey-cache-namespace x-bf-cache-key cf-aig-cache-key X-LLM-Provider
        max-stale
    """.split(),
    "headers that say what became of it": """
        X-CacheAI-Decision X-CacheAI-Layer X-CacheAI-Reason X-CacheAI-Similarity X-CacheAI-Threshold
        X-CacheAI-Cache-Key X-CacheAI-Age X-CacheAI-TTL X-CacheAI-Saved-USD X-CacheAI-Request-Id Cache-Status
        X-Cacheback-Hit X-Cacheback-Synthesized X-Cache-Hit x-litellm-cache-key X-RateLimit-Limit
        X-RateLimit-Remaining X-RateLimit-Reset x-ratelimit-limit-requests x-ratelimit-remaining-requests
        x-ratelimit-reset-requests X-CacheAI-Limited-By Retry-After retry-after-ms
        x-should-retry X-Accel-Buffering request-id x-request-id
    """.split(),
    "reasons": """
        exact similar synthesized coalesced stale_on_error no_candidate exact_only below_threshold guard
        known_wrong expired too_old refresh caller policy key_scope over_quota endpoint stateful unparsed
        unsupported_content tools sampling too_long volatile cache_unavailable deadline blocklist
    """.split(),
    "error codes": """
        invalid_request invalid_control provider_key_missing base_url_not_allowed dialect_unsupported
        invalid_api_key insufficient_scope project_mismatch blocked not_found request_too_large
        unsupported_encoding not_cacheable rate_limit_exceeded budget_exceeded internal_error unavailable
        upstream_unreachable upstream_timeout not_cached upstream_stream_broken
    """.split(),
    "error types": """
        invalid_request_error authentication_error permission_error not_found_error request_too_large
        rate_limit_error api_error proxy_error
    """.split(),
    "Vectorcache errors": [
        "Field required: prompt",
        "similarity_threshold must be between 0 and 1",
        "Invalid JSON format",
        "Invalid or missing API key",
        "API key does not have permission to access this project",
        "Rate limit exceeded. Please try again later.",
        "Monthly limit reached",
        "current_usage",
        "monthly_limit",
        "Internal server error. Please try again or contact support.",
        "Service temporarily unavailable",
        "LLM provider error",
    ],
    "scopes": """
        proxy cache:read cache:write cache:purge stats:read analytics:read keys:manage cache:*
    """.split(),
    "Vectorcache fields": """
        cache_hit is_cache_hit response similarity_score cost_saved estimated_cost llm_provider response_time_ms
        tokens_used cache_entry_id query_id embedding_time_ms search_time_ms total_time_ms
        matched_cache_entry_id cache_entry_count include_debug unpriced cost_spent response_time similar_entries
        original_query workflow_steps duration details icon skipped expired_only older_than_hours
        entries_cleared space_freed_mb operation_time_ms total_entries active_entries expired_entries total_hits
        total_tokens_saved total_cost_saved avg_similarity_score cache_size_mb total_found includeDebug
        similarityThreshold projectId
    """.split(),
    "fields of an entry": """
        cache_key project_id namespace provider model endpoint question answer context tags depends_on writer
        source status created_at expires_at last_hit_at hits tokens cost_usd saved_usd latency_ms metadata
        proxied put baseline import keyed live quarantined output model_id converter_type updated_fields created
        requires_baseline_model value
    """.split(),
    "fields of our own endpoints": """
        include_answer timings_ms candidates accepted params system request_data response_data job_id queued
        running done failed rejected errors created_after created_before order limit cursor
        offset has_more next_cursor older_than_days matched deleted dry_run verdict request_id evict
        evicted pair_blocked reason category severity similarity hit_count false-positive total_lookups hit_rate
        populations embedder modality total_misses total_cost_saved_usd oldest_entry newest_entry provider_stats
        model_stats decisions feedback unpriced bucket group_by cost_per_million_input_tokens
        cost_per_million_output_tokens cost_per_million_caching_input_tokens cost_per_million_caching_hit_tokens
        refuse skip observe content_filter refusal
    """.split(),
    "operation": """
        /health /healthz /readyz /health/ready /metrics /v1/schema degraded cache_backend synthesis
        cacheai_calls_total cacheai_tokens_total cacheai_cost_usd_total cacheai_saved_usd_total
        cacheai_unpriced_calls_total cacheai_feedback_total cacheai_entries cacheai_latency_seconds
        llm_cache_entries_total llm_cache_hits_total llm_cache_misses_total llm_cache_cost_saved_usd
        llm_cache_provider_entries_total llm_cache_provider_cost_total
    """.split(),
    "endpoints": """
        /v1/chat/completions /v1/responses /v1/messages /v1/completions /v1/embeddings /v1/models count_tokens
        /v1/cache/query /v1/cache/test /v1/cache/clear /v1/cache/projects/ /stats /similar lookup entries jobs
        export purge feedback blocklist blocklist/check /v1/cache/stats /v1/usage /v1/pricing
    """.split(),
    "stream events": """
        message_start content_block_start content_block_delta content_block_stop message_delta message_stop
        input_json_delta thinking_delta signature_delta text_delta response.created response.in_progress
        response.completed sequence_number chatcmpl- cmpl- msg_ resp_
    """.split(),
    "the SDK": """
        enable_cache backend_provider backend_api_key backend_base_url baseline_model_provider baseline_model
        baseline_model_api_key baseline_model_base_url namespace ttl similarity_threshold end_user task
        CACHEAI_API_KEY CACHEAI_BASE_URL CACHEAI_ENABLE_CACHE CACHEAI_BACKEND_PROVIDER CACHEAI_BACKEND_API_KEY
        CACHEAI_BACKEND_BASE_URL CACHEAI_BASELINE_MODEL_PROVIDER CACHEAI_BASELINE_MODEL
        CACHEAI_BASELINE_MODEL_API_KEY CACHEAI_BASELINE_MODEL_BASE_URL max_completion_tokens with_options copy(
        CacheAIError APIError TimeoutError ConnectionError AuthenticationError PermissionDeniedError
        NotFoundError RateLimitError ValidationError ConfigurationError CacheError negative
        report_false_positive cached_call wrap_openai LLMCache get_or_set get_or_set_async list_entries
        purge_expired purge_older_than get_stats ttl_days database_url enable_encryption cached_agent_run
        cached_agent_run_sync transcript_history max_wait initial_wait message_converter expense_recorder
        redis_url custom_costs full_result skip_cache UsageLimitExceeded ModelCosts
        LLM_CACHE_REDIS_URL CacheAICache alookup semantic
    """.split(),
}


# What the code puts together of parts, so that it stands nowhere whole.
PUT_TOGETHER = ("CACHEAI_", "cacheai_", "llm_cache_", "Field required: ", "Monthly limit")
CAMEL_CASE = ("includeDebug", "similarityThreshold", "projectId")
# Lines of the command, with every option it takes in long.
LINES = """
stats --verbose --since 24h
list --provider p --model m --namespace n --tag t --limit 5 --offset 5 --query q --status live
entries --limit 5
show KEY --output FILE
purge --provider p --model m --namespace n --tag t --key k --older 3 --expired --all --writer w --depends-on d
purge --all --dry-run --confirm
evict --yes
clear --confirm
export FILE --provider p --model m --namespace n --tag t --format jsonl --limit 5
import FILE --format json --namespace n --tag t --ttl 1h
lookup TEXT --model m --provider p --system s --threshold 0.9 --limit 5 --fail-on-miss
blocklist add TEXT --reason r --category c --severity 5
blocklist check TEXT
blocklist list --limit 5 --category c
blocklist remove 1
blocklist false-positive 1
doctor --base-url u --api-key k --json
serve --host 127.0.0.1 --port 8100 --reload
completion zsh
""".strip().splitlines()


@cache
def written(*folders: str) -> str:
    """All that stands in these folders, in small letters, underscores as hyphens too."""
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")) if file != Path(__file__)]
    text = "\n".join(file.read_text("utf-8") for file in files).lower()
    return text + text.replace("_", "-")


@pytest.mark.parametrize("kind", NAMES)
def test_the_code_knows_every_name(kind: str) -> None:
    whole = [name for name in NAMES[kind] if name not in CAMEL_CASE and not name.startswith(PUT_TOGETHER)]
    assert [name for name in whole if not_in(name, written(*CODE))] == []


@pytest.mark.parametrize("kind", NAMES)
def test_a_test_tries_every_name(kind: str) -> None:
    assert [name for name in NAMES[kind] if not_in(name, written(*TESTS))] == []


@pytest.mark.parametrize("line", LINES)
def test_the_command_takes_every_option(line: str) -> None:
    assert read(line.split()).verb == line.split()[0]


def test_a_provider_s_limits_come_under_another_name_than_ours() -> None:
    theirs = {"X-RateLimit-Limit-Requests": "500", "x-ratelimit-reset-tokens": "6ms", "Set-Cookie": "a=b"}
    assert _headers_down(theirs) == {
        "x-upstream-ratelimit-limit-requests": "500",
        "x-upstream-ratelimit-reset-tokens": "6ms",
    }


def not_in(name: str, text: str) -> bool:
    """A header of ours may be put together of its prefix and its name."""
    name = name.lower()
    return name not in text and name.removeprefix("x-cacheai-") not in text
