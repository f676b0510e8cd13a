"""What does a team see of its cache?"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cache_api import selectors
from tenants.models import Project
from tenants.selectors import memberships_of, projects_of

DAYS = 7

# The reference's own files and calls to this very server; nothing written into the page itself.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@login_required
def overview(http: HttpRequest) -> HttpResponse:
    """Figures of the last days, a block per project the person may see."""
    blocks = [
        _block(membership.tenant_name, project)
        for membership in memberships_of(user_id=UUID(str(http.user.pk)))
        for project in projects_of(tenant_id=membership.tenant_id)
    ]
    root = f"{http.scheme}://{http.get_host()}"
    return render(http, "dashboard/overview.html", {"blocks": blocks, "days": DAYS, "root": root})


def docs(http: HttpRequest) -> HttpResponse:
    """Every endpoint, to be read and tried; for everyone, as `/v1/schema` is."""
    response = render(http, "dashboard/docs.html")
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response


def _block(tenant_name: str, project: Project) -> dict[str, Any]:
    now = timezone.now()
    stats = selectors.stats(project.tenant_id, project.id, now - timedelta(days=DAYS), now)
    percent = round(100 * stats.figures.hit_rate, 1)
    return {"tenant": tenant_name, "project": project, "stats": stats, "hit_percent": percent}
