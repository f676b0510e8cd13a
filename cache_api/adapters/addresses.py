"""Which hosts may be dialled for a tenant?"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

PORTS = frozenset({443, 8443})

# On Python 3.11 `is_global` alone passes fec0::1, ::127.0.0.1 and 192.0.0.8.
_CLOSED = [
    ip_network(net)
    for net in [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ]
]
_NAT64 = IPv6Network("64:ff9b::/96")

Allowed = Collection[tuple[str, int]]  # exact (host, port) pairs of the operator's, never a tenant's


class BadAddress(ValueError):
    """The address may not be dialled."""


def check_url(url: str, allowed: Allowed) -> None:
    """Raises BadAddress unless the URL is one a tenant may name; what counts is checked again at the connect."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadAddress("The base URL cannot be read.") from None
    if parts.username is not None or parts.password is not None:
        raise BadAddress("The base URL must not hold a user name or password.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadAddress("The base URL must not hold a query or fragment.")
    host = parts.hostname
    if not host:
        raise BadAddress("The base URL must name a host.")
    if (host, port or 80) in allowed and parts.scheme in {"http", "https"}:
        return
    if parts.scheme != "https":
        raise BadAddress("The base URL must begin with https://.")
    if (443 if port is None else port) not in PORTS:
        raise BadAddress("The base URL's port must be 443 or 8443.")
    literal = _literal(host)
    if literal is not None and is_closed(literal):
        raise BadAddress("The base URL is not a public address.")
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        raise BadAddress("The base URL is not a public address.")


def is_closed(address: str, denied: Collection[str] = ()) -> bool:
    """Whether this address, as a resolver spells it, is none of the public internet's."""
    if "%" in address:
        return True
    try:
        ip = ip_address(address)
    except ValueError:
        return True
    ip = _unwrapped(ip)
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return True
    return any(ip in net for net in _CLOSED) or any(ip in ip_network(net) for net in denied)


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address inside: mapped, behind NAT64, or 6to4."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip.sixtofour is not None:
            return ip.sixtofour
    return ip


def _literal(host: str) -> str | None:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return host
