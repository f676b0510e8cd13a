"""How does a project end, with all that is stored in it?"""

from datetime import UTC, datetime
from uuid import UUID

from cache_api.adapters import catalogue
from cache_api.adapters.catalogue import Filters, Place
from tenants import projects
from tenants.audit import SYSTEM, Actor


def project_delete(*, tenant_id: UUID, project_id: UUID, actor: Actor = SYSTEM) -> None:
    """Its keys first, then its entries, as many as a transaction should take, then itself. Done again, it goes on.

    What its calls cost stays in the ledger. Raises NotFound or LastProject.
    """
    projects.project_close(tenant_id=tenant_id, project_id=project_id, actor=actor)
    catalogue.purge(Place(tenant_id, project_id), Filters(), now=datetime.now(UTC))
    projects.project_remove(tenant_id=tenant_id, project_id=project_id)
