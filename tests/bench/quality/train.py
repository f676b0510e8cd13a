"""With which weights is a likely right answer told from a likely wrong one, and from which probability on is it served?

    python -m tests.bench.quality.train --data DIR [--seed 0]

Writes `cache_api/domain/confidence.json` and, beside it, the report `confidence.md`. The same data and seed give the
same bytes. Learnt only from what may be: `TRAINED_ON` below, and pairs of our own making. The other files are scored
for the report alone.

1. Candidates as the product sees them: the five nearest of a cache, over the floor, past every guard.
2. A logistic regression whose weights keep their signs. Each source and label weighs the same, and each source has a
   bias of its own: how many of its candidates are right says nothing of the next customer's.
3. By folds of clusters and kinds each candidate is scored by weights that never saw its like; on those scores the
   probability is calibrated (Platt) and the cuts are made, over the mix with the fewest right answers. A cut keeps to
   what is aimed at on all sources together and on each alone.
4. What changes the answer however near the vectors are has a doubt (`NEVER_UNDER`) that keeps it from being served.
   The trained questions have too few such pairs to say so; nobody misses the hits.
"""

import argparse
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from cache_api.domain.confidence import FILE, digest
from cache_api.domain.features import DIFFERENCE, FEATURES, FEATURES_VERSION, LIKENESS, features
from cache_api.domain.guard import mismatch
from cache_api.domain.risk import AIMED_AT
from tests.bench.quality.data import Data, Pair, Text, read
from tests.bench.quality.probes import all_pairs
from tests.bench.quality.product import POLICY, may_match, nearest
from tests.bench.quality.sweep import RIGHT, UNKNOWN, WRONG, Array
from tests.bench.quality.t2_probes import (
    GROUPS,
    MIXES,
    Probe,
    Stored,
    of_pairs,
    of_stream,
    outcome_of_pairs,
    outcome_of_stream,
)
from tests.bench.quality.vectors import model_version, vectors_of

TRAINED_ON = {
    "stream_bitext": "bitext customer support, Bitext Innovations, CDLA-Sharing-1.0",
    "stream_banking77": "BANKING77, PolyAI, CC BY 4.0",
    "stream_clinc150": "CLINC150, CC BY 3.0",
    "pairs_checklist": "CheckList, QQP suite, templates only, MIT",
    "pairs_generated": "pairs of our own templates",
}
# These kinds of CheckList are made of Quora's text.
NOT_OURS = ("Robustness", "Change first name", "Change numbers", "Reflexivity")
FOLDS = 4
STREAM_ROUNDS = 3
LEAST_OF_A_LABEL = 20  # a source with fewer of one label says nothing of that label
L2 = 1e-3
PROMISES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.10)
# Under no promise, or under none looser than the default: of two long statements every third that differs is right.
NEVER_UNDER = {"order": "0.1", "voice": "0.1", "replaced": "0.1", "added": "0.1", "told": "0.02"}
MARGIN = 0.1  # of log odds
DEFAULT_PROMISE = f"{POLICY.max_wrong_hit_rate:g}"
SCARCEST = "chat"  # the mix in which the fewest questions have a right answer


@dataclass(frozen=True, slots=True)
class Candidates:
    """Of all probes of one source: candidates that pass floor and guards."""

    source: str
    values: Array  # a row of features each
    outcome: Array
    probe: Array  # whose candidate it is: a place in `groups`
    fold: Array  # of its probe's cluster or kind
    groups: Sequence[str]  # of every probe, also of those without a candidate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    data = read(options.data)
    ours = list(_trained_on(data, options.seed))
    scores = _unseen_scores(ours)
    slope, shift = _platt(ours, scores)
    bias, weights = _fitted(ours)
    calibrated = {id(one): slope * scores[id(one)] + shift for one in ours}
    cuts = _cuts([one for one in ours if one.source.startswith("stream_")], calibrated)
    bias, weights = slope * bias + shift, slope * weights
    written: dict[str, Any] = {
        "embedder": model_version(),
        "features": FEATURES_VERSION,
        "bias": round(bias, 4),
        "weights": {name: round(float(weight), 4) for name, weight in zip(FEATURES, weights, strict=True)},
        "doubts": {name: round(float(np.exp(MARGIN - _log_odds(cuts[at]))), 4) for name, at in NEVER_UNDER.items()},
        "cuts": cuts,
        "trained_on": {
            name: {"attribution": said, "sha256": _sha(options.data, name)} for name, said in TRAINED_ON.items()
        },
        "seed": options.seed,
    }
    calibrated = {id(one): _doubted(one.values, calibrated[id(one)], written["doubts"]) for one in ours}
    written["sha256"] = digest(written)
    FILE.write_text(json.dumps(written, indent=1) + "\n")
    report = "\n".join(_report(data, ours, calibrated, written, options.seed)) + "\n"
    FILE.with_suffix(".md").write_text(report)
    print(report)


