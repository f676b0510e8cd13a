"""What do a domain's records say?"""

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from tenants.sso import txt_records

RECORDS = {"_cacheai.example.test.": ['"v=spf1 -all"', '"cacheai-domain-proof=" "abc"']}


@pytest.fixture(autouse=True)
def _name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(line,))
        thread.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], line.getsockname()[1]
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        yield
        line.sendto(b"", line.getsockname())  # the end
        thread.join()


def _serve(line: socket.socket) -> None:
    while True:
        asked, caller = line.recvfrom(4096)
        if not asked:
            return
        question = dns.message.from_wire(asked)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        name = question.question[0].name.to_text()
        if name in RECORDS:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *RECORDS[name]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        line.sendto(answer.to_wire(), caller)


def test_parts_of_a_record_are_one_text() -> None:
    assert sorted(txt_records("_cacheai.example.test")) == ["cacheai-domain-proof=abc", "v=spf1 -all"]


@pytest.mark.parametrize("name", ["_cacheai.nowhere.test", "a..b", "x" * 70 + ".test"])
def test_where_there_is_none_nothing_is_said(name: str) -> None:
    assert txt_records(name) == []
