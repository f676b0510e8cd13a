"""Which wishes may a call carry, and which signals does its answer bear?"""

from cache_api.domain.controls import NAME_MAX, TAG_MAX, TAGS_MAX, URL_MAX
from cache_api.domain.decision import Reason
from cache_api.domain.provider import providers
from cache_api.http.openapi.pieces import (
    Json,
    answer,
    array,
    asked,
    flag,
    maybe,
    number,
    one_of,
    page_of,
    parameters_named,
    ref,
    string,
    told,
    whole,
)

DURATION = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,10}[smhd]?$"}]}
DECISIONS = ("hit", "miss", "bypass", "blocked")
LAYERS = ("exact", "semantic", "synthesized")
WORD = one_of("true", "false")
PLAIN = r"^[^\x00\r\n]*$"
TAGS = array(string(maxLength=TAG_MAX, pattern=PLAIN), maxItems=TAGS_MAX)

# Header after `X-CacheAI-`, its schema, what it means and which other names are understood.
_WISHES: tuple[tuple[str, Json, str, str], ...] = (
    (
        "Enable-Cache",
        WORD,
        "`false`: neither read nor store. `true` switches nothing on.",
        "X-Cache-Bypass, cf-aig-skip-cache, Helicone-Cache-Enabled, X-OpenRouter-Cache",
    ),
    (
        "Refresh",
        WORD,
        "`true`: do not read, store anew.",
        "Cache-Control: no-cache, x-portkey-cache-force-refresh, X-OpenRouter-Cache-Clear",
    ),
    ("No-Store", WORD, "`true`: may be served, is not stored.", "Cache-Control: no-store, x-bf-cache-no-store"),
    (
        "Only-If-Cached",
        WORD,
        "`true`: 504 `not_cached` instead of a call to the provider.",
        "Cache-Control: only-if-cached",
    ),
    (
        "TTL",
        string(pattern="^[0-9]{1,10}[smhd]?$"),
        "How long the answer may be kept: seconds, or 30s, 5m, 2h, 7d. 0 stores nothing.",
        "cf-aig-cache-ttl, x-bf-cache-ttl, X-OpenRouter-Cache-TTL",
    ),
    (
        "Similarity-Threshold",
        number(minimum=0, maximum=1),
        "A higher floor for similarity; at 1 only the very same call is a hit.",
        "x-bf-cache-threshold, x-bf-cache-type: direct",
    ),
    (
        "Namespace",
        string(maxLength=NAME_MAX, pattern=PLAIN),
        "A cache of its own inside the project.",
        "Helicone-Cache-Seed, x-portkey-cache-namespace, x-bf-cache-key, cf-aig-cache-key",
    ),
    ("End-User", string(maxLength=NAME_MAX, pattern=PLAIN), "Only this person's entries are looked at.", ""),
    ("Tags", string(pattern=PLAIN), f"Up to {TAGS_MAX} of {TAG_MAX} characters, with commas between them.", ""),
    (
        "Depends-On",
        string(pattern=PLAIN),
        "What the answer rests on, as in `doc:42@7, prices`: it can be purged by that.",
        "",
    ),
    ("Task", string(maxLength=64), "A name under which expenses are added up.", ""),
    ("Backend-Provider", one_of(*providers()), "Whom to ask.", "X-LLM-Provider, X-CacheAI-Baseline-Model-Provider"),
    (
        "Backend-API-Key",
        string(maxLength=URL_MAX, pattern=PLAIN),
        "The provider's key; never stored.",
        "X-CacheAI-Baseline-Model-API-Key",
    ),
    (
        "Backend-Base-URL",
        string(maxLength=URL_MAX, format="uri"),
        "The provider's address, with a key beside it.",
        "X-CacheAI-Baseline-Model-Base-URL",
    ),
    ("Baseline-Model", string(maxLength=NAME_MAX, pattern=PLAIN), "The model to ask instead of the body's.", ""),
)

PARAMETERS: Json = {
    f"X-CacheAI-{name}": {
        "name": f"X-CacheAI-{name}",
        "in": "header",
        "required": False,
        "description": f"{words} Also: {others}." if others else words,
        "schema": schema,
    }
    for name, schema, words, others in _WISHES
}

_OF_BACKEND = ("Backend-Provider", "Backend-API-Key", "Backend-Base-URL", "Baseline-Model")
BACKEND = parameters_named(*(f"X-CacheAI-{name}" for name in _OF_BACKEND))
CONTROLS = parameters_named(*PARAMETERS)
STORING = parameters_named(*(f"X-CacheAI-{name}" for name in ("TTL", "Namespace", "Tags", "Depends-On")))
LOOKING = parameters_named(
    *(f"X-CacheAI-{name}" for name in ("Similarity-Threshold", "Namespace", "End-User", "Depends-On"))
)

