"""How are the model endpoints described? Bodies are the providers'; what is fixed is what we look at or put in."""

from typing import Any

from cache_api.dialects import Dialect, anthropic_messages, openai_chat, openai_completions, openai_responses
from cache_api.dialects.errors import Shape, anthropic_error, openai_error
from cache_api.http.openapi.controls import BACKEND, CONTROLS, LIMITED, SIGNALLED
from cache_api.http.openapi.pieces import (
    EVENTS,
    WITH_BODY,
    Json,
    answer,
    array,
    asked,
    flag,
    headers_named,
    in_path,
    maybe,
    number,
    one_of,
    operation,
    ref,
    sent,
    string,
    table,
    told,
    whole,
)

TAG = "Model endpoints"
ERRORS = (*WITH_BODY, 404, 502, 504)
QUESTION = "How do I reset my password?"

_TEXT_OR_PARTS: Json = {"anyOf": [string(), array(table({}))]}
_STREAM = flag("As server-sent events; a hit is replayed as a stream, too.", default=False)
_CHUNKS = {"type": "array", "items": {"type": "integer"}}

_OURS: Json = {
    "cacheai": ref("Signals"),
    "cacheback_hit": flag(),
    "cacheback_synthesized": flag(),
}


def _body(properties: Json, *required: str) -> Json:
    common = {"model": string("May begin with a provider's name and a slash.", minLength=1), "stream": _STREAM}
    return asked({**common, **properties, "cache": ref("CacheControls")}, "model", *required)


SCHEMAS: Json = {
    "ChatRequest": _body(
        {
            "messages": array(
                asked({"role": string(), "content": {"anyOf": [*_TEXT_OR_PARTS["anyOf"], {"type": "null"}]}}, "role"),
                "The text of the last one, if a user's, is compared by meaning; all before it must be the same.",
                minItems=1,
            ),
            "temperature": number(minimum=0, maximum=2),
            "max_tokens": whole(minimum=1),
            "max_completion_tokens": whole(minimum=1),
            "stream_options": asked({"include_usage": flag()}),
        },
        "messages",
    ),
    "CompletionRequest": _body(
        {
            "prompt": {
                "anyOf": [string(), array(string()), _CHUNKS, array(_CHUNKS)],
                "description": "One text is compared by meaning; lists and tokens must be the same.",
            },
            "temperature": number(minimum=0, maximum=2),
            "max_tokens": whole(minimum=1),
        },
        "prompt",
    ),
    "ResponsesRequest": _body(
        {
            "input": {
                **_TEXT_OR_PARTS,
                "description": "The text of the last item, if a user's, is compared by meaning.",
            },
            "instructions": maybe(string()),
            "store": flag("At the provider. Unless false, a hit keeps the provider's id, to be continued."),
            "previous_response_id": maybe(string("Such a call passes by the cache.")),
        },
        "input",
    ),
    "MessagesRequest": _body(
        {
            "messages": array(
                asked({"role": one_of("user", "assistant"), "content": _TEXT_OR_PARTS}, "role", "content"), minItems=1
            ),
            "system": _TEXT_OR_PARTS,
            "max_tokens": whole(minimum=1),
        },
        "messages",
        "max_tokens",
    ),
    "EmbeddingsRequest": asked(
        {
            "model": string(minLength=1),
            "input": {
                "anyOf": [string(), array(string()), _CHUNKS, array(_CHUNKS)],
                "description": "Each item of a list is looked up by itself; only the missing ones go to the provider.",
            },
            "encoding_format": one_of("float", "base64"),
            "cache": ref("CacheControls"),
        },
        "model",
        "input",
    ),
    "ChatCompletion": told({"id": string(), "choices": array(table({}))}, sometimes={**_OURS, "usage": table({})}),
    "Completion": told({"id": string(), "choices": array(table({}))}, sometimes={**_OURS, "usage": table({})}),
    "Response": told({"id": string(), "output": array(table({}))}, sometimes={**_OURS, "status": string()}),
    "Message": told(
        {"id": string(), "type": {"const": "message"}, "content": array(table({}))},
        sometimes={**_OURS, "usage": table({})},
    ),
    "Embeddings": told({"data": array(table({})), "model": string()}, sometimes={"usage": table({})}),
    "BaselineRequired": told(
        {"requires_baseline_model": {"const": True}, "cache_key": string()},
        words="The named baseline model may not be dialled from here: ask it, then PUT its output under the cache key.",
    ),
}
for _name in ("ChatCompletion", "Completion", "Response", "Message", "Embeddings"):
    SCHEMAS[_name]["additionalProperties"] = True  # the provider's


