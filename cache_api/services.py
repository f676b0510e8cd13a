"""What changes of a project's cache, other than its entries?"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone

from cache_api.domain.policy import Policy
from cache_api.models import Policy as StoredPolicy
from tenants.isolation import as_tenant


def policy_change(*, tenant_id: UUID, project_id: UUID, changes: Mapping[str, Any]) -> Policy:
    """Change some rules and keep the others; None takes one back to its default. Raises BadPolicy."""
    with as_tenant(tenant_id):
        stored = StoredPolicy.objects.filter(tenant_id=tenant_id, project_id=project_id).first()
        settings = {**(stored.settings if stored else {}), **changes}
        settings = {name: value for name, value in settings.items() if value is not None}
        policy = Policy.build(settings)
        StoredPolicy.objects.update_or_create(
            tenant_id=tenant_id,
            project_id=project_id,
            defaults={"settings": settings, "updated_at": timezone.now()},
        )
    return policy
