"""Which addresses are told of what happens, and did it arrive?"""

from datetime import UTC, datetime
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from dashboard.forms import NewEndpoint
from dashboard.people import Visit, done, page, show
from tenants import features
from tenants import webhooks as services
from tenants.models import WebhookEndpoint
from tenants.refusals import Refusal


@page(may="webhooks")
def webhooks(http: HttpRequest, visit: Visit) -> HttpResponse:
    if features.WEBHOOKS not in visit.tenant.features:
        return _not_in_plan(http, visit)
    return show(http, visit, "webhooks.html", endpoints=services.endpoints_of(tenant_id=visit.tenant.id))


@page(may="webhooks", methods=("GET", "POST"), fresh=True)
def new(http: HttpRequest, visit: Visit) -> HttpResponseBase:
    if features.WEBHOOKS not in visit.tenant.features:
        return _not_in_plan(http, visit)
    form = NewEndpoint(http.POST if http.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            made = services.endpoint_create(tenant_id=visit.tenant.id, actor=visit.actor, **form.cleaned_data)
            return show(http, visit, "webhook_made.html", made=made, url=form.cleaned_data["url"])
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "webhook_form.html", form=form)


@page(may="webhooks", methods=("GET", "POST"), fresh=True)
def change(http: HttpRequest, visit: Visit, endpoint_id: UUID) -> HttpResponseBase:
    found = _endpoint(visit, endpoint_id)
    form = NewEndpoint(http.POST if http.method == "POST" else None, initial={"url": found.url, "events": found.events})
    if form.is_bound and form.is_valid():
        try:
            services.endpoint_change(
                tenant_id=visit.tenant.id, actor=visit.actor, endpoint_id=endpoint_id, **form.cleaned_data
            )
            return done(http, visit, "The endpoint is changed.", "webhooks-endpoint", endpoint_id)
        except Refusal as refusal:
            form.refuse(refusal)
    return show(http, visit, "webhook_form.html", form=form, endpoint=found)


@page(may="webhooks")
def endpoint(http: HttpRequest, visit: Visit, endpoint_id: UUID) -> HttpResponse:
    found = _endpoint(visit, endpoint_id)
    deliveries = services.deliveries_of(tenant_id=visit.tenant.id, endpoint_id=endpoint_id)
    template = "parts/deliveries.html" if "HX-Request" in http.headers else "webhook.html"
    return show(http, visit, template, endpoint=found, deliveries=deliveries)


@page(may="webhooks", methods=("POST",), back="webhooks")
def test(http: HttpRequest, visit: Visit, endpoint_id: UUID) -> HttpResponseBase:
    services.endpoint_test(tenant_id=visit.tenant.id, endpoint_id=endpoint_id, now=datetime.now(UTC))
    return done(http, visit, "A test is on its way.", "webhooks-endpoint", endpoint_id)


@page(may="webhooks", methods=("POST",), back="webhooks")
def enable(http: HttpRequest, visit: Visit, endpoint_id: UUID) -> HttpResponseBase:
    services.endpoint_enable(tenant_id=visit.tenant.id, actor=visit.actor, endpoint_id=endpoint_id)
    return done(http, visit, "It is told again from now on.", "webhooks-endpoint", endpoint_id)


@page(may="webhooks", methods=("POST",), fresh=True, back="webhooks")
def delete(http: HttpRequest, visit: Visit, endpoint_id: UUID) -> HttpResponseBase:
    services.endpoint_delete(tenant_id=visit.tenant.id, actor=visit.actor, endpoint_id=endpoint_id)
    return done(http, visit, "The endpoint is gone.", "webhooks")


@page(may="webhooks", methods=("POST",))
def again(http: HttpRequest, visit: Visit, endpoint_id: UUID, delivery_id: UUID) -> HttpResponseBase:
    try:
        services.delivery_again(tenant_id=visit.tenant.id, delivery_id=delivery_id, now=datetime.now(UTC))
    except Refusal as refusal:  # where its log is, of many endpoints
        messages.error(http, str(refusal))
        return HttpResponseRedirect(visit.href("webhooks-endpoint", endpoint_id))
    return done(http, visit, "It is sent again.", "webhooks-endpoint", endpoint_id)


def _not_in_plan(http: HttpRequest, visit: Visit) -> HttpResponse:
    return show(http, visit, "not_in_plan.html", title="Webhooks", image="hook")


def _endpoint(visit: Visit, endpoint_id: UUID) -> WebhookEndpoint:
    found = next((one for one in services.endpoints_of(tenant_id=visit.tenant.id) if one.id == endpoint_id), None)
    if found is None:
        raise Http404
    return found
