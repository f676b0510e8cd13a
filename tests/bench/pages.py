"""How long does a page of a full tenant take, and how much comes over the wire?"""

import gzip
import http.client
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

ROUNDS = 7
_ASSET = re.compile(r'(?:src|href)="(/static/[^"#]+)')
_IN_STYLE = re.compile(r"url\(\"?([^)\"]+)")


@dataclass(frozen=True)
class Page:
    name: str
    ms: float  # of the page itself, the median
    page_bytes: int  # compressed, as it came
    first_bytes: int  # with all it needs that a browser does not have yet

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def addresses(tenant_id: str, *, project_id: str, call_id: str, fingerprint: str) -> Mapping[str, str]:
    """Each page with the sights of it that ask the most."""
    named = {
        "overview": "",
        "overview, 90 days": "?days=90",
        "overview, 90 days, one model": "?days=90&model=gpt-5&provider=openai",
        "overview, live": "?days=30&live=1",
        "calls": "calls?days=90",
        "calls, a rare decision": "calls?days=90&decision=blocked",
        "calls, a rare model": "calls?days=90&model=nobody-asks-for-it",
        "calls, of one task and model": "calls?days=90&task=triage&model=demo-small&decision=hit",
        "call": f"calls/{call_id}",
        "usage, by model": "usage?days=90",
        "usage, by end user": "usage?days=90&by=end_user",
        "usage, by decision": "usage?days=90&by=decision",
        "budgets": "budgets",
        "entries": f"cache?project={project_id}",
        "entries, most hits": f"cache?project={project_id}&order_by=-hits",
        "entries, of one model": f"cache?project={project_id}&model=demo-small&status=live",
        "entries, by meaning": f"cache?project={project_id}&q=How+do+I+reset+my+password",
        "entries, by words that none has": f"cache?project={project_id}&q=zebra&by=words",
        "entry": f"cache/entries/{fingerprint}?project={project_id}",
        "purge, counted": f"cache/purge?project={project_id}&status=live",
        "near duplicates": f"cache/duplicates?project={project_id}",
        "import and export": f"cache/transfers?project={project_id}",
        "blocklist": f"cache/blocklist?project={project_id}",
        "policy": f"policy?project={project_id}",
        "prices": f"prices?project={project_id}",
        "playground": "playground",
        **{name: name for name in ("keys", "providers", "projects", "webhooks", "members", "billing", "audit")},
        "settings": "settings",
    }
    return {name: f"/t/{tenant_id}/{path}" for name, path in named.items()}


def measured(base_url: str, session: str, paths: Mapping[str, str]) -> list[Page]:
    """Raises AssertionError where a page does not answer 200."""
    visitor = _Visitor(base_url, session)
    assets: dict[str, int] = {}
    found = []
    for name, path in paths.items():
        body, size = visitor.get(path)  # warms up what the process keeps
        needed = set(_ASSET.findall(body))
        for asset in needed - assets.keys():
            assets[asset] = visitor.weigh(asset)
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            visitor.get(path)
            took.append((time.perf_counter() - began) * 1000)
        found.append(Page(name, median(took), size, size + sum(assets[one] for one in needed)))
    visitor.close()
    return found


class _Visitor:
    """A browser's requests over one connection, as somebody who is signed in."""

    def __init__(self, base_url: str, session: str) -> None:
        where = urlsplit(base_url)
        self._line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        self._headers = {"Cookie": f"sessionid={session}; zone=Europe/Berlin", "Accept-Encoding": "gzip"}

    def get(self, path: str) -> tuple[str, int]:
        """The text, and how many bytes came."""
        self._line.request("GET", path, headers=self._headers)
        answer = self._line.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{path}: {answer.status}"
        plain = gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body
        return plain.decode(errors="replace"), len(body)

    def weigh(self, asset: str) -> int:
        """With what a style sheet asks for in turn."""
        text, size = self.get(asset)
        inner = _IN_STYLE.findall(text) if asset.endswith(".css") else ()
        return size + sum(self.weigh(f"{asset.rpartition('/')[0]}/{one}") for one in inner)

    def close(self) -> None:
        self._line.close()
