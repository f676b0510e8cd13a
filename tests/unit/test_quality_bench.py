"""Do the scorers of `make quality` count right? Hand-made cases, small enough to be checked by eye."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from cache_api.domain.evidence import Check
from cache_api.domain.risk import Checked
from tests.bench.quality import over_http
from tests.bench.quality import t6_learning as learning
from tests.bench.quality.cosine import best_frozen
from tests.bench.quality.data import ENTRY_SOURCE, Pair, Text, read, whole_clusters
from tests.bench.quality.gates import Case, Gate, corrected, gates, wanted
from tests.bench.quality.probes import generated, generated_data
from tests.bench.quality.product import CANDIDATES, POLICY, judged, may_match, nearest, scores_of
from tests.bench.quality.report import table
from tests.bench.quality.sweep import NOTHING, RIGHT, UNKNOWN, WRONG, Sweep, figure, share, weights
from tests.bench.quality.t1_pairs import vetoes
from tests.bench.quality.t2_probes import (
    MIXES,
    Outcome,
    Probe,
    Stored,
    mixed,
    of_pairs,
    of_stream,
    outcome_of_pairs,
    outcome_of_stream,
)
from tests.bench.quality.t3_streams import Run, best_within, by_size, run, zipf
from tests.bench.quality.t4_traps import class_of
from tests.bench.quality.t5_turns import CHANGES, call, changed, compared
from tests.bench.quality.vectors import Kept


def sweep(scores: Sequence[float], outcomes: Sequence[int]) -> Sweep:
    return Sweep(np.array(scores), np.array(outcomes), np.ones((1, len(scores)), dtype=np.float32))


R, W, U, N = RIGHT, WRONG, UNKNOWN, NOTHING


# -- Sweeps.


@pytest.mark.parametrize(
    ("scores", "labels", "auc"),
    [
        ((0.9, 0.8, 0.2, 0.1), (R, R, W, W), 1.0),
        ((0.9, 0.8, 0.2, 0.1), (W, W, R, R), 0.0),
        ((0.5, 0.5, 0.5, 0.5), (R, W, R, W), 0.5),  # ties count half
        ((0.9, 0.7, 0.5, 0.3), (R, W, R, W), 0.75),
        ((0.9, 0.7, 0.7, 0.3), (R, R, W, W), 0.875),
    ],
)
def test_the_area_is_the_share_of_true_false_couples_in_order(
    scores: Sequence[float], labels: Sequence[int], auc: float
) -> None:
    assert sweep(scores, labels).auc()[0] == pytest.approx(auc)


def test_average_precision_is_the_mean_precision_at_each_right_one() -> None:
    found = sweep((0.9, 0.8, 0.7, 0.6), (R, W, R, W))
    assert found.average_precision()[0] == pytest.approx((1 / 1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("method", "bound", "recall"),
    [
        ("recall_at_precision", 0.95, 0.25),
        ("recall_at_precision", 0.75, 0.75),
        ("recall_at_precision", 0.6, 1.0),
        ("recall_at_false_rate", 0.0, 0.25),
        ("recall_at_false_rate", 0.5, 0.75),
        ("recall_at_false_rate", 1.0, 1.0),
    ],
)
def test_recall_is_the_best_of_all_cuts_within_the_bound(method: str, bound: float, recall: float) -> None:
    found = sweep((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), (R, W, R, R, W, R))
    assert getattr(found, method)(bound)[0] == pytest.approx(recall)


@pytest.mark.parametrize(
    ("outcomes", "e_hit", "right", "wrong"),
    [
        ((R, R, R, W), 0.02, 3, 0),
        ((W, R, R, R), 0.02, 0, 0),  # the nearest is wrong: no cut keeps the bound
        ((R, R, R, W), 0.25, 3, 0),
        ((R, W, R, R), 0.25, 3, 1),  # the error may pass the bound on the way down
        ((U, U, R, W), 0.02, 1, 0),  # unknown hits are neither
        ((N, N, N, N), 0.02, 0, 0),
    ],
)
def test_the_best_cut_has_the_most_right_hits_within_the_error(
    outcomes: Sequence[int], e_hit: float, right: int, wrong: int
) -> None:
    found = sweep((0.9, 0.8, 0.7, 0.6), outcomes)
    columns = found.best(e_hit=e_hit)
    assert (found.right_hits(columns)[0], found.wrong_hits(columns)[0]) == (right, wrong)


def test_error_per_request_counts_those_that_missed_too() -> None:
    found = sweep((0.9, 0.8, 0.7, *[0.1] * 97), (R, W, R, *[N] * 97))
    columns = found.best(e_req=0.01)
    assert (found.right_hits(columns)[0], found.hits(columns)[0]) == (2, 3)


def test_a_cut_serves_what_scores_as_much_and_equal_scores_go_together() -> None:
    found = sweep((0.9, 0.8, 0.8, 0.7), (R, R, W, R))
    assert [found.hits(found.at_cut(cut))[0] for cut in (0.95, 0.9, 0.8, 0.75, 0.0)] == [0, 1, 3, 3, 4]


def test_resampling_draws_clusters_whole_and_keeps_the_sample_itself_in_front() -> None:
    each = weights(["a", "a", "b", "c"], seed=3)
    assert each.shape == (201, 4)
    assert (each[0] == 1).all()
    assert (each[:, 0] == each[:, 1]).all()
    assert each[:, [0, 2, 3]].sum(axis=1).tolist() == [3.0] * 201


def test_a_figure_has_its_value_between_its_bounds_and_of_nothing_none() -> None:
    each = weights(list(range(200)), seed=1)
    hits = np.array([1.0] * 50 + [0.0] * 150)
    found = figure(share(each @ hits, each.sum(axis=1)), 200)
    assert found.value == 0.25
    assert 0.18 < found.low < 0.25 < found.high < 0.32
    assert math.isnan(figure(share(each @ (hits * 0), each @ (hits * 0)), 0).value)


# -- T1.


def test_vetoes_are_counted_by_kind_and_label() -> None:
    pairs = [Pair("a", "b", 1, "k"), Pair("a", "c", 0, "k"), Pair("a", "d", 0, "k"), Pair("a", "e", 0, "other")]
    assert vetoes(pairs, [None, "guard:number", None, None]) == [
        {"kind": "k", "gate": "guard:number", "true_lost": 0.0, "false_removed": 0.5, "n_true": 1, "n_false": 2}
    ]


# -- T2.


@pytest.mark.parametrize(
    ("group", "probe_owner", "entry_owner", "outcome"),
    [
        ("stored", "q", "q", R),
        ("near", "q", "q", W),
        ("stored", "q", "another", U),
        ("near", "q", None, U),
        ("other", None, "q", W),
        ("other", None, None, W),
    ],
)
def test_a_hit_on_the_own_question_scores_its_label(
    group: str, probe_owner: str | None, entry_owner: str | None, outcome: int
) -> None:
    assert outcome_of_pairs(Probe("?", probe_owner, group), Stored("!", entry_owner)) == outcome


@pytest.mark.parametrize(
    ("probe_owner", "entry_owner", "outcome"),
    [("c", "c", R), ("c", "d", W), ("c", None, W), (None, "c", W), (None, None, W)],
)
def test_in_a_stream_a_hit_is_right_within_its_cluster(
    probe_owner: str | None, entry_owner: str | None, outcome: int
) -> None:
    assert outcome_of_stream(Probe("?", probe_owner, "stored"), Stored("!", entry_owner)) == outcome


def test_pairs_become_entries_and_probes() -> None:
    stored, probes = of_pairs([Pair("a", "b", 1), Pair("a", "c", 0)])
    assert stored == [Stored("a", "a")]
    assert probes == [Probe("b", "a", "stored"), Probe("c", "a", "near")]


def test_of_a_stream_three_in_five_large_clusters_are_known_by_at_most_half_and_ten_of_their_texts() -> None:
    sizes = {"a": 30, "b": 4, "c": 5, "d": 6, "e": 8, "small": 3}
    texts = [Text(f"{name}{at}", name) for name, size in sizes.items() for at in range(size)]
    stored, probes = of_stream(texts, Random(1))
    known = {it.owner for it in stored}
    assert len(known) == 3
    assert "small" not in known
    for name in known:
        assert sum(it.owner == name for it in stored) == min(10, sizes[str(name)] // 2)
    assert {it.owner for it in probes if it.group == "near"} == set(sizes) - known
    assert len(stored) + len(probes) == len(texts)


@pytest.mark.parametrize(("mix", "counts"), [("chat", (10, 30, 60)), ("qa", (15, 15, 20)), ("support", (30, 10, 10))])
def test_a_mix_is_as_large_as_its_scarcest_group_allows(mix: str, counts: tuple[int, int, int]) -> None:
    sizes = {"stored": 30, "near": 30, "other": 60}
    if mix == "qa":
        sizes["stored"] = 15
    outcomes = [
        Outcome(group, f"{group}{at}", 0.9, R, 0.9, R, R, "?", None)
        for group, size in sizes.items()
        for at in range(size)
    ]
    drawn = mixed(outcomes, MIXES[mix], Random(0))
    assert tuple(sum(it.group == group for it in drawn) for group in sizes) == counts


def test_the_best_frozen_threshold_counts_every_mix_alike() -> None:
    def steps(*shares: tuple[str, float, float]) -> dict[str, Any]:
        return {"cosine steps": {cut: {"right": right, "wrong": wrong} for cut, right, wrong in shares}}

    found = {
        "stream_a": {"mixes": {"chat": steps(("0.8", 0.5, 0.02), ("0.9", 0.3, 0.0))}},
        "stream_b": {"mixes": {"chat": steps(("0.8", 0.5, 0.03), ("0.9", 0.3, 0.01))}},
        "traps": {"mixes": {"chat": steps(("0.8", 0.0, 0.5), ("0.9", 0.0, 0.5))}},
    }
    assert best_frozen(found) == 0.9
    assert best_frozen({}) is None


# -- T3.


class World:
    """Four questions: two clusters of two, each text nearest to its like, except that the last is near the first."""

    texts = [Text("a1", "a"), Text("a2", "a"), Text("b1", "b"), Text("b2", "b")]
    cosines = np.array([[1, 0.9, 0.1, 0.95], [0.9, 1, 0.1, 0.2], [0.1, 0.1, 1, 0.8], [0.95, 0.2, 0.8, 1]])


def over(cut: float) -> Any:
    return lambda asked, near, cosines: near[0] if near and cosines[0] >= cut else None


@pytest.mark.parametrize(
    ("cut", "judge_inserts", "hit", "wrong"),
    [
        (0.85, False, [False, True, False, True], [False, False, False, True]),
        (0.92, False, [False, False, False, True], [False, False, False, True]),
        (1.01, False, [False] * 4, [False] * 4),
        (0.85, True, [False, True, False, True], [False, False, False, True]),
    ],
)
def test_a_stream_inserts_on_miss(cut: float, judge_inserts: bool, hit: list[bool], wrong: list[bool]) -> None:
    found = run(World(), [0, 1, 2, 3], over(cut), judge_inserts=judge_inserts)  # type: ignore[arg-type]
    assert (found.hit, found.wrong) == (hit, wrong)
    assert found.answerable == [False, True, False, True]


@pytest.mark.parametrize(("judge_inserts", "exact"), [(False, 0), (True, 1)])
def test_with_a_judge_what_was_served_wrongly_is_stored_and_found_word_for_word(
    judge_inserts: bool, exact: int
) -> None:
    found = run(World(), [0, 2, 3, 3], over(0.85), judge_inserts=judge_inserts)  # type: ignore[arg-type]
    assert found.exact == exact
    assert sum(found.wrong) == 2 - exact


def test_zipf_prefers_the_first_ranks_and_draws_every_text() -> None:
    texts = [Text(f"{cluster}{at}", cluster) for cluster in "abcdefgh" for at in range(3)]
    drawn = zipf(texts, 1.0, 4000, np.random.default_rng(0))
    counts = sorted((sum(texts[at].cluster == cluster for at in drawn) for cluster in "abcdefgh"), reverse=True)
    assert set(drawn) == set(range(24))
    assert counts[0] / counts[-1] > 5


def test_the_oracle_takes_the_cut_with_most_hits_within_the_error() -> None:
    by_cut = {
        cut: {"hit_rate": {"value": hits}, "e_req": {"value": error}}
        for cut, hits, error in ((0.8, 0.6, 0.03), (0.9, 0.4, 0.01), (0.95, 0.2, 0.0))
    }
    assert [(best_within(by_cut, "e_req", bound) or {}).get("cut") for bound in (0.05, 0.02, 0.005)] == [0.8, 0.9, 0.95]
    assert best_within({}, "e_req", 0.01) is None


def test_error_by_size_starts_at_five_hundred_entries() -> None:
    found = Run(clusters=["a"] * 4, hit=[True] * 4, wrong=[True, True, False, True], entries=[10, 500, 900, 1000])
    assert [(it["from"], it["hits"], it["e_hit"]) for it in by_size(found)] == [(500, 2, 0.5), (1000, 1, 1.0)]


# -- T4, T5.


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("checklist/NER/Change numbers in one of the questions :: original vs changed", "number"),
        ("checklist/NER/Change first name in one of the questions :: original vs changed", "entity"),
        ("checklist/NER/same adjectives, different people v2", "entity"),
        ("checklist/Temporal/Is it {ok, dangerous, ...} to {smoke, rest, ...} after != before", "temporal"),
        ("checklist/Negation/How can I become a X person != How can I become a person who is not X", "negation"),
        ("sem_anto_neg", "negation"),
        ("gsm_plus/numerical substitution", "number"),
        ("gsm_plus/digit expansion", "number"),
        ("pawsx_de", "order"),
        ("checklist/SRL/traditional SRL: wrong active / passive swap with people", "order"),
        ("code_language", "code language"),
        ("target_language", "language"),
        ("template_place", "template"),
        ("date", "date"),
        ("id", "id"),
        ("qqp", ""),
        ("something nobody has heard of", ""),
    ],
)
def test_a_kind_is_known_by_its_words(kind: str, found: str) -> None:
    assert class_of(kind) == found


@pytest.mark.parametrize("change", CHANGES)
def test_one_change_is_another_scope(change: str) -> None:
    history = ["What is Lyon?", "A city."]
    asked, stored = changed(history, "How old is it?", change), call(history, "How old is it?")
    assert not compared(asked, stored)
    assert asked.fingerprint != stored.fingerprint
    assert compared(call(history, "How old is the place?"), stored)


# -- Gates.


@pytest.mark.parametrize(
    ("value", "bound", "at_least", "met"),
    [
        (0.02, 0.02, False, True),
        (0.021, 0.02, False, False),
        (0.6, 0.6, True, True),
        (0.59, 0.6, True, False),
        (math.nan, 0.02, False, True),  # of no hits none is wrong
        (math.nan, 0.6, True, False),
    ],
)
def test_a_case_is_met_on_the_right_side_of_its_bound(value: float, bound: float, at_least: bool, met: bool) -> None:
    assert Case("here", value, bound, at_least=at_least).met is met


def test_a_gate_is_met_by_all_its_cases_and_unmeasured_without_any() -> None:
    good, bad = Case("good", 0.01, 0.02), Case("bad", 0.5, 0.02)
    assert Gate("T", "it", [good]).met is True
    assert Gate("T", "it", [good, bad]).met is False
    assert Gate("T", "it", [good, bad]).worst == bad
    assert Gate("T", "it", []).met is None


@pytest.mark.parametrize(
    ("cosine", "specific", "least"), [(0.2, True, 0.3), (0.5, True, 0.75), (0.6, True, 0.8), (0.2, False, 0.2)]
)
def test_support_with_specifics_wants_half_as_many_again(cosine: float, specific: bool, least: float) -> None:
    assert wanted(cosine, specific=specific) == pytest.approx(least)


def test_quoras_labels_are_corrected_and_no_others() -> None:
    assert corrected("stream_qqp", 0.1) == pytest.approx(0.073)
    assert corrected("stream_bitext", 0.1) == 0.1


# -- Data, probes, vectors.


def test_files_are_read_by_prefix_with_kinds_and_sources_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "pairs_new.jsonl").write_text('{"q1": "a", "q2": "b", "label": 1, "kind": "odd", "src": "x"}\n\n')
    (tmp_path / "stream_new.jsonl").write_text('{"text": "a", "cluster": 7, "intent": "i", "src": "x"}\n')
    (tmp_path / "background.jsonl").write_text(
        '{"text": "t", "src": "stackoverflow_titles"}\n{"text": "u", "src": "y"}\n'
    )
    data = read(tmp_path)
    assert data.pairs == {"new": [Pair("a", "b", 1, "odd", "x")]}
    assert data.streams["new"].texts == [Text("a", "7")]
    assert data.streams["new"].specifics
    assert (data.stored_background, data.asked_background) == (["t"], ["u"])


def test_clusters_are_taken_whole_until_there_are_enough() -> None:
    texts = [Text(f"{cluster}{at}", cluster) for cluster in "abcd" for at in range(5)]
    taken = whole_clusters(texts, 8)
    assert len(taken) == 10
    assert len({text.cluster for text in taken}) == 2


def test_there_are_two_hundred_generated_pairs_of_each_kind() -> None:
    for kind, pairs in generated().items():
        label = 1 if kind in ("typo", "contraction") else 0
        assert len({(pair.q1, pair.q2) for pair in pairs if pair.label == label}) >= 200, kind
        assert all(pair.q1 != pair.q2 and "{x}" not in pair.q1 + pair.q2 for pair in pairs)


def test_generated_pairs_are_the_same_for_the_same_seed() -> None:
    assert generated(5) == generated(5)
    assert generated(5) != generated(6)


def test_without_data_there_is_a_stream_and_its_background() -> None:
    data = generated_data()
    assert data.stored_background
    assert data.asked_background
    assert ENTRY_SOURCE in data.background
    assert all(stream.specifics for stream in data.streams.values())


class Letters:
    """A model of two letters that counts what it embeds."""

    version, backend, dimensions = "letters/1", "plain", 2

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        self.embedded += texts
        return [np.array([text.count("a"), text.count("b")], dtype="<f4").tobytes() for text in texts]


def test_a_text_is_embedded_once_and_by_every_version_anew(tmp_path: Path) -> None:
    first, second = Letters(), Letters()
    file = tmp_path / "deep" / "vectors.sqlite3"
    assert Kept(file, lambda: first).vectors_of(["a", "bb", "a"]).tolist() == [[1, 0], [0, 2], [1, 0]]  # type: ignore[arg-type, return-value]
    assert Kept(file, lambda: second).vectors_of(["bb", "aab"]).tolist() == [[0, 2], [2, 1]]  # type: ignore[arg-type, return-value]
    assert (first.embedded, second.embedded) == (["a", "bb"], ["aab"])

    second.version = "letters/2"
    Kept(file, lambda: second).vectors_of(["bb"])  # type: ignore[arg-type, return-value]
    assert second.embedded == ["aab", "bb"]


def test_the_nearest_come_nearest_first() -> None:
    entries = np.eye(7, dtype=np.float32)
    asked = np.array([[0.1, 0.9, 0.5, 0, 0, 0, 0.2]], dtype=np.float32)
    places, cosines = nearest(asked, entries)
    assert places[0, :4].tolist() == [1, 2, 6, 0]
    assert places.shape == cosines.shape == (1, CANDIDATES)


def test_a_table_is_markdown_with_aligned_columns() -> None:
    assert table(("", "n"), [("one", "1"), ("three", "30")]).splitlines() == [
        "|       |  n |",
        "|-------|---:|",
        "| one   |  1 |",
        "| three | 30 |",
    ]


# -- The product's own code.


@pytest.mark.parametrize(
    ("asked", "stored", "similarity", "gate"),
    [
        ("Where is my parcel?", "Where is my parcel now?", 0.97, None),
        ("Where is my parcel?", "Where is my parcel now?", 0.6, None),  # a floor is a cut, which the sweep sets itself
        ("Where is parcel 48120?", "Where is parcel 48121?", 0.99, "guard:id"),
    ],
)
def test_a_pair_is_scored_or_refused_by_a_guard(asked: str, stored: str, similarity: float, gate: str | None) -> None:
    score, found = scores_of(asked, stored, similarity)
    assert found == gate
    assert (0 < score <= 1) if gate is None else score < -1


def test_of_the_candidates_the_product_passes_over_what_a_guard_refuses() -> None:
    stored = ["Where is parcel 48121?", "Where is parcel 48120 now?", "How do I bake bread?"]
    found = judged("Where is parcel 48120?", stored, [0.99, 0.985, 0.1])
    assert (found.best, found.served) == (1, 1)
    assert judged("Where is parcel 48120?", stored, [0.4, 0.3, 0.1]).best is None


def test_a_question_about_the_present_is_not_looked_up() -> None:
    assert not may_match("What is the weather in Oslo today?")
    assert judged("What is the weather in Oslo today?", ["What is the weather in Oslo?"], [0.99]).served is None


# -- T6.


def world_of(*texts: tuple[str, str], grows: bool = True, stored: Sequence[int] = ()) -> learning.World:
    """All as near to each other as `near`; those of one owner share an answer."""
    everyone = np.arange(len(texts))
    near = [(everyone[everyone != at], np.full(len(texts) - 1, 0.97, dtype=np.float32)) for at in everyone]
    vectors = np.eye(len(texts), dtype=np.float32)
    return learning.World(
        [text for text, _ in texts], [owner for _, owner in texts], vectors, near, stored=stored, grows=grows
    )


ORDER = "Where is my parcel of last week now"  # worded so that the code would serve one for the other
ALIKE = [(f"{start} {ORDER}", "parcel") for start in ("So", "And", "Well", "Please")]


def test_without_verdicts_nothing_is_learnt() -> None:
    project = learning.Project(0, 0.0, Random(0))
    learning.run(world_of(*ALIKE), [0, 1, 2, 3], project, shown_from=0, judged_until=4)
    assert (project.judged, project.policy, project.checks) == ([], POLICY, {})


@pytest.mark.parametrize(("noise", "right"), [(0.0, True), (1.0, False)])
def test_a_verdict_is_kept_with_its_entry_and_noise_turns_it_round(noise: float, right: bool) -> None:
    world = world_of(*ALIKE)
    project = learning.Project(10, noise, Random(0))
    assert project.look_at(world, "hit", 1, 0, (0.97, 0.99)) is right
    assert list(project.checks[0]) == [Check(0.97, right, 1.0)]
    assert project.judged == project.served == [Checked(0.99, not right, 1.0)]
    assert project.candidate(world, 1, 0, 0.97).known_wrong is not right
    assert not project.candidate(world, 2, 0, 0.97).known_wrong  # another question is not known


def test_doubts_count_among_the_judged_but_not_among_the_served() -> None:
    project = learning.Project(10, 0.0, Random(0))
    assert project.look_at(world_of(*ALIKE), "doubt", 1, 0, (0.9, 0.95))
    assert (len(project.judged), project.served) == (1, [])
    assert not project.look_at(world_of(*ALIKE), "doubt", 1, 0, (0.8, 0.1))  # too unlikely to be looked at
    assert len(project.judged) == 1


def test_after_its_last_verdict_nobody_judges() -> None:
    project = learning.Project(3, 0.0, Random(0))
    for asked in (1, 2, 3, 2, 1):
        project.look_at(world_of(*ALIKE), "hit", asked, 0, (0.97, 0.99))
    assert len(project.judged) == 3
    assert project.policy.labels == 3


def test_enough_right_verdicts_lower_the_cut_and_wrong_ones_raise_it() -> None:
    frozen = learning.Project(0, 0.0, Random(0)).cut
    cuts = []
    for noise in (0.0, 1.0):
        project = learning.Project(100, noise, Random(0))
        for _ in range(100):
            project.look_at(world_of(*ALIKE), "doubt", 1, 0, (0.9, 0.9))
            project.look_at(world_of(*ALIKE), "hit", 1, 0, (0.97, 0.99))
        cuts.append(project.cut)
    assert cuts[0] == 0.9 < frozen < cuts[1]


def test_what_is_shown_are_the_later_questions_with_what_their_wrong_hits_are_worth() -> None:
    world = replace(world_of(*ALIKE[:2], ("So " + ORDER + "?", "other")), worth=[0.5] * 3)
    found = learning.run(world, [0, 1, 2], learning.Project(0, 0.0, Random(0)), shown_from=1, judged_until=0)
    assert found.hit == [True, True]
    assert found.wrong == [0.0, 0.5]
    assert learning.shares(found, seed=0)["e_hit"]["value"] == 0.25


def test_what_missed_is_stored_only_where_the_cache_grows() -> None:
    project = learning.Project(0, 0.0, Random(0))
    assert learning.run(world_of(*ALIKE, grows=False), [0, 1], project, shown_from=0, judged_until=0).hit == [False] * 2
    stored = world_of(*ALIKE, grows=False, stored=[0])
    assert learning.run(stored, [1, 2], project, shown_from=0, judged_until=0).hit == [True] * 2


@pytest.mark.parametrize(("labels", "third"), [(0, True), (1, False)])
def test_what_a_doubt_turned_into_an_alias_matches_nothing(labels: int, third: bool) -> None:
    texts = ["Where is my parcel of last week", "Where has my parcel gone since last week"]
    texts.append(texts[1] + "?")
    near = [
        (np.array(places, dtype=np.int32), np.array(cosines))
        for places, cosines in (([], []), ([0], [0.86]), ([1], [0.99]))
    ]
    world = learning.World(texts, ["parcel"] * 3, np.eye(3, dtype=np.float32), near)
    project = learning.Project(labels, 0.0, Random(0))
    found = learning.run(world, [0, 1, 2], project, shown_from=0, judged_until=3)
    assert found.hit == [False, False, third]


def test_the_second_half_has_the_second_mix_and_no_question_comes_twice() -> None:
    groups = {"stored": range(700), "near": range(1000, 1500), "other": range(2000, 2800)}
    order, half = learning.in_two_mixes(groups, Random(0))
    assert len(set(order)) == len(order) == 2 * half
    counts = [[sum(at // 1000 == group for at in part) for group in range(3)] for part in (order[:half], order[half:])]
    assert counts == [[600, 200, 200], [100, 300, 600]]


def test_the_best_cut_that_keeps_the_promise_may_serve_no_wrong_hit_of_few() -> None:
    found = learning.Run(owners=["a"] * 4, hit=[False] * 4, score=[0.9, 0.8, 0.7, 0.0], outcome=[R, R, W, N])
    assert learning.at_promise(found) == 0.5


@pytest.mark.parametrize(
    ("labels", "learnt", "hits", "met"),
    [
        (1000, (0.30, 0.016), 500, [True, True, True, True]),
        (1000, (0.30, 0.021), 500, [False, False, True, True]),
        (1000, (0.20, 0.001), 500, [True, True, False, True]),
        (146, (0.30, 0.021), 500, [False, False, True, True]),  # all there are
        (5000, (0.30, 0.021), 500, [False, None, None, None]),
        (1000, (0.30, 0.021), 50, [None, None, True, True]),  # so few hits say nothing of how many are wrong
    ],
)
def test_learning_must_not_add_wrong_hits_and_must_add_hits(
    labels: int, learnt: tuple[float, float], hits: int, met: list[bool | None]
) -> None:
    def shares(hit_rate: float, e_hit: float, n: int) -> dict[str, Any]:
        return {"hit_rate": {"value": hit_rate}, "e_hit": {"value": e_hit, "n": n}}

    row = {"labels": labels, "noise": 0.0, "given": labels, "same cache": {"learnt": 0.5, "frozen": 0.5}}
    stream = {"frozen": shares(0.25, 0.012, 500), "learnt": [row | shares(*learnt, hits)]}
    found = gates({"T6": {"streams": {"any": stream}, "shift": {}}})
    assert [gate.met for gate in found if gate.test == "T6"] == met


# -- Over HTTP.


def test_only_other_decisions_are_differences_and_late_ones_are_counted_apart() -> None:
    asked = [over_http.Asked("q", "n", "near", served) for served in ("a", "a", None, "a", None)]
    said = (("a", False), ("b", False), ("a", False), (None, True), (None, False))
    told = [over_http.Told(served, late, "miss") for served, late in said]
    found = over_http.differences(asked, told)
    assert {name: found[name] for name in ("n", "by code", "over http", "other", "late")} == {
        "n": 5,
        "by code": 3,
        "over http": 3,
        "other": 2,
        "late": 1,
    }
    assert found["differences"] == ["'q': the code serves 'a', miss", "'q': the code misses, miss"]
