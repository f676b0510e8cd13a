"""Did Stripe send this, and is it kept?"""

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import events, stripe_api
from billing.errors import BadSignature
from tenants.hints import hint_aside
from tenants.isolation import DatabaseUnavailable

ACT = "billing.act"
BODY_MAX_BYTES = 256 * 1024  # An event is some 10 KB; of what is longer a thread would wait for the rest.


@csrf_exempt
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """200 once it is committed; 500 has Stripe send it again."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > BODY_MAX_BYTES:
        return HttpResponse(status=413)
    try:
        event = stripe_api.signed_event(request.body, request.headers.get("Stripe-Signature", ""))
    except BadSignature as error:
        return HttpResponse(str(error), status=400, content_type="text/plain")
    except UnreadablePostError:
        return HttpResponse(status=408)
    try:
        events.event_keep(event)
    except DatabaseUnavailable:
        return HttpResponse(status=500)
    hint_aside(ACT)
    return HttpResponse(status=200)
