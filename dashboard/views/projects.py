"""Which cache spaces does the tenant have?"""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_api.closing import project_delete
from dashboard.forms import ProjectFacts
from dashboard.people import Visit, done, page, show
from tenants import projects as services
from tenants import selectors
from tenants.refusals import Refusal


@page(may="figures")
def projects(http: HttpRequest, visit: Visit) -> HttpResponse:
    return show(http, visit, "projects.html")


@page(may="keys", methods=("GET", "POST"))
def new(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    form = ProjectFacts(http.POST if http.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            services.project_create(tenant_id=visit.tenant.id, actor=visit.actor, **form.cleaned_data)
            return done(http, visit, f"Project {form.cleaned_data['name']} is there.", "projects")
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "project_form.html", form=form, title="New project", button="Create project")


@page(may="keys", methods=("GET", "POST"), back="projects")
def change(http: HttpRequest, visit: Visit, project_id: UUID) -> HttpResponseBase:
    project = selectors.project_of(tenant_id=visit.tenant.id, project_id=project_id)
    now = {"name": project.name, "default_model": project.default_model}
    form = ProjectFacts(http.POST if http.method == "POST" else None, initial=now)
    if form.is_bound and form.is_valid():
        try:
            services.project_change(
                tenant_id=visit.tenant.id, project_id=project_id, actor=visit.actor, **form.cleaned_data
            )
            return done(http, visit, "Saved.", "projects")
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "project_form.html", form=form, title=project.name, button="Save")


@page(may="keys", methods=("POST",), fresh=True, back="projects")
def delete(http: HttpRequest, visit: Visit, project_id: UUID) -> HttpResponseBase:
    project_delete(tenant_id=visit.tenant.id, project_id=project_id, actor=visit.actor)
    return done(http, visit, "The project, its keys and its entries are gone.", "projects")
