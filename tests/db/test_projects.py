"""How are projects made, renamed and removed?"""

from uuid import uuid4

import pytest

from cache_api.closing import project_delete
from tenants import selectors
from tenants.authentication import InvalidKey, authenticate
from tenants.isolation import as_tenant
from tenants.models import ApiKey, AuditEvent, Tenant
from tenants.projects import project_change, project_close, project_create
from tenants.refusals import BadValue, LastProject, LimitReached, NameTaken, NotFound
from tests.conftest import Cast

pytestmark = pytest.mark.usefixtures("patient")

HERE = "192.0.2.1"


def names(cast: Cast) -> list[str]:
    return [project.name for project in selectors.projects_of(tenant_id=cast.owner.tenant_id)]


def test_a_project_is_made_renamed_and_removed_with_its_keys(cast: Cast) -> None:
    tenant_id, project_id = cast.owner.tenant_id, cast.owner.project_id
    other = project_create(tenant_id=tenant_id, name=" Support ", default_model="gpt-5")
    project_change(tenant_id=tenant_id, project_id=other, name="Help desk")
    found = selectors.project_of(tenant_id=tenant_id, project_id=other)
    assert (found.name, found.default_model) == ("Help desk", "gpt-5")
    authenticate(cast.owner.api_key, address=HERE)

    project_delete(tenant_id=tenant_id, project_id=project_id)

    assert names(cast) == ["Help desk"]
    with pytest.raises(InvalidKey):
        authenticate(cast.owner.api_key, address=HERE)
    with as_tenant(tenant_id):
        assert not ApiKey.objects.exists()
        trail = AuditEvent.objects.filter(action__startswith="project.").order_by("seq")
        assert [event.action.partition(".")[2] for event in trail] == ["create", "change", "delete"]
        assert trail.last().diff["name"] == "Cache"  # type: ignore[union-attr]


def test_its_keys_end_before_what_it_holds_goes_and_a_removal_that_broke_off_goes_on(cast: Cast) -> None:
    tenant_id, project_id = cast.owner.tenant_id, cast.owner.project_id
    project_create(tenant_id=tenant_id, name="Other")
    authenticate(cast.owner.api_key, address=HERE)

    project_close(tenant_id=tenant_id, project_id=project_id)

    with pytest.raises(InvalidKey):
        authenticate(cast.owner.api_key, address=HERE)
    assert names(cast) == ["Cache", "Other"]
    project_delete(tenant_id=tenant_id, project_id=project_id)
    assert names(cast) == ["Other"]


def test_the_last_project_stays(cast: Cast) -> None:
    with pytest.raises(LastProject):
        project_delete(tenant_id=cast.owner.tenant_id, project_id=cast.owner.project_id)

    authenticate(cast.owner.api_key, address=HERE)


def test_a_tenant_has_as_many_projects_as_its_plan_allows(cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(projects_max=2)
    project_create(tenant_id=cast.owner.tenant_id, name="Second")

    with pytest.raises(LimitReached):
        project_create(tenant_id=cast.owner.tenant_id, name="Third")


def test_a_name_is_given_once_and_is_one(cast: Cast) -> None:
    tenant_id = cast.owner.tenant_id
    other = project_create(tenant_id=tenant_id, name="Other")

    for taken in ("Cache", "  Cache"):
        with pytest.raises(NameTaken):
            project_create(tenant_id=tenant_id, name=taken)
        with pytest.raises(NameTaken):
            project_change(tenant_id=tenant_id, project_id=other, name=taken)
    for name in ("", "  ", "a\x00b", "a\ud800b", "x" * 129):
        with pytest.raises(BadValue):
            project_create(tenant_id=tenant_id, name=name)
    project_create(tenant_id=cast.outsider.tenant_id, name="Other")  # Another tenant's names are its own.
    assert names(cast) == ["Cache", "Other"]


def test_another_tenants_project_is_like_none_at_all(cast: Cast) -> None:
    for project_id in (cast.owner.project_id, uuid4()):
        with pytest.raises(NotFound):
            project_change(tenant_id=cast.outsider.tenant_id, project_id=project_id, name="Mine")
        with pytest.raises(NotFound):
            project_delete(tenant_id=cast.outsider.tenant_id, project_id=project_id)
    assert names(cast) == ["Cache"]
