"""What may a member do?"""

from collections.abc import Mapping
from types import MappingProxyType

ROLES = ("owner", "admin", "developer", "billing", "viewer")

_EVERYONE = frozenset(ROLES)
_BUILDERS = frozenset({"owner", "admin", "developer"})
_MANAGERS = frozenset({"owner", "admin"})

# Each act and who may do it. Figures and the list of calls hold no text.
MAY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "figures": _EVERYONE,
        "texts": _BUILDERS,
        "policy": _BUILDERS,
        "purge": _BUILDERS,
        "feedback": _BUILDERS,
        "keys": _BUILDERS,
        "provider_keys": _MANAGERS,
        "webhooks": _MANAGERS,
        "sso": _MANAGERS,
        "members": _MANAGERS,  # owners are another owner's matter
        "budgets": _MANAGERS | {"billing"},
        "audit": _MANAGERS,
        "export": _MANAGERS,
        "plan": frozenset({"owner", "billing"}),
        "tenant": frozenset({"owner"}),  # delete it, hand it over
    }
)


def may(role: str, act: str) -> bool:
    return role in MAY[act]
