"""How does an entry come to be without a call, with nothing in it but what is looked at?"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import orjson

from cache_api.models import Entry
from tenants import vault
from tenants.isolation import as_tenant


def put_sealed(tenant_id: UUID, project_id: UUID, said: Mapping[str, Any], **columns: Any) -> UUID:
    entry_id = uuid4()
    body = vault.seal(tenant_id, orjson.dumps(said), column="entry.body", row_id=entry_id)
    with as_tenant(tenant_id):
        Entry.objects.create(
            tenant_id=tenant_id,
            id=entry_id,
            project_id=project_id,
            fingerprint=entry_id.bytes * 2,
            scope=bytes(32),
            provider="demo",
            model="demo-small",
            endpoint="chat/completions",
            body=body,
            size_bytes=len(body),
            **columns,
        )
    return entry_id
