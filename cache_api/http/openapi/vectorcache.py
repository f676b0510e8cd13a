"""How is Vectorcache's side described?"""

from cache_api.dialects.errors import vectorcache_error
from cache_api.dialects.vectorcache import DEFAULT_THRESHOLD
from cache_api.http.openapi.controls import CONTROLS, LIMITED, SIGNALLED
from cache_api.http.openapi.pieces import (
    ANY_CALL,
    WITH_BODY,
    Json,
    answer,
    array,
    asked,
    fields_of,
    flag,
    in_path,
    maybe,
    moment,
    number,
    one_of,
    operation,
    query_of,
    ref,
    sent,
    string,
    table,
    told,
    whole,
)
from cache_api.http.serializers import ClearSerializer, SimilarSerializer

TAG = "Vectorcache"
EITHER_CASE = "Names may be in camelCase, too."
QUESTION = "What is your refund policy?"

_PROJECT = string("The key's own project; any other is refused.", format="uuid")
_IN_PATH = in_path("project_id", "The key's own project.", string(format="uuid"))

_ASKED: Json = {
    "prompt": string("The question. Or `query`, or `messages`: one of them."),
    "query": string("As `prompt`."),
    "messages": array(table({}), "As in a chat call."),
    "model": string("Needed where the project has no model of its own."),
    "context": maybe(string("A system message; it must be the same for a hit.")),
    "similarity_threshold": maybe(
        number("The higher of this and the project's floor counts.", minimum=0, maximum=1, default=DEFAULT_THRESHOLD)
    ),
    "max_tokens": maybe(whole(minimum=1)),
    "temperature": maybe(number(minimum=0, maximum=2)),
    "metadata": maybe(table({})),
    "cache": ref("CacheControls"),
}
_PRICED: Json = {"unpriced": flag("Nobody knows the price: the sums are 0.")}

SCHEMAS: Json = {
    "Query": asked(
        {**_ASKED, "project_id": maybe(_PROJECT), "include_debug": maybe(flag(default=False))}, words=EITHER_CASE
    ),
    "Trial": asked(
        {**_ASKED, "project_id": _PROJECT, "include_debug": maybe(flag(default=True))}, "project_id", words=EITHER_CASE
    ),
    "QueryAnswer": told(
        {
            "cache_hit": flag(),
            "is_cache_hit": flag(),
            "response": string(),
            "similarity_score": maybe(number("1 if the very same; null on a miss.")),
            "cost_saved": number("Dollars."),
            "estimated_cost": number("Dollars, of this call."),
            "llm_provider": string("`cache`, or the provider's name."),
            "response_time_ms": whole(),
            "tokens_used": whole(),
            "cache_entry_id": maybe(string("The cache key.")),
            "query_id": string("Our request's id."),
            "cacheai": ref("Signals"),
        },
        sometimes={
            **_PRICED,
            "debug": told(
                {
                    "embedding_time_ms": whole(),
                    "search_time_ms": whole(),
                    "total_time_ms": whole(),
                    "matched_cache_entry_id": maybe(string()),
                    "cache_entry_count": whole(),
                }
            ),
        },
    ),
    "TrialAnswer": told(
        {
            "cache_hit": flag(),
            "similarity_score": maybe(number()),
            "response_time": whole("Milliseconds."),
            "cost_saved": number("Dollars."),
            "cost_spent": number("Dollars."),
            "response": string(),
            "cache_entry_id": maybe(string("The cache key.")),
            "similar_entries": array(ref("SimilarEntry")),
            "cacheai": ref("Signals"),
        },
        sometimes={
            **_PRICED,
            "workflow_steps": array(
                told(
                    {
                        "id": whole(minimum=1),
                        "name": one_of("exact", "embed", "search", "decide", "llm", "store"),
                        "status": one_of("pending", "running", "success", "error", "skipped"),
                        "duration": number("Milliseconds."),
                        "details": string(),
                        "icon": string(),
                    }
                )
            ),
        },
    ),
    "SimilarEntry": told(
        {"id": string("The cache key."), "original_query": string(), "similarity": number(), "created_at": moment()}
    ),
    "Clear": {
        **asked(
            fields_of(
                ClearSerializer,
                {
                    "project_id": "The key's own project.",
                    "expired_only": "Only what ran out.",
                    "older_than_hours": "Only what was stored longer ago.",
                },
            ),
            words=f"Nothing said is everything. {EITHER_CASE}",
        ),
        "additionalProperties": False,
    },
}

