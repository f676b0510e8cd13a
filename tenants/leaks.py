"""What happens to a key that was found where everybody can read it?"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from tenants import api_keys, audit, authentication, selectors, webhooks
from tenants.audit import SYSTEM, Actor
from tenants.isolation import as_tenant
from tenants.mailing import mail_send
from tenants.models import ApiKey, AuditEvent, Tenant

TOLD_ROLES = ("owner", "admin")
ACTION = "key.leaked"
LINK_MAX_CHARACTERS, SOURCE_MAX_CHARACTERS = 500, 100


@dataclass(frozen=True, slots=True)
class Leak:
    """A report of one who looks for keys in public places."""

    token: str
    url: str
    source: str


def leak_report(leak: Leak) -> bool:
    """Tell the key's people, once of each place, and end it if they chose so.

    False: no key of ours, or one that ended already. Raises DatabaseUnavailable.
    """
    found = authentication.find(leak.token)
    if found is None or found["revoked_at"] is not None:
        return False
    if found["expires_at"] is not None and found["expires_at"] <= datetime.now(UTC):
        return False
    tenant_id, key_id = found["tenant_id"], found["key_id"]
    where = leak.url[:LINK_MAX_CHARACTERS] or "a place that was not named"
    with as_tenant(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        key = ApiKey.objects.get(tenant_id=tenant_id, id=key_id)
        told = selectors.emails_of(tenant_id=tenant_id, roles=TOLD_ROLES, maker=key.created_by)
        known = AuditEvent.objects.filter(tenant_id=tenant_id, action=ACTION, target=str(key_id), diff__url=where)
        if not known.exists():
            audit.record(
                tenant_id=tenant_id,
                actor=SYSTEM,
                action=ACTION,
                target=str(key_id),
                diff={"url": where, "source": leak.source[:SOURCE_MAX_CHARACTERS]},
            )
            webhooks.event_add(
                tenant=tenant,
                event=ACTION,
                data={
                    "key_id": str(key_id),
                    "name": key.name,
                    "hint": key.hint,
                    "url": where,
                    "revoked": tenant.revoke_leaked,
                },
                now=datetime.now(UTC),
            )
            mail_send(to=told, subject=f"A key of {tenant.name} was found in public", text=_text(tenant, key, where))
    if tenant.revoke_leaked:
        api_keys.key_revoke(tenant_id=tenant_id, key_id=key_id, reason="leaked")
    return True


def _text(tenant: Tenant, key: ApiKey, where: str) -> str:
    done = "It is revoked." if tenant.revoke_leaked else "It still works: rotate or revoke it now."
    named = f"The CacheAI key {key.name or 'without a name'}, which begins with {key.hint},"
    return f"{named} was found here:\n\n{where}\n\n{done}\n"


def revoke_leaked_set(*, tenant_id: UUID, on: bool, actor: Actor = SYSTEM) -> None:
    """Whether a key found in public ends at once."""
    with as_tenant(tenant_id):
        if Tenant.objects.filter(id=tenant_id).exclude(revoke_leaked=on).update(revoke_leaked=on):
            audit.record(tenant_id=tenant_id, actor=actor, action="tenant.revoke_leaked", diff={"on": on})
