"""How is the care of entries described: looking up, putting, listing, moving, removing and judging them?"""

from cache_api.dialects.spoken import DIALECTS
from cache_api.domain.controls import NAME_MAX
from cache_api.domain.entry import METADATA_MAX_BYTES
from cache_api.http.entries import ENTRIES_MAX
from cache_api.http.lookup import LIMIT_DEFAULT, LIMIT_MAX
from cache_api.http.openapi.controls import (
    DECISIONS,
    DURATION,
    LAYERS,
    LIMITED,
    LOOKING,
    PLAIN,
    STORING,
    TAGS,
    gone,
    paged,
)
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
    in_path,
    link,
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
from cache_api.http.resources import RESERVED
from cache_api.http.serializers import (
    SOURCES,
    STATUSES,
    BacktestSerializer,
    ExportSerializer,
    FeedbackSerializer,
    ListSerializer,
    PurgeSerializer,
)

TAG = "Entries"
QUESTION = "How do I change my address?"
ANSWER = "Open Account, then Addresses."

_WORDS = {
    "days": "How far back; 30 if not given.",
    "project_id": "The key's own project; any other is refused.",
    "provider": "Whose answer it is.",
    "model": "Of this model.",
    "namespace": "In this namespace; empty is none.",
    "tag": "With this tag.",
    "writer": "Put by this key's id.",
    "depends_on": "Resting on this: `doc:42`, or `doc:42@7`.",
    "source": "How it came to be.",
    "status": "What has become of it.",
    "created_after": "Stored since.",
    "created_before": "Stored until.",
    "q": "Nearest in meaning to this.",
    "include": "With the answers.",
    "order": "What comes first.",
    "limit": "How many at most.",
    "cursor": "`next_cursor` of the page before.",
    "offset": "How many to leave out at the beginning.",
    "format": "A line for each, or one list.",
    "keys": "These cache keys.",
    "expired": "What ran out.",
    "older_than_hours": "Stored longer ago.",
    "older_than_days": "Stored longer ago.",
    "all": "Everything.",
    "dry_run": "Only count.",
    "cache_key": "Of the entry that was served.",
    "verdict": "Whether its answer was right.",
    "request_id": "Of the call that was served.",
    "question": "What was asked of it, if that is to be remembered, too.",
    "evict": "Whether a wrong one goes.",
}

CACHE_KEY = in_path(
    "cache_key",
    "64 hex digits, or a name of your own.",
    string(pattern=rf"^(?!(?:{RESERVED})$)[A-Za-z0-9_.:-]{{1,128}}$", examples=["faq.refunds"]),
)
_TOKENS = told({"input": whole(), "output": whole(), "total": whole(), "estimated": flag("Nobody counted them.")})
_ENTRY: Json = {
    "cache_key": string(),
    "project_id": string(format="uuid"),
    "namespace": string(),
    "provider": string(),
    "model": string(),
    "endpoint": string(),
    "question": maybe(string("Null where no one text was asked.")),
    "context": maybe(string("The system prompt.")),
    "tags": array(string()),
    "depends_on": array(string()),
    "writer": maybe(string("Id of the key that put it.", format="uuid")),
    "source": one_of(*SOURCES),
    "status": one_of(*STATUSES),
    "created_at": moment(),
    "expires_at": maybe(moment()),
    "last_hit_at": maybe(moment()),
    "hits": whole(),
    "tokens": _TOKENS,
    "cost_usd": maybe(money("What it cost when bought; null if nobody knows.")),
    "saved_usd": money("What its hits saved."),
    "latency_ms": whole("How long the provider took."),
    "metadata": table({}),
}
_ANSWERED: Json = {
    "answer": {"description": "Its text, or the value kept under a key of your own."},
    "response": table({}, "The provider's whole body."),
}
_QUESTION: Json = {
    "request": table({}, "A whole body, as it goes to the endpoint. Or a bare question:"),
    "endpoint": string(f"Whose body it is: {', '.join(dialect.ENDPOINT for dialect in DIALECTS)}, embeddings."),
    "question": string("One of question, prompt, query, messages: one user message without parameters."),
    "prompt": string(),
    "query": string(),
    "messages": array(table({})),
    "model": string(maxLength=NAME_MAX, pattern=PLAIN),
    "provider": maybe(string()),
    "system": maybe(string("A system message.")),
    "context": maybe(string("One more.")),
    "params": maybe(table({}, "Such as temperature.")),
    "similarity_threshold": maybe(number(minimum=0, maximum=1)),
    "namespace": maybe(string(maxLength=NAME_MAX, pattern=PLAIN)),
    "depends_on": maybe(array(string(maxLength=NAME_MAX, pattern=PLAIN))),
    "project_id": maybe(string("The key's own project.", format="uuid")),
    "cache": ref("CacheControls"),
}


