"""T2: of questions asked to a full cache, how many are served, and how many of these wrongly?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from tests.bench.quality.data import Data, Pair, Text
from tests.bench.quality.product import SCORED_FROM, judged, looked_up, nearest
from tests.bench.quality.sweep import NOTHING, RIGHT, UNKNOWN, WRONG, Array, Sweep, figure, share, weights
from tests.bench.quality.vectors import vectors_of

MIXES = {"chat": (0.1, 0.3, 0.6), "qa": (0.3, 0.3, 0.4), "support": (0.6, 0.2, 0.2)}  # right stored, near miss, other
SEEDS, QUICK_SEEDS = 5, 1
BOUNDS = (0.01, 0.02, 0.05)
COSINE_CUTS = (0.85, 0.92)
AUDITED = 200  # hits of a mix that somebody may read: served, and wrong or unknown by the labels

KNOWN_CLUSTERS = 0.6
KNOWN_TEXTS = 4
ENTRIES_A_CLUSTER = 10
GROUPS = ("stored", "near", "other")


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry; `owner` is what it answers, None for background."""

    text: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class Probe:
    """A question; `owner` is whose answer it wants or only seems to want, None for background."""

    text: str
    owner: str | None
    group: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a probe: by the product's score, by plain cosine, and as the product ships."""

    group: str
    cluster: str
    score: float
    by_score: int
    cosine: float
    by_cosine: int
    as_shipped: int
    asked: str
    answered_by: str | None  # the question whose answer was served


def measured(data: Data, *, seed: int, frozen_cosine: float, quick: bool) -> dict[str, Any]:
    """By file and mix."""
    entries = [Stored(text, None) for text in data.stored_background]
    others = [Probe(text, None, "other") for text in data.asked_background]
    if not entries or not others:
        return {}
    seeds = range(seed, seed + (QUICK_SEEDS if quick else SEEDS))
    found: dict[str, Any] = {}
    for name, pairs in data.pairs.items():
        stored, probes = of_pairs(pairs)
        outcomes = asked_all(stored + entries, probes + others, outcome_of_pairs)
        found[name] = _mixes([outcomes] * len(seeds), seeds, frozen_cosine) | {
            "specifics": False,
            "bypassed": _bypassed(pair.q2 for pair in pairs),
        }
    for name, stream in data.streams.items():
        rounds = []
        for it in seeds:
            stored, probes = of_stream(stream.texts, Random(it))
            rounds.append(asked_all(stored + entries, probes + others, outcome_of_stream))
        found[f"stream_{name}"] = _mixes(rounds, seeds, frozen_cosine) | {
            "specifics": stream.specifics,
            "bypassed": _bypassed(text.text for text in stream.texts),
        }
    return found


def _bypassed(texts: Iterable[str]) -> int:
    return sum(not looked_up(text) for text in texts)


def of_pairs(pairs: Sequence[Pair]) -> tuple[list[Stored], list[Probe]]:
    stored = [Stored(text, text) for text in dict.fromkeys(pair.q1 for pair in pairs)]
    return stored, [Probe(pair.q2, pair.q1, "stored" if pair.label else "near") for pair in pairs]


