"""What does the tenant pay, and for what?"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from billing import period_net, selectors, services
from billing.errors import BillingError
from billing.plans import PLANS
from dashboard.forms import SpendCap
from dashboard.people import Visit, done, page, show

P = ParamSpec("P")


def _says_why(view: Callable[Concatenate[HttpRequest, Visit, P], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """What Stripe or we refuse is said on the page; nothing was changed."""

    @wraps(view)
    def told(http: HttpRequest, visit: Visit, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(http, visit, *args, **kwargs)
        except BillingError as error:
            messages.error(http, str(error))
            return redirect(visit.href("billing"))

    return told


@page(may="plan")
@_says_why
def billing(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    now = datetime.now(UTC)
    if "cs" in http.GET:  # Back from the checkout: the page need not wait for a webhook.
        services.checkout_finish(tenant_id=visit.tenant.id, now=now)
        return redirect(visit.href("billing"))
    seen = selectors.overview(tenant_id=visit.tenant.id, now=now)
    return _shown(http, visit, seen, SpendCap(initial={"usd": seen.cap.usd}))


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def checkout(http: HttpRequest, visit: Visit, plan: str) -> HttpResponseBase:
    url = services.checkout_start(
        tenant_id=visit.tenant.id,
        plan=plan,
        email=getattr(http.user, "email", ""),
        return_url=http.build_absolute_uri(visit.href("billing")),
        actor=visit.actor,
    )
    return redirect(url)


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def portal(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    return_url = http.build_absolute_uri(visit.href("billing"))
    return redirect(services.portal_start(tenant_id=visit.tenant.id, return_url=return_url))


@page(may="plan", methods=("GET", "POST"), fresh=True)
@_says_why
def upgrade(http: HttpRequest, visit: Visit, plan: str) -> HttpResponseBase:
    """First what it comes to, then the change."""
    now = datetime.now(UTC)
    if http.method == "POST":
        confirm_url = services.upgrade_now(tenant_id=visit.tenant.id, plan=plan, actor=visit.actor, now=now)
        return redirect(confirm_url) if confirm_url else done(http, visit, "The larger plan applies now.", "billing")
    preview = services.upgrade_preview(tenant_id=visit.tenant.id, plan=plan, now=now)
    return show(http, visit, "billing_upgrade.html", preview=preview, plan=PLANS[plan])


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def downgrade(http: HttpRequest, visit: Visit, plan: str) -> HttpResponseBase:
    at_once = services.downgrade_at_period_end(
        tenant_id=visit.tenant.id, plan=plan, actor=visit.actor, now=datetime.now(UTC)
    )
    told = "The smaller plan applies now." if at_once else "The plan changes when the period ends."
    return done(http, visit, told, "billing")


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def cancel(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    services.cancel_at_period_end(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC))
    return done(http, visit, "The plan ends with the period. Until then everything stays.", "billing")


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def undo(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    services.change_undo(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC))
    return done(http, visit, "The plan stays as it is.", "billing")


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def resume(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    services.resume(tenant_id=visit.tenant.id, actor=visit.actor, now=datetime.now(UTC))
    return done(http, visit, "The plan goes on.", "billing")


@page(may="plan", methods=("POST",), fresh=True)
@_says_why
def spend_cap(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    now = datetime.now(UTC)
    form = SpendCap(http.POST)
    if form.is_valid():
        services.spend_cap_set(tenant_id=visit.tenant.id, usd=form.cleaned_data["usd"], actor=visit.actor, now=now)
        return done(http, visit, "The spend cap is set.", "billing")
    return _shown(http, visit, selectors.overview(tenant_id=visit.tenant.id, now=now), form)


def _shown(http: HttpRequest, visit: Visit, seen: Any, cap: SpendCap) -> HttpResponse:
    invoices = selectors.invoices_of(tenant_id=visit.tenant.id)
    periods = period_net.period_nets(tenant_id=visit.tenant.id, now=datetime.now(UTC))
    return show(http, visit, "billing.html", seen=seen, cap_form=cap, invoices=invoices, periods=periods)
