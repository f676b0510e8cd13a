"""What may a test ask of the emulator that nobody may ask of Stripe?"""

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from . import timeline
from .errors import InvalidRequest, Refusal
from .faults import Fault
from .world import Controls

if TYPE_CHECKING:
    from .server import Emulator, Request


def answer(emulator: "Emulator", request: "Request") -> tuple[int, Any]:
    """JSON in, JSON out; each path below is one word."""
    word = request.path.removeprefix("/_emulator/")
    given = json.loads(request.body) if request.body else {}
    try:
        answering = ANSWERS[f"{request.method} {word}"]
    except KeyError:
        return 404, {"error": f"no such control: {word}", "controls": sorted(ANSWERS)}
    try:
        return 200, answering(emulator, **given)
    except (Refusal, TypeError) as refusal:
        return 400, {"error": str(refusal)}


def _health(emulator: "Emulator") -> Any:
    return {"now": emulator.world.now(), "emulated": True}


def _advance(emulator: "Emulator", *, seconds: int = 0, to: int | None = None) -> Any:
    """The emulator's own clock; test clocks are advanced through the API."""
    world = emulator.world
    with world.lock:
        target = to if to is not None else world.now() + seconds
        if target < world.now():
            raise InvalidRequest("Time only goes forward.")
        timeline.advance_own(world, target)
        world.save()
    emulator.postman.wake()
    return {"now": world.now()}


def _controls(emulator: "Emulator", **given: Any) -> Any:
    with emulator.world.lock:
        controls = replace(emulator.world.controls, **given)
        controls = replace(controls, retry_after_seconds=tuple(controls.retry_after_seconds))
        emulator.world.controls = controls
        emulator.world.save()
    emulator.postman.wake()
    return asdict(controls)


def _fault(emulator: "Emulator", **given: Any) -> Any:
    emulator.faults.add(Fault(**given))
    return {}


def _release(emulator: "Emulator") -> Any:
    emulator.faults.clear()
    return {}


def _deliveries(emulator: "Emulator") -> Any:
    """Each with the body and headers that its endpoint gets, so that a test may post them itself."""
    world = emulator.world
    with world.lock:
        told = []
        for delivery in world.where("_delivery"):
            body, headers = emulator.postman.letter(delivery)
            endpoint = world.kind("webhook_endpoint")[delivery["endpoint"]]
            event = world.kind("event")[delivery["event"]]
            told.append(
                {**delivery, "type": event["type"], "url": endpoint["url"], "body": body.decode(), "headers": headers}
            )
        return {"deliveries": told}


def _deliver(emulator: "Emulator", *, ids: list[str] | None = None) -> Any:
    """Now, and not before all were answered: those named, delivered before or not, or all that are due."""
    if ids is None:
        sent = emulator.postman.deliver_due()
    else:
        sent = [emulator.world.get("_delivery", each) for each in ids]
        for delivery in sent:
            emulator.postman.deliver(delivery)
    return {"deliveries": sent}


def _dispute(emulator: "Emulator", *, invoice: str) -> Any:
    world = emulator.world
    with world.lock:
        charge = world.kind("charge")[world.kind("_charge_of_invoice")[invoice]["charge"]]
        charge["disputed"] = True
        dispute = {
            "id": world.new_id("dp"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": world.now_of(charge),
            "currency": charge["currency"],
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": "fraudulent",
            "status": "needs_response",
        }
        world.add(dispute, silent=True)
        world.emit("charge.dispute.created", dispute)
        world.save()
    emulator.postman.wake()
    return dispute


def _requests(emulator: "Emulator") -> Any:
    return {"requests": emulator.requests}


def _reset(emulator: "Emulator") -> Any:
    emulator.faults.clear()
    with emulator.world.lock:
        emulator.world.objects.clear()
        emulator.world.controls = Controls()
        emulator.world.save()
    emulator.requests.clear()
    return {}


ANSWERS = {
    "GET health": _health,
    "POST advance": _advance,
    "POST controls": _controls,
    "POST faults": _fault,
    "POST release": _release,
    "GET deliveries": _deliveries,
    "POST deliver": _deliver,
    "POST dispute": _dispute,
    "GET requests": _requests,
    "POST reset": _reset,
}
