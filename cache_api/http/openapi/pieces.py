"""Of which pieces is every endpoint's description made?"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from cache_api.dialects.errors import Shape, anthropic_error, openai_error, vectorcache_error
from cache_api.http.export import CONTENT_TYPES

Json = dict[str, Any]

JSON, EVENTS, LINES = "application/json", "text/event-stream", CONTENT_TYPES["jsonl"]
ANY_CALL = (400, 401, 403, 429, 500, 503)
WITH_BODY = (*ANY_CALL, 413, 415)

SCHEMA_OF: Mapping[Shape, str] = {
    openai_error: "Error",
    anthropic_error: "AnthropicError",
    vectorcache_error: "VectorcacheError",
}


# -- kinds of values


def string(words: str = "", **more: Any) -> Json:
    return _kind("string", words, more)


def whole(words: str = "", **more: Any) -> Json:
    return _kind("integer", words, more)


def number(words: str = "", **more: Any) -> Json:
    return _kind("number", words, more)


def flag(words: str = "", **more: Any) -> Json:
    return _kind("boolean", words, more)


def moment(words: str = "") -> Json:
    return string(words, format="date-time")


def money(words: str = "") -> Json:
    return string(words, pattern=r"^-?\d+(\.\d+)?$", examples=["0.0042"])


def one_of(*values: str, words: str = "") -> Json:
    return string(words, enum=list(values))


def array(items: Json, words: str = "", **more: Any) -> Json:
    return _kind("array", words, {"items": items, **more})


def table(values: Json, words: str = "") -> Json:
    """An object with names of any kind."""
    return _kind("object", words, {"additionalProperties": values})


def maybe(schema: Json) -> Json:
    """Or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    nullable = {**schema, "type": [*kinds, "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def asked(properties: Json, *required: str, words: str = "") -> Json:
    """What a caller sends; unknown members are taken."""
    return _kind(
        "object",
        words,
        {"properties": properties, "required": list(required)} if required else {"properties": properties},
    )


def told(properties: Json, *, sometimes: Json | None = None, words: str = "") -> Json:
    """What we answer: all of `properties`, and `sometimes` the others."""
    return _kind("object", words, {"properties": {**properties, **(sometimes or {})}, "required": list(properties)})


def page_of(item: Json, **more: Json) -> Json:
    return told({"object": {"const": "list"}, "data": array(item), **more})


def _kind(kind: str, words: str, more: Mapping[str, Any]) -> Json:
    return {"type": kind, **({"description": words} if words else {}), **more}


# -- what the serializers take, in the words of JSON Schema


def fields_of(serializer: type[serializers.Serializer[Any]], words: Mapping[str, str]) -> Json:
    """A schema for each field, with its limits; every field needs its words."""
    return {name: {**_schema_of(field), "description": words[name]} for name, field in serializer().fields.items()}


def query_of(
    serializer: type[serializers.Serializer[Any]],
    words: Mapping[str, str],
    *,
    required: Sequence[str] = (),
    examples: Mapping[str, Any] = {},
) -> list[Json]:
    """The same as parameters of a query."""
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.pop("description"),
            "schema": schema,
            **({"example": examples[name]} if name in examples else {}),
        }
        for name, schema in fields_of(serializer, words).items()
    ]


def _schema_of(field: serializers.Field[Any, Any, Any, Any]) -> Json:
    schema = _kind_of(field)
    if field.allow_null:
        schema = maybe(schema)
    if field.default is not empty and not callable(field.default):
        schema["default"] = field.default
    return schema


def _kind_of(field: Any) -> Json:
    match field:
        case serializers.ChoiceField():
            return one_of(*field.choices)
        case serializers.UUIDField():
            return string(format="uuid")
        case serializers.DateTimeField():
            return moment()
        case serializers.BooleanField():
            return flag()
        case serializers.DictField():
            return table({})
        case serializers.ListField():
            fewest: Json = {} if field.allow_empty else {"minItems": 1}
            return array(_kind_of(field.child), **fewest, maxItems=field.max_length)
        case serializers.DecimalField():
            return {"type": ["string", "number"], "pattern": r"^\d{1,10}(\.\d{1,10})?$", "minimum": 0}
        case serializers.IntegerField():
            return whole(**_limits(field, minimum="min_value", maximum="max_value"))
        case serializers.FloatField():
            return number(**_limits(field, minimum="min_value", maximum="max_value"))
        case serializers.CharField():
            shortest: Json = {} if field.allow_blank else {"minLength": 1}
            return string(**shortest, **_limits(field, maxLength="max_length"))
    raise TypeError(f"nobody has said what a {type(field).__name__} takes")


def _limits(field: Any, **names: str) -> Json:
    found = {name: getattr(field, attribute) for name, attribute in names.items()}
    return {name: value for name, value in found.items() if value is not None}


# -- operations


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    scope: str | None,
    answers: Mapping[int, Json],
    words: str = "",
    parameters: Iterable[Json] = (),
    body: Json | None = None,
    errors: Iterable[int] = ANY_CALL,
    shape: Shape = openai_error,
) -> Json:
    """`scope` is what the key needs: "" is any key, None is no key at all."""
    described: Json = {"operationId": name, "summary": summary, "tags": [tag]}
    if words:
        described["description"] = words
    if parameters := list(parameters):
        described["parameters"] = parameters
    if body is not None:
        described["requestBody"] = body
    refused = {str(status): {"$ref": f"#/components/responses/{SCHEMA_OF[shape]}{status}"} for status in errors}
    described["responses"] = {
        **{str(status): answer for status, answer in answers.items()},
        **dict(sorted(refused.items())),
    }
    scopes = [scope] if scope else []
    described["security"] = [] if scope is None else [{"bearer": scopes}, {"x_api_key": scopes}]
    return described


def sent(schema: Json, *, required: bool = True, content_type: str = JSON, **examples: Any) -> Json:
    """A request's body, with its examples by name."""
    return {"required": required, "content": {content_type: content(schema, **examples)}}


def content(schema: Json, **examples: Any) -> Json:
    media: Json = {"schema": schema}
    if examples:
        media["examples"] = {name: {"value": value} for name, value in examples.items()}
    return media


def answer(
    words: str, schema: Json | None = None, *, headers: Iterable[str] = (), content_type: str = JSON, **links: Json
) -> Json:
    described: Json = {
        "description": words,
        "headers": headers_named("X-CacheAI-Request-Id", "Cache-Control", *headers),
    }
    if schema is not None:
        described["content"] = {content_type: {"schema": schema}}
    if links:
        described["links"] = links
    return described


def link(operation_id: str, *, body: Mapping[str, str] | None = None, **parameters: str) -> Json:
    """Where to go from an answer; values are members of its body."""
    described: Json = {"operationId": operation_id}
    if parameters:
        described["parameters"] = {name: f"$response.body#/{member}" for name, member in parameters.items()}
    if body:
        described["requestBody"] = {name: f"$response.body#/{member}" for name, member in body.items()}
    return described


def in_path(name: str, words: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def headers_named(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def parameters_named(*names: str) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def phrase(status: int) -> str:
    return HTTPStatus(status).phrase
