"""How are the endpoints described that tell whether the service is well?"""

from cache_api.http.openapi.pieces import (
    Json,
    answer,
    array,
    flag,
    maybe,
    moment,
    one_of,
    operation,
    ref,
    string,
    table,
    told,
    whole,
)

TAG = "Operation"
PARTS = ("database", "ledger", "redis", "embedder")

SCHEMAS: Json = {
    "Health": told(
        {
            "status": {"const": "ok"},
            "timestamp": moment(),
            "version": string(),
            "cache": told(
                {"enabled": flag(), "embedder": maybe(string())},
                sometimes={"entries": whole(), "live": whole(), "hits": whole()},
            ),
            "cache_backend": {"const": "postgresql"},
            "synthesis": one_of("off", "auto", "always"),
        }
    ),
    "Ready": told({"status": string()}, sometimes={"degraded": array(one_of(*PARTS), "What is down; calls go on.")}),
}


def _ready(name: str) -> Json:
    waiting = answer("Starting, draining, or not migrated.", ref("Ready"), headers=("Retry-After",))
    return operation(
        name,
        "May it be sent calls?",
        tag=TAG,
        scope=None,
        answers={200: answer("Yes.", ref("Ready")), 503: waiting},
        errors=(500,),
    )


_health = operation(
    "health",
    "Is it well?",
    words="A key that may read statistics adds its project's figures.",
    tag=TAG,
    scope=None,
    answers={200: answer("It is.", ref("Health"))},
    errors=(401, 429, 500, 503),
)
_health["security"] = [{}, {"bearer": []}, {"x_api_key": []}]

PATHS: Json = {
    "/health": {"get": _health},
    "/healthz": {
        "get": operation(
            "healthz",
            "Does the process live?",
            tag=TAG,
            scope=None,
            answers={200: answer("It does.", told({"status": {"const": "ok"}}))},
            errors=(500,),
        )
    },
    "/readyz": {"get": _ready("readyz")},
    "/health/ready": {"get": _ready("healthReady")},
    "/v1/schema": {
        "get": operation(
            "schema",
            "This document",
            tag=TAG,
            scope=None,
            answers={200: answer("OpenAPI 3.1.", table({}))},
            errors=(500,),
        )
    },
}
