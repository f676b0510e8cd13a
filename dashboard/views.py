"""What does a team see of its cache?"""

from datetime import timedelta
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from cache_api import selectors
from tenants.selectors import memberships_of, projects_of

DAYS = 7


@login_required
def overview(http: HttpRequest) -> HttpResponse:
    """Figures of the last days, a block per project the person may see."""
    now = timezone.now()
    person = UUID(str(http.user.pk))
    blocks = [
        {
            "tenant": membership.tenant_name,
            "project": project,
            "stats": selectors.stats(project.tenant_id, project.id, now - timedelta(days=DAYS), now),
        }
        for membership in memberships_of(user_id=person)
        for project in projects_of(tenant_id=membership.tenant_id)
    ]
    return render(http, "dashboard/overview.html", {"blocks": blocks, "days": DAYS, "root": root_of(http)})


def root_of(http: HttpRequest) -> str:
    return f"{http.scheme}://{http.get_host()}"
