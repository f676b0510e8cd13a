"""What can be changed about a tenant's projects?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tenants import audit, authentication, names, revocation
from tenants.audit import SYSTEM, Actor
from tenants.isolation import as_tenant
from tenants.models import ApiKey, Project, Tenant
from tenants.refusals import LastProject, LimitReached, NameTaken, NotFound


def project_create(*, tenant_id: UUID, name: str, default_model: str = "", actor: Actor = SYSTEM) -> UUID:
    """Raises BadValue, NameTaken or LimitReached."""
    name, default_model = names.checked(name), _model(default_model)
    with as_tenant(tenant_id):
        tenant = Tenant.objects.select_for_update().get(id=tenant_id)
        if (
            tenant.projects_max is not None
            and Project.objects.filter(tenant_id=tenant_id).count() >= tenant.projects_max
        ):
            raise LimitReached.of(tenant.plan, tenant.projects_max, "project")
        _refuse_taken(tenant_id, name)
        project = Project.objects.create(tenant_id=tenant_id, name=name, default_model=default_model)
        audit.record(
            tenant_id=tenant_id, actor=actor, action="project.create", target=str(project.id), diff={"name": name}
        )
    return project.id


def project_change(
    *,
    tenant_id: UUID,
    project_id: UUID,
    name: str | None = None,
    default_model: str | None = None,
    actor: Actor = SYSTEM,
) -> None:
    """Rename it, or give it another default model; None leaves as it is. Raises BadValue, NameTaken or NotFound."""
    wanted = {
        "name": None if name is None else names.checked(name),
        "default_model": None if default_model is None else _model(default_model),
    }
    with as_tenant(tenant_id):
        Tenant.objects.select_for_update().get(id=tenant_id)
        project = _find(tenant_id, project_id)
        changes = {
            column: value for column, value in wanted.items() if value is not None and value != getattr(project, column)
        }
        if "name" in changes:
            _refuse_taken(tenant_id, str(changes["name"]))
        if not changes:
            return
        diff: Mapping[str, Any] = {column: [getattr(project, column), value] for column, value in changes.items()}
        Project.objects.filter(tenant_id=tenant_id, id=project_id).update(**changes)
        audit.record(tenant_id=tenant_id, actor=actor, action="project.change", target=str(project_id), diff=diff)


def project_close(*, tenant_id: UUID, project_id: UUID, actor: Actor = SYSTEM) -> None:
    """End all its keys, before what is stored there goes. Raises NotFound or LastProject."""
    with as_tenant(tenant_id):
        project = _removable(tenant_id, project_id)
        found = ApiKey.objects.filter(tenant_id=tenant_id, project_id=project_id, revoked_at=None)
        ended = list(found.values_list("id", flat=True))
        found.update(revoked_at=datetime.now(UTC))
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action="project.delete",
            target=str(project_id),
            diff={"name": project.name, "keys": [str(key_id) for key_id in ended]},
        )
    for key_id in ended:
        authentication.forget(key_id)
        revocation.publish(key_id)


def project_remove(*, tenant_id: UUID, project_id: UUID) -> None:
    """Take a closed project away, with its keys and whatever is still stored. Raises NotFound or LastProject."""
    with as_tenant(tenant_id):
        _removable(tenant_id, project_id)
        Project.objects.filter(tenant_id=tenant_id, id=project_id).delete()


def _find(tenant_id: UUID, project_id: UUID) -> Project:
    project = Project.objects.filter(tenant_id=tenant_id, id=project_id).first()
    if project is None:
        raise NotFound
    return project


def _removable(tenant_id: UUID, project_id: UUID) -> Project:
    """Under a lock: of two projects removed at once one stays."""
    Tenant.objects.select_for_update().get(id=tenant_id)
    project = _find(tenant_id, project_id)
    if Project.objects.filter(tenant_id=tenant_id).count() == 1:
        raise LastProject
    return project


def _model(name: str) -> str:
    return names.checked(name, field="default_model", may_be_empty=True)


def _refuse_taken(tenant_id: UUID, name: str) -> None:
    if Project.objects.filter(tenant_id=tenant_id, name=name).exists():
        raise NameTaken(f"There is a project named {name!r} already.", field="name")
