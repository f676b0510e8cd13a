"""How are figures, calls and prices described?"""

from cache_api.http.calls import ORIGINS, CallsSerializer
from cache_api.http.openapi.controls import DECISIONS, LIMITED, gone, listed
from cache_api.http.openapi.pieces import (
    ANY_CALL,
    JSON,
    LINES,
    WITH_BODY,
    Json,
    answer,
    array,
    asked,
    content,
    fields_of,
    flag,
    maybe,
    moment,
    money,
    number,
    one_of,
    operation,
    page_of,
    query_of,
    ref,
    sent,
    string,
    table,
    told,
    whole,
)
from cache_api.http.pricing import PriceSerializer, WhichSerializer
from cache_api.http.serializers import TimesSerializer
from cache_api.http.tables import CALL_NAMES, CSV
from cache_api.http.usage import UsageSerializer

TAG = "Figures and prices"

_WORDS = {
    "project_id": "The key's own project; any other is refused.",
    "since": "From the beginning, if not given.",
    "until": "Until now, if not given.",
    "from": "30 days ago, or a day ago by the hour, if not given.",
    "to": "Until now, if not given.",
    "bucket": "By the hour or by the day.",
    "group_by": "A row for each of these in every hour or day.",
    "end_user": "One end user, by the name that calls were made under; the books know only a digest of it.",
    "format": "As JSON, if not given and `Accept` does not say `text/csv`.",
    "decision": "What became of the call.",
    "limit": "Of a page; lines and tables hold all there is.",
    "cursor": "`next_cursor` of the page before.",
    "origin": "A caller's own, or what was made of it: checks, warming, backtests, corrections.",
    "key": "The id of the key it was made with.",
    "task": "The name it was made under.",
    "unpriced": "Those of unknown price alone.",
    "provider": "A known provider's name.",
    "model": "A model's name; one that ends in `*` stands for all that begin so.",
    "cost_per_million_input_tokens": "Dollars.",
    "cost_per_million_output_tokens": "Dollars.",
    "cost_per_million_caching_input_tokens": "Dollars, for what is written to the provider's own cache.",
    "cost_per_million_caching_hit_tokens": "Dollars, for what is read from it.",
}
_SPENT = told({"count": whole(), "total_cost": money(), "total_tokens": whole()})
_EXAMPLE = {
    "provider": "openai",
    "model": "gpt-house-*",
    "cost_per_million_input_tokens": "1.25",
    "cost_per_million_output_tokens": "10",
}

_IDS = {name: maybe(string(format="uuid")) for name in ("key_id", "parent_id", "entry_id")}
_MONEY = {name: maybe(money()) for name in ("cost_usd", "list_usd", "discount_usd", "fee_usd", "saved_usd", "net_usd")}
_OF_CALL: Json = {
    **_IDS,
    **_MONEY,
    "request_id": string("As in X-CacheAI-Request-Id."),
    "at": moment(),
    "id": string(format="uuid"),
    "project_id": string(format="uuid"),
    "end_user": maybe(string("A digest of the name.")),
    "origin": one_of(*ORIGINS),
    "decision": one_of(*DECISIONS),
    "stream": flag(),
    "similarity": maybe(number()),
    "in_served": maybe(whole("Of a list's items that were stored, beside those bought.")),
    "tokens_estimated": flag(),
    "price_source": one_of("", "own", "table", "unpriced"),
    "unit_prices": maybe(table(string(), "Dollars per million tokens.")),
    "billable": flag(),
    "retry": flag(),
}
_COUNTED = ("status", "in_", "out_", "ms_")
_CALL: Json = {name: _OF_CALL.get(name, whole() if name.startswith(_COUNTED) else string()) for name in CALL_NAMES}

