"""What can be changed about a tenant's credentials for providers?"""

from datetime import UTC, datetime
from uuid import UUID, uuid5

from tenants import audit, vault
from tenants.audit import SYSTEM, Actor
from tenants.isolation import as_tenant
from tenants.models import ProviderKey
from tenants.refusals import BadValue, NotFound

HINT_LAST_CHARACTERS = 4
SECRET_MAX_CHARACTERS = 4096


def provider_key_put(
    *,
    tenant_id: UUID,
    provider: str,
    secret: str,
    base_url: str = "",
    taken_at: datetime | None = None,
    trouble: str = "",
    actor: Actor = SYSTEM,
) -> None:
    """Store it, sealed, in the place of one before. Nobody asks its provider here. Raises BadValue."""
    secret = checked(secret)
    with as_tenant(tenant_id):
        found = ProviderKey.objects.filter(tenant_id=tenant_id, provider=provider).first()
    # Of two put at once both seal for the same row.
    row_id = found.id if found else uuid5(tenant_id, provider)
    hint = secret[-HINT_LAST_CHARACTERS:]
    columns = {
        "sealed": vault.seal(tenant_id, secret.encode(), column="provider_key.sealed", row_id=row_id),
        "base_url": base_url,
        "hint": hint,
        "taken_at": taken_at,
        "trouble": trouble,
    }
    with as_tenant(tenant_id):
        _, made = ProviderKey.objects.update_or_create(
            tenant_id=tenant_id,
            provider=provider,
            defaults=columns,
            create_defaults={"id": row_id, **columns},
        )
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action="provider_key.create" if made else "provider_key.rotate",
            target=provider,
            diff={"hint": hint, "base_url": base_url},
        )
    vault.forget(tenant_id)


def provider_key_note(*, tenant_id: UUID, provider: str, taken: bool, trouble: str) -> None:
    """What its provider said of it when it was tested again. Raises NotFound."""
    changes = {"trouble": trouble} | ({"taken_at": datetime.now(UTC)} if taken else {})
    with as_tenant(tenant_id):
        if not ProviderKey.objects.filter(tenant_id=tenant_id, provider=provider).update(**changes):
            raise NotFound


def provider_key_delete(*, tenant_id: UUID, provider: str, actor: Actor = SYSTEM) -> None:
    """Raises NotFound."""
    with as_tenant(tenant_id):
        found = ProviderKey.objects.filter(tenant_id=tenant_id, provider=provider).first()
        if found is None:
            raise NotFound
        ProviderKey.objects.filter(tenant_id=tenant_id, provider=provider).delete()
        diff = {"hint": found.hint}
        audit.record(tenant_id=tenant_id, actor=actor, action="provider_key.delete", target=provider, diff=diff)
    vault.forget(tenant_id)


def checked(secret: str) -> str:
    """What can go out in a header, without blanks around it. Raises BadValue."""
    secret = secret.strip()
    if not secret:
        raise BadValue("Field required: secret", field="secret")
    if len(secret) > SECRET_MAX_CHARACTERS or not all("!" <= character <= "~" for character in secret):
        raise BadValue("The credential holds characters that no header can carry.", field="secret")
    return secret
