"""Whose keys end soon, and do their people know?"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from tenants import selectors, webhooks
from tenants.isolation import as_owner, as_tenant
from tenants.mailing import mail_send
from tenants.models import ApiKey, Project, Tenant

TOLD_DAYS_BEFORE = (1, 3, 14)
TOLD_ROLES = ("owner", "admin")


def expiry_mails(now: datetime) -> int:
    """Tell of each key that ends within 14, 3 and 1 days, once each; how many mails were written."""
    soon = now + timedelta(days=max(TOLD_DAYS_BEFORE))
    ending = Q(revoked_at=None, replaced_by=None, expires_at__gt=now, expires_at__lte=soon)
    with as_owner():
        found = list(ApiKey.objects.filter(ending).order_by("expires_at").values_list("tenant_id", "id"))
    return sum(_tell(tenant_id, key_id, now) for tenant_id, key_id in found)


def due(key: ApiKey, now: datetime) -> int | None:
    """Of which of the days before its end people must hear now. A key made to live shorter than that is no news."""
    if key.expires_at is None or key.expires_at <= now:
        return None
    left, life = key.expires_at - now, key.expires_at - key.created_at
    for days in TOLD_DAYS_BEFORE:
        if left <= timedelta(days=days):
            is_news = life > timedelta(days=days) and (key.expiry_told_days is None or key.expiry_told_days > days)
            return days if is_news else None
    return None


def _tell(tenant_id: UUID, key_id: UUID, now: datetime) -> bool:
    with as_tenant(tenant_id):
        # Locked: of two that go through the keys at once the second finds it told.
        key = ApiKey.objects.select_for_update().filter(tenant_id=tenant_id, id=key_id).first()
        if key is None or key.expires_at is None or (days := due(key, now)) is None:
            return False
        ApiKey.objects.filter(tenant_id=tenant_id, id=key_id).update(expiry_told_days=days)
        tenant = Tenant.objects.get(id=tenant_id)
        project = Project.objects.get(tenant_id=tenant_id, id=key.project_id)
        webhooks.event_add(
            tenant=tenant,
            event="key.expiring",
            data={
                "key_id": str(key_id),
                "name": key.name,
                "hint": key.hint,
                "project_id": str(key.project_id),
                "expires_at": key.expires_at.isoformat(),
            },
            now=now,
        )
        mail_send(
            to=selectors.emails_of(tenant_id=tenant_id, roles=TOLD_ROLES, maker=key.created_by),
            subject=f"A key of {tenant.name} ends in {days} day{'s' if days > 1 else ''} or less",
            text=(
                f"The CacheAI key {key.name or 'without a name'}, which begins with {key.hint}, "
                f"of the project {project.name} ends at {key.expires_at:%Y-%m-%d %H:%M} UTC.\n\n"
                "Rotate it before: its successor works at once, and the old one until you have changed it.\n"
            ),
        )
    return True
