"""A tenant sees nothing of another tenant, by the ORM filter and, under it, by row-level security. (Law 8)"""

from tenants import authentication, isolation, vault
from tests.conftest import Cast


def test_a_read_sees_its_own_tenant_alone(cast: Cast) -> None:
    rows = isolation.read(cast.owner.tenant_id, "SELECT id FROM api_key", [], deadline_seconds=5)

    assert {row[0] for row in rows} == {cast.owner.key_id, cast.teammate.key_id}


def test_a_key_opens_its_project(cast: Cast) -> None:
    access = authentication.authenticate(cast.owner.api_key, address="192.0.2.1")

    assert access.project_id == cast.owner.project_id
    assert len(vault.digest_key(cast.owner.tenant_id)) == 32
