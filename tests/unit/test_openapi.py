"""Is the document valid, whole, and true to the code?"""

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import Resolver404, URLPattern
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from cache_api.http import urls
from cache_api.http.openapi import document
from cache_api.http.pass_through import METHODS, pass_through
from cache_api.http.visits import resource

DOCUMENT = json.loads(json.dumps(document("1.0.0")))
OPERATIONS = {
    (path, method.upper()): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
VALUES = {
    "cache_key": "faq.refunds",
    "project_id": "0198c1f2-a7d0-7c3e-9f0a-1b2c3d4e5f60",
    "job_id": "0198c1f2-a7d0-7c3e-9f0a-1b2c3d4e5f60",
    "number": "7",
    "budget": "0198c1f2-a7d0-7c3e-9f0a-1b2c3d4e5f60",
    "project": "0198c1f2-a7d0-7c3e-9f0a-1b2c3d4e5f60",
    "key_id": "0198c1f2-a7d0-7c3e-9f0a-1b2c3d4e5f60",
    "provider": "demo",
    "model": "demo-small",
    "path": "files",
}


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: VALUES[name[1]], path).removeprefix("/")


def spellings(path: str) -> list[str]:
    """As it is written, and without or with `/v1` before it."""
    bare = filled(path).removeprefix("v1/")
    return [filled(path), bare, f"v1/{bare}"]


def pattern_of(path: str) -> URLPattern | None:
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        try:
            if pattern.resolve(path):
                return pattern
        except Resolver404:
            continue
    return None


def handlers_of(pattern: URLPattern | None) -> dict[str, tuple[str, Any]] | None:
    """Scope and handler by method, where the view is one of `resource`."""
    assert pattern is not None
    made_by_resource = pattern.callback.__code__ in resource.__code__.co_consts
    return inspect.getclosurevars(pattern.callback).nonlocals["handlers"] if made_by_resource else None


def methods_of(pattern: URLPattern | None) -> set[str]:
    assert pattern is not None
    if (handlers := handlers_of(pattern)) is not None:
        return set(handlers)
    if pattern.callback is pass_through:
        return set(METHODS)
    return {"GET"} if pattern in urls.OPERATION or "models" in str(pattern.pattern) else {"POST"}


def test_it_is_valid_openapi() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_path_of_the_server_is_described_and_no_other() -> None:
    found = {
        str(pattern.pattern)
        for path in DOCUMENT["paths"]
        for spelling in spellings(path)
        if (pattern := pattern_of(spelling)) is not None
    }

    assert {str(pattern.pattern) for pattern in urls.urlpatterns} == found
    assert [path for path in DOCUMENT["paths"] if pattern_of(filled(path)) is None] == []


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_a_path_has_the_methods_of_its_view(path: str) -> None:
    described = {method for other, method in OPERATIONS if other == path}

    assert described == methods_of(pattern_of(filled(path)))


@pytest.mark.parametrize(("path", "method"), [one for one in OPERATIONS if handlers_of(pattern_of(filled(one[0])))])
def test_an_operation_names_the_scope_that_opens_it(path: str, method: str) -> None:
    handlers = handlers_of(pattern_of(filled(path)))
    assert handlers is not None
    scope = handlers[method][0]

    assert OPERATIONS[path, method]["security"] == [
        {name: [scope] if scope else []} for name in ("bearer", "x_api_key")
    ]


def test_nothing_is_described_that_nothing_uses() -> None:
    text = json.dumps(DOCUMENT)
    parts = [
        f"#/components/{kind}/{name}" for kind in ("parameters", "headers") for name in DOCUMENT["components"][kind]
    ]
    schemas = [f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]]

    assert [part for part in (*parts, *schemas) if f'"{part}"' not in text] == []


def examples() -> Iterator[tuple[str, Any, Any]]:
    for (path, method), operation in OPERATIONS.items():
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            for name, example in media.get("examples", {}).items():
                yield f"{method} {path} {kind} {name}", media["schema"], example["value"]
    for name, response in DOCUMENT["components"]["responses"].items():
        for media in response["content"].values():
            yield name, media["schema"], media["example"]


@pytest.mark.parametrize(("schema", "example"), [pytest.param(s, e, id=name) for name, s, e in examples()])
def test_an_example_is_what_its_schema_says(schema: Any, example: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}

    assert [error.message for error in Draft202012Validator(whole).iter_errors(example)] == []


@pytest.mark.parametrize(("path", "method"), [one for one in OPERATIONS if one[1] in {"POST", "PUT"}])
def test_every_call_with_a_body_has_an_example(path: str, method: str) -> None:
    body = OPERATIONS[path, method].get("requestBody")

    assert body is None or "*/*" in body["content"] or all(media["examples"] for media in body["content"].values())


def test_a_look_up_of_a_past_call_may_find_none() -> None:
    assert "404" in DOCUMENT["paths"]["/v1/cache/lookup"]["post"]["responses"]
