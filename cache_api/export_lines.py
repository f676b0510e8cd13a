"""What does a line of an export hold, so that an import can store the entry again, here or anywhere?"""

from base64 import b64encode
from collections import OrderedDict
from datetime import datetime
from uuid import UUID

import orjson

from cache_api.adapters.bulk import half_vector
from cache_api.adapters.catalogue import Described
from cache_api.adapters.origin import signature_of, vector_signature_of
from cache_api.described import described
from cache_api.dialects.errors import Refused
from cache_api.dialects.spoken import dialect_at
from cache_api.domain.request import Controls, Target
from cache_api.domain.scope import scope_of

SCOPES_MAX = 10_000


class Lines:
    """Makes a line of each entry of a project."""

    def __init__(self, key: bytes, project_id: UUID, now: datetime) -> None:
        self._key = key
        self._project_id = project_id
        self._now = now
        self._bound: OrderedDict[bytes, bool] = OrderedDict()  # by Scope

    def __call__(self, one: Described) -> bytes:
        entry, text = one.entry, one.text or {}
        line = described(one, self._now, with_answer=True)
        line |= {"request": text.get("request"), "usage": entry.usage, "matchable": entry.matchable}
        if not entry.caller_key:
            line |= {"scope": bytes(entry.scope).hex(), "bound": self._is_bound(one)}
            line["signature"] = signature_of(self._key, self._project_id, line)
        if one.vector is not None:
            line |= {"embedder": entry.embedder, "vector": b64encode(half_vector(one.vector)).decode()}
            line["vector_signature"] = vector_signature_of(self._key, line["question"], line)
        return orjson.dumps(line)

    def _is_bound(self, one: Described) -> bool:
        scope = bytes(one.entry.scope)
        if scope not in self._bound:
            if len(self._bound) >= SCOPES_MAX:
                self._bound.popitem(last=False)
            self._bound[scope] = self._scope_of(one) != scope
        return self._bound[scope]

    def _scope_of(self, one: Described) -> bytes:
        """As a call has it that names no end user, no address and no credential of its own."""
        entry = one.entry
        try:
            dialect = dialect_at(entry.endpoint)
            parsed = dialect.parse((one.text or {}).get("request") or {})
        except Refused:
            return b""
        controls = Controls(namespace=entry.namespace, depends_on=tuple(one.depends_on))
        target = Target(entry.provider, "", entry.model)
        return scope_of(self._key, self._project_id, entry.endpoint, target, controls, parsed)
