"""Can a tenant make us dial an address that is none of the public internet's?"""

import socket
from typing import Any

import pytest

from cache_api.adapters.addresses import BadAddress, check_url, is_closed
from cache_api.adapters.upstream import UrllibUpstream
from cache_api.ports import UpstreamRefused, UpstreamUnreachable

PUBLIC = "93.184.215.14"
DEMO = ("127.0.0.1", 8090)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:db8::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%25lo",
        "fec0::1",
        "ff02::1",
        "no address",
        "",
    ],
)
def test_an_address_inside_is_closed(address: str) -> None:
    assert is_closed(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_outside_is_open(address: str) -> None:
    assert not is_closed(address)


def test_an_operator_closes_more() -> None:
    assert is_closed(PUBLIC, ["93.184.0.0/16"])
    assert not is_closed(PUBLIC, ["2001:db8::/32"])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/v1",
        "ftp://example.com/v1",
        "//example.com/v1",
        "https://",
        "https://user@example.com/v1",
        "https://user:word@example.com/v1",
        "https://u@127.0.0.1",
        "https://example.com:22/v1",
        "https://example.com:0/v1",
        "https://example.com:99999/v1",
        "https://example.com/v1?x=1",
        "https://example.com/v1?",
        "https://example.com/v1#x",
        "https://127.0.0.1/v1",
        "https://[::1]/v1",
        "https://[::ffff:7f00:1]/v1",
        "https://[fe80::1%25lo]/v1",
        "https://localhost/v1",
        "https://a.localhost/v1",
        "https://printer.local/v1",
        "https://metadata.google.internal/v1",
        "https://[::1/v1",
    ],
)
def test_what_no_base_url_can_be_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(BadAddress):
        check_url(url, [DEMO])


@pytest.mark.parametrize("url", ["https://example.com/v1", "https://example.com:8443", "http://127.0.0.1:8090/v1"])
def test_what_a_base_url_can_be_is_not(url: str) -> None:
    check_url(url, [DEMO])


def asked(url: str) -> None:
    UrllibUpstream(allowed=[DEMO], denied=(), waiting_max=1).relay("POST", url, {}, b"{}")


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(["127.0.0.1"], id="inside"),
        pytest.param([PUBLIC, "10.0.0.1"], id="outside, and inside as well"),
        pytest.param(["::ffff:127.0.0.1"], id="in another spelling"),
        pytest.param(["fe80::1%eth0"], id="of a link"),
    ],
)
@pytest.mark.parametrize(
    "name", ["example.com", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "127.0.0.1.", "①②⑦.0.0.1"]
)
def test_what_counts_is_where_a_name_leads_when_it_is_dialled(
    monkeypatch: pytest.MonkeyPatch, name: str, found: list[str]
) -> None:
    """However it is spelled, and whatever it led to before."""

    def connected(*_: Any) -> None:
        pytest.fail("dialled")

    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    monkeypatch.setattr(socket.socket, "connect", connected)

    with pytest.raises(UpstreamRefused):
        asked(f"https://{name}/v1")


def test_a_name_that_leads_nowhere_is_a_provider_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)

    with pytest.raises(UpstreamUnreachable):
        asked("https://api.example.com/v1")
