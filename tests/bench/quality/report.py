"""How are the figures shown: gates first, then a table a test?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.quality.cosine import beside_published
from tests.bench.quality.gates import Case, Gate, corrected
from tests.bench.quality.t2_probes import BOUNDS

MET = {True: "met", False: "NOT MET", None: "not measured"}
SHOWN_FAILURES = 40


def markdown(report: Mapping[str, Any], gates: Sequence[Gate]) -> str:
    results = report["results"]
    parts = [
        "# Quality\n\n" + _about(report),
        "## Gates\n\n" + _gates(gates),
        _section("Gates not met, case by case", _failures(gates)),
        _section("T1 pairs: recall at a false rate, [95 % CI]", _pairs(results.get("T1", {}))),
        _section("T1 pairs: what guards refuse, % (n)", _vetoes(results.get("T1", {}))),
        _section("T2 probes as shipped, %", _probes(results.get("T2", {}))),
        _section("T2 probes: capture with the best cut (oracle), %", _oracles(results.get("T2", {}))),
        _section("T3 streams from an empty cache, %", _streams(results.get("T3", {}))),
        _section("T3 streams: hit rate with the best cut (oracle), %", _stream_oracles(results.get("T3", {}))),
        _section("T3 streams: E_hit by entries in the cache, %", _sizes(results.get("T3", {}))),
        _section("T4 traps: served, %", _traps(results.get("T4", {}))),
        _section("T5 turns", _turns(results.get("T5", {}))),
        _section("T6 learning: what is served once judged, %", _learning(results.get("T6", {}))),
        _section("Over HTTP, beside the decision code", _over_http(results.get("HTTP", {}))),
        _section("8 bits against 32: AUC", _eight_bits(results.get("int8", {}))),
        _section("Plain cosine, beside what was published with 32 bits", _published(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown that is readable as it stands."""
    cells = [list(head), *[list(row) for row in rows]]
    if len(cells) == 1:
        return ""
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first = row[0].ljust(widths[0])
        return (
            "| " + " | ".join([first, *(it.rjust(width) for it, width in zip(row[1:], widths[1:], strict=True))]) + " |"
        )

    rule = "|" + "|".join("-" * (width + 1) + ("-" if at == 0 else ":") for at, width in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def percent(value: float | None, *, digits: int = 1) -> str:
    return "–" if value is None or math.isnan(value) else f"{value * 100:.{digits}f}"


def with_interval(found: Mapping[str, float], *, digits: int = 1) -> str:
    value = percent(found["value"], digits=digits)
    if value == "–":
        return value
    return f"{value} [{percent(found['low'], digits=digits)}–{percent(found['high'], digits=digits)}]"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _about(report: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in report["versions"].items())
    return f"{versions}\nData: {report['data']}. Seed {report['seed']}. {report['seconds']:.0f} s."


def _gates(gates: Sequence[Gate]) -> str:
    return table(
        ("gate", "worst", "bound", "where", "cases met", ""),
        [
            (
                f"{gate.test} {gate.what}",
                _number(gate.worst.value) if gate.worst else "–",
                _bound(gate.worst) if gate.worst else "–",
                gate.worst.where if gate.worst else "",
                f"{sum(case.met for case in gate.cases)}/{len(gate.cases)}",
                MET[gate.met],
            )
            for gate in gates
        ],
    )


def _failures(gates: Sequence[Gate]) -> str:
    rows = []
    for gate in gates:
        failed = sorted((case for case in gate.cases if not case.met), key=lambda case: case.margin)
        rows += [
            (f"{gate.test} {gate.what}", case.where, _number(case.value), _bound(case))
            for case in failed[:SHOWN_FAILURES]
        ]
    return table(("gate", "where", "value", "bound"), rows)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _bound(case: Case) -> str:
    return f"{'>=' if case.at_least else '<='} {case.bound:.4f}"


def _pairs(files: Mapping[str, Any]) -> str:
    rows = []
    for name, found in files.items():
        for whose in ("product", "cosine"):
            of = found[whose]
            rows.append(
                (
                    f"{name}, {whose}",
                    f"{found['n']} ({found['true']})",
                    f"{of['auc']['value']:.3f} [{of['auc']['low']:.3f}–{of['auc']['high']:.3f}]",
                    f"{of['average_precision']['value']:.3f}",
                    *(with_interval(of[f"recall_at_false_{most:g}"]) for most in (0.01, 0.05)),
                    *(percent(of[f"recall_at_precision_{least:g}"]["value"]) for least in (0.95, 0.98, 0.99)),
                )
            )
    head = ("", "n (true)", "AUC", "AP", "at false 1 %", "at false 5 %", "at prec. 95 %", "98 %", "99 %")
    return table(head, rows)


def _vetoes(files: Mapping[str, Any]) -> str:
    return table(
        ("file, kind", "gate", "true lost", "false removed"),
        [
            (
                f"{name}, {it['kind']}",
                it["gate"],
                f"{percent(it['true_lost'])} ({it['n_true']})",
                f"{percent(it['false_removed'])} ({it['n_false']})",
            )
            for name, found in files.items()
            for it in found["vetoes"]
        ],
    )


def _mixes(files: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    return ((file, name, mix) for file, of in files.items() for name, mix in of["mixes"].items())


def _probes(files: Mapping[str, Any]) -> str:
    rows = []
    for file, name, mix in _mixes(files):
        of = {"product": mix["product"]} | {f"cosine {cut}": it for cut, it in mix["cosine"].items()}
        for whose, it in (of | {"cosine frozen": mix["cosine frozen"]}).items():
            error = it["e_hit"]["value"]
            rows.append(
                (
                    f"{file} {name}, {whose}",
                    str(mix["n"]),
                    with_interval(it["hit_rate"]),
                    with_interval(it["capture"]),
                    with_interval(it["e_hit"], digits=2),
                    _corrected(file, error),
                    with_interval(it["e_req"], digits=2),
                    str(it["unknown"]),
                )
            )
    shown = table(("", "n", "hit rate", "capture", "E_hit", "corrected", "E_req", "unknown"), rows)
    left_out = ", ".join(f"{file} {of['bypassed']}" for file, of in files.items() if of["bypassed"])
    return (
        f"{shown}\n\nLeft out of T2 and T3, as they pass the cache by (`volatile`): {left_out or 'none'}."
        if rows
        else ""
    )


def _corrected(file: str, error: float) -> str:
    """Empty where the labels are taken as they are."""
    better = corrected(file, error)
    return percent(better, digits=2) if better != error else ""


def _oracles(files: Mapping[str, Any]) -> str:
    names = [f"{error}<={bound:g}" for error in ("e_hit", "e_req") for bound in BOUNDS]
    return table(
        ("", *names),
        [
            (f"{file} {name}, {whose}", *(with_interval(mix[f"{whose} oracle"][it]["capture"]) for it in names))
            for file, name, mix in _mixes(files)
            for whose in ("product", "cosine")
        ],
    )


def _streams(files: Mapping[str, Any]) -> str:
    rows = []
    for file, found in files.items():
        ways = {"once": found} | {name: it for name, it in found.items() if name.startswith("zipf")}
        for way, of in ways.items():
            shown = {"product": of["product"]} | {f"cosine {cut}": it for cut, it in of["cosine"].items()}
            for whose, it in shown.items():
                rows.append(
                    (
                        f"{file} {way}, {whose}",
                        str(it["hit_rate"]["n"]),
                        str(it.get("exact", 0)),
                        percent(it["ceiling"]["value"]),
                        with_interval(it["hit_rate"]),
                        percent(it["capture"]["value"]),
                        with_interval(it["e_hit"], digits=2),
                        _corrected(file, it["e_hit"]["value"]),
                        percent(it["e_req"]["value"], digits=2),
                    )
                )
    return table(("", "n", "exact", "ceiling", "hit rate", "capture", "E_hit", "corrected", "E_req"), rows)


def _stream_oracles(files: Mapping[str, Any]) -> str:
    rows: list[Sequence[str]] = []
    names: list[str] = []
    for file, found in files.items():
        for whose in ("product", "cosine"):
            oracle = found[f"{whose} oracle"]
            names = list(oracle)
            rows.append((f"{file}, {whose}", *(_best(it) for it in oracle.values())))
    return table(("", *names), rows)


def _best(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{percent(found['hit_rate']['value'])} ({found['cut']:g}, E_hit {percent(found['e_hit']['value'])})"


def _sizes(files: Mapping[str, Any]) -> str:
    rows = []
    for file, found in files.items():
        for way in (name for name in found if name == "by size" or name.startswith("zipf")):
            steps = found[way] if way == "by size" else found[way]["product"]["by size"]
            rows += [
                (
                    f"{file} {'once' if way == 'by size' else way}",
                    f"{it['from']:,}",
                    str(it["asked"]),
                    str(it["hits"]),
                    percent(it["e_hit"], digits=2),
                    percent(it["e_req"], digits=2),
                )
                for it in steps
            ]
    return table(("", "entries from", "asked", "hits", "E_hit", "E_req"), rows)


def _traps(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, it in found.get("kinds", {}).items():
        for what in ("false", "kept"):
            if of := it.get(what):
                rows.append(
                    (
                        f"{kind}, {what}",
                        it["class"],
                        str(of["hit"]["n"]),
                        with_interval(of["hit"]),
                        percent(of["other"]["value"]),
                        percent(of["cosine 0.85"]["value"]),
                        percent(of["cosine 0.92"]["value"]),
                    )
                )
    return table(("kind", "class", "n", "product", "of another", "cosine .85", "cosine .92"), rows)


def _turns(found: Mapping[str, Any]) -> str:
    rows = [
        (kind, str(it["n"]), str(it["as given"]), str(it["own history compared"]))
        for kind, it in found.get("kinds", {}).items()
    ]
    rows += [
        (f"other {change}", str(it["n"]), str(it["served"]), "") for change, it in found.get("changes", {}).items()
    ]
    return table(("", "n", "served", "compared, with the seed's history"), rows)


def _learning(found: Mapping[str, Any]) -> str:
    rows = []
    for name, it in found.get("streams", {}).items():
        rows.append((name, "frozen", "", *_served(it["frozen"]), "", "", ""))
        for row in it["learnt"]:
            same = row.get("same cache", {})
            rows.append(
                (
                    name,
                    f"{row['given']:,.0f}",
                    percent(row["noise"], digits=0),
                    *_served(row),
                    f"{percent(same['learnt'])} ({percent(same['frozen'])})" if same else "",
                    " ".join(f"{cut:.3f}" for cut in row["cuts"]),
                    str(row["alarms"]),
                )
            )
    for noise, it in found.get("shift", {}).items():
        rows.append(("another mix", "frozen", "", *_served(it["frozen"]), "", "", ""))
        rows.append(
            ("another mix", "all", percent(float(noise), digits=0), *_served(it["learnt"]), "", "", str(it["alarms"]))
        )
    head = ("", "labels", "of them wrong", "hit rate", "E_hit", "hits", "best at 2 % (frozen)", "cut", "alarms")
    return table(head, rows)


def _served(of: Mapping[str, Any]) -> tuple[str, str, str]:
    return with_interval(of["hit_rate"]), with_interval(of["e_hit"], digits=2), str(of["e_hit"]["n"])


def _over_http(found: Mapping[str, Any]) -> str:
    shown = table(
        ("", "asked", "hits by code", "hits over HTTP", "other decisions", "no decision in time"),
        [
            (what, *(str(it[name]) for name in ("n", "by code", "over http", "other", "late")))
            for what, it in found.items()
        ],
    )
    lines = [f"- {what}: {line}" for what, it in found.items() for line in it["differences"]]
    return "\n\n".join(part for part in (shown, "\n".join(lines)) if part)


def _eight_bits(files: Mapping[str, Any]) -> str:
    return table(
        ("", "n", "int8", "fp32", "lost", "cosine int8", "cosine fp32"),
        [
            (
                name,
                str(it["n"]),
                *(f"{it[key]:.4f}" for key in ("int8", "fp32", "lost", "int8 cosine", "fp32 cosine")),
            )
            for name, it in files.items()
        ],
    )


def _published(results: Mapping[str, Any]) -> str:
    return table(
        ("", "published", "now", "difference"),
        [
            (f"{test} {what}", f"{then:.3f}", f"{now:.3f}", f"{now - then:+.3f}")
            for test, what, then, now in beside_published(results)
        ],
    )
