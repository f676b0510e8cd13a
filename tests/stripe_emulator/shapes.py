"""Which fields does an object of Stripe have? Those that stripe-python's class of it names, absent ones null."""

from functools import cache
from typing import Any, get_args

import stripe

# In no answer of their own accord: only expanded, or only on what was deleted.
_NOT_BY_DEFAULT = frozenset(
    {"deleted", "tiers", "currency_options", "sources", "subscriptions", "tax_ids", "cash_balance"}
)

Object = dict[str, Any]


def shaped(name: str, /, **given: Any) -> Object:
    """`shaped("billing.Meter", id=...)`; a field that the class does not know, or one left out, is our mistake."""
    optional, required = _fields(name)
    unknown = set(given) - set(optional) - set(required)
    left_out = set(required) - set(given)
    if unknown or left_out:
        raise TypeError(f"{name}: unknown {sorted(unknown)}, left out {sorted(left_out)}")
    return {**dict.fromkeys(name for name in optional if name not in _NOT_BY_DEFAULT), **given}


@cache
def _fields(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found: Any = stripe
    for part in name.split("."):
        found = getattr(found, part)
    hints = {name: hint for name, hint in found.__annotations__.items() if name != "OBJECT_NAME"}
    optional = tuple(name for name, hint in hints.items() if type(None) in get_args(hint))
    return optional, tuple(name for name in hints if name not in optional)