SCHEMAS: Json = {
    "Stats": told(
        {
            "hits": whole(),
            "misses": whole(),
            "total_lookups": whole(),
            "hit_rate": number(minimum=0, maximum=1),
            "entries": whole("Live ones."),
            "populations": whole("Entries ever stored in this time."),
            "embedder": maybe(string()),
            "modality": {"const": "text"},
            "total_entries": whole(),
            "total_hits": whole(),
            "total_misses": whole(),
            "total_cost_saved_usd": money(),
            "total_tokens_saved": whole(),
            "oldest_entry": maybe(moment()),
            "newest_entry": maybe(moment()),
            "provider_stats": table(_SPENT),
            "model_stats": table(_SPENT),
            "decisions": table(whole(), "Calls by reason."),
            "feedback": told({"right": whole(), "wrong": whole()}),
            "unpriced": whole("Calls of unknown price."),
            "wrong_hits": ref("WrongHits"),
            "shadow": told(
                {"exact": whole(), "semantic": whole()}, words="Hits that mode=shadow recorded and did not serve."
            ),
        }
    ),
    "WrongHits": told(
        {
            "promised": number("`max_wrong_hit_rate` of the Policy."),
            "checked": whole("Hits by similarity of 30 days that a judge looked at, drawn by chance."),
            "wrong": whole("Of those."),
            "rate": maybe(number("Null until 100 are checked.")),
            "low": maybe(number("Of the 95 % interval.")),
            "high": maybe(number("Of the 95 % interval.")),
            "predicted": maybe(number("What the probabilities of those checked foretold.")),
            "state": one_of("learning", "kept", "alarm"),
            "cut": number("The least probability to serve at; over 1 none is."),
        }
    ),
    "Usage": told(
        {
            "object": {"const": "list"},
            "from": moment(),
            "to": moment(),
            "bucket": one_of("hour", "day"),
            "group_by": maybe(one_of("model", "key", "task", "decision", "end_user")),
            "unpriced_models": array(
                told({"provider": string(), "model": string(), "calls": whole()}), "Of which some calls have no price."
            ),
            "data": array(
                told(
                    {
                        "start": moment(),
                        "calls": whole(),
                        "hits": whole(),
                        "tokens": whole(),
                        "cost_usd": money("What providers took."),
                        "list_usd": money("What the hits' answers cost at list."),
                        "discount_usd": money("What the provider's own prompt cache would have taken off."),
                        "saved_usd": money("Gross: `list_usd` less `discount_usd`, corrections included."),
                        "fee_usd": money(
                            "CacheAI's, of every billable call: the plan's price spread over the requests it includes, "
                            "beyond them the plan's rate. Always an estimate: the billing page tells each period with "
                            "its invoice. 0 where the price is by contract."
                        ),
                        "synthesis_cost_usd": money("Part of `cost_usd`: answers made of near ones."),
                        "upkeep_cost_usd": money("Part of `cost_usd`: checks, warming, backtests."),
                        "net_usd": money("Gross less fee, synthesis and upkeep: an estimate, as the fee is."),
                        "unpriced": whole("Calls of unknown price; they are in no sum."),
                    },
                    sometimes={
                        "model": string(),
                        "key": maybe(string("Null: asked on the dashboard.")),
                        "task": string(),
                        "decision": maybe(one_of(*DECISIONS, words="Null: upkeep, which is no call.")),
                        "end_user": string("A digest of the name."),
                        "estimated": whole("Calls whose tokens nobody counted. Not told by decision or end user."),
                    },
                )
            ),
        }
    ),
    "Call": told(_CALL),
    "Calls": page_of(
        ref("Call"), **{"from": moment(), "to": moment(), "has_more": flag(), "next_cursor": maybe(string())}
    ),
    "NewPrice": asked(
        fields_of(PriceSerializer, _WORDS),
        "provider",
        "model",
        "cost_per_million_input_tokens",
        "cost_per_million_output_tokens",
    ),
    "Price": told(
        {
            "id": string(format="uuid"),
            "provider": string(),
            "model": string(),
            "cost_per_million_input_tokens": money(),
            "cost_per_million_output_tokens": money(),
            "cost_per_million_caching_input_tokens": maybe(money()),
            "cost_per_million_caching_hit_tokens": maybe(money()),
            "valid_from": moment(),
        }
    ),
}


def _as_table(words: str, page: Json, *, lines: bool = False) -> Json:
    """The same as JSON and as a table, and perhaps as lines."""
    forms = {JSON: content(page), CSV: content(string())} | ({LINES: content(string())} if lines else {})
    return {**answer(words, headers=LIMITED), "content": forms}


PATHS: Json = {
    "/v1/cache/stats": {
        "get": operation(
            "stats",
            "What did the cache do, and what does it hold?",
            tag=TAG,
            scope="stats:read",
            parameters=query_of(TimesSerializer, _WORDS),
            answers={200: answer("The project's figures.", ref("Stats"), headers=LIMITED)},
        )
    },
    "/v1/usage": {
        "get": operation(
            "usage",
            "What did calls come to, over time?",
            tag=TAG,
            scope="stats:read",
            parameters=query_of(UsageSerializer, _WORDS),
            answers={200: _as_table("A row for each hour or day that has calls.", ref("Usage"))},
        )
    },
    "/v1/calls": {
        "get": operation(
            "calls",
            "Which calls were made?",
            words="The newest first, as long as the plan keeps them. No text is in them.",
            tag=TAG,
            scope="stats:read",
            parameters=query_of(CallsSerializer, _WORDS),
            answers={200: _as_table("A row of the ledger for each.", ref("Calls"), lines=True)},
        )
    },
    "/v1/pricing": {
        "put": operation(
            "putPrice",
            "Set a price of your own",
            words="It beats the built-in list, from now on.",
            tag=TAG,
            scope="keys:manage",
            body=sent(ref("NewPrice"), price=_EXAMPLE),
            answers={200: answer("The price.", ref("Price"), headers=LIMITED)},
            errors=WITH_BODY,
        ),
        "get": operation(
            "listPrices",
            "List your own prices",
            tag=TAG,
            scope="stats:read",
            parameters=query_of(WhichSerializer, _WORDS),
            answers={200: listed("Price", words="Those in force.")},
        ),
        "delete": operation(
            "deletePrice",
            "Go back to the built-in price",
            words="Which one is said in the query, or in a body.",
            tag=TAG,
            scope="keys:manage",
            parameters=query_of(WhichSerializer, _WORDS, examples=_EXAMPLE),
            body=sent(asked(fields_of(WhichSerializer, _WORDS)), required=False),
            answers={200: gone(provider=string(), model=string())},
            errors=(*WITH_BODY, 404),
        ),
    },
    "/metrics": {
        "get": operation(
            "metrics",
            "The same for Prometheus",
            words="Also at `/v1/metrics`. Names begin with `cacheai_`, and with `llm_cache_` as that tool has them.",
            tag=TAG,
            scope="stats:read",
            answers={
                200: {
                    **answer("The project's figures since its first call.", headers=LIMITED),
                    "content": {
                        "text/plain": {"schema": string()},
                        "application/openmetrics-text": {"schema": string()},
                    },
                }
            },
            errors=ANY_CALL,
        )
    },
}
