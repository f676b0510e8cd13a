"""What changes of a project's cache, other than its entries?"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from cache_api.domain.cost import Rates
from cache_api.domain.own_price import OwnPrice
from cache_api.domain.policy import Policy
from cache_api.models import OwnPrice as StoredPrice
from cache_api.models import Policy as StoredPolicy
from tenants import audit, features
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import Tenant
from tenants.refusals import NotInPlan


def policy_of(*, tenant_id: UUID, project_id: UUID) -> Policy:
    """The rules as they were set, without what was learnt. Raises BadPolicy."""
    with as_tenant(tenant_id):
        stored = StoredPolicy.objects.filter(tenant_id=tenant_id, project_id=project_id).first()
    return Policy.build(stored.settings if stored else {})


def policy_change(
    *, tenant_id: UUID, project_id: UUID, changes: Mapping[str, Any], actor: Actor = audit.SYSTEM
) -> Policy:
    """Change some rules and keep the others; None takes one back to its default. Raises BadPolicy."""
    with as_tenant(tenant_id):
        stored = StoredPolicy.objects.filter(tenant_id=tenant_id, project_id=project_id).first()
        before = stored.settings if stored else {}
        settings = {name: value for name, value in {**before, **changes}.items() if value is not None}
        policy = Policy.build(settings)
        diff = {name: [before.get(name), settings.get(name)] for name in changes}
        audit.record(tenant_id=tenant_id, actor=actor, action="policy.change", target=str(project_id), diff=diff)
        StoredPolicy.objects.update_or_create(
            tenant_id=tenant_id,
            project_id=project_id,
            defaults={"settings": settings, "updated_at": timezone.now()},
        )
    return policy


def price_put(
    *,
    tenant_id: UUID,
    project_id: UUID,
    provider: str,
    model_pattern: str,
    rates: Rates,
    now: datetime,
    actor: Actor = audit.SYSTEM,
) -> OwnPrice:
    """Set what a model costs from now on. What was called before keeps the price it had. Raises NotInPlan."""
    price = OwnPrice(uuid4(), provider, model_pattern, rates, _of_calls(now))
    with as_tenant(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        if features.OWN_PRICES not in tenant.features:
            raise NotInPlan(f"The plan {tenant.plan} does not include prices of your own.")
        _current(tenant_id, project_id, provider, model_pattern).update(
            valid_until=Greatest("valid_from", price.valid_from)
        )
        StoredPrice.objects.create(
            tenant_id=tenant_id,
            id=price.id,
            project_id=project_id,
            provider=provider,
            model_pattern=model_pattern,
            input_usd=rates.input,
            output_usd=rates.output,
            write_usd=rates.write_5m,
            cached_usd=rates.cached,
            valid_from=price.valid_from,
        )
        told = {name: f"{usd.normalize():f}" for name, usd in asdict(rates).items() if usd is not None}
        diff = {"provider": provider, "model": model_pattern, **told}
        audit.record(tenant_id=tenant_id, actor=actor, action="price.put", target=str(project_id), diff=diff)
    return price


def price_delete(
    *,
    tenant_id: UUID,
    project_id: UUID,
    provider: str,
    model_pattern: str,
    now: datetime,
    actor: Actor = audit.SYSTEM,
) -> bool:
    """Go back to the built-in list from now on, whatever the plan; False if there was no price."""
    with as_tenant(tenant_id):
        ended = _current(tenant_id, project_id, provider, model_pattern).update(
            valid_until=Greatest("valid_from", _of_calls(now))
        )
        if ended:
            diff = {"provider": provider, "model": model_pattern}
            audit.record(tenant_id=tenant_id, actor=actor, action="price.delete", target=str(project_id), diff=diff)
    return ended > 0


def _current(tenant_id: UUID, project_id: UUID, provider: str, model_pattern: str) -> QuerySet[StoredPrice]:
    """Locked until the transaction ends: of two prices set at once the second ends the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"prices {project_id}"])
    return StoredPrice.objects.filter(
        tenant_id=tenant_id,
        project_id=project_id,
        provider=provider,
        model_pattern=model_pattern,
        valid_until=None,
    )


def _of_calls(now: datetime) -> datetime:
    """A call's time is a whole millisecond: without rounding, one of this very moment would be before it."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
