"""Which of the auth headers is ours, and which is the caller's own for the provider?"""

import pytest

from tenants import keys
from tenants.authentication import InvalidKey, credentials_of

OURS = keys.make(bytes(24))
OTHER = keys.make(b"\1" * 24)
BROKEN = OURS[:-1] + ("1" if OURS[-1] != "1" else "2")


@pytest.mark.parametrize(
    ("headers", "api_key", "provider_key"),
    [
        ({"authorization": f"Bearer {OURS}"}, OURS, ""),
        ({"authorization": f"bearer {OURS}"}, OURS, ""),
        ({"authorization": f"BEARER   {OURS} "}, OURS, ""),
        ({"x-api-key": OURS}, OURS, ""),
        ({"authorization": f"Bearer {OURS}", "x-api-key": OURS}, OURS, ""),
        ({"authorization": f"Bearer {OURS}", "x-api-key": "sk-own"}, OURS, "sk-own"),
        ({"authorization": "Bearer sk-own", "x-api-key": OURS}, OURS, "sk-own"),
        ({"authorization": f"Bearer {BROKEN}", "x-api-key": OURS}, OURS, BROKEN),
        ({"authorization": f"Basic {OURS}", "x-api-key": OURS}, OURS, ""),
        ({"authorization": "Bearer sk-own"}, "sk-own", ""),
        ({"authorization": "Bearer sk-own", "x-api-key": "sk-two"}, "sk-own", ""),
        ({"authorization": OURS}, "", ""),
        ({"authorization": "Bearer", "x-api-key": ""}, "", ""),
        ({}, "", ""),
    ],
)
def test_credentials(headers: dict[str, str], api_key: str, provider_key: str) -> None:
    found = credentials_of(headers)

    assert (found.api_key, found.provider_key) == (api_key, provider_key)


def test_two_different_keys_are_refused() -> None:
    with pytest.raises(InvalidKey):
        credentials_of({"authorization": f"Bearer {OURS}", "x-api-key": OTHER})


def test_credentials_are_not_printed() -> None:
    found = credentials_of({"authorization": f"Bearer {OURS}", "x-api-key": "sk-own"})

    assert OURS not in repr(found)
    assert "sk-own" not in repr(found)