def _any_of(*names: str) -> Json:
    return {"anyOf": [{"required": [name]} for name in names]}


SCHEMAS: Json = {
    "Entry": told(_ENTRY, sometimes={**_ANSWERED, "similarity": number("To what was asked for by meaning.")}),
    "WholeEntry": told(
        {
            **_ENTRY,
            "answer": _ANSWERED["answer"],
            "output": maybe(string("As `answer`, if it is a text.")),
            "model_id": string("The model that answered."),
            "prompt": maybe(string("As `question`.")),
        },
        sometimes={"response": _ANSWERED["response"]},
    ),
    "ExportedEntry": told(
        {
            **_ENTRY,
            "answer": _ANSWERED["answer"],
            "request": {"type": ["object", "null"], "description": "The body without its question."},
            "usage": table({}),
            "matchable": flag("Whether it is found by meaning."),
        },
        sometimes={
            "response": _ANSWERED["response"],
            "scope": string("What must be the same for a hit, in hex."),
            "bound": flag("To an end user, an address or a credential; it cannot be read from the rest."),
            "signature": string(),
            "embedder": string(),
            "vector": string("Half-precision numbers in base64."),
            "vector_signature": string(),
        },
    ),
    "BacktestRequest": asked(fields_of(BacktestSerializer, _WORDS)),
    "BacktestResult": told(
        {
            "questions": whole(),
            "looked_up": whole("The others are never kept, by rule."),
            "unpriced": whole("Questions whose answer's cost is not known; they save nothing here."),
            "max_wrong_hit_rate": number("The project's own."),
            "similarity_floor": number("The project's own."),
            "settings": array(
                told(
                    {
                        "max_wrong_hit_rate": number(),
                        "similarity_floor": number(),
                        "exact_hits": whole(),
                        "similar_hits": whole(),
                        "hit_rate": number(),
                        "expected_wrong": number("Of the similar hits: the sum of 1 - p."),
                        "expected_wrong_low": number("Of its 95 % interval."),
                        "expected_wrong_high": number("Of its 95 % interval."),
                        "saved_usd": money(),
                    }
                )
            ),
            "borderline": array(
                told({"asked": string(), "stored": string(), "similarity": number(), "probability": number()}),
                "Pairs nearest to the project's own cut.",
            ),
            "reworded": whole("The project's hits by similarity, left out: what was asked is not kept."),
            "errors": array(told({"line": whole(), "reason": string()}), "The first lines without a question."),
        }
    ),
    "LookupRequest": asked(
        {
            **_QUESTION,
            "limit": whole("How many candidates at most.", minimum=1, maximum=LIMIT_MAX, default=LIMIT_DEFAULT),
            "include_answer": flag("With the answer, if it would be a hit."),
            "request_id": string("Of a past call, in place of a question: why it was decided as it was."),
        }
    ),
    "Looked": told(
        {
            "decision": one_of(*DECISIONS),
            "layer": maybe(one_of(*LAYERS)),
            "reason": string(),
            "similarity": maybe(number()),
            "threshold": maybe(number()),
            "cache_key": maybe(string()),
            "timings_ms": told({"embed": whole(), "lookup": whole(), "total": whole()}),
            "candidates": array(
                told(
                    {
                        "cache_key": string(),
                        "question": maybe(string()),
                        "similarity": number(),
                        "accepted": flag(),
                        "reason": maybe(string("Why not.")),
                        "probability": maybe(number("That its answer is right; of those that pass all else.")),
                        "cut": number("The least probability to serve at; over 1 none is."),
                        "would_hit_at": maybe(number("The strictest `max_wrong_hit_rate` that would serve it.")),
                        "checks": whole("How often somebody looked at its answer."),
                        "age": whole("Seconds."),
                        "ttl": maybe(whole("Seconds left.")),
                    }
                )
            ),
        },
        sometimes={**_ANSWERED, "request_id": string(), "at": moment(), "question": maybe(string())},
    ),
    "NewEntry": {
        **asked(
            {
                **_QUESTION,
                "answer": {"description": "A text, a whole body, or any JSON."},
                "response": {"description": "As `answer`; one of the two."},
                "usage": maybe(table({}, "Counted tokens, in the provider's words.")),
                "ttl": {**DURATION, "description": "How long it is kept."},
                "tags": maybe(TAGS),
            }
        ),
        "allOf": [_any_of("answer", "response"), _any_of("request", "question", "prompt", "query", "messages")],
    },
    "NewEntries": asked({"entries": array(ref("NewEntry"), minItems=1, maxItems=ENTRIES_MAX)}, "entries"),
    "EntryChange": asked(
        {
            "output": string("The answer's text."),
            "model_id": string("The model that answered.", maxLength=NAME_MAX, pattern=PLAIN),
            "converter_type": string(),
            "ttl": {**DURATION, "description": "How long it is kept from now on."},
            "tags": maybe(TAGS),
            "value": {"description": "Any JSON, under a cache key of your own."},
            "model": string("Beside `value`.", maxLength=NAME_MAX, pattern=PLAIN),
            "prompt": string("Not looked at."),
            "project_id": string("The key's own project.", format="uuid"),
        },
        words=f"At least one of them. All others are kept as metadata, up to {METADATA_MAX_BYTES // 1024} KiB.",
    ),
    "PurgeRequest": {
        **asked(fields_of(PurgeSerializer, _WORDS), words='Joined by "and". Nothing said is refused: say `all`.'),
        "additionalProperties": False,
    },
    "Feedback": asked(fields_of(FeedbackSerializer, _WORDS), "cache_key", "verdict"),
    "Accepted": told({"job_id": string(format="uuid")}, words="It goes on by itself."),
    "Job": told(
        {
            "job_id": string(format="uuid"),
            "kind": one_of("import", "purge", "backtest"),
            "status": one_of("queued", "running", "done", "failed"),
            "total": whole(),
            "done": whole(),
            "rejected": whole(),
            "errors": array(told({"line": whole(), "reason": string()}), "The first of them."),
            "created_at": moment(),
            "finished_at": maybe(moment()),
        },
        sometimes={
            "result": ref("BacktestResult"),
            "unindexed": whole(
                "Of a finished import: entries of the project that are served to the same question already, and to "
                "similar ones once they are in the index."
            ),
        },
    ),
}

