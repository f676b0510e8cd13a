"""Does the server keep to what its own document says of it, whatever it is sent?

Calls of every kind are made from the document alone: examples, the borders of each value and past them, and walks along
the links between operations. The provider is the local one, so nothing leaves this machine.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from cache_api.http.openapi import document
from tests.conftest import Cast

EXAMPLES = 10  # of random calls to each operation, beside those at the borders
WALKS, STEPS = 20, 6
# What the id of a thing is called in the paths below the one it was made at.
MADE = {
    "/v1/keys": "key_id",
    "/v1/keys/{key_id}/rotate": "key_id",  # the successor: of the key before it nothing can be changed any more
    "/v1/projects": "project",
    "/v1/budgets": "budget",
}
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
CONFIG = {
    "generation": {"mode": "all", "with-security-parameters": False},
    "phases": {"coverage": {"unexpected-methods": []}},
}


@dataclass(frozen=True)
class Own:
    key: str
    project_id: str


def closed(part: Any, parts: Any) -> Any:
    """The same, but an answer of ours may hold nothing that is not described."""
    if isinstance(part, list):
        return [closed(one, parts) for one in part]
    if not isinstance(part, dict):
        return part
    inner = {name: closed(value, parts) for name, value in part.items()}
    if "$ref" in part and part["$ref"].startswith("#/components/schemas/"):
        return closed(parts[part["$ref"].rpartition("/")[2]], parts)
    if part.get("type") == "object" and "properties" in part and part.get("additionalProperties") is not True:
        inner.setdefault("additionalProperties", False)
    return inner


def strict(whole: Any) -> Any:
    parts = whole["components"]["schemas"]
    whole["components"]["responses"] = closed(whole["components"]["responses"], parts)
    for methods in whole["paths"].values():
        for operation in methods.values():
            operation["responses"] = closed(operation["responses"], parts)
    return whole


DOCUMENT = strict(json.loads(json.dumps(document("1.0.0"))))


def application(environ: Any, start_response: Any) -> Any:
    """The real one; it may be met only after Django was pointed at the test's database."""
    from cacheai import wsgi

    return wsgi.application(environ, start_response)


schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG))
schema.app = application


def status_is_described(ctx: Any, response: Any, case: Any) -> None:
    """And is no failure of ours: a provider may be at fault, or nothing be cached."""
    described = case.operation.definition.raw["responses"]
    said = f"{response.status_code} {response.content[:300]!r}"
    assert str(response.status_code) in described, said
    assert response.status_code not in {500, 503}, said


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


CHECKS = [status_is_described, content_type_conformance, response_headers_conformance, response_schema_conformance]


@pytest.fixture
def own(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Own:
    """A key that opens everything, as often as it likes; bad keys are sent beside it, from the same address."""
    from tenants import api_keys, authentication
    from tenants.isolation import as_owner

    monkeypatch.setattr(authentication, "BAD_KEYS_PER_MINUTE", 1_000_000)

    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE tenant SET rpm = 1000000")
    owner = cast.owner
    scopes = ("proxy", "cache:*", "stats:read", "tenant:manage")
    made = api_keys.key_create(tenant_id=owner.tenant_id, project_id=owner.project_id, name="all", scopes=scopes)
    return Own(made.secret, str(owner.project_id))


def at_home(case: Any, own: Own) -> dict[str, str]:
    """Aims a call at the caller's own project and the local provider; returns the headers it goes with."""
    for holder in (case.path_parameters, case.query, case.body):
        if isinstance(holder, dict) and isinstance(holder.get("project_id"), str) and len(holder["project_id"]) == 36:
            holder["project_id"] = own.project_id
    for name in [name for name in case.headers or () if "backend-" in name.lower() or "baseline-" in name.lower()]:
        del case.headers[name]
    return {"Authorization": f"Bearer {own.key}", "X-CacheAI-Backend-Provider": "demo"}


@schema.parametrize()
@SETTINGS
def test_whatever_is_sent_is_answered_as_described(case: Any, own: Own) -> None:
    case.call_and_validate(headers=at_home(case, own), checks=CHECKS)


def test_whoever_follows_the_links_is_answered_as_described(own: Own) -> None:
    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": at_home(case, own)}

        def validate_response(self, response: Any, case: Any, **how: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    few = hypothesis.settings(SETTINGS, max_examples=2, stateful_step_count=STEPS)  # the first one walks nowhere
    for start in range(WALKS):
        # The server remembers what earlier walks put and removed: that one cannot be repeated is no fault.
        with suppress(FlakyStrategyDefinition):
            run_state_machine_as_test(hypothesis.seed(start)(Walk), settings=few)


def examples() -> Iterator[tuple[str, str, str, Any]]:
    """Method, path, content type and body; what is read or removed comes after what is put."""
    for method in ("put", "post", "patch", "get", "delete"):
        for path, methods in DOCUMENT["paths"].items():
            if method not in methods or "{path}" in path:  # those are the provider's own
                continue
            told = methods[method].get("requestBody", {}).get("content", {})
            bodies = [
                (kind, one["value"]) for kind, media in told.items() for one in media.get("examples", {}).values()
            ]
            for kind, body in bodies or [("", None)]:
                yield method, path, kind, body


def test_every_example_is_true(own: Own) -> None:
    """All of them, one after the other, as a reader might try them: so there is something to be read at the end."""
    known = {"project_id": own.project_id, "cache_key": "faq.refunds", "model": "demo-small", "provider": "demo"}
    for method, path, kind, body in examples():
        parameters = DOCUMENT["paths"][path][method].get("parameters", [])
        query = {one["name"]: one["example"] for one in parameters if "example" in one}
        case = schema[path][method.upper()].Case(
            path_parameters={name: known[name] for name in re.findall(r"{(\w+)}", path)},
            query=query,
            body=NOT_SET if body is None else body,
            media_type=kind or None,
        )
        answer = case.call_and_validate(headers=at_home(case, own), checks=CHECKS)

        assert answer.status_code < 300, (method, path, answer.content)
        if answer.status_code == 202:
            known["job_id"] = answer.json()["job_id"]
        if path == "/v1/cache/blocklist" and method == "post":
            known["number"] = answer.json()["id"]
        if path in MADE and method in {"post", "put"}:
            known[MADE[path]] = answer.json()["id"]
