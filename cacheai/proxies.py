"""Whose call is it, where proxies of ours stand in front?

Each proxy adds to X-Forwarded-For whom it was called by. Read from the right, the first address that is no proxy of
ours is the caller's; what stands further left is the caller's own saying.
"""

import ipaddress
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Application = Callable[[dict[str, Any], Any], Any]

REMEMBERED = 10_000  # callers with what was forwarded for them


def behind(proxies: Sequence[Network], application: Application) -> Application:
    """The application as callers at the other side of the proxies see it."""

    @lru_cache(maxsize=REMEMBERED)
    def caller(peer: str, forwarded: str) -> str:
        return caller_of(peer, forwarded, proxies)

    def told(environ: dict[str, Any], start_response: Any) -> Any:
        environ["REMOTE_ADDR"] = caller(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))
        return application(environ, start_response)

    return told


def caller_of(peer: str, forwarded: str, proxies: Sequence[Network]) -> str:
    """The peer itself unless it is a proxy; of what a proxy says only as much as can be read."""
    caller = peer
    hops = [*forwarded.split(","), peer]
    while hops:
        address = _address(hops.pop().strip())
        if address is None:
            break
        caller = str(address)
        if not any(address in network for network in proxies):
            break
    return caller


def _address(said: str) -> Address | None:
    """Some proxies add a port."""
    if said.startswith("["):
        said = said[1:].partition("]")[0]
    elif said.count(":") == 1:
        said = said.partition(":")[0]
    try:
        address = ipaddress.ip_address(said)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