def of_stream(texts: Sequence[Text], chance: Random) -> tuple[list[Stored], list[Probe]]:
    clusters: dict[str, list[str]] = {}
    for text in texts:
        clusters.setdefault(text.cluster, []).append(text.text)
    large = [name for name, members in clusters.items() if len(members) >= KNOWN_TEXTS]
    known = set(chance.sample(large, round(KNOWN_CLUSTERS * len(large))))

    stored, probes = [], []
    for name, members in clusters.items():
        if name not in known:
            probes += [Probe(text, name, "near") for text in members]
            continue
        chance.shuffle(members)
        count = min(ENTRIES_A_CLUSTER, len(members) // 2)
        stored += [Stored(text, name) for text in members[:count]]
        probes += [Probe(text, name, "stored") for text in members[count:]]
    return stored, probes


def outcome_of_pairs(probe: Probe, entry: Stored) -> int:
    """Of another pair's entry nobody said whether it answers this question."""
    if probe.group == "other":
        return WRONG
    if entry.owner != probe.owner:
        return UNKNOWN
    return RIGHT if probe.group == "stored" else WRONG


def outcome_of_stream(probe: Probe, entry: Stored) -> int:
    return RIGHT if probe.owner is not None and entry.owner == probe.owner else WRONG


def asked_all(stored: Sequence[Stored], probes: Sequence[Probe], outcome_of: Any) -> list[Outcome]:
    """Each probe once, but what is word for word in the cache, or passes it by: that is no hit for anybody."""
    entries = list({it.text: it for it in reversed(stored) if looked_up(it.text)}.values())
    kept = {it.text for it in entries}
    asked = [probe for probe in probes if probe.text not in kept and looked_up(probe.text)]
    places, cosines = nearest(vectors_of([it.text for it in asked]), vectors_of([it.text for it in entries]))
    return [
        _asked(probe, [entries[at] for at in near], cosine.tolist(), outcome_of)
        for probe, near, cosine in zip(asked, places, cosines, strict=True)
    ]


def _asked(probe: Probe, near: Sequence[Stored], cosines: Sequence[float], outcome_of: Any) -> Outcome:
    judgement = judged(probe.text, [it.text for it in near], cosines)
    best = None if judgement.best is None or judgement.score < 0 else near[judgement.best]
    served = None if judgement.served is None else near[judgement.served]
    return Outcome(
        group=probe.group,
        cluster=probe.owner or probe.text,
        score=judgement.score,
        by_score=NOTHING if best is None else outcome_of(probe, best),
        cosine=cosines[0],
        by_cosine=NOTHING if cosines[0] < SCORED_FROM else outcome_of(probe, near[0]),
        as_shipped=NOTHING if served is None else outcome_of(probe, served),
        asked=probe.text,
        answered_by=None if served is None else served.text,
    )


def mixed(outcomes: Sequence[Outcome], shares: Sequence[float], chance: Random) -> list[Outcome]:
    """As many as the scarcest group allows."""
    groups = [[it for it in outcomes if it.group == name] for name in GROUPS]
    total = min(len(group) / part for group, part in zip(groups, shares, strict=True))
    return [it for group, part in zip(groups, shares, strict=True) for it in chance.sample(group, int(total * part))]


def _mixes(rounds: Sequence[Sequence[Outcome]], seeds: Sequence[int], frozen_cosine: float) -> dict[str, Any]:
    found = {}
    for name, shares in MIXES.items():
        mix = [it for outcomes, seed in zip(rounds, seeds, strict=True) for it in mixed(outcomes, shares, Random(seed))]
        if mix:
            found[name] = of_mix(mix, seed=seeds[0], frozen_cosine=frozen_cosine)
    return {"mixes": found}


def of_mix(mix: Sequence[Outcome], *, seed: int, frozen_cosine: float) -> dict[str, Any]:
    each = weights([it.cluster for it in mix], seed=seed)
    ceiling = each[:, [it.group == "stored" for it in mix]].sum(axis=1, dtype=np.float64)

    shipped = np.array([it.as_shipped for it in mix])
    product = Sweep(np.array([it.score for it in mix]), np.array([it.by_score for it in mix]), each)
    cosine = Sweep(np.array([it.cosine for it in mix]), np.array([it.by_cosine for it in mix]), each)
    as_shipped = Sweep(np.where(shipped == NOTHING, 0.0, 1.0), shipped, each)
    return {
        "n": len(mix),
        "ceiling": figure(share(ceiling, each.sum(axis=1)), len(mix)).as_dict(),
        "product": served_at(as_shipped, as_shipped.at_cut(1.0), ceiling, len(mix)),
        "product oracle": _oracle(product, ceiling, len(mix)),
        "cosine": {f"{cut:g}": served_at(cosine, cosine.at_cut(cut), ceiling, len(mix)) for cut in COSINE_CUTS},
        "cosine frozen": served_at(cosine, cosine.at_cut(frozen_cosine), ceiling, len(mix)),
        "cosine oracle": _oracle(cosine, ceiling, len(mix)),
        "cosine steps": _steps(cosine),
        "curve": {"product": curve(product), "cosine": curve(cosine)},
        "audit": [
            {
                "asked": it.asked,
                "answered by": it.answered_by,
                "label": "wrong" if it.as_shipped == WRONG else "unknown",
            }
            for it in mix
            if it.as_shipped in (WRONG, UNKNOWN)
        ][:AUDITED],
    }


def _oracle(sweep: Sweep, ceiling: Array, n: int) -> dict[str, Any]:
    return {f"e_hit<={bound:g}": served_at(sweep, sweep.best(e_hit=bound), ceiling, n) for bound in BOUNDS} | {
        f"e_req<={bound:g}": served_at(sweep, sweep.best(e_req=bound), ceiling, n) for bound in BOUNDS
    }


def _steps(sweep: Sweep) -> dict[str, dict[str, float]]:
    """Shares of those asked, in steps of 0.01: for choosing one threshold for all files."""
    found = {}
    for step in range(50, 101):
        column = sweep.at_cut(step / 100)[:1]
        right, wrong = sweep.right[0][column[0]], sweep.wrong[0][column[0]]
        found[f"{step / 100:g}"] = {"right": float(right / sweep.asked[0]), "wrong": float(wrong / sweep.asked[0])}
    return found


def served_at(sweep: Sweep, columns: Array, ceiling: Array, n: int) -> dict[str, Any]:
    hits, right, wrong = sweep.hits(columns), sweep.right_hits(columns), sweep.wrong_hits(columns)
    return {
        "cut": float(sweep.cuts[columns[0]]) if columns[0] else None,
        "hit_rate": figure(share(hits, sweep.asked), n).as_dict(),
        "capture": figure(share(right, ceiling), int(ceiling[0])).as_dict(),
        "e_hit": figure(share(wrong, right + wrong), int((right + wrong)[0])).as_dict(),
        "e_req": figure(share(wrong, sweep.asked), n).as_dict(),
        "unknown": int((hits - right - wrong)[0]),
    }


CURVE_POINTS = 60


def curve(sweep: Sweep) -> list[tuple[float, float]]:
    """Hit rate and E_hit, at some cuts between none and all."""
    hits = (sweep.right + sweep.wrong + sweep.unknown)[0]
    columns = np.unique(np.searchsorted(hits, np.linspace(1, max(1.0, hits[-1]), CURVE_POINTS)).clip(0, len(hits) - 1))
    wrong, known = sweep.wrong[0], (sweep.right + sweep.wrong)[0]
    return [
        (float(hits[at] / sweep.asked[0]), float(wrong[at] / known[at])) for at in columns if hits[at] and known[at]
    ]
