"""What does a person see at checkout, and in the portal?"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..server import Emulator, Request


def answer(emulator: "Emulator", request: "Request") -> tuple[int, str, bytes]:
    return 404, "text/plain; charset=utf-8", b"There is no such page."
