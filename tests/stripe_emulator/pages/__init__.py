"""What does a person see at checkout, in the portal, and of an invoice?"""

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from .. import timeline
from . import checkout, invoice, layout, portal
from .outcome import Outcome, Redirect, Shown

if TYPE_CHECKING:
    from ..server import Emulator, Request


def answer(emulator: "Emulator", request: "Request") -> Outcome:
    world = emulator.world
    with world.lock:
        timeline.run(world)
        outcome = _answer(emulator, request)
        if request.method == "POST":
            world.save()
    emulator.postman.wake()
    return outcome


def _answer(emulator: "Emulator", request: "Request") -> Outcome:
    world, parts = emulator.world, request.path.strip("/").split("/")
    form = dict(parse_qsl(request.body)) if request.method == "POST" else None
    match parts:
        case ["checkout", session]:
            return checkout.show(world, session) if form is None else checkout.submit(world, session, form)
        case ["portal", session] if form is None:
            return portal.show(world, session)
        case ["portal", session, action] if form is not None:
            return portal.submit(world, session, action, form)
        case ["invoice", found] | ["invoice", found, "pdf"]:
            return invoice.show(world, found) if form is None else invoice.submit(world, found, form)
    return Shown(layout.document("There is no such page", ""), status=404)


__all__ = ["Redirect", "Shown", "answer"]
