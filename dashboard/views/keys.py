"""Which keys may call, and what may each?"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cache_api.adapters.targets import known_providers
from dashboard.forms import KeyChange, NewKey, Rotation
from dashboard.people import Visit, done, page, show
from tenants import api_keys, features, selectors
from tenants.api_keys import NewKey as MadeKey
from tenants.refusals import BadValue, NotAllowed, NotFound, Refusal


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
        providers=sorted(known_providers()),
        initial={"project_id": str(visit.project.id) if visit.project else None},
    )
    if form.is_bound and form.is_valid():
        try:
            made = api_keys.key_create(
                tenant_id=visit.tenant.id,
                project_id=form.cleaned_data["project_id"],
                created_by=visit.user_id,
                reach=reach,
                actor=visit.actor,
                **form.rules(),
            )
            return _shown_once(http, visit, made)
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "key_form.html", form=form, may_narrow=features.NETWORKS in visit.tenant.features)


@page(may="keys", methods=("GET", "POST"), fresh=True, back="keys")
def change(http: HttpRequest, visit: Visit, key_id: UUID) -> HttpResponseBase:
    reach = api_keys.reach_of_role(visit.role)
    try:
        key = selectors.key_of(tenant_id=visit.tenant.id, key_id=key_id)
    except NotFound as missing:
        raise Http404 from missing
    if set(key.scopes) - reach.scopes:
        raise NotAllowed("It may more than your role can give: an owner changes it.")
    form = KeyChange(
        http.POST if http.method == "POST" else None, key=key, scopes=reach.scopes, providers=sorted(known_providers())
    )
    if form.is_bound and form.is_valid():
        try:
            api_keys.key_change(
                tenant_id=visit.tenant.id, key_id=key_id, changes=form.rules(), reach=reach, actor=visit.actor
            )
            return done(http, visit, "The key is changed. It holds everywhere within ten seconds.", "keys")
        except Refusal as refusal:
            form.refuse(refusal)
    may_narrow = bool(key.networks) or features.NETWORKS in visit.tenant.features
    return show(http, visit, "key_form.html", form=form, key=key, may_narrow=may_narrow)


@page(may="keys", methods=("POST",), fresh=True, back="keys")
def rotate(http: HttpRequest, visit: Visit, key_id: UUID) -> HttpResponseBase:
    form = Rotation(http.POST)
    if not form.is_valid():
        raise BadValue("Choose when the old key ends.")
    made = api_keys.key_rotate(
        tenant_id=visit.tenant.id,
        key_id=key_id,
        grace=form.cleaned_data["grace"],
        created_by=visit.user_id,
        reach=api_keys.reach_of_role(visit.role),
        actor=visit.actor,
    )
    return _shown_once(http, visit, made, rotated=True)


@page(may="keys", methods=("POST",), fresh=True, back="keys")
def revoke(http: HttpRequest, visit: Visit, key_id: UUID) -> HttpResponseBase:
    api_keys.key_revoke(tenant_id=visit.tenant.id, key_id=key_id, actor=visit.actor)
    return done(http, visit, "The key is revoked. It stops working everywhere within ten seconds.", "keys")


def _shown_once(http: HttpRequest, visit: Visit, made: MadeKey, **context: Any) -> HttpResponse:
    """In the answer itself: kept for a redirect, the secret would lie in a session."""
    root = f"{http.scheme}://{http.get_host()}"
    return show(http, visit, "key_made.html", secret=made.secret, root=root, **context)