_QUESTIONS = '{"question": "How do I pay?"}\n{"messages": [{"role": "user", "content": "How can I pay?"}]}\n'
_PAIR_BLOCKED = flag("It never again matches what was asked. False where it is that very question's own.")
_TO_JOB = link("getJob", job_id="job_id")
_TO_ENTRY = link("getEntry", cache_key="cache_key")
_TO_CHANGE = link("putEntry", cache_key="cache_key")
_TO_REMOVAL = link("deleteEntry", cache_key="cache_key")
_ACCEPTED = answer("Accepted: too long for one call.", ref("Accepted"), headers=LIMITED, job=_TO_JOB)
_ONE = {
    "question": QUESTION,
    "model": "demo-small",
    "answer": ANSWER,
    "tags": ["help"],
    "depends_on": ["handbook@3"],
    "ttl": "7d",
}
_STORING_BODY: Json = {
    "required": True,
    "content": {
        JSON: content(
            {"anyOf": [ref("NewEntry"), ref("NewEntries")]},
            one=_ONE,
            several={"entries": [_ONE, {**_ONE, "question": "Where do I change my address?"}]},
        ),
        LINES: content(
            string("A line for each: of our export, or with `request_data` and `response_data`."),
            lines='{"question": "May I pay by invoice?", "model": "demo-small", "answer": "Yes."}\n',
        ),
    },
}
_STORED = {"cache_key": string(), "status": one_of("created", "updated")}
_RESULT = told(
    {
        "index": whole(),
        "cache_key": maybe(string()),
        "status": one_of("created", "updated", "rejected"),
        "reason": maybe(string("Why it was rejected.")),
    }
)


_BACKTESTED: Json = {
    **(_BACKTEST := sent(ref("BacktestRequest"), traffic={"days": 30})),
    "content": {**_BACKTEST["content"], LINES: content(string("A question on each line."), two=_QUESTIONS)},
}


def _exported() -> Json:
    described = answer("All of them.", headers=LIMITED)
    described["content"] = {
        LINES: {"schema": string("An ExportedEntry on each line.")},
        JSON: {"schema": page_of(ref("ExportedEntry"))},
    }
    return described


