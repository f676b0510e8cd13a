"""What does the promise buy, seen at a glance: hit rate over the share of wrong hits?

`python -m tests.bench.quality.pictures out/quality/report.json` draws anew what a run has measured.
"""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

E_HIT_SHOWN = 0.3  # the right end of the curves: further out nobody would serve
PROMISED = 0.02
COLOURS = {"product": "#0b6e4f", "cosine": "#c0392b"}
# README's picture: the kind of text that keeps the promise with ease, one that keeps it, and one that does not.
KINDS = {
    "stream_bitext": "customer support, ids and amounts",
    "stream_banking77": "banking questions",
    "qqp": "open questions, with noisy labels",
}
KINDS_MIX = "qa"
KINDS_E_HIT_SHOWN, KINDS_HITS_SHOWN = 0.2, 0.45


def drawn(results: Mapping[str, Any], folder: Path) -> None:
    """Each picture for which something was measured."""
    import matplotlib

    matplotlib.use("Agg")
    files = results.get("T2", {})
    if files:
        _curves(files, folder / "curves.svg")
    if kinds := {title: files[name]["mixes"][KINDS_MIX] for name, title in KINDS.items() if name in files}:
        _promise(kinds, folder / "promise.png")


def _curves(files: Mapping[str, Any], path: Path) -> None:
    """A panel for each file of T2, a line for each mix."""
    from matplotlib import pyplot

    columns = min(4, len(files))
    lines = math.ceil(len(files) / columns)
    figure, panels = pyplot.subplots(lines, columns, figsize=(3.4 * columns, 2.9 * lines), squeeze=False)
    for panel in panels.flat[len(files) :]:
        panel.set_visible(False)
    for panel, (name, found) in zip(panels.flat, files.items(), strict=False):
        for (mix, of), dash in zip(found["mixes"].items(), ("-", "--", ":"), strict=False):
            for whose in COLOURS:
                _curve(panel, of, whose, dash, label=f"{whose}, {mix}")
        panel.axvline(PROMISED * 100, color="#999999", linewidth=0.8)
        panel.set(title=name, xlim=(0, E_HIT_SHOWN * 100), xlabel="wrong hits, %", ylabel="hit rate, %")
    panels.flat[0].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _promise(kinds: Mapping[str, Any], path: Path) -> None:
    """A panel for each kind of text, with the point at which the product ships."""
    from matplotlib import pyplot

    with pyplot.rc_context({"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure, [panels] = pyplot.subplots(1, len(kinds), figsize=(3.2 * len(kinds), 3.0), dpi=110, squeeze=False)
        for panel, (title, mix) in zip(panels, kinds.items(), strict=True):
            for whose, label in (("product", "CacheAI"), ("cosine", "plain cosine")):
                _curve(panel, mix, whose, "-", label=label, linewidth=1.6)
            error, hits = (mix["product"][name]["value"] for name in ("e_hit", "hit_rate"))
            if hits:  # Of no hits there is no share of wrong ones.
                panel.plot([error * 100], [hits * 100], "o", color=COLOURS["product"], markersize=6, label="as shipped")
            panel.axvline(PROMISED * 100, color="#888888", linewidth=0.8, linestyle="--")
            panel.set(title=title, xlabel="wrong hits, %")
            panel.set(xlim=(0, KINDS_E_HIT_SHOWN * 100), ylim=(0, KINDS_HITS_SHOWN * 100))
        panels[0].set_ylabel("hit rate, %")
        panels[0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0.12, 1.0))
        panels[0].text(PROMISED * 100 + 0.2, 0.8, f"{PROMISED * 100:g} %", color="#666666", fontsize=8)
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)


def _curve(panel: Any, mix: Mapping[str, Any], whose: str, dash: str, **look: Any) -> None:
    points = mix["curve"][whose]
    errors, hits = [error * 100 for _, error in points], [hits * 100 for hits, _ in points]
    panel.plot(errors, hits, dash, color=COLOURS[whose], **look)


if __name__ == "__main__":
    report = Path(sys.argv[1])
    drawn(json.loads(report.read_text())["results"], report.parent)
