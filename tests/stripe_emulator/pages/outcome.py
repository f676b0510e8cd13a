"""What may a page answer?"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    content: bytes
    status: int = 200


@dataclass(frozen=True)
class Redirect:
    """After a form: 303, so that reloading sends it once."""

    url: str


Outcome = Shown | Redirect