CACHE_CONTROLS = asked(
    {
        "use-cache": flag("`false`: neither read nor store."),
        "no-cache": flag("Do not read, store anew."),
        "no-store": flag("May be served, is not stored."),
        "only-if-cached": flag("504 `not_cached` instead of a call to the provider."),
        "ttl": {**DURATION, "description": "How long the answer may be kept."},
        "s-maxage": {**DURATION, "description": "The oldest entry that is accepted."},
        "similarity_threshold": number("A higher floor for similarity.", minimum=0, maximum=1),
        "namespace": string("A cache of its own inside the project.", maxLength=NAME_MAX, pattern=PLAIN),
        "end_user": string("Only this person's entries are looked at.", maxLength=NAME_MAX, pattern=PLAIN),
        "tags": TAGS,
        "depends_on": array(string(maxLength=NAME_MAX, pattern=PLAIN)),
        "task": string("A name under which expenses are added up.", maxLength=64),
    },
    words="Wishes of the cache, as the headers have them; never sent to the provider. The strictest of all wins.",
)

SIGNALS = told(
    {
        "decision": one_of(*DECISIONS),
        "layer": maybe(one_of(*LAYERS)),
        "reason": one_of(*(reason.value for reason in Reason)),
        "similarity": maybe(number("Of the nearest candidate; null if nothing was compared.", minimum=-1, maximum=1)),
        "threshold": maybe(number("The floor that was in force.", minimum=0, maximum=1)),
        "cache_key": maybe(string("Of the entry served, or to store under.")),
        "age": maybe(whole("Seconds since the entry was stored.", minimum=0)),
        "ttl": maybe(whole("Seconds it has left.", minimum=0)),
        "saved_usd": maybe(string("On a hit, what the entry cost when bought; null if nobody knows.")),
        "provider": string(),
        "request_id": string("Ours."),
    },
    words="What was decided, and why.",
)

_SIGNAL_HEADERS: Json = {
    "X-CacheAI-Decision": one_of(*DECISIONS, words="What became of the call."),
    "X-CacheAI-Layer": one_of(*LAYERS, words="Of a hit."),
    "X-CacheAI-Reason": one_of(*(reason.value for reason in Reason), words="Why, in one word."),
    "X-CacheAI-Similarity": number("Of the nearest candidate; absent if nothing was compared.", minimum=-1, maximum=1),
    "X-CacheAI-Threshold": number("The floor that was in force.", minimum=0, maximum=1),
    "X-CacheAI-Cache-Key": string("Of the entry served, or to store under."),
    "X-CacheAI-Age": whole("Seconds since the entry was stored.", minimum=0),
    "X-CacheAI-TTL": whole("Seconds it has left.", minimum=0),
    "X-CacheAI-Saved-USD": string("On a hit, what the entry cost when bought; absent if nobody knows."),
    "Cache-Status": string("The same in the words of RFC 9211.", pattern="^CacheAI; "),
    "X-Cacheback-Hit": one_of("true", "false", words="A synthesized answer is no hit."),
    "X-Cacheback-Synthesized": WORD,
    "X-Cache-Hit": one_of("true", "false", words="As X-Cacheback-Hit."),
    "x-litellm-cache-key": string("On a hit, its cache key."),
}
_ALWAYS = {
    "X-CacheAI-Request-Id",
    "Cache-Control",
    "X-CacheAI-Decision",
    "X-CacheAI-Reason",
    "Cache-Status",
    "X-Cacheback-Hit",
    "X-Cacheback-Synthesized",
    "X-Cache-Hit",
}
_RATE_HEADERS: Json = {
    "X-RateLimit-Limit": whole("Calls a minute."),
    "X-RateLimit-Remaining": whole("Calls left."),
    "X-RateLimit-Reset": whole("When all are there again, in Unix seconds."),
    "x-ratelimit-limit-requests": whole("As X-RateLimit-Limit."),
    "x-ratelimit-remaining-requests": whole("As X-RateLimit-Remaining."),
    "x-ratelimit-reset-requests": string("How long until then, as in `6m0s`."),
}
_OTHER_HEADERS: Json = {
    "X-CacheAI-Request-Id": string("Ours, to be named in a question to us.", pattern="^req_[0-9a-f]{32}$"),
    "Cache-Control": {"const": "no-store", "description": "No cache between us and you is to keep an answer."},
    "Retry-After": whole("Seconds, from 1 to 10.", minimum=1),
    "retry-after-ms": whole("The same in milliseconds."),
    "X-CacheAI-Limited-By": one_of("cacheai", "provider", words="Whose limit it is."),
    "x-should-retry": one_of("false", words="The budget is spent: a month is not waited out."),
    "WWW-Authenticate": string(),
}

HEADERS: Json = {
    name: {
        "description": schema.get("description", ""),
        "required": name in _ALWAYS,
        "schema": {key: value for key, value in schema.items() if key != "description"},
    }
    for name, schema in {**_SIGNAL_HEADERS, **_RATE_HEADERS, **_OTHER_HEADERS}.items()
}
SIGNALLED = tuple(_SIGNAL_HEADERS)
LIMITED = tuple(_RATE_HEADERS)


def listed(item: str, *, words: str = "All of them.") -> Json:
    return answer(words, page_of(ref(item)), headers=LIMITED)


def paged(item: str, *, next_cursor: Json) -> Json:
    """A list of which there may be more."""
    return answer("A page.", page_of(ref(item), has_more=flag(), next_cursor=maybe(next_cursor)), headers=LIMITED)


def gone(**which: Json) -> Json:
    return answer("Gone.", told({**which, "deleted": {"const": True}}), headers=LIMITED)
