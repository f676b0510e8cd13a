"""The page of a tenant, and what is done there."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse

from billing import services
from billing.admin import pages
from billing.admin.acts import ACTS, BESIDE, Asked
from billing.admin.seeing import sight
from billing.errors import BillingError
from billing.plans import PLANS
from tenants.audit import Actor
from tenants.models import Tenant
from tenants.refusals import Refusal
from tenants.selectors import tenant_of


def tenant(http: HttpRequest, context: dict[str, Any], tenant_id: UUID) -> HttpResponseBase:
    seen = sight(tenant_id=_known(tenant_id).id, now=datetime.now(UTC))
    hidden = BESIDE | {"restore" if seen.tenant.suspended_at is None else "suspend"}
    forms = [
        (name, act.title, act.form(prefix=name), _href("act", tenant_id, name))
        for name, act in ACTS.items()
        if name not in hidden
    ]
    context |= {
        "title": seen.tenant.name,
        "seen": seen,
        "cards": pages.cards(seen),
        "tables": pages.tables(seen, partial(_button, http, tenant_id)),
        "forms": forms,
        "previews": [(plan.title, _href("preview", tenant_id, plan.name)) for plan in PLANS.values() if plan.is_sold],
    }
    return TemplateResponse(http, "operator/tenant.html", context)


def preview(http: HttpRequest, context: dict[str, Any], tenant_id: UUID, plan: str) -> HttpResponseBase:
    """What the change would take now, before it is made."""
    try:
        seen = services.plan_preview(tenant_id=tenant_id, plan=plan, now=datetime.now(UTC))
    except BillingError as error:
        messages.error(http, str(error))
        return HttpResponseRedirect(_href("tenant", tenant_id))
    act = ACTS["change-now"]
    form = act.form(prefix="change-now", initial={"plan": plan})
    context |= {
        "title": f"{_known(tenant_id).name}: to {PLANS[plan].title}, now",
        "table": {"headers": ["Line", "USD"], "rows": [[line.text, pages.usd(line.usd)] for line in seen.lines]},
        "total": pages.usd(seen.total_usd),
        "form": form,
        "action": _href("act", tenant_id, "change-now"),
        "back": _href("tenant", tenant_id),
    }
    return TemplateResponse(http, "operator/preview.html", context)


def act(http: HttpRequest, tenant_id: UUID, name: str) -> HttpResponseBase:
    """Say on the tenant's page what came of it."""
    if http.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if name not in ACTS:
        raise Http404
    form = ACTS[name].form(http.POST, prefix=name)
    if not form.is_valid():
        told = "; ".join(f"{field}: {' '.join(map(str, problems))}" for field, problems in form.errors.items())
        messages.error(http, f"Nothing was done. {told}")
        return HttpResponseRedirect(_href("tenant", tenant_id))
    values = dict(form.cleaned_data)
    reason = values.pop("reason")
    actor = Actor("operator", UUID(str(http.user.pk)), http.META.get("REMOTE_ADDR", ""))
    try:
        messages.success(http, ACTS[name].run(Asked(_known(tenant_id).id, reason, actor, datetime.now(UTC), values)))
    except (BillingError, Refusal) as error:
        messages.error(http, str(error))
    return HttpResponseRedirect(_href("tenant", tenant_id))


def attention(http: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    context |= {"title": "What waits for somebody", "tables": pages.attention(datetime.now(UTC))}
    return TemplateResponse(http, "operator/attention.html", context)


def _known(tenant_id: UUID) -> Tenant:
    try:
        return tenant_of(tenant_id=tenant_id)
    except Tenant.DoesNotExist:
        raise Http404 from None


def _button(http: HttpRequest, tenant_id: UUID, name: str, **about: Any) -> str:
    """A form in a row: what it is about is known, the reason is asked for."""
    form = ACTS[name].form(prefix=name, initial=about, auto_id=False)
    context = {"form": form, "action": _href("act", tenant_id, name), "title": ACTS[name].title}
    return render_to_string("operator/row_form.html", context, http)


def _href(name: str, *args: Any) -> str:
    return reverse(f"operator:{name}", args=args)
