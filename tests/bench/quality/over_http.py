"""Does the running service decide as the decision code does?

Entries are put and looked up as a client would; the same questions go to the decision code beside vectors of our own. A
look-up that had no time is asked again, and counted apart where it never has.
"""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import numpy as np
import requests

from tests.bench.quality.data import Data, Pair, some
from tests.bench.quality.probes import SOURCE
from tests.bench.quality.product import CANDIDATES, judged, looked_up, may_match, nearest
from tests.bench.quality.t2_probes import of_pairs, of_stream
from tests.bench.quality.vectors import HOME, vectors_of
from tests.bench.stack import running

MODEL = "demo-small"
TRAPS, ENTRIES, PROBES = 200, 200, 100
AT_ONCE = 50  # entries of one call
TTL_SECONDS = 900
WAIT_SECONDS = 90.0  # for vectors that were not made at once, and for a service that is busy
PAUSE_SECONDS = 1.0
CALL_SECONDS = 30
LATE = ("deadline", "cache_unavailable")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, where it is asked, and what the decision code serves."""

    text: str
    namespace: str
    nearest: str | None  # the entry that a look-up must have seen, lest it came before the entry's vector
    served: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the service serves; `late`: it never had the time to decide."""

    served: str | None
    late: bool
    said: str


def measured(data: Data, base_url: str, api_key: str, *, seed: int) -> dict[str, Any]:
    """At a service that runs, or with no address at one that is started for it."""
    if not base_url:
        with _own_service() as (url, key):
            return measured(data, url, key, seed=seed)
    run = f"quality-{uuid4().hex[:12]}"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {api_key}"
        service = Service(base_url, session)
        return {
            "traps": compared(service, *_traps(data, run)),
            "probes": compared(service, *_probes(data, run, Random(seed))),
        }


class Service:
    """The cache's own endpoints, as a client calls them."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._session = session

    def put(self, entries: Sequence[tuple[str, str]]) -> None:
        """Questions with their namespaces."""
        given = [
            {
                "question": text,
                "answer": f"An answer to: {text}",
                "model": MODEL,
                "namespace": namespace,
                "ttl": TTL_SECONDS,
            }
            for text, namespace in entries
        ]
        for start in range(0, len(given), AT_ONCE):
            self._call("/v1/cache/entries", {"entries": given[start : start + AT_ONCE]})

    def look_up(self, asked: Asked, *, until: float) -> Told:
        body = {"question": asked.text, "namespace": asked.namespace, "model": MODEL, "limit": 2 * CANDIDATES}
        while True:
            found = self._call("/v1/cache/lookup", body)
            by_key = {it["cache_key"]: it["question"] for it in found["candidates"]}
            late = found["reason"] in LATE
            unseen = found["decision"] == "miss" and asked.nearest is not None and asked.nearest not in by_key.values()
            if not (late or unseen) or time.monotonic() > until:
                break
            time.sleep(PAUSE_SECONDS)
        served = by_key.get(found["cache_key"]) if found["decision"] == "hit" else None
        near: Mapping[str, Any] = next(iter(found["candidates"]), {})
        said = f"{found['decision']} {found['reason']}, nearest {near.get('similarity')} {near.get('reason') or ''}"
        return Told(served, late, said.strip())

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = self._session.post(self._root + path, json=body, timeout=CALL_SECONDS)
        response.raise_for_status()
        return dict(response.json())


def compared(service: Service, entries: Sequence[tuple[str, str]], asked: Sequence[Asked]) -> dict[str, Any]:
    service.put(entries)
    until = time.monotonic() + WAIT_SECONDS
    return differences(asked, [service.look_up(it, until=until) for it in asked])


def differences(asked: Sequence[Asked], told: Sequence[Told]) -> dict[str, Any]:
    other = [
        (ours, theirs)
        for ours, theirs in zip(asked, told, strict=True)
        if not theirs.late and ours.served != theirs.served
    ]
    return {
        "n": len(asked),
        "by code": sum(it.served is not None for it in asked),
        "over http": sum(it.served is not None for it in told),
        "other": len(other),
        "late": sum(it.late for it in told),
        "differences": [
            f"{ours.text!r}: the code {'serves ' + repr(ours.served) if ours.served else 'misses'}, {theirs.said}"
            for ours, theirs in other
        ],
    }


def _traps(data: Data, run: str) -> tuple[list[tuple[str, str]], list[Asked]]:
    """Each pair alone."""
    pairs = some([it for it in data.pairs[SOURCE] if it.q1 != it.q2 and looked_up(it.q1)], TRAPS)
    vectors = vectors_of([text for pair in pairs for text in (pair.q1, pair.q2)])
    cosines = np.einsum("ij,ij->i", vectors[0::2], vectors[1::2]).tolist()
    return [(pair.q1, f"{run}-{at}") for at, pair in enumerate(pairs)], [
        _asked(pair, float(cosine), f"{run}-{at}") for at, (pair, cosine) in enumerate(zip(pairs, cosines, strict=True))
    ]


def _asked(pair: Pair, cosine: float, namespace: str) -> Asked:
    served = judged(pair.q2, [pair.q1], [cosine]).served
    matched = may_match(pair.q1) and may_match(pair.q2)
    return Asked(pair.q2, namespace, pair.q1 if matched else None, None if served is None else pair.q1)


def _probes(data: Data, run: str, chance: Random) -> tuple[list[tuple[str, str]], list[Asked]]:
    """Of one stream, or of one file of pairs, with some background; all in one place."""
    stream = next(iter(data.streams.values()), None)
    file = next((pairs for name, pairs in data.pairs.items() if name != SOURCE), [])
    stored, probes = of_stream(stream.texts, chance) if stream else of_pairs(file)
    texts = [it.text for it in chance.sample(stored, min(ENTRIES, len(stored)))]
    texts = [text for text in dict.fromkeys([*texts, *islice(data.stored_background, ENTRIES // 2)]) if may_match(text)]
    asked = [it.text for it in probes] + data.asked_background[: len(probes) // 4]
    asked = [text for text in dict.fromkeys(asked) if may_match(text) and text not in texts]
    asked = chance.sample(asked, min(PROBES, len(asked)))
    if not texts or not asked:
        return [], []
    places, cosines = nearest(vectors_of(asked), vectors_of(texts))
    found = []
    for text, near, similar in zip(asked, places.tolist(), cosines.tolist(), strict=True):
        served = judged(text, [texts[at] for at in near], similar).served
        found.append(Asked(text, run, texts[near[0]], None if served is None else texts[near[served]]))
    return [(text, run) for text in texts], found


@contextlib.contextmanager
def _own_service() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="cacheai-quality-") as home:
        print("starting a service of our own", file=sys.stderr, flush=True)
        with running(Path(home), models=HOME / "models"):
            told = json.loads((Path(home) / "demo.json").read_text())
            yield told["base_url"], told["api_key"]
