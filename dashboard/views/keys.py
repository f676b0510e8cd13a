"""Which keys may call, and what may each?"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from dashboard.forms import NewKey, Rotation
from dashboard.people import Visit, done, page, refused, show
from tenants import api_keys, features, selectors
from tenants.api_keys import NewKey as MadeKey
from tenants.refusals import BadValue, Refusal


@page(may="keys")
def keys(http: HttpRequest, visit: Visit) -> HttpResponse:
    now = datetime.now(UTC)
    names = {project.id: project.name for project in visit.projects}
    found = selectors.keys_of(tenant_id=visit.tenant.id, project_id=visit.project.id if visit.project else None)
    rows = [(key, api_keys.status_of(key, now), names.get(key.project_id, "")) for key in found]
    live = [row for row in rows if row[1] in {"live", "ending"}]
    ended = [row for row in rows if row not in live]
    return show(http, visit, "keys.html", live=live, ended=ended, rotation=Rotation(auto_id=None))


@page(may="keys", methods=("GET", "POST"), fresh=True)
def new(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    reach = api_keys.reach_of_role(visit.role)
    form = NewKey(
        http.POST if http.method == "POST" else None,
        projects=visit.projects,
        scopes=reach.scopes,
        initial={"project_id": str(visit.project.id) if visit.project else None},
    )
    if form.is_bound and form.is_valid():
        try:
            made = api_keys.key_create(
                tenant_id=visit.tenant.id,
                project_id=UUID(form.cleaned_data["project_id"]),
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                networks=form.cleaned_data["networks"],
                models_allowed=form.cleaned_data["models_allowed"],
                rpm=form.cleaned_data["rpm"],
                tpm=form.cleaned_data["tpm"],
                expires_at=form.expires_at,
                created_by=visit.user_id,
                reach=reach,
                actor=visit.actor,
            )
            return _shown_once(http, visit, made)
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "key_new.html", form=form, may_narrow=features.NETWORKS in visit.tenant.features)


@page(may="keys", methods=("POST",), fresh=True)
def rotate(http: HttpRequest, visit: Visit, key_id: UUID) -> HttpResponseBase:
    form = Rotation(http.POST)
    if not form.is_valid():
        return refused(http, visit, BadValue("Choose when the old key ends."), "keys")
    try:
        made = api_keys.key_rotate(
            tenant_id=visit.tenant.id,
            key_id=key_id,
            grace=form.cleaned_data["grace"],
            created_by=visit.user_id,
            reach=api_keys.reach_of_role(visit.role),
            actor=visit.actor,
        )
    except Refusal as refusal:
        return refused(http, visit, refusal, "keys")
    return _shown_once(http, visit, made, rotated=True)


@page(may="keys", methods=("POST",), fresh=True)
def revoke(http: HttpRequest, visit: Visit, key_id: UUID) -> HttpResponseBase:
    try:
        api_keys.key_revoke(tenant_id=visit.tenant.id, key_id=key_id, actor=visit.actor)
    except Refusal as refusal:
        return refused(http, visit, refusal, "keys")
    return done(http, visit, "The key is revoked. It stops working everywhere within ten seconds.", "keys")


def _shown_once(http: HttpRequest, visit: Visit, made: MadeKey, **context: Any) -> HttpResponse:
    """In the answer itself: kept for a redirect, the secret would lie in a session."""
    root = f"{http.scheme}://{http.get_host()}"
    return show(http, visit, "key_made.html", secret=made.secret, root=root, **context)
