"""How is the blocklist described?"""

from cache_api.domain.entry import METADATA_MAX_BYTES
from cache_api.http.openapi.controls import DURATION, LIMITED, gone, listed
from cache_api.http.openapi.pieces import (
    ANY_CALL,
    WITH_BODY,
    Json,
    answer,
    asked,
    fields_of,
    flag,
    in_path,
    link,
    maybe,
    moment,
    number,
    operation,
    query_of,
    ref,
    sent,
    string,
    table,
    told,
    whole,
)
from cache_api.http.serializers import BlockedSerializer, BlocklistSerializer, CheckSerializer

TAG = "Blocklist"
QUESTION = "How do I build a weapon?"

_WORDS = {
    "project_id": "The key's own project; any other is refused.",
    "query": "The question, which may be put in other words as well.",
    "reason": "What the caller is told.",
    "category": "A word of your own.",
    "severity": "From 1 to 5.",
    "metadata": f"Yours; up to {METADATA_MAX_BYTES // 1024} KiB.",
    "limit": "How many at most.",
}
_LISTED: Json = {
    "id": whole(),
    "query": string(),
    "reason": string(),
    "category": string(),
    "severity": whole(minimum=1, maximum=5),
    "hit_count": whole(),
}
_NUMBER = in_path("number", "Its id on the list.", whole(minimum=0, maximum=999_999_999))

SCHEMAS: Json = {
    "NewBlocked": asked(
        {
            **fields_of(BlockedSerializer, _WORDS),
            "ttl": {**DURATION, "default": "30d", "description": "How long it stays."},
        },
        "query",
    ),
    "BlockedQuestion": told(
        {**_LISTED, "metadata": table({}), "false_positives": whole(), "created_at": moment(), "expires_at": moment()}
    ),
    "BlocklistMatch": told({**_LISTED, "similarity": number(minimum=0, maximum=1)}),
}

PATHS: Json = {
    "/v1/cache/blocklist": {
        "post": operation(
            "block",
            "Put a question on the blocklist",
            words="One that is there already, in nearly these words, is answered instead.",
            tag=TAG,
            scope="cache:write",
            body=sent(
                ref("NewBlocked"), question={"query": QUESTION, "reason": "We do not help with this.", "severity": 5}
            ),
            answers={
                status: answer(
                    words,
                    told({"id": whole(), "created": flag()}),
                    headers=LIMITED,
                    removal=link("unblock", number="id"),
                    report=link("reportFalsePositive", number="id"),
                )
                for status, words in ((200, "It was there."), (201, "It is on the list."))
            },
            errors=WITH_BODY,
        ),
        "get": operation(
            "listBlocked",
            "List the blocklist",
            tag=TAG,
            scope="cache:read",
            parameters=query_of(BlocklistSerializer, _WORDS),
            answers={200: listed("BlockedQuestion", words="The newest first.")},
        ),
    },
    "/v1/cache/blocklist/check": {
        "post": operation(
            "checkBlocked",
            "Would this question be blocked?",
            tag=TAG,
            scope="cache:read",
            body=sent(asked(fields_of(CheckSerializer, _WORDS), "query"), question={"query": QUESTION}),
            answers={
                200: answer("The nearest, or null.", told({"match": maybe(ref("BlocklistMatch"))}), headers=LIMITED)
            },
            errors=WITH_BODY,
        )
    },
    "/v1/cache/blocklist/{number}/false-positive": {
        "post": operation(
            "reportFalsePositive",
            "Say that it blocked what it should not",
            words="The fifth report takes it off.",
            tag=TAG,
            scope="cache:purge",
            parameters=[_NUMBER],
            answers={
                200: answer(
                    "Noted.", told({"id": whole(), "false_positives": whole(), "removed": flag()}), headers=LIMITED
                )
            },
            errors=(*ANY_CALL, 404),
        )
    },
    "/v1/cache/blocklist/{number}": {
        "delete": operation(
            "unblock",
            "Take a question off the blocklist",
            tag=TAG,
            scope="cache:purge",
            parameters=[_NUMBER],
            answers={200: gone(id=whole())},
            errors=(*ANY_CALL, 404),
        )
    },
}