def _model_endpoint(dialect: Dialect, name: str, summary: str, request: str, response: str, **example: Any) -> Json:
    answered = answer(
        "The provider's answer, or a stored one in its form. Streams end as the provider's do, or in its error event.",
        {"anyOf": [ref(response), ref("BaselineRequired")]},
        headers=(*SIGNALLED, *LIMITED),
    )
    answered["content"][EVENTS] = {
        "schema": {"description": "The protocol's own events; signals are on the closing one."}
    }
    body = sent(ref(request), question=example, stream={**example, "stream": True})
    described = operation(
        name,
        summary,
        words=f"Also at `/{dialect.ENDPOINT}`. GET and DELETE there go to the provider unchanged.",
        tag=TAG,
        scope="proxy",
        parameters=CONTROLS,
        body=body,
        answers={200: answered},
        errors=ERRORS,
        shape=dialect.error,
    )
    return {f"/v1/{dialect.ENDPOINT}": {"post": _or_the_providers(described)}}


def _relayed(
    name: str,
    summary: str,
    *,
    words: str,
    parameters: tuple[Json, ...] = (),
    takes_body: bool = False,
    shape: Shape = openai_error,
) -> Json:
    answered = answer("The provider's own answer.", headers=(*SIGNALLED, *LIMITED))
    answered["content"] = {"*/*": {}}
    described = operation(
        name,
        summary,
        words=words,
        tag=TAG,
        scope="proxy",
        parameters=[*parameters, *BACKEND],
        body={"required": False, "content": {"*/*": {}}} if takes_body else None,
        answers={200: answered},
        errors=ERRORS,
        shape=shape,
    )
    return _or_the_providers(described)


def _or_the_providers(described: Json) -> Json:
    described["responses"]["default"] = {
        "description": "The provider's own status, body and Retry-After, as they came.",
        "headers": headers_named("X-CacheAI-Request-Id", "Cache-Control"),
        "content": {"*/*": {}},
    }
    return described


def _passed_through(where: str, name: str, summary: str, shape: Shape) -> Json:
    words = "Relayed unchanged and never stored: files, batches, moderations, token counts and all others."
    return {
        where: {
            method: _relayed(
                f"{method}{name}",
                summary,
                words=words,
                parameters=(_PATH,),
                takes_body=method == "post",
                shape=shape,
            )
            for method in ("get", "post", "delete")
        }
    }


_MODEL = in_path("model", "A model's name.", string(minLength=1, examples=["demo-small"]))
_PATH = in_path("path", "What follows, slashes and all; none of our own paths.", string(examples=["files"]))
_USER = {"role": "user", "content": QUESTION}

PATHS: Json = {
    **_model_endpoint(
        openai_chat,
        "createChatCompletion",
        "Ask a chat model",
        "ChatRequest",
        "ChatCompletion",
        model="demo-small",
        messages=[_USER],
    ),
    **_model_endpoint(
        openai_completions,
        "createCompletion",
        "Have a text completed",
        "CompletionRequest",
        "Completion",
        model="demo-small",
        prompt=QUESTION,
    ),
    **_model_endpoint(
        openai_responses,
        "createResponse",
        "Ask by the Responses protocol",
        "ResponsesRequest",
        "Response",
        model="demo-small",
        input=QUESTION,
    ),
    **_model_endpoint(
        anthropic_messages,
        "createMessage",
        "Ask by Anthropic's protocol",
        "MessagesRequest",
        "Message",
        model="demo-small",
        max_tokens=200,
        messages=[_USER],
    ),
    "/v1/embeddings": {
        "post": _or_the_providers(
            operation(
                "createEmbeddings",
                "Have texts embedded",
                words="Also at `/embeddings`. Only the very same text is a hit.",
                tag=TAG,
                scope="proxy",
                parameters=CONTROLS,
                body=sent(
                    ref("EmbeddingsRequest"), texts={"model": "demo-embed", "input": [QUESTION, "Where is my order?"]}
                ),
                answers={
                    200: answer(
                        "A vector for each item, in their order.", ref("Embeddings"), headers=(*SIGNALLED, *LIMITED)
                    )
                },
                errors=ERRORS,
            )
        )
    },
    "/v1/models": {
        "get": _relayed("listModels", "List the provider's models", words="Also at `/models`. Never stored.")
    },
    "/v1/models/{model}": {
        "get": _relayed("getModel", "Describe a model", words="Never stored.", parameters=(_MODEL,))
    },
    **_passed_through(
        "/v1/messages/{path}", "AnthropicPath", "Anything else Anthropic's protocol has", anthropic_error
    ),
    **_passed_through("/v1/{path}", "Path", "Anything else a provider has", openai_error),
}
