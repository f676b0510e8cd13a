"""Which tests are run, on which data, and where do their figures go?"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cache_api.domain.scope import RULES
from tests.bench.quality import (
    cosine,
    cost,
    over_http,
    t1_pairs,
    t2_probes,
    t3_streams,
    t4_traps,
    t5_turns,
    t6_learning,
)
from tests.bench.quality.data import Data, read, some
from tests.bench.quality.gates import gates
from tests.bench.quality.pictures import drawn
from tests.bench.quality.probes import SOURCE, generated, generated_data
from tests.bench.quality.product import POLICY, remember_texts
from tests.bench.quality.report import markdown
from tests.bench.quality.vectors import ROOT, embedder_version

OUT = ROOT / "out" / "quality"
TESTS = ("T1", "T2", "T3", "T4", "T5", "T6", "cost", "int8")
QUICK_PROBES = 25  # of each kind


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="folder of .jsonl or .jsonl.gz files; without it, generated questions"
    )
    files = "report.json, report.md, curves.svg, promise.png, audit.jsonl"
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder of {files}")
    parser.add_argument("--tests", default=",".join(TESTS), help=f"some of {','.join(TESTS)}")
    parser.add_argument(
        "--http",
        nargs="?",
        const="",
        metavar="BASE_URL",
        help="also ask a running service, with --key; without a URL, one that is started for it",
    )
    parser.add_argument("--key", default="", help="an API key of that service that may read and write the cache")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a part of each file, in about a minute")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.tests.split(",")) - set(TESTS):
        parser.error(f"no such test: {', '.join(sorted(unknown))}")
    if chosen.data is not None and not chosen.data.is_dir():
        parser.error(f"no such folder: {chosen.data}")
    if chosen.http and not chosen.key:
        parser.error("--http BASE_URL needs --key")

    began = time.monotonic()
    data = _data(chosen.data, seed=chosen.seed, quick=chosen.quick)
    results = measured(data, chosen.tests.split(","), seed=chosen.seed, quick=chosen.quick)
    if chosen.http is not None:
        results["HTTP"] = over_http.measured(data, chosen.http, chosen.key, seed=chosen.seed)
    found = gates(results)
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.monotonic() - began,
        "data": chosen.data.name if chosen.data else "generated",
        "seed": chosen.seed,
        "quick": chosen.quick,
        "versions": {"embedder": embedder_version(), "scope rules": RULES, "similarity floor": POLICY.similarity_floor},
        "cosine frozen": {"used": cosine.FROZEN, "best here": cosine.best_frozen(results.get("T2", {}))},
        "gates": [gate.as_dict() for gate in found],
        "results": results,
    }

    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "audit.jsonl").write_text("".join(_audit(results.get("T2", {}))))
    text = markdown(report, found)
    (chosen.out / "report.json").write_text(json.dumps(_plain(report), ensure_ascii=False, indent=1))
    (chosen.out / "report.md").write_text(text)
    drawn(results, chosen.out)
    print(text)
    return 1 if any(gate.met is False for gate in found) else 0


def measured(data: Data, tests: Sequence[str], *, seed: int, quick: bool) -> dict[str, Any]:
    frozen = cosine.FROZEN
    # Not in T2: nobody labelled the pairs that we made against each other.
    foreign = replace(data, pairs={name: pairs for name, pairs in data.pairs.items() if name != SOURCE})
    ways: Mapping[str, Callable[[], dict[str, Any]]] = {
        "T1": lambda: t1_pairs.measured(data.pairs, seed=seed),
        "T2": lambda: t2_probes.measured(foreign, seed=seed, frozen_cosine=frozen, quick=quick),
        "T3": lambda: t3_streams.measured(data.streams, seed=seed, frozen_cosine=frozen, quick=quick),
        "T4": lambda: t4_traps.measured(data, seed=seed),
        "T5": lambda: t5_turns.measured(data.turns),
        "T6": lambda: t6_learning.measured(data, seed=seed, quick=quick),
        "cost": lambda: cost.measured(data.pairs),
        "int8": lambda: t1_pairs.lost_by_8_bits(data.pairs, quick=quick),
    }
    results = {}
    remember_texts()
    for name in tests:
        began = time.monotonic()
        results[name] = ways[name]()
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results


def _data(folder: Path | None, *, seed: int, quick: bool) -> Data:
    data = generated_data(seed) if folder is None else read(folder, quick=quick)
    ours = [pair for pairs in generated(seed).values() for pair in (some(pairs, QUICK_PROBES) if quick else pairs)]
    return replace(data, pairs={**data.pairs, SOURCE: ours})


def _audit(files: Mapping[str, Any]) -> Iterator[str]:
    """Each only once, and out of the report: they are the data's own words."""
    for name, found in files.items():
        hits = [hit for mix in found["mixes"].values() for hit in mix.pop("audit")]
        for hit in {(it["asked"], it["answered by"]): it for it in hits}.values():
            yield json.dumps({"file": name, **hit}, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """JSON has no NaN: null stands for what was not measured."""
    if isinstance(value, Mapping):
        return {str(name): _plain(it) for name, it in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(it) for it in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
