"""T4: is a question that differs in one small thing taken for the stored one?"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.bench.quality.data import Data, Pair
from tests.bench.quality.product import CANDIDATES, judged, nearest
from tests.bench.quality.sweep import figure, share, weights
from tests.bench.quality.vectors import vectors_of

COSINE_CUTS = (0.85, 0.92)

# What a kind is called, as files name their kinds, to the class its limit is set for. The first that fits counts.
CLASSES = {
    "freshness": r"fresh|volatile",
    "code language": r"code lang|programming",
    "language": r"lang",
    "typo": r"typo|misspell",
    "contraction": r"contraction",
    "version": r"version",
    "unit": r"\bunits?\b",
    "date": r"\bdates?\b",
    "literal": r"literal|quoted|path",
    "template": r"template",
    "id": r"\bids?\b|identifier",
    "number": r"numb|numer|digit|decimal|amount",
    "negation": r"negat|anto|opposite",
    "temporal": r"tempor|before|after",
    "order": r"\border\b|\bsrl\b|passive|paws|\bswap",
    "entity": r"\bner\b|entit|name|people|animal",
}
STRICT = ("id", "number", "version", "unit", "date", "literal", "code language", "language", "template", "freshness")
LENIENT = ("negation", "temporal", "entity", "order")
KEPT = ("typo", "contraction")


def class_of(kind: str) -> str:
    spaced = re.sub(r"[\W_]+", " ", kind.lower())
    return next((name for name, words in CLASSES.items() if re.search(words, spaced)), "")


def measured(data: Data, *, seed: int) -> dict[str, Any]:
    pairs = [pair for name, of in data.pairs.items() if not name.startswith("qqp") for pair in of]
    background = data.stored_background
    traps = [pair for pair in pairs if pair.q1 != pair.q2]
    found = _asked(traps, background)

    kinds: dict[str, Any] = {}
    for kind in sorted({pair.kind for pair in traps}):
        for label, what in ((0, "false"), (1, "kept")):
            some = [it for pair, it in zip(traps, found, strict=True) if (pair.kind, pair.label) == (kind, label)]
            if some:
                kinds.setdefault(kind, {"class": class_of(kind)})[what] = _shares(some, seed)
    return {"kinds": kinds, "classes": _classes(traps, found, seed)}


def _asked(pairs: Sequence[Pair], background: Sequence[str]) -> list[dict[str, Any]]:
    """Each alone beside the background, so that another pair's entry is no answer to it."""
    stored, asked = vectors_of([pair.q1 for pair in pairs]), vectors_of([pair.q2 for pair in pairs])
    own = np.einsum("ij,ij->i", stored, asked).tolist()
    if background:
        places, cosines = nearest(asked, vectors_of(background), count=CANDIDATES - 1)
        others = [[background[at] for at in near] for near in places]
        other_cosines = cosines.tolist()
    else:
        others, other_cosines = [[] for _ in pairs], [[] for _ in pairs]

    found = []
    for pair, cosine, texts, near in zip(pairs, own, others, other_cosines, strict=True):
        candidates = sorted(zip([pair.q1, *texts], [cosine, *near], strict=True), key=lambda it: -it[1])
        judgement = judged(pair.q2, [text for text, _ in candidates], [it for _, it in candidates])
        served = None if judgement.served is None else candidates[judgement.served][0]
        found.append(
            {
                "q1": pair.q1,
                "hit": served == pair.q1,
                "other": served is not None and served != pair.q1,
                **{f"cosine {cut:g}": cosine >= cut and candidates[0][0] == pair.q1 for cut in COSINE_CUTS},
            }
        )
    return found


def _shares(found: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    each = weights([it["q1"] for it in found], seed=seed)
    whole = each.sum(axis=1, dtype=np.float64)
    return {
        name: figure(share(each @ np.array([it[name] for it in found], dtype=np.float32), whole), len(found)).as_dict()
        for name in ("hit", "other", *(f"cosine {cut:g}" for cut in COSINE_CUTS))
    }


def _classes(traps: Sequence[Pair], found: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in (*STRICT, *LENIENT, *KEPT):
        label = 1 if name in KEPT else 0
        some = [
            it for pair, it in zip(traps, found, strict=True) if pair.label == label and class_of(pair.kind) == name
        ]
        if some:
            shown[name] = _shares(some, seed)
    return shown
