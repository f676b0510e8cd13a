"""Is a tenant shut out, by an operator and for abuse?

Its ApiKeys answer 401 within seconds; nothing is deleted, and people can still sign in and see why.
"""

from datetime import datetime
from uuid import UUID

from tenants import audit
from tenants.audit import Actor
from tenants.erasure import erasure_of, stop_keys
from tenants.isolation import as_tenant
from tenants.models import Tenant
from tenants.refusals import Conflict


def tenant_suspend(*, tenant_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """Raises Conflict where it is suspended already."""
    with as_tenant(tenant_id):
        if not Tenant.objects.filter(id=tenant_id, suspended_at=None).update(suspended_at=now):
            raise Conflict("It is suspended already.")
        audit.record(tenant_id=tenant_id, actor=actor, action="tenant.suspended", diff={"reason": reason})
    stop_keys(tenant_id)


def tenant_restore(*, tenant_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """Its keys work within seconds. Raises Conflict where it is not suspended, or is about to be erased."""
    if erasure_of(tenant_id=tenant_id) is not None:
        raise Conflict("Its erasure was asked for: that has to be withdrawn first.")
    with as_tenant(tenant_id):
        if not Tenant.objects.filter(id=tenant_id).exclude(suspended_at=None).update(suspended_at=None):
            raise Conflict("It is not suspended.")
        audit.record(tenant_id=tenant_id, actor=actor, action="tenant.restored", diff={"reason": reason})
