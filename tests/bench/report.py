"""How are the figures shown: as tables, as a picture, beside what was promised?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import Speed, Target, figure, table

OURS = "CacheAI"
MANY = 8  # callers at once
BUSY = 1.0  # a load average that disturbs

EXACT_RATE = Target("exact hits per second, one web worker", 800, "/s", at_least=True)
EXACT_TIME = Target("exact hit, one caller, p50", 3, "ms")
SEMANTIC_RATE = Target("semantic hits per second, eight callers", 150, "/s", at_least=True)
SEMANTIC_TIME = Target("semantic hit, one caller, p50", 12, "ms")
GROWTH = Target("time of a semantic hit among many entries : among few", 2, "x")
MISS_TIME = Target("a miss adds before the provider is called, p50", 15, "ms")
RELAY_TIME = Target("first streamed byte, one stream, p50", 2, "ms")
REPLAY_TIME = Target("a streamed hit of 2,000 tokens over the same hit whole, p50", 5, "ms")
EXPORT_RATE = Target("entries exported per second", 5_000, "/s", at_least=True)
IMPORT_RATE = Target("entries imported per second, their vectors with them", 5_000, "/s", at_least=True)
PAGE_TIME = Target("the slowest page of the dashboard", 300, "ms")
PAGE_BYTES = Target("the heaviest page of the dashboard, on a first visit", 150, "KB")
WEB_MEMORY = Target("memory of a web worker", 150, "MiB")
EMBED_MEMORY = Target("memory of the embed worker", 900, "MiB")


def targets(
    speeds: Sequence[Speed],
    added: dict[str, dict[str, float]],
    relays: dict[str, dict[str, dict[str, float]]],
    rss: dict[str, float],
) -> list[dict[str, Any]]:
    ours = {(speed.case, speed.callers): speed for speed in speeds if speed.system == OURS}
    semantic = [case for case, callers in ours if case.startswith("semantic") and callers == 1]
    nan = float("nan")

    def of(case: str, callers: int, name: str) -> float:
        return getattr(ours[case, callers], name) if (case, callers) in ours else nan

    few, many = semantic[:1], semantic[1:2]
    relay_added = relays[OURS]["one"]["first_p50"] - relays["direct"]["one"]["first_p50"] if OURS in relays else nan
    found = [
        (EXACT_RATE, of("exact hit", MANY, "per_second")),
        (EXACT_TIME, of("exact hit", 1, "p50_ms")),
        (SEMANTIC_RATE, of(few[0], MANY, "per_second") if few else nan),
        (SEMANTIC_TIME, of(few[0], 1, "p50_ms") if few else nan),
        (GROWTH, of(many[0], 1, "p50_ms") / of(few[0], 1, "p50_ms") if many else nan),
        (MISS_TIME, added.get(OURS, {}).get("p50", nan)),
        (RELAY_TIME, relay_added),
        (WEB_MEMORY, rss.get("web", nan)),
        (EMBED_MEMORY, rss.get("embed", nan)),
    ]
    return [_checked(target, value) for target, value in found]


def replay_target(replay_ms: dict[str, float]) -> dict[str, Any]:
    return _checked(REPLAY_TIME, replay_ms["stream"] - replay_ms["whole"])


def transfer_targets(transfer: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _checked(EXPORT_RATE, transfer["export_per_second"]),
        _checked(IMPORT_RATE, transfer["import_per_second"]),
    ]


def page_targets(pages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        _checked(PAGE_TIME, max(page["ms"] for page in pages)),
        _checked(PAGE_BYTES, max(page["first_bytes"] for page in pages) / 1000),
    ]


def pages_table(pages: Sequence[dict[str, Any]]) -> str:
    return table(
        ("", "ms", "KB", "KB, first visit"),
        [
            (
                page["name"],
                figure(page["ms"], digits=0),
                figure(page["page_bytes"] / 1000),
                figure(page["first_bytes"] / 1000),
            )
            for page in pages
        ],
    )


def promised(targets: Sequence[dict[str, Any]]) -> str:
    return table(
        ("", "promised", "measured", ""),
        [
            (
                one["what"],
                f"{'>=' if one['at_least'] else '<='} {one['wanted']:g} {one['unit']}",
                figure(one["measured"], digits=2),
                "met" if one["met"] else "not met",
            )
            for one in targets
        ],
    )


def _checked(target: Target, value: float) -> dict[str, Any]:
    return {
        "what": target.what,
        "wanted": target.wanted,
        "at_least": target.at_least,
        "unit": target.unit,
        "measured": value,
        "met": target.met(value),
    }


def printed(report: dict[str, Any]) -> str:
    speeds, moved = report["speeds"], report["transfer"]
    parts = [
        _title("Hits", "median of the rounds; x: our rate to theirs in the same case"),
        table(
            ("", "callers", "per s", "p50 ms", "p95 ms", "p99 ms", "answers", "errors", "no hit", "x"),
            [
                (
                    f"{one['system']}, {one['case']}",
                    str(one["callers"]),
                    figure(one["per_second"], digits=0),
                    figure(one["p50_ms"]),
                    figure(one["p95_ms"]),
                    figure(one["p99_ms"]),
                    f"{one['answers']:,}",
                    str(one["errors"]),
                    str(one["unexpected"]),
                    _ratio(one, speeds),
                )
                for one in speeds
            ],
        ),
        _title("CPU per answer, in milliseconds", "of each process with all it started"),
        _cpu_table(speeds),
        _title("A miss", "milliseconds added before the provider is called, over a direct call"),
        table(
            ("", "p50", "p95"),
            [
                (name, figure(one["p50"], digits=2), figure(one["p95"], digits=2))
                for name, one in report["miss_ms"].items()
            ],
        ),
        _title("Relay", "milliseconds from a chunk's leaving the provider to the client"),
        table(
            ("", "first p50", "first p95", "chunk p50", "chunk p95", "chunk p99", "chunks", "finished", "errors"),
            [
                (
                    f"{name}, {how}",
                    *(
                        figure(one[key], digits=2)
                        for key in ("first_p50", "first_p95", "later_p50", "later_p95", "later_p99")
                    ),
                    f"{one['chunks']:,}",
                    str(one["finished"]),
                    str(one["errors"]),
                )
                for name, both in report["relay_ms"].items()
                for how, one in both.items()
            ],
        ),
        _title("Export and import", "entries a second; the vectors are in the file"),
        table(
            ("", "entries", "MiB", "export", "import", "once more", "all by meaning, s"),
            [
                (
                    OURS,
                    f"{moved['entries']:,}",
                    figure(moved["mib"], digits=0),
                    figure(moved["export_per_second"], digits=0),
                    figure(moved["import_per_second"], digits=0),
                    figure(moved["again_per_second"], digits=0),
                    figure(moved["by_meaning_seconds"], digits=0),
                )
            ],
        ),
        _title("Memory, MiB", "RSS of the largest process of each kind; PSS of all of them"),
        table(
            ("", "started", "after", "PSS"),
            [
                (
                    name,
                    figure(one["started"] or 0.0, digits=0),
                    figure(one["after"], digits=0),
                    figure(report["pss_mib"][name], digits=0),
                )
                for name, one in report["rss_mib"].items()
            ]
            + [
                (f"{peer}, {name}", "", figure(value, digits=0), "")
                for peer, both in report["peer_rss_mib"].items()
                for name, value in both.items()
            ],
        ),
        _title(
            "Pages of the dashboard", f"of a tenant with {report['size']['ledger_rows']:,} calls; median, compressed"
        ),
        pages_table(report["pages"]),
        _title("Promised", "on 2 cores"),
        promised(report["targets"]),
    ]
    if report["load_before"] > BUSY:
        parts += [
            _title("Beware", ""),
            f"This machine had other work at the start (load {report['load_before']:.1f}): only ratios count.",
        ]
    if report["notes"]:
        parts += [_title("Not measured", "")] + [f"{name}: {note}" for name, note in report["notes"].items()]
    return "\n".join(parts)


def _title(title: str, note: str) -> str:
    return f"\n{title}" + (f" ({note})" if note else "")


def _kind(case: str) -> str:
    return case.partition(",")[0]


def _ratio(one: dict[str, Any], speeds: Sequence[dict[str, Any]]) -> str:
    if one["system"] == OURS:
        return ""
    ours = next(
        (
            it
            for it in speeds
            if it["system"] == OURS and _kind(it["case"]) == _kind(one["case"]) and it["callers"] == one["callers"]
        ),
        None,
    )
    return f"{ours['per_second'] / one['per_second']:.1f}" if ours and one["per_second"] else ""


def _cpu_table(speeds: Sequence[dict[str, Any]]) -> str:
    names = sorted({name for one in speeds for name, spent in one["cpu_ms"].items() if spent >= 0.005})
    return table(
        ("", "callers", *names),
        [
            (
                f"{one['system']}, {one['case']}",
                str(one["callers"]),
                *(figure(one["cpu_ms"].get(name, float("nan")), digits=2) for name in names),
            )
            for one in speeds
        ],
    )


def drawn(report: dict[str, Any], path: Path) -> None:
    """One picture: rate and time of every case, side by side."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("No picture: matplotlib is missing (pip install -e '.[bench]')")
        return
    mpl.use("Agg")
    from matplotlib import pyplot

    speeds = report["speeds"]
    colours = {OURS: "#2b6cb0", "cacheback": "#cbb89d"}
    panes = (("per_second", MANY, "answers per second, 8 callers"), ("p50_ms", 1, "p50 in ms, 1 caller"))
    chart, axes = pyplot.subplots(1, 2, figsize=(12, 0.6 * len(speeds) / 2 + 1.6), constrained_layout=True)
    for axis, (key, callers, title) in zip(axes, panes, strict=True):
        shown = [one for one in speeds if one["callers"] == callers][::-1]
        labels = [f"{one['system']}, {one['case']}" for one in shown]
        bars = axis.barh(
            labels, [one[key] for one in shown], color=[colours.get(one["system"], "#a0aec0") for one in shown]
        )
        axis.bar_label(bars, fmt="{:,.1f}", padding=3)
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    pyplot.savefig(path, dpi=130)
    pyplot.close(chart)