def _sha(folder: Path, name: str) -> str:
    files = sorted(folder.glob(f"{name}.jsonl*"))
    return hashlib.sha256(files[0].read_bytes()).hexdigest() if files else ""


# -- What is learnt from.


def _trained_on(data: Data, seed: int) -> Iterator[Candidates]:
    made = all_pairs(seed)
    checklist = [pair for pair in data.pairs["checklist"] if not any(kind in pair.kind for kind in NOT_OURS)]
    others = [Probe(pair.q1, None, "other") for pair in made + checklist]
    for name in ("bitext", "banking77", "clinc150"):
        for turn in range(STREAM_ROUNDS):
            yield of_texts(f"stream_{name}", data.streams[name].texts, others, seed=seed + turn)
    yield of_made("pairs_checklist", checklist)
    yield of_made("pairs_generated", made)


def of_texts(source: str, texts: Sequence[Text], others: Sequence[Probe], *, seed: int) -> Candidates:
    stored, probes = of_stream(texts, Random(seed))
    return _candidates(source, stored, [*probes, *others], outcome_of_stream, [it.owner or "" for it in probes])


def of_made(source: str, pairs: Sequence[Pair], others: Sequence[Probe] = ()) -> Candidates:
    stored, probes = of_pairs(pairs)
    return _candidates(source, stored, [*probes, *others], outcome_of_pairs, [it.kind for it in pairs])


def _candidates(
    source: str,
    stored: Sequence[Stored],
    probes: Sequence[Probe],
    outcome_of: Callable[[Probe, Stored], int],
    likes: Sequence[str],
) -> Candidates:
    entries = list({it.text: it for it in reversed(stored)}.values())
    kept = {it.text for it in entries}
    folds = [zlib.crc32(like.encode()) % FOLDS for like in likes] + [
        zlib.crc32(it.text.encode()) % FOLDS for it in probes[len(likes) :]
    ]
    asked = [(it, fold) for it, fold in zip(probes, folds, strict=True) if it.text not in kept]
    places, cosines = nearest(vectors_of([it.text for it, _ in asked]), vectors_of([it.text for it in entries]))
    rows = []
    for number, (probe, fold) in enumerate(asked):
        for place, cosine in zip(places[number], cosines[number].tolist(), strict=True):
            entry = entries[place]
            if (
                cosine >= POLICY.similarity_floor
                and may_match(probe.text)
                and may_match(entry.text)
                and not mismatch(probe.text, entry.text)
            ):
                rows.append((number, fold, outcome_of(probe, entry), features(probe.text, entry.text, cosine)))
    return Candidates(
        source=source,
        values=np.array([row[3] for row in rows]).reshape(-1, len(FEATURES)),
        outcome=np.array([row[2] for row in rows], dtype=int),
        probe=np.array([row[0] for row in rows], dtype=int),
        fold=np.array([row[1] for row in rows], dtype=int),
        groups=[probe.group for probe, _ in asked],
    )


# -- The weights.


