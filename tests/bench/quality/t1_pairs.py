"""T1: does p alone tell pairs that share an answer from pairs that do not?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.bench.quality.data import Pair, some
from tests.bench.quality.product import scores_of
from tests.bench.quality.sweep import RIGHT, WRONG, Array, Figure, Sweep, figure, share, weights
from tests.bench.quality.vectors import Vectors, vectors_of

PRECISIONS = (0.95, 0.98, 0.99)
FALSE_RATES = (0.01, 0.05)
SHOWN_CUTS = (0.85, 0.92, 0.95)
COMPARED_PAIRS, QUICK_COMPARED_PAIRS = 1000, 60  # for the embedder's 8 bits: paired, so that fewer do


def measured(files: Mapping[str, Sequence[Pair]], *, seed: int) -> dict[str, Any]:
    return {name: of_file(pairs, seed=seed) for name, pairs in files.items() if _both_labels(pairs)}


def of_file(pairs: Sequence[Pair], *, seed: int) -> dict[str, Any]:
    cosines = cosines_of(pairs, vectors_of(_texts(pairs)))
    scored = [scores_of(pair.q2, pair.q1, float(cosine)) for pair, cosine in zip(pairs, cosines, strict=True)]
    scores = np.array([score for score, _ in scored])
    labels = np.array([pair.label for pair in pairs])
    each = weights([pair.q1 for pair in pairs], seed=seed)
    return {
        "n": len(pairs),
        "true": int(labels.sum()),
        "product": _figures(scores, labels, each),
        "cosine": _figures(cosines, labels, each) | {"at": _at_cuts(cosines, labels, each)},
        "vetoes": vetoes(pairs, [gate for _, gate in scored]),
    }


def cosines_of(pairs: Sequence[Pair], vectors: Vectors) -> Array:
    """Of vectors in the order q1, q2, q1, q2."""
    return np.einsum("ij,ij->i", vectors[0::2], vectors[1::2]) if pairs else np.zeros(0)


def lost_by_8_bits(files: Mapping[str, Sequence[Pair]], *, quick: bool) -> dict[str, dict[str, float]]:
    """The same pairs with vectors of 32 bits."""
    lost = {}
    for name, pairs in files.items():
        compared = some(pairs, QUICK_COMPARED_PAIRS if quick else COMPARED_PAIRS)
        if not _both_labels(compared):
            continue
        labels = np.array([pair.label for pair in compared])
        each = np.ones((1, len(compared)), dtype=np.float32)
        of = {}
        for backend in ("int8", "fp32"):
            cosines = cosines_of(compared, vectors_of(_texts(compared), backend=backend))
            scores = [scores_of(pair.q2, pair.q1, float(it))[0] for pair, it in zip(compared, cosines, strict=True)]
            of[backend] = float(Sweep(np.array(scores), labels, each).auc()[0])
            of[f"{backend} cosine"] = float(Sweep(cosines, labels, each).auc()[0])
        lost[name] = {"n": len(compared), **of, "lost": of["fp32"] - of["int8"]}
    return lost


def _both_labels(pairs: Sequence[Pair]) -> bool:
    return len({pair.label for pair in pairs}) == 2


def _texts(pairs: Sequence[Pair]) -> list[str]:
    return [text for pair in pairs for text in (pair.q1, pair.q2)]


def _figures(scores: Array, labels: Array, each: Array) -> dict[str, Any]:
    sweep = Sweep(scores, np.where(labels == 1, RIGHT, WRONG), each)
    n = len(labels)
    found: dict[str, Figure] = {
        "auc": figure(sweep.auc(), n),
        "average_precision": figure(sweep.average_precision(), n),
    }
    found |= {f"recall_at_precision_{least:g}": figure(sweep.recall_at_precision(least), n) for least in PRECISIONS}
    found |= {f"recall_at_false_{most:g}": figure(sweep.recall_at_false_rate(most), n) for most in FALSE_RATES}
    return {name: it.as_dict() for name, it in found.items()}


def _at_cuts(cosines: Array, labels: Array, each: Array) -> dict[str, dict[str, float]]:
    one = each[:1]
    right, wrong = one[:, labels == 1].sum(axis=1), one[:, labels == 0].sum(axis=1)
    return {
        f"{cut:g}": {
            "recall": float(share((one * ((labels == 1) & (cosines >= cut))).sum(axis=1), right)[0]),
            "false": float(share((one * ((labels == 0) & (cosines >= cut))).sum(axis=1), wrong)[0]),
        }
        for cut in SHOWN_CUTS
    }


def vetoes(pairs: Sequence[Pair], gates: Sequence[str | None]) -> list[dict[str, Any]]:
    """By kind and guard: the shares of true pairs lost and of false ones removed."""
    size = Counter((pair.kind, pair.label) for pair in pairs)
    refused = Counter(
        (pair.kind, gate, pair.label) for pair, gate in zip(pairs, gates, strict=True) if gate is not None
    )
    return [
        {
            "kind": kind,
            "gate": gate,
            "true_lost": refused[kind, gate, 1] / size[kind, 1] if size[kind, 1] else None,
            "false_removed": refused[kind, gate, 0] / size[kind, 0] if size[kind, 0] else None,
            "n_true": size[kind, 1],
            "n_false": size[kind, 0],
        }
        for kind, gate in sorted({(kind, gate) for kind, gate, _ in refused})
    ]
