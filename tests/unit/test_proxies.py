"""Whose call is it, where proxies stand in front?"""

import ipaddress
from typing import Any

import pytest

from cacheai.proxies import behind, caller_of

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),  # what a caller claims itself
        ("10.0.0.1", "10.9.9.9, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # a call from inside
        ("10.0.0.1", "", "10.0.0.1"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # no proxy of ours: nothing it says counts
        ("203.0.113.7", "10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", ",,", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("", "203.0.113.7", ""),  # a socket without addresses
    ],
)
def test_the_caller_is_the_last_address_that_is_no_proxy(peer: str, forwarded: str, caller: str) -> None:
    assert caller_of(peer, forwarded, PROXIES) == caller


def test_the_application_sees_the_caller_as_its_peer() -> None:
    def application(environ: dict[str, Any], _: Any) -> str:
        return str(environ["REMOTE_ADDR"])

    asked = behind(PROXIES, application)

    assert asked({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.7"}, None) == "203.0.113.7"
    assert asked({"REMOTE_ADDR": "203.0.113.8"}, None) == "203.0.113.8"
