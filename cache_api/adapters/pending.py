"""Which answers are awaited from clients that ask their model themselves?

Such a client puts the answer back under the Request's cache key. Until then the Request waits here, sealed.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from cache_api.domain.admission import bypass_reason, may_store
from cache_api.domain.policy import Policy
from cache_api.domain.request import Caller, Controls, Parsed, Request, Target
from cache_api.domain.scope import IGNORED_FIELDS
from tenants import isolation, vault
from tenants.isolation import DatabaseUnavailable

WAITS = timedelta(minutes=15)
READ_SECONDS = 0.5  # no model call waits for it
WRITE_SECONDS = 0.1
COLUMN = "pending_miss.body"

_PUT = (
    "INSERT INTO pending_miss (tenant_id, project_id, fingerprint, body, expires_at) "
    "VALUES (%s, %s, %s, %s, now() + %s) ON CONFLICT (tenant_id, project_id, fingerprint) "
    "DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at"
)
_KEYED = "pending_miss WHERE tenant_id = %s AND project_id = %s AND fingerprint = %s"
_FIND = f"SELECT body FROM {_KEYED} AND expires_at > now()"  # noqa: S608 (constants only)
_FORGET = f"DELETE FROM {_KEYED}"  # noqa: S608

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A client's answer is expected; `request` is None where it may not be stored."""

    request: Request | None


def wait_for_answer(request: Request, policy: Policy) -> None:
    """Never raises: what is not awaited is asked anew next time."""
    if not request.fingerprint:
        return

    # Where nothing may be stored the key waits without the text, so that the client's PUT is known for what it is.
    kept = may_store(request) and bypass_reason(request, policy) is None
    caller = request.caller
    try:
        plain = orjson.dumps(_facts(request) if kept else None)
        body = vault.seal(caller.tenant_id, plain, column=COLUMN, row_id=_row_id(request.fingerprint))
        values = (caller.tenant_id, caller.project_id, request.fingerprint, body, WAITS)
        isolation.write(caller.tenant_id, _PUT, values, deadline_seconds=WRITE_SECONDS)
    except orjson.JSONEncodeError:  # nested deeper than can be written down again
        log.info("miss_not_awaited", extra={"reason": "unsupported_content"})
    except DatabaseUnavailable as error:
        log.warning("miss_not_awaited", extra={"reason": error.reason})


def find(caller: Caller, fingerprint: bytes) -> Awaited | None:
    """Raises DatabaseUnavailable."""
    key = (caller.tenant_id, caller.project_id, fingerprint)
    rows = isolation.read(caller.tenant_id, _FIND, key, deadline_seconds=READ_SECONDS)
    if not rows:
        return None
    try:
        plain = vault.unseal(caller.tenant_id, bytes(rows[0][0]), column=COLUMN, row_id=_row_id(fingerprint))
    except vault.Corrupt:
        log.warning("pending_miss_unreadable")
        return Awaited(None)
    facts = orjson.loads(plain)
    return Awaited(_request(caller, fingerprint, facts) if facts else None)


def forget(caller: Caller, fingerprint: bytes) -> None:
    """The answer came. Raises DatabaseUnavailable."""
    key = (caller.tenant_id, caller.project_id, fingerprint)
    isolation.write(caller.tenant_id, _FORGET, key, deadline_seconds=WRITE_SECONDS)


def _facts(request: Request) -> dict[str, Any]:
    """What storing the answer will need; never a credential."""
    controls, parsed = request.controls, request.parsed
    return {
        "endpoint": request.endpoint,
        "provider": request.target.provider,
        "upstream_model": request.target.model,
        "scope": request.scope.hex(),
        "controls": {
            "ttl_seconds": controls.ttl_seconds,
            "threshold": controls.threshold,
            "namespace": controls.namespace,
            "end_user": controls.end_user,
            "tags": controls.tags,
            "depends_on": controls.depends_on,
        },
        "parsed": {
            "model": parsed.model,
            "body": {name: value for name, value in parsed.body.items() if name not in IGNORED_FIELDS},
            "context": parsed.context,
            "question": parsed.question,
            "texts": parsed.texts,
            "prompt_texts": parsed.prompt_texts,
            "tools": parsed.tools,
            "temperature": parsed.temperature,
        },
    }


def _request(caller: Caller, fingerprint: bytes, facts: dict[str, Any]) -> Request:
    controls, parsed = facts["controls"], facts["parsed"]
    lists = {"tags": tuple(controls["tags"]), "depends_on": tuple(controls["depends_on"])}
    texts = {"texts": tuple(parsed["texts"]), "prompt_texts": tuple(parsed["prompt_texts"])}
    return Request(
        caller=caller,
        endpoint=facts["endpoint"],
        target=Target(facts["provider"], "", facts["upstream_model"]),
        controls=Controls(**{**controls, **lists}),
        parsed=Parsed(**{**parsed, **texts}),
        fingerprint=fingerprint,
        scope=bytes.fromhex(facts["scope"]),
    )


def _row_id(fingerprint: bytes) -> UUID:
    return UUID(bytes=fingerprint[:16])
