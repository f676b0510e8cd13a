"""T3: from an empty cache on, does the error stay while the cache grows?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.bench.quality.data import Stream, Text
from tests.bench.quality.product import CANDIDATES, SCORED_FROM, Judged, judged, looked_up
from tests.bench.quality.sweep import Array, Figure, figure, share, weights
from tests.bench.quality.vectors import vectors_of

COSINE_CUTS = tuple(round(0.5 + step / 100, 2) for step in range(51))
SHOWN_COSINE_CUTS = (0.85, 0.92)
# Dense where probabilities lie, and cosines too.
PRODUCT_CUTS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998)
E_REQ_BOUNDS = (0.005, 0.01, 0.02, 0.05)
E_HIT_BOUNDS = (0.01, 0.02, 0.05)
ZIPF = (0.6, 1.0)
DRAWS, QUICK_DRAWS = 20_000, 2_000
SIZE_STEPS = (500, 1000, 2000, 4000, 8000)

# Published of the pairs that people called different in Quora's data: so many are duplicates all the same.
MISLABELLED = {"qqp": 0.27}

Serve = Callable[[int, Sequence[int], Sequence[float]], int | None]


@dataclass
class Run:
    """What became of each question of a stream, in the order asked."""

    clusters: list[str] = field(default_factory=list)
    hit: list[bool] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)  # in the cache when asked
    answerable: list[bool] = field(default_factory=list)
    exact: int = 0


def measured(streams: Mapping[str, Stream], *, seed: int, frozen_cosine: float, quick: bool) -> dict[str, Any]:
    return {
        name: of_stream(name, stream.texts, seed=seed, frozen_cosine=frozen_cosine, quick=quick)
        for name, stream in streams.items()
    }


def of_stream(name: str, texts: Sequence[Text], *, seed: int, frozen_cosine: float, quick: bool) -> dict[str, Any]:
    distinct = list({text.text: text for text in texts if looked_up(text.text)}.values())
    world = _World(distinct)
    once = np.random.default_rng(seed).permutation(len(distinct)).tolist()

    by_cosine = {cut: run(world, once, world.cosine(cut), judge_inserts=False) for cut in COSINE_CUTS}
    cuts = PRODUCT_CUTS[::4] if quick else PRODUCT_CUTS
    by_score = {cut: run(world, once, world.score(cut), judge_inserts=True) for cut in cuts}
    shipped = run(world, once, world.shipped, judge_inserts=True)

    each = weights([text.cluster for text in (distinct[at] for at in once)], seed=seed)
    found: dict[str, Any] = {
        "n": len(distinct),
        "bypassed": sum(not looked_up(text.text) for text in texts),
        "ceiling once": 1 - len({text.cluster for text in distinct}) / len(distinct),
        "product": _figures(shipped, each),
        "product oracle": _oracle({cut: _figures(it, each) for cut, it in by_score.items()}),
        "cosine": {f"{cut:g}": _figures(by_cosine[cut], each) for cut in SHOWN_COSINE_CUTS},
        "cosine frozen": _figures(by_cosine[frozen_cosine], each),
        "cosine oracle": _oracle({cut: _figures(it, each) for cut, it in by_cosine.items()}),
        "by size": by_size(shipped),
        "curve": {"product": _curve(by_score), "cosine": _curve(by_cosine)},
    }
    for power in ZIPF:
        drawn = zipf(distinct, power, QUICK_DRAWS if quick else DRAWS, np.random.default_rng(seed))
        found[f"zipf {power:g}"] = {
            "product": _drawn(run(world, drawn, world.shipped, judge_inserts=True), seed),
            "cosine": {
                f"{cut:g}": _drawn(run(world, drawn, world.cosine(cut), judge_inserts=False), seed)
                for cut in (*SHOWN_COSINE_CUTS, frozen_cosine)
            },
        }
    return found


class _World:
    """All texts of a stream, how near they are, and what is served of the nearest."""

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = texts
        vectors = vectors_of([text.text for text in texts])
        self.cosines = vectors @ vectors.T

    def cosine(self, cut: float) -> Serve:
        return lambda _asked, near, cosines: near[0] if near and cosines[0] >= cut else None

    def score(self, cut: float) -> Serve:
        def serve(asked: int, near: Sequence[int], cosines: Sequence[float]) -> int | None:
            judgement = self._judge(asked, near, cosines)
            return near[judgement.best] if judgement.best is not None and judgement.score >= cut else None

        return serve

    def shipped(self, asked: int, near: Sequence[int], cosines: Sequence[float]) -> int | None:
        judgement = self._judge(asked, near, cosines)
        return None if judgement.served is None else near[judgement.served]

    def _judge(self, asked: int, near: Sequence[int], cosines: Sequence[float]) -> Judged:
        return judged(self.texts[asked].text, [self.texts[at].text for at in near], cosines)


def run(world: _World, order: Sequence[int], serve: Serve, *, judge_inserts: bool) -> Run:
    """A miss is inserted; with a judge, what was served wrongly too."""
    found = Run()
    inserted = np.empty(len(world.texts), dtype=np.int64)
    count = 0
    kept: set[int] = set()
    answered: set[str] = set()
    for asked in order:
        if asked in kept:
            found.exact += 1
            continue
        near, cosines = _near(world.cosines[asked], inserted[:count])
        served = serve(asked, near, cosines)
        cluster = world.texts[asked].cluster
        wrong = served is not None and world.texts[served].cluster != cluster

        found.clusters.append(cluster)
        found.hit.append(served is not None)
        found.wrong.append(wrong)
        found.entries.append(count)
        found.answerable.append(cluster in answered)
        if served is None or (wrong and judge_inserts):
            inserted[count] = asked
            count += 1
            kept.add(asked)
            answered.add(cluster)
    return found


def _near(row: Array, inserted: Array) -> tuple[list[int], list[float]]:
    cosines = row[inserted]
    if len(cosines) > CANDIDATES:
        places = np.argpartition(-cosines, CANDIDATES)[:CANDIDATES]
    else:
        places = np.arange(len(cosines))
    places = places[cosines[places] >= SCORED_FROM]
    places = places[np.argsort(-cosines[places], kind="stable")]
    return inserted[places].tolist(), cosines[places].tolist()


def zipf(texts: Sequence[Text], power: float, draws: int, chance: np.random.Generator) -> list[int]:
    """A cluster by its rank, then any of its texts."""
    members: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        members.setdefault(text.cluster, []).append(at)
    groups = [list(members.values())[at] for at in chance.permutation(len(members))]
    popularity = 1 / np.arange(1, len(groups) + 1) ** power
    ranks = chance.choice(len(groups), size=draws, p=popularity / popularity.sum())
    return [groups[rank][int(chance.integers(len(groups[rank])))] for rank in ranks]


def _figures(found: Run, each: Array) -> dict[str, Any]:
    hit, wrong, answerable = (np.array(it, dtype=np.float32) for it in (found.hit, found.wrong, found.answerable))
    asked = each.sum(axis=1, dtype=np.float64)
    hits, wrongs, could = each @ hit, each @ wrong, each @ answerable
    shown: dict[str, Figure] = {
        "hit_rate": figure(share(hits, asked), len(hit)),
        "e_hit": figure(share(wrongs, hits), int(hits[0])),
        "e_req": figure(share(wrongs, asked), len(hit)),
        "ceiling": figure(share(could, asked), len(hit)),
        "capture": figure(share(hits - wrongs, could), int(could[0])),
    }
    return {name: it.as_dict() for name, it in shown.items()}


def _drawn(found: Run, seed: int) -> dict[str, Any]:
    return _figures(found, weights(found.clusters, seed=seed)) | {"exact": found.exact, "by size": by_size(found)}


def _oracle(by_cut: Mapping[float, dict[str, Any]]) -> dict[str, Any]:
    return {f"e_req<={bound:g}": best_within(by_cut, "e_req", bound) for bound in E_REQ_BOUNDS} | {
        f"e_hit<={bound:g}": best_within(by_cut, "e_hit", bound) for bound in E_HIT_BOUNDS
    }


def best_within(by_cut: Mapping[float, dict[str, Any]], error: str, bound: float) -> dict[str, Any] | None:
    """The cut with the most hits whose error is within the bound; None where none is."""
    allowed = {cut: it for cut, it in by_cut.items() if not it[error]["value"] > bound}
    if not allowed:
        return None
    cut = max(allowed, key=lambda it: (allowed[it]["hit_rate"]["value"], it))
    return {"cut": cut, **allowed[cut]}


def by_size(found: Run) -> list[dict[str, Any]]:
    """Error among the questions asked while the cache had so many entries."""
    entries, hit, wrong = (np.array(it) for it in (found.entries, found.hit, found.wrong))
    shown = []
    for low, high in zip(SIZE_STEPS, (*SIZE_STEPS[1:], float("inf")), strict=True):
        then = (entries >= low) & (entries < high)
        if then.any():
            hits = int(hit[then].sum())
            shown.append(
                {
                    "from": low,
                    "asked": int(then.sum()),
                    "hits": hits,
                    "e_hit": float(wrong[then].sum() / hits) if hits else float("nan"),
                    "e_req": float(wrong[then].mean()),
                }
            )
    return shown


def _curve(by_cut: Mapping[float, Run]) -> list[tuple[float, float]]:
    points = []
    for found in by_cut.values():
        if hits := sum(found.hit):
            points.append((hits / len(found.hit), sum(found.wrong) / hits))
    return sorted(points)
