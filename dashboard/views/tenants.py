"""Where does a person who has just come in belong?"""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from dashboard.entrance import SIGNED_IN_BY, actor_of
from dashboard.forms import TenantName
from dashboard.people import LAST_TENANT, user_id_of
from tenants import members, selectors


@login_required
@require_safe
def home(http: HttpRequest) -> HttpResponseRedirect:
    """The tenant looked at last, else any, else a first one of their own."""
    ids = [one.tenant_id for one in selectors.memberships_of(user_id=user_id_of(http))]
    if not ids:
        return redirect("tenant-new")
    wanted = http.session.get(LAST_TENANT) or http.session.get(SIGNED_IN_BY)
    last = next((tenant_id for tenant_id in ids if str(tenant_id) == wanted), ids[0])
    return redirect("overview", last)


@login_required
def new(http: HttpRequest) -> HttpResponse:
    form = TenantName(http.POST if http.method == "POST" else None)
    if form.is_bound and form.is_valid():
        name = form.cleaned_data["name"]
        tenant_id = members.tenant_start(name=name, owner_id=user_id_of(http), actor=actor_of(http))
        return redirect("overview", tenant_id)
    return render(http, "dashboard/tenant_new.html", {"form": form})