PATHS: Json = {
    "/v1/cache/query": {
        "post": operation(
            "query",
            "Ask one question",
            words="A chat call in other words: it shares its entries.",
            tag=TAG,
            scope="proxy",
            parameters=CONTROLS,
            body=sent(ref("Query"), question={"prompt": QUESTION, "model": "demo-small", "include_debug": True}),
            answers={200: answer("The answer, bought or stored.", ref("QueryAnswer"), headers=(*SIGNALLED, *LIMITED))},
            errors=(*WITH_BODY, 422, 502, 504),
            shape=vectorcache_error,
        )
    },
    "/v1/cache/test": {
        "post": operation(
            "trial",
            "Ask one question, and see each step",
            tag=TAG,
            scope="proxy",
            parameters=CONTROLS,
            body=sent(
                ref("Trial"),
                question={
                    "project_id": "0198c1f2-a7d0-7c3e-9f0a-1b2c3d4e5f60",
                    "prompt": QUESTION,
                    "model": "demo-small",
                },
            ),
            answers={200: answer("The answer, and how it came.", ref("TrialAnswer"), headers=(*SIGNALLED, *LIMITED))},
            errors=(*WITH_BODY, 422, 502, 504),
            shape=vectorcache_error,
        )
    },
    "/v1/cache/clear": {
        "post": operation(
            "clear",
            "Remove entries",
            tag=TAG,
            scope="cache:purge",
            body=sent(ref("Clear"), expired={"expired_only": True}, old={"older_than_hours": 48}),
            answers={
                200: answer(
                    "How many went.",
                    told({"entries_cleared": whole(), "space_freed_mb": number(), "operation_time_ms": whole()}),
                    headers=LIMITED,
                )
            },
            errors=WITH_BODY,
            shape=vectorcache_error,
        )
    },
    "/v1/cache/projects/{project_id}/stats": {
        "get": operation(
            "projectStats",
            "What a project's cache did",
            tag=TAG,
            scope="stats:read",
            parameters=[_IN_PATH],
            answers={
                200: answer(
                    "Numbers, never null.",
                    told(
                        {
                            "project_id": string(format="uuid"),
                            "total_entries": whole(),
                            "active_entries": whole(),
                            "expired_entries": whole(),
                            "total_hits": whole(),
                            "total_tokens_saved": whole(),
                            "total_cost_saved": number("Dollars."),
                            "avg_similarity_score": number(),
                            "cache_size_mb": number(),
                        },
                        sometimes={"unpriced": flag("Some calls have no known price: they count as 0.")},
                    ),
                    headers=LIMITED,
                )
            },
            shape=vectorcache_error,
        )
    },
    "/v1/cache/projects/{project_id}/similar": {
        "get": operation(
            "similar",
            "Which stored questions are near?",
            words="By meaning, whatever came before them in their calls.",
            tag=TAG,
            scope="cache:read",
            parameters=[
                _IN_PATH,
                *query_of(
                    SimilarSerializer,
                    {"query": "A question.", "limit": "How many at most."},
                    required=("query",),
                    examples={"query": QUESTION},
                ),
            ],
            answers={
                200: answer(
                    "The nearest first.",
                    told({"query": string(), "similar_entries": array(ref("SimilarEntry")), "total_found": whole()}),
                    headers=LIMITED,
                )
            },
            errors=ANY_CALL,
            shape=vectorcache_error,
        )
    },
}