def _fitted(every: Sequence[Candidates], *, without: int | None = None) -> tuple[float, Array]:
    """The bias is the mean over the sources."""
    sources = sorted({one.source for one in every})
    values, right, source = [], [], []
    for one in every:
        seen = (one.outcome != UNKNOWN) & (one.fold != without if without is not None else True)
        values.append(one.values[seen])
        right.append(one.outcome[seen] == RIGHT)
        source.append(np.full(int(seen.sum()), sources.index(one.source)))
    value, is_right, of = np.concatenate(values), np.concatenate(right), np.concatenate(source)
    weight = np.zeros(len(value))
    for number in range(len(sources)):
        for label in (True, False):
            these = (of == number) & (is_right == label)
            if these.sum() >= LEAST_OF_A_LABEL:
                weight[these] = 1 / these.sum()
    weight /= weight.sum()

    columns = np.hstack([of[:, None] == np.arange(len(sources)), value]).astype(float)
    sign = np.where(is_right, 1.0, -1.0)
    count = len(sources)

    def loss(theta: Array) -> tuple[float, Array]:
        margin = sign * (columns @ theta)
        wrongness = weight * sign / (1 + np.exp(margin))
        penalty = np.concatenate([np.zeros(count), theta[count:]])
        total = (weight * np.logaddexp(0, -margin)).sum() + L2 * (penalty @ penalty) / 2
        return float(total), L2 * penalty - columns.T @ wrongness

    bounds = [(None, None)] * count + [(0, None)] * len(LIKENESS) + [(None, 0)] * len(DIFFERENCE)
    found = minimize(loss, np.zeros(columns.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(found[:count].mean()), found[count:]


def _unseen_scores(every: Sequence[Candidates]) -> dict[int, Array]:
    """Each candidate's score by weights that never saw its cluster or kind."""
    scores = {id(one): np.zeros(len(one.outcome)) for one in every}
    for fold in range(FOLDS):
        bias, weights = _fitted(every, without=fold)
        for one in every:
            these = one.fold == fold
            scores[id(one)][these] = bias + one.values[these] @ weights
    return scores


def _log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _doubted(values: Array, score: Array, doubts: Mapping[str, float]) -> Array:
    """The log odds, as `Calibration.of` has them."""
    doubt = values @ np.array([doubts.get(name, 0.0) for name in FEATURES])
    return np.asarray(-np.log(np.exp(-score) + doubt))


# -- What is served.


def _served(one: Candidates, score: Array) -> tuple[Array, Array]:
    """Of each probe with a candidate: the best one's score and outcome, and the probe."""
    order = np.argsort(score, kind="stable")
    last = {int(one.probe[at]): int(at) for at in order}
    return np.array(list(last)), np.array(list(last.values()))


def _share_of(one: Candidates, mix: str) -> Array:
    """How much each probe weighs in a mix."""
    groups = np.array(one.groups)
    weight = np.zeros(len(groups))
    for name, part in zip(GROUPS, MIXES[mix], strict=True):
        these = groups == name
        weight[these] = part / max(1, these.sum())
    return weight / weight.sum()


def _outcomes(every: Iterable[Candidates], scores: dict[int, Array], mix: str) -> tuple[Array, Array, Array]:
    """Score, rightness, weight of all that may be served; each source weighs the same."""
    every = list(every)
    score, right, weight = [], [], []
    for one in every:
        probes, places = _served(one, scores[id(one)])
        known = one.outcome[places] != UNKNOWN
        rounds = sum(other.source == one.source for other in every)
        score.append(scores[id(one)][places][known])
        right.append(one.outcome[places][known] == RIGHT)
        weight.append(_share_of(one, mix)[probes][known] / rounds)
    return np.concatenate(score), np.concatenate(right), np.concatenate(weight)


def _platt(every: Sequence[Candidates], scores: dict[int, Array]) -> tuple[float, float]:
    parts = [_outcomes([one for one in every if one.source.startswith("stream_")], scores, mix) for mix in MIXES]
    score, right, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    sign, weight = np.where(right, 1.0, -1.0), weight / weight.sum()

    def loss(theta: Array) -> float:
        return float((weight * np.logaddexp(0, -sign * (theta[0] * score + theta[1]))).sum())

    slope, shift = minimize(loss, np.array([1.0, 0.0]), bounds=[(0.05, None), (None, None)], method="L-BFGS-B").x
    return float(slope), float(shift)


def _cuts(every: Sequence[Candidates], scores: dict[int, Array]) -> dict[str, float]:
    """The least p for each promise: from where enough is served, down to the first breach of what is aimed at.

    Then up again, until each source alone keeps to it: the next customer's questions are not the mean of these.
    """
    every = list(every)
    score, right, weight = _outcomes(every, scores, SCARCEST)
    order = np.argsort(-score, kind="stable")
    served = np.arange(1, len(order) + 1)
    wrong = _shares(right[order], weight[order])
    p = 1 / (1 + np.exp(-score[order]))
    alone = [[one for one in every if one.source == source] for source in dict.fromkeys(one.source for one in every)]
    worst = np.max([_wrong_alone(of, scores, score[order]) for of in alone], axis=0)
    cuts: dict[float, float] = {}
    for promise in PROMISES:
        risk = served / (served + 1) * wrong + 1 / (served + 1)
        aim = AIMED_AT * promise
        start = int(np.ceil(1 / aim))
        below = np.flatnonzero(risk[start:] > aim)
        end = start + int(below[0]) if len(below) else len(risk)
        kept = np.flatnonzero(worst[:end] <= aim)
        if end > start and len(kept):
            cuts[promise] = float(p[kept[-1]])
    # Too few cases to see so small a share: wrong answers are taken to thin out as 1 - p does.
    seen = min(cuts)
    for promise in PROMISES:
        cuts.setdefault(promise, 1 - (1 - cuts[seen]) * promise / seen)
    least = 1.0
    return {f"{promise:g}": (least := min(least, round(cuts[promise], 6))) for promise in PROMISES}


def _shares(right: Array, weight: Array) -> Array:
    """How much of the first, of the first two ... is wrong."""
    return np.asarray(np.cumsum(weight * ~right) / np.cumsum(weight))


def _wrong_alone(every: Sequence[Candidates], scores: dict[int, Array], at: Array) -> Array:
    """How much of these is wrong, if they are served from each of these scores on."""
    score, right, weight = _outcomes(every, scores, SCARCEST)
    order = np.argsort(-score, kind="stable")
    served = np.searchsorted(-score[order], -at, side="right")
    return np.concatenate([[0.0], _shares(right[order], weight[order])])[served]


# -- The report.


def _report(
    data: Data, ours: Sequence[Candidates], scores: dict[int, Array], written: dict[str, Any], seed: int
) -> Iterator[str]:
    weights, bias = np.array(list(written["weights"].values())), written["bias"]
    yield "# What the probability was learnt from, and what it is worth\n"
    yield f"Embedder {written['embedder']}, features {written['features']}, seed {seed}. p >= cut is served.\n"
    yield "| promise | cut |\n|---|---|"
    yield from (f"| {promise} | {cut:.4f} |" for promise, cut in written["cuts"].items())
    yield "\n| feature | weight |\n|---|---|"
    yield from (f"| {name} | {weight} |" for name, weight in written["weights"].items())
    yield "\n| feature | doubt |\n|---|---|"
    yield from (f"| {name} | {doubt} |" for name, doubt in written["doubts"].items())

    yield "\n## Served at the default promise\n"
    yield "Cosine 0.90 and the guards, against p. Trained sources by folds, the others by the shipped weights.\n"
    yield "| source | mix | 0.90: hit rate | wrong share (n) | p: hit rate | wrong share (n) |"
    yield "|---|---|---|---|---|---|"
    cut = written["cuts"]["0.02"]
    level = _log_odds(cut)
    others = [Probe(text, None, "other") for text in data.asked_background]
    measured = [
        of_made(f"pairs_{name}", pairs, others)
        for name, pairs in data.pairs.items()
        if f"pairs_{name}" not in TRAINED_ON
    ] + [
        of_texts(f"stream_{name}", stream.texts, others, seed=seed)
        for name, stream in data.streams.items()
        if f"stream_{name}" not in TRAINED_ON
    ]
    scores = scores | {
        id(one): _doubted(one.values, bias + one.values @ weights, written["doubts"]) for one in measured
    }
    cosine = {id(one): one.values[:, 0] for one in [*ours, *measured]}
    for source in dict.fromkeys(one.source for one in [*ours, *measured]):
        rounds = [one for one in [*ours, *measured] if one.source == source]
        for mix in MIXES:
            before, after = _rates(rounds, cosine, mix, 0.90), _rates(rounds, scores, mix, level)
            yield f"| {source} | {mix} | {before} | {after} |"

    yield "\n## Reliability, trained streams by folds, all mixes\n"
    yield "| p | right | n |\n|---|---|---|"
    parts = [_outcomes([one for one in ours if one.source.startswith("stream_")], scores, mix) for mix in MIXES]
    score, right, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    p = 1 / (1 + np.exp(-score))
    for low, high in ((0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 0.98), (0.98, 1.01)):
        these = (p >= low) & (p < high)
        if these.any():
            said, so = (np.average(values[these], weights=weight[these]) for values in (p, right))
            yield f"| {said:.3f} | {so:.3f} | {int(these.sum() / len(MIXES))} |"

    yield "\n## Candidates that pass floor and guards\n"
    yield "| source | right | wrong | AUC of cosine | AUC of p | trained on |\n|---|---|---|---|---|---|"
    for source in dict.fromkeys(one.source for one in [*ours, *measured]):
        rounds = [one for one in [*ours, *measured] if one.source == source]
        outcome = np.concatenate([one.outcome for one in rounds])
        known = outcome != UNKNOWN
        if len(set(outcome[known].tolist())) < 2:
            continue
        aucs = [
            roc_auc_score(outcome[known] == RIGHT, np.concatenate([by[id(one)] for one in rounds])[known])
            for by in (cosine, scores)
        ]
        yield (
            f"| {source} | {int((outcome == RIGHT).sum())} | {int((outcome == WRONG).sum())} "
            f"| {aucs[0]:.3f} | {aucs[1]:.3f} | {TRAINED_ON.get(source, 'no, measured only')} |"
        )


def _rates(rounds: Sequence[Candidates], scores: dict[int, Array], mix: str, cut: float) -> str:
    score, right, weight = _outcomes(rounds, scores, mix)
    served = score >= cut
    hits, wrong = weight[served].sum(), weight[served & ~right].sum()
    return f"{hits:.4f} | {wrong / hits if hits else 0:.3f} ({int((served & ~right).sum())} of {int(served.sum())})"


if __name__ == "__main__":
    main()