PATHS: Json = {
    "/v1/cache/lookup": {
        "post": operation(
            "lookup",
            "What would be served, and why?",
            words="No provider is asked, and no hit is counted.",
            tag=TAG,
            scope="cache:read",
            parameters=LOOKING,
            body=sent(
                ref("LookupRequest"),
                question={"question": QUESTION, "model": "demo-small", "include_answer": True},
                whole={"request": {"model": "demo-small", "messages": [{"role": "user", "content": QUESTION}]}},
            ),
            answers={200: answer("The decision.", ref("Looked"), headers=LIMITED)},
            errors=(*WITH_BODY, 404),  # of a past call
        )
    },
    "/v1/cache/entries": {
        "post": operation(
            "putEntries",
            "Put entries",
            words="An entry of the same call is replaced. As lines, an import of up to 100,000.",
            tag=TAG,
            scope="cache:write",
            parameters=STORING,
            body=_STORING_BODY,
            answers={
                200: answer("What became of each.", told({"results": array(_RESULT)}), headers=LIMITED),
                201: answer(
                    "Stored.", told(_STORED), headers=LIMITED, entry=_TO_ENTRY, change=_TO_CHANGE, removal=_TO_REMOVAL
                ),
                202: _ACCEPTED,
            },
            errors=WITH_BODY,
        ),
        "get": operation(
            "listEntries",
            "List entries",
            tag=TAG,
            scope="cache:read",
            parameters=query_of(ListSerializer, _WORDS),
            answers={200: paged("Entry", next_cursor=string("None by meaning: take `offset`."))},
        ),
    },
    "/v1/cache/export": {
        "get": operation(
            "exportEntries",
            "Take all entries out",
            words="What an import needs to store them again, vectors and all.",
            tag=TAG,
            scope="cache:read",
            parameters=query_of(ExportSerializer, _WORDS),
            answers={200: _exported()},
        )
    },
    "/v1/cache/jobs/{job_id}": {
        "get": operation(
            "getJob",
            "How far is an import or a long purge?",
            tag=TAG,
            scope="cache:read",
            parameters=[in_path("job_id", "From the 202.", string(format="uuid"))],
            answers={200: answer("The job.", ref("Job"), headers=LIMITED)},
            errors=(*ANY_CALL, 404),
        )
    },
    "/v1/backtest": {
        "post": operation(
            "backtest",
            "Try past questions at each setting",
            words="No provider is asked. Send lines of JSON with `question` or `messages`, as logs of OpenAI calls "
            "have them; or, as JSON, how many `days` of the project's own. The job has the `result`.",
            tag=TAG,
            scope="cache:read",
            body=_BACKTESTED,
            answers={202: _ACCEPTED},
            errors=WITH_BODY,
        )
    },
    "/v1/cache/purge": {
        "post": operation(
            "purge",
            "Remove entries by what they are",
            tag=TAG,
            scope="cache:purge",
            body=sent(
                ref("PurgeRequest"), by_tag={"tag": "help", "dry_run": True}, by_source={"depends_on": "handbook"}
            ),
            answers={
                200: answer(
                    "How many.",
                    told({"matched": whole(), "deleted": whole(), "dry_run": flag()}),
                    headers=LIMITED,
                ),
                202: _ACCEPTED,
            },
            errors=WITH_BODY,
        )
    },
    "/v1/cache/feedback": {
        "post": operation(
            "judge",
            "Say whether an answer was right",
            words="A wrong one goes, unless `evict` is false, and never again matches what `request_id` or `question` "
            "asked; with `question`, nor rewordings of it.",
            tag=TAG,
            scope="cache:write",
            body=sent(ref("Feedback"), right={"cache_key": "faq.refunds", "verdict": "right"}),
            answers={
                200: answer("Noted.", told({"evicted": flag(), "pair_blocked": _PAIR_BLOCKED}), headers=LIMITED),
            },
            errors=(*WITH_BODY, 404),
        )
    },
    "/v1/cache/{cache_key}": {
        "put": operation(
            "putEntry",
            "Change an entry, bring an awaited answer, or keep a value under a name",
            tag=TAG,
            scope="",
            words="Needs cache:write, except for an awaited answer.",
            parameters=[CACHE_KEY, *STORING],
            body=sent(ref("EntryChange"), value={"value": {"days": 30}, "tags": ["policy"], "ttl": "30d"}),
            answers={
                200: answer(
                    "Stored.",
                    told({"cache_key": string(), "updated_fields": array(string()), "created": flag()}),
                    headers=LIMITED,
                    entry=_TO_ENTRY,
                    removal=_TO_REMOVAL,
                )
            },
            errors=(*WITH_BODY, 404),
        ),
        "get": operation(
            "getEntry",
            "Show an entry",
            tag=TAG,
            scope="cache:read",
            parameters=[CACHE_KEY],
            answers={200: answer("The entry.", ref("WholeEntry"), headers=LIMITED)},
            errors=(*ANY_CALL, 404),
        ),
        "delete": operation(
            "deleteEntry",
            "Remove an entry",
            tag=TAG,
            scope="cache:purge",
            parameters=[CACHE_KEY],
            answers={200: gone(cache_key=string())},
            errors=(*ANY_CALL, 404),
        ),
    },
}
