"""Why may this not be done?

Refusal
├── NotFound
├── Conflict         what is there already stands against it
│   ├── NameTaken
│   ├── LastProject
│   └── KeyEnded
├── BadValue         a field holds what it may not
│   ├── BadCredential
│   └── BadBaseUrl
└── NotAllowed
    ├── TooWide
    ├── LimitReached
    └── NotInPlan
"""

from typing import Self


class Refusal(Exception):
    """This cannot be done."""

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message or self.__doc__)
        self.field = field  # which of the arguments is meant


class NotFound(Refusal):
    """There is no such thing in this tenant."""


class Conflict(Refusal):
    """What is there already stands against it."""


class NameTaken(Conflict):
    """Another one has this name."""


class LastProject(Conflict):
    """A tenant keeps at least one project."""


class KeyEnded(Conflict):
    """This key has ended, or has a successor already."""


class BadValue(Refusal, ValueError):
    """A field holds what it may not."""


class BadCredential(BadValue):
    """The provider does not know this credential."""


class BadBaseUrl(BadValue):
    """The address may not be dialled."""


class NotAllowed(Refusal):
    """This is not allowed."""


class TooWide(NotAllowed):
    """Nobody makes a key that may more than they may themselves."""


class LimitReached(NotAllowed):
    """The plan allows no more of them."""

    plan = ""  # whose limit it is; empty: every tenant's

    @classmethod
    def of(cls, plan: str, most: int, what: str, more: str = "") -> Self:
        """`what` is one of them."""
        made = cls(f"The plan {plan} allows {most} {what}{'' if most == 1 else 's'}{more}.")
        made.plan = plan
        return made


class NotInPlan(NotAllowed):
    """The plan does not include this."""
