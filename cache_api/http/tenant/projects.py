"""Which projects has the tenant, and how are they made, renamed and removed?"""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers

from cache_api.adapters.catalogue import guarded
from cache_api.closing import project_delete
from cache_api.http.serializers import NameField, validated
from cache_api.http.visits import Visit, answer
from tenants import projects, selectors
from tenants.models import Project


class ProjectSerializer(serializers.Serializer[Any]):
    name = NameField()
    default_model = NameField(allow_blank=True)


def listed(visit: Visit) -> HttpResponse:
    found = guarded(lambda: selectors.projects_of(tenant_id=visit.access.tenant_id))
    return answer({"object": "list", "data": [_described(project) for project in found]})


def made(visit: Visit) -> HttpResponse:
    values = validated(ProjectSerializer, visit.fields())
    project_id = guarded(
        lambda: projects.project_create(
            tenant_id=visit.access.tenant_id,
            name=values.get("name", ""),
            default_model=values.get("default_model", ""),
            actor=visit.actor,
        )
    )
    return _shown(visit, project_id, status=201)


def shown(visit: Visit, project: UUID) -> HttpResponse:
    return _shown(visit, project)


def changed(visit: Visit, project: UUID) -> HttpResponse:
    values = validated(ProjectSerializer, visit.fields())
    guarded(
        lambda: projects.project_change(
            tenant_id=visit.access.tenant_id,
            project_id=project,
            name=values.get("name"),
            default_model=values.get("default_model"),
            actor=visit.actor,
        )
    )
    return _shown(visit, project)


def removed(visit: Visit, project: UUID) -> HttpResponse:
    """With its keys and all that is stored there; the ledger keeps what its calls cost."""
    guarded(lambda: project_delete(tenant_id=visit.access.tenant_id, project_id=project, actor=visit.actor))
    return answer({"id": str(project), "deleted": True})


def _shown(visit: Visit, project_id: UUID, *, status: int = 200) -> HttpResponse:
    found = guarded(lambda: selectors.project_of(tenant_id=visit.access.tenant_id, project_id=project_id))
    return answer(_described(found), status)


def _described(project: Project) -> dict[str, Any]:
    return {
        "id": str(project.id),
        "name": project.name,
        "default_model": project.default_model,
        "created_at": project.created_at,
    }
