"""T6: does the product learn from judged answers, and never something worse than what it knew?

A judge says of what was served, and of what nothing but its probability kept from being served, whether it is right,
until X
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from random import Random
from typing import Any, Self

import numpy as np

from cache_api.domain.checking import Kind, chance_of_doubt, chance_of_hit
from cache_api.domain.confidence import shipped
from cache_api.domain.decision import Hit, Judgement, cut_of, decide, judge
from cache_api.domain.entry import Candidate
from cache_api.domain.evidence import CHECKS_KEPT, TRUST, Check
from cache_api.domain.policy import Policy
from cache_api.domain.risk import STRICTER, Checked, learn, tightens
from tests.bench.quality.data import Data, Stream, Text
from tests.bench.quality.product import CANDIDATES, NOW, POLICY, entry_of, looked_up, may_match, nearest, request_of
from tests.bench.quality.sweep import NOTHING, RIGHT, WRONG, Array, Sweep, figure, share, weights
from tests.bench.quality.t2_probes import MIXES, of_stream
from tests.bench.quality.t3_streams import MISLABELLED
from tests.bench.quality.vectors import Vectors, vectors_of

LABELS, QUICK_LABELS = (50, 200, 1000, 5000), (50, 200, 1000)
NOISES = (0.0, 0.1, 0.2, 0.3)  # shares of verdicts that are the opposite of the truth
ALL_LABELS = 1_000_000
JUDGED: dict[str, Any] = {"verify_provider": "demo", "verify_model": "judge", "verify_share": 1.0}
PROMISED_AFTER = 1000
JUDGED_PART = 0.6  # of the questions; the others show what was learnt
TOGETHER = "together"  # one project that is asked all files' questions
LABELS_A_LOOK, LABELS_A_REFIT = 20, 100  # stand for the hour and the week of traffic
REWORDED = 0.95  # cosine, from which on a question is known as one that was answered wrongly
ASKED_LEAST, QUICK_ASKED_LEAST = 1200, 800  # a small file's questions come in several orders
SHIFT_SEEDS, QUICK_SHIFT_SEEDS = 3, 1
SHIFT = ("support", "chat")  # what is asked in the first half, and in the second
GROUPS = ("stored", "near", "other")


@dataclass(frozen=True)
class World:
    """Questions, and how near they are to each other; those of one owner share an answer, None has none here."""

    texts: Sequence[str]
    owners: Sequence[str | None]
    vectors: Vectors
    near: Sequence[tuple[Array, Array]]  # of each question: places and cosines over the floor, nearest first
    stored: Sequence[int] = ()  # in the cache from the beginning
    grows: bool = True  # what missed is stored
    worth: Sequence[float] = ()  # of a wrong hit: under 1 where labels are known to call right ones wrong

    @classmethod
    def of_texts(cls, texts: Sequence[tuple[Text, float]]) -> Self:
        asked = {text.text: (text, worth) for text, worth in texts if looked_up(text.text)}
        vectors = vectors_of(list(asked))
        return cls(
            texts=list(asked),
            owners=[text.cluster for text, _ in asked.values()],
            vectors=vectors,
            near=_over_floor(vectors),
            worth=[worth for _, worth in asked.values()],
        )

    def may_be_served(self, asked: int, present: Array) -> tuple[list[int], list[float]]:
        places, cosines = self.near[asked]
        there = np.flatnonzero(present[places])[:CANDIDATES]
        return places[there].tolist(), cosines[there].tolist()

    def is_right(self, asked: int, served: int) -> bool:
        return self.owners[asked] is not None and self.owners[asked] == self.owners[served]


ROWS_AT_ONCE = 500


def _over_floor(vectors: Vectors) -> list[tuple[Array, Array]]:
    found: list[tuple[Array, Array]] = []
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        for row in vectors[start : start + ROWS_AT_ONCE] @ vectors.T:
            row[len(found)] = -1.0  # itself
            over = np.flatnonzero(row >= POLICY.similarity_floor)
            places = over[np.argsort(-row[over], kind="stable")]
            found.append((places.astype(np.int32), row[places]))
    return found


@dataclass
class Project:
    """The books that the product keeps of what was judged, and the Policy that it reads from them.

    `labels` is how many verdicts there will be: none makes it the frozen model.
    """

    labels: int
    noise: float
    chance: Random
    policy: Policy = field(init=False)
    checks: dict[int, deque[Check]] = field(default_factory=dict)  # by entry, the newest first
    wrong: dict[int, list[Array]] = field(default_factory=dict)  # by entry, what it was the wrong answer to
    judged: list[Checked] = field(default_factory=list)
    served: list[Checked] = field(default_factory=list)
    state: str = "learning"
    fitted_at: int = 0
    alarms: int = 0

    def __post_init__(self) -> None:
        # Every hit is looked at: the question is what so many labels teach, not how long it takes to have them.
        self.policy = replace(POLICY, **JUDGED) if self.labels else POLICY

    def candidate(self, world: World, asked: int, at: int, cosine: float) -> Candidate:
        like = self.wrong.get(at, ())
        return Candidate(
            entry_of(world.texts[at]),
            cosine,
            known_wrong=any(float(world.vectors[asked] @ other) >= REWORDED for other in like),
            checks=tuple(self.checks.get(at, ())),
        )

    def may_judge(self, kind: Kind, probability: float) -> float:
        """The chance with which it is looked at."""
        return chance_of_doubt(self.policy, probability) if kind == "doubt" else chance_of_hit(self.policy)

    def look_at(self, world: World, kind: Kind, asked: int, at: int, hit: tuple[float, float]) -> bool:
        """Whether its answer was found right, by a judge who may err; False where nobody looked."""
        similarity, probability = hit
        chance = self.may_judge(kind, probability)
        if self.chance.random() >= chance:
            return False
        right = world.is_right(asked, at) != (self.chance.random() < self.noise)
        self.checks.setdefault(at, deque(maxlen=CHECKS_KEPT)).appendleft(Check(similarity, right, TRUST["judge"]))
        if not right:
            self.wrong.setdefault(at, []).append(world.vectors[asked])
        checked = Checked(probability, not right, 1 / chance)
        self.judged.append(checked)
        if kind == "hit":
            self.served.append(checked)
        if len(self.judged) % LABELS_A_LOOK == 0:
            self.recalibrate()
        if len(self.judged) >= self.labels:
            self.stop()
        return right

    @property
    def cut(self) -> float:
        return cut_of(self.policy)

    def stop(self) -> None:
        """Nobody judges any more."""
        if self.policy.verify_model:
            self.recalibrate()
            self.policy = replace(self.policy, verify_model="")

    def recalibrate(self) -> None:
        promise = self.policy.max_wrong_hit_rate
        stricter = max(shipped().cut(promise * STRICTER), self.policy.learnt_cut or 0.0)
        cut, state = learn(self.judged, self.served, promise, shipped=shipped().cut(promise), stricter=stricter)
        too_soon = len(self.judged) - self.fitted_at < LABELS_A_REFIT
        if state == self.state == "kept" and too_soon and not tightens(cut, self.policy.learnt_cut):
            cut = self.policy.learnt_cut
        if cut != self.policy.learnt_cut or state != self.state:
            self.fitted_at = len(self.judged)
        self.alarms += state == "alarm" != self.state
        self.state = state
        self.policy = replace(self.policy, learnt_cut=cut, labels=len(self.judged), alarmed=state == "alarm")


@dataclass
class Run:
    """What became of the questions after which nobody judged."""

    owners: list[str] = field(default_factory=list)
    hit: list[bool] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)  # of the likeliest candidate, served or not
    outcome: list[int] = field(default_factory=list)  # what it would be

    def __iadd__(self, other: "Run") -> Self:
        for name in ("owners", "hit", "wrong", "score", "outcome"):
            getattr(self, name).extend(getattr(other, name))
        return self


@dataclass
class Told:
    """What some verdicts taught, once for each order of the questions."""

    later: Run = field(default_factory=Run)
    same_cache: Run = field(default_factory=Run)  # with all that was asked before stored, whoever was served
    projects: list[Project] = field(default_factory=list)


def run(world: World, order: Sequence[int], project: Project, *, shown_from: int, judged_until: int) -> Run:
    found = Run()
    present = np.zeros(len(world.texts), dtype=bool)
    present[list(world.stored)] = True
    for place, asked in enumerate(order):
        if place == judged_until:
            project.stop()
        text = world.texts[asked]
        matched = may_match(text)
        near, cosines = world.may_be_served(asked, present) if matched else ([], [])
        candidates = [project.candidate(world, asked, at, it) for at, it in zip(near, cosines, strict=True)]
        at_of = {world.texts[at]: at for at in near}
        decision = decide(request_of(text), candidates, project.policy, NOW)
        served = at_of[decision.entry.question or ""] if isinstance(decision, Hit) else None
        if place >= shown_from:
            _show(found, world, asked, served, judge(request_of(text), candidates, project.policy, NOW), at_of)

        alias = False
        if isinstance(decision, Hit) and served is not None:
            project.look_at(world, "hit", asked, served, (decision.similarity or 0.0, decision.probability or 0.0))
        elif not isinstance(decision, Hit) and (doubt := decision.doubtful) is not None:
            at = at_of[doubt.candidate.entry.question or ""]
            hit = (doubt.candidate.similarity, doubt.probability or 0.0)
            alias = project.look_at(world, "doubt", asked, at, hit)
        if world.grows and served is None and matched:
            present[asked] = not alias
    return found


def _show(
    found: Run, world: World, asked: int, served: int | None, judged: Sequence[Judgement], at_of: Mapping[str, int]
) -> None:
    worth = world.worth[asked] if world.worth else 1.0
    found.owners.append(world.owners[asked] or world.texts[asked])
    found.hit.append(served is not None)
    found.wrong.append(worth if served is not None and not world.is_right(asked, served) else 0.0)
    likely = [one for one in judged if one.refused is None or one.is_doubtful]
    best = max(likely, key=lambda one: one.probability or 0.0, default=None)
    found.score.append(best.probability or 0.0 if best else 0.0)
    if best is None:
        found.outcome.append(NOTHING)
    else:
        right = world.is_right(asked, at_of[best.candidate.entry.question or ""])
        found.outcome.append(RIGHT if right else WRONG)


def measured(data: Data, *, seed: int, quick: bool) -> dict[str, Any]:
    return {
        "streams": {
            name: of_world(world, seed=seed, quick=quick)
            for name, world in _worlds(data.streams).items()
            if len(world.texts) > 1
        },
        "shift": shifted(data, seed=seed, quick=quick),
    }


def _worlds(streams: Mapping[str, Stream]) -> dict[str, World]:
    told = {name: _told(name, stream) for name, stream in streams.items()}
    if len(told) > 1:
        told[TOGETHER] = [text for texts in told.values() for text in texts]
    return {name: World.of_texts(texts) for name, texts in told.items()}


def _told(name: str, stream: Stream) -> list[tuple[Text, float]]:
    worth = 1 - next((part for known, part in MISLABELLED.items() if known in name), 0.0)
    return [(replace(text, cluster=f"{name}/{text.cluster}"), worth) for text in stream.texts]


def of_world(world: World, *, seed: int, quick: bool) -> dict[str, Any]:
    """By number of labels and share of wrong verdicts, beside the frozen model."""
    orders = ceil((QUICK_ASKED_LEAST if quick else ASKED_LEAST) / len(world.texts))
    seeds = range(seed, seed + orders)
    until = round(JUDGED_PART * len(world.texts))

    def asked(labels: int, noise: float) -> Told:
        told = Told()
        for it in seeds:
            order = np.random.default_rng(it).permutation(len(world.texts)).tolist()
            project = Project(labels, noise, Random(it))
            told.later += run(world, order, project, shown_from=until, judged_until=until)
            if not noise:
                same = replace(world, stored=[at for at in order[:until] if may_match(world.texts[at])], grows=False)
                told.same_cache += run(same, order[until:], project, shown_from=0, judged_until=0)
            told.projects.append(project)
        return told

    frozen = asked(0, 0.0)
    rows = []
    for noise in NOISES:
        for labels in QUICK_LABELS if quick else LABELS:
            learnt = asked(labels, noise)
            given = sum(len(it.judged) for it in learnt.projects) / len(seeds)
            row = {"labels": labels, "noise": noise, "given": given, **shares(learnt.later, seed)}
            row |= {"alarms": sum(it.alarms for it in learnt.projects), "cuts": [it.cut for it in learnt.projects]}
            if not noise:
                row["same cache"] = {"learnt": at_promise(learnt.same_cache), "frozen": at_promise(frozen.same_cache)}
            rows.append(row)
            if given < labels:  # there are no more in so many questions
                break
    return {"n": len(frozen.later.hit), "frozen": shares(frozen.later, seed), "learnt": rows}


def shares(found: Run, seed: int) -> dict[str, Any]:
    each = weights(found.owners, seed=seed)
    hit, wrong = np.array(found.hit, dtype=np.float32), np.array(found.wrong, dtype=np.float32)
    hits = each @ hit
    return {
        "hit_rate": figure(share(hits, each.sum(axis=1, dtype=np.float64)), len(hit)).as_dict(),
        "e_hit": figure(share(each @ wrong, hits), int(hits[0])).as_dict(),
    }


def at_promise(found: Run) -> float:
    """The hit rate with the best cut of those that keep the promise."""
    each = np.ones((1, len(found.hit)), dtype=np.float32)
    sweep = Sweep(np.array(found.score), np.array(found.outcome), each)
    return float(sweep.hits(sweep.best(e_hit=POLICY.max_wrong_hit_rate))[0] / len(found.hit))


# -- Another mix of questions from half-way on.


def shifted(data: Data, *, seed: int, quick: bool) -> dict[str, Any]:
    """A full cache; judged throughout, shown from when fewer questions have a right answer in it."""
    if not data.stored_background or not data.asked_background:
        return {}
    found: dict[str, Any] = {}
    for noise in NOISES[::2]:
        whole, alone, alarms = Run(), Run(), 0
        for name, stream in data.streams.items():
            for it in range(seed, seed + (QUICK_SHIFT_SEEDS if quick else SHIFT_SEEDS)):
                world, order, half = _changing(name, stream, data, Random(it))
                project = Project(ALL_LABELS, noise, Random(it))
                whole += run(world, order, project, shown_from=half, judged_until=len(order))
                alone += run(world, order, Project(0, 0.0, Random(it)), shown_from=half, judged_until=len(order))
                alarms += project.alarms
        found[f"{noise:g}"] = {"learnt": shares(whole, seed), "frozen": shares(alone, seed), "alarms": alarms}
    return found


def _changing(name: str, stream: Stream, data: Data, chance: Random) -> tuple[World, list[int], int]:
    """As in T2, and as there nothing that is asked is stored: else the mix would not stay what it is set to."""
    entries, probes = of_stream(stream.texts, chance)
    background = [text for text in data.stored_background if may_match(text)]
    stored = [(it.text, it.owner) for it in entries] + [(text, None) for text in background]
    asked = [(it.text, it.owner, it.group) for it in probes] + [(text, None, "other") for text in data.asked_background]
    known = {text for text, _ in stored}
    groups: dict[str, list[int]] = {name: [] for name in GROUPS}
    texts, owners = [text for text, _ in stored], [owner for _, owner in stored]
    for text, owner, group in asked:
        if text not in known and looked_up(text):
            known.add(text)
            groups[group].append(len(texts))
            texts.append(text)
            owners.append(owner)

    order, half = in_two_mixes(groups, chance)
    vectors = vectors_of(texts)
    places, cosines = nearest(vectors[len(stored) :], vectors[: len(stored)])
    nothing = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    near = [nothing] * len(stored)
    near += [
        (at[over], it[over]) for at, it in zip(places, cosines, strict=True) for over in [it >= POLICY.similarity_floor]
    ]
    worth = _told(name, Stream([Text("", "")]))[0][1]
    world = World(texts, owners, vectors, near, stored=range(len(stored)), grows=False, worth=[worth] * len(texts))
    return world, order, half


def in_two_mixes(groups: Mapping[str, Sequence[int]], chance: Random) -> tuple[list[int], int]:
    """Two halves of one length, each in its mix and in chance order; and where the second begins."""
    first, second = (MIXES[name] for name in SHIFT)
    both = [one + other for one, other in zip(first, second, strict=True)]
    length = min(len(groups[name]) / part for name, part in zip(GROUPS, both, strict=True))
    left = {name: chance.sample(list(members), len(members)) for name, members in groups.items()}
    order: list[int] = []
    half = 0
    for mix in (first, second):
        half = len(order)
        drawn = [left[name].pop() for name, part in zip(GROUPS, mix, strict=True) for _ in range(int(length * part))]
        chance.shuffle(drawn)
        order += drawn
    return order, half
