"""What does plain cosine do on the same vectors, and is that what was measured of it before?"""

from collections.abc import Mapping
from typing import Any

# What somebody would set who sets one threshold for all: of T2's streams of the development data, each file and mix
# counting alike, the one with the most right hits at E_hit <= 2 %. (With the traps among the pairs, none but 1 is.)
FROZEN = 0.96

AUC = {
    "qqp": 0.879,
    "parade_validation": 0.806,
    "checklist": 0.884,
    "negation": 0.276,
    "gsm": 0.170,
    "pawsx_en": 0.615,
    "pawsx_de": 0.535,
}
# Streams once, insert on miss: the ceiling, and hit rates at E_req <= 1 %, at E_hit <= 2 %, at 0.85.
ONCE = {
    "bitext": (0.980, 0.244, 0.182, 0.678),
    "banking77": (0.994, 0.566, 0.711, 0.566),
    "clinc150": (0.993, 0.633, 0.646, 0.367),
    "covidq": (0.632, 0.124, 0.029, 0.246),
    "qqp": (0.282, 0.221, 0.118, 0.212),
}
# T2 capture at E_hit <= 2 %: chat, Q&A, support.
CAPTURE = {
    "qqp": (0.006, 0.020, 0.190),
    "stream_bitext": (0.127, 0.139, 0.156),
    "stream_banking77": (0.375, 0.514, 0.612),
    "stream_clinc150": (0.294, 0.424, 0.562),
    "stream_covidq": (0.086, 0.169, 0.251),
}


def beside_published(results: Mapping[str, Any]) -> list[tuple[str, str, float, float]]:
    """Test, what, published with 32 bits, measured now; for the files that are in both."""
    rows = []
    for name, auc in AUC.items():
        if found := results.get("T1", {}).get(name):
            rows.append(("T1", f"{name}, AUC", auc, found["cosine"]["auc"]["value"]))
    for name, figures in ONCE.items():
        if found := results.get("T3", {}).get(name):
            oracle = found["cosine oracle"]
            now = (
                found["ceiling once"],
                _hit_rate(oracle["e_req<=0.01"]),
                _hit_rate(oracle["e_hit<=0.02"]),
                _hit_rate(found["cosine"]["0.85"]),
            )
            for what, then, it in zip(
                ("ceiling", "hits, E_req 1 %", "hits, E_hit 2 %", "hits at .85"), figures, now, strict=True
            ):
                rows.append(("T3", f"{name}, {what}", then, it))
    for name, captures in CAPTURE.items():
        if found := results.get("T2", {}).get(name):
            for mix, then in zip(found["mixes"], captures, strict=True):
                now_captured = found["mixes"][mix]["cosine oracle"]["e_hit<=0.02"]["capture"]["value"]
                rows.append(("T2", f"{name}, {mix}, capture", then, now_captured))
    return rows


def _hit_rate(found: Mapping[str, Any] | None) -> float:
    return float(found["hit_rate"]["value"]) if found else 0.0


def best_frozen(t2: Mapping[str, Any]) -> float | None:
    """The threshold with the most right hits at E_hit <= 2 %, all streams and mixes counting alike."""
    mixes = [
        mix["cosine steps"]
        for name, found in t2.items()
        if name.startswith("stream_")
        for mix in found["mixes"].values()
    ]
    if not mixes:
        return None
    best, most = 1.0, 0.0
    for cut in mixes[0]:
        right = sum(steps[cut]["right"] for steps in mixes)
        wrong = sum(steps[cut]["wrong"] for steps in mixes)
        if wrong <= 0.02 * (right + wrong) and right > most:
            best, most = float(cut), right
    return best
