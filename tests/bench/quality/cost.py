"""What does a decision cost beside the embedding?"""

import gc
import time
from collections.abc import Mapping, Sequence

import numpy as np

from cache_api.domain.decision import decide
from cache_api.domain.entry import Candidate
from tests.bench.quality.data import Pair
from tests.bench.quality.product import (
    CANDIDATES,
    NOW,
    OPEN_POLICY,
    entry_of,
    forget_texts,
    may_match,
    nearest,
    request_of,
)
from tests.bench.quality.vectors import vectors_of

DECISIONS = 400
WARM_UPS = 20


def measured(files: Mapping[str, Sequence[Pair]]) -> dict[str, float]:
    """CPU time of a decision over five candidates, above the floor all of them and their texts new."""
    spent: list[float] = []
    gc.collect()
    gc.freeze()  # what other tests remember is not looked through in the middle of a decision
    a_file = max(1, DECISIONS // max(1, len(files)))
    for pairs in files.values():
        stored = _looked_up([pair.q1 for pair in pairs])
        asked = _looked_up([pair.q2 for pair in pairs])[: a_file + WARM_UPS]
        if not stored or not asked:
            continue
        places, cosines = nearest(vectors_of(asked), vectors_of(stored))
        for question, near, similar in zip(asked, places, cosines, strict=True):
            request = request_of(question)
            candidates = [Candidate(entry_of(stored[at]), float(it)) for at, it in zip(near, similar, strict=True)]
            forget_texts()
            began = time.thread_time_ns()
            decide(request, candidates, OPEN_POLICY, NOW)
            spent.append((time.thread_time_ns() - began) / 1e6)
    measured_ms = spent[WARM_UPS:] or [float("nan")]
    p50, p95 = np.percentile(measured_ms, [50, 95])
    return {"n": len(measured_ms), "candidates": CANDIDATES, "p50_ms": float(p50), "p95_ms": float(p95)}


def _looked_up(texts: Sequence[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if may_match(text)]
