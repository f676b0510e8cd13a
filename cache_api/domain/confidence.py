"""How likely does the stored answer to one question answer another one rightly?

    p = 1 / (1 + exp(-(bias + sum of weight_i * feature_i)))

A feature of likeness has a weight of at least 0 and one of difference a weight of at most 0, so that a nearer vector
never lowers p and a difference never raises it. What is counted once, of either text, is remembered for a while: one
question meets five candidates, and popular ones come again.

`confidence.json` has the weights, learnt by `tests/bench/quality/train.py`, for one embedder and one set of features.
"""

# ruff: noqa: SIM905  (word lists read better as words)

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from math import exp
from pathlib import Path
from typing import Any, NamedTuple, Self

from cache_api.domain.actions import ACTION_OF
from cache_api.domain.guard.spelling import plain, stem, words

FILE = Path(__file__).with_name("confidence.json")
FEATURES_VERSION = 1  # raised with any change of what a feature says: older weights do not fit then

LIKENESS = (
    "cosine",
    "cosine_over_80",
    "cosine_over_85",
    "cosine_over_90",
    "cosine_over_95",
    "same_words",
)
DIFFERENCE = (
    "names",
    "actions",
    "denials",
    "question_word",
    "order",
    "voice",
)
FEATURES = LIKENESS + DIFFERENCE

_REMEMBERED_TEXTS = 512
_COMPARED_CHARACTERS = 1500  # bounds what a long question costs
_SHORTEST_JOINED = 5
_SHORTEST_LIKE = 5  # shorter words that differ in a letter are other words
_LONGEST_ENDING = 6
NEVER = 2.0  # no probability is so high
_SCORE_MOST = 40.0  # beyond, p is 1 to the last bit

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![.!?:] )(?<!^)\b[A-Z][^\W\d_]+")  # a capital that begins no sentence

_QUESTION_WORDS = {
    word: kind
    for kind, spoken in {
        "how": "how wie como comment come hoe",
        "what": "what which was welche welcher welches que cual quel quelle che quale wat welk welke qual",
        "why": "why warum wieso weshalb porque pourquoi perche waarom",
        "when": "when wann cuando quand quando wanneer",
        "where": "where wo donde ou dove onde waar",
        "who": "who whom whose wer wem wen quien qui chi quem",
    }.items()
    for word in spoken.split()
}
_DENIALS = frozenset(
    "not no never without nobody nothing none hardly nicht kein keine keinen nie ohne ni pas jamais sans sin nunca "
    "jamas non senza mai nao sem niet geen nooit zonder".split()
)
_LIGHT = frozenset(
    "a an the is are was were be been am do does did have has had will would can could shall should may might must i "
    "me my we our us you your he she it its they them their this that these those there to of in on at by for from as "
    "with and or if so please any some get just also "
    "der die das ein eine einen einem einer ist sind ich mich mir mein meine du und oder zu von es er sie den dem des "
    "im am an auf mit fur el la los las un una mi de en y se lo le les est je mon ma et il gli di da o os "
    "um uma e eu het een ik mijn".split()
)
_WEIGHTLESS = _LIGHT | _DENIALS  # `why are leaves not green`, `why aren't leaves green`: `denied` counts them
_BY = frozenset({"by", "von", "vom", "par", "por", "door"})
# `is A like B` asks what `is B like A` asks.
_BOTH_WAYS = frozenset(
    "and or with between versus vs than like same similar different married compare compared comparison difference "
    "und oder mit zwischen als wie gleich ahnlich verheiratet vergleich unterschied".split()
)


class BadWeights(Exception):
    """The file of weights is damaged, or written for other features."""


class View(NamedTuple):
    """What is compared of one text; words are stems."""

    stems: frozenset[str]
    weighty: tuple[str, ...]  # those that carry weight, in order
    said: tuple[str, ...]  # all, in order
    numbers: frozenset[str]
    names: frozenset[str]
    actions: frozenset[str]
    asks: str
    denied: bool
    by: bool
    both_ways: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learnt, for one embedder."""

    embedder: str
    bias: float
    weights: tuple[float, ...]  # in the order of FEATURES
    cuts: Mapping[float, float]  # promised share of wrong hits -> least p

    @classmethod
    def read(cls, file: Path = FILE) -> Self:
        """Raises BadWeights."""
        return cls.build(json.loads(file.read_bytes()))

    @classmethod
    def build(cls, written: Mapping[str, Any]) -> Self:
        """Raises BadWeights."""
        if written["sha256"] != digest(written):
            raise BadWeights("The weights are not those that were written")
        if written["features"] != FEATURES_VERSION or set(written["weights"]) != set(FEATURES):
            raise BadWeights("The weights are for other features")
        return cls(
            embedder=written["embedder"],
            bias=written["bias"],
            weights=tuple(written["weights"][name] for name in FEATURES),
            cuts={float(promise): cut for promise, cut in written["cuts"].items()},
        )

    def probability(self, asked: str, stored: str, cosine: float) -> float:
        return self.of(features(asked, stored, cosine))

    def of(self, values: Sequence[float]) -> float:
        score = self.bias + sum([weight * value for weight, value in zip(self.weights, values, strict=True)])
        return 1 / (1 + exp(-max(-_SCORE_MOST, min(_SCORE_MOST, score))))

    def cut(self, promise: float) -> float:
        """The least p at which no more than this share of the hits is wrong; between two promises, the stricter's."""
        kept = [one for one in self.cuts if one <= promise]
        return self.cuts[max(kept)] if kept else NEVER

    def promise_of(self, probability: float) -> float | None:
        """The strictest promise under which so likely an answer is served; None: under none of them."""
        return min((promise for promise, cut in self.cuts.items() if probability >= cut), default=None)


@cache
def shipped() -> Calibration:
    return Calibration.read()


def digest(written: Mapping[str, Any]) -> str:
    """Of all but itself."""
    rest = {name: value for name, value in written.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def features(asked: str, stored: str, cosine: float) -> tuple[float, ...]:
    """In the order of FEATURES; each from 0 to 1, but for a cosine under 0."""
    ours, theirs = view(asked), view(stored)
    our_extra, their_extra = _unmatched(ours, theirs)
    reordered = sorted(ours.weighty) == sorted(theirs.weighty)
    turned = reordered and ours.weighty != theirs.weighty and not (ours.both_ways or theirs.both_ways)
    voice = ours.weighty == theirs.weighty and ours.by != theirs.by
    matched = our_extra.isdisjoint(ours.weighty) and their_extra.isdisjoint(theirs.weighty)
    denied = ours.denied != theirs.denied
    return (
        cosine,
        max(0.0, cosine - 0.80) / 0.20,
        max(0.0, cosine - 0.85) / 0.15,
        max(0.0, cosine - 0.90) / 0.10,
        max(0.0, cosine - 0.95) / 0.05,
        float(matched and not (turned or voice or denied) and ours.numbers == theirs.numbers),
        float(bool(ours.names & our_extra and theirs.names & their_extra)),
        float(bool(ours.actions and theirs.actions) and ours.actions.isdisjoint(theirs.actions)),
        float(denied),
        float(bool(ours.asks and theirs.asks) and ours.asks != theirs.asks),
        float(turned),
        float(voice),
    )


def view(text: str) -> View:
    return _remembered(text[:_COMPARED_CHARACTERS])


def _view(text: str) -> View:
    spelt = plain(text)
    folded = spelt.casefold()
    heard = words(folded)
    said = [stem(word) for word in heard]
    return View(
        stems=frozenset(said),
        weighty=tuple([one for one, word in zip(said, heard, strict=True) if word not in _WEIGHTLESS]),
        said=tuple(said),
        numbers=frozenset(_NUMBER.findall(folded)),
        names=frozenset([stem(name.casefold()) for name in _NAME.findall(spelt)]),
        actions=frozenset([ACTION_OF[one] for one in said if one in ACTION_OF]),
        asks=next((_QUESTION_WORDS[word] for word in heard if word in _QUESTION_WORDS), ""),
        denied=sum([word in _DENIALS for word in heard]) % 2 == 1,
        by=not _BY.isdisjoint(heard),
        both_ways=not _BOTH_WAYS.isdisjoint(heard),
    )


_remembered = lru_cache(maxsize=_REMEMBERED_TEXTS)(_view)


def _unmatched(ours: View, theirs: View) -> tuple[set[str], set[str]]:
    """Each side's words that the other lacks, but for another spelling, or another word for the same action."""
    our_extra, their_extra = set(ours.stems - theirs.stems), set(theirs.stems - ours.stems)
    if not our_extra or not their_extra:
        return our_extra, their_extra

    _match_joined(our_extra, their_extra, theirs)
    _match_joined(their_extra, our_extra, ours)
    for one in sorted(our_extra):
        action = ACTION_OF.get(one)
        for other in sorted(their_extra):
            if (one[0] == other[0] and _nearly(one, other)) or (action and action == ACTION_OF.get(other)):
                our_extra.discard(one)
                their_extra.discard(other)
                break
    return our_extra, their_extra


def _match_joined(extra: set[str], their_extra: set[str], theirs: View) -> None:
    """Two neighbours may be written as one: `top up`, `topup`."""
    for a, b in pairwise(theirs.said):
        if (joined := a + b) in extra and len(joined) >= _SHORTEST_JOINED:
            extra.discard(joined)
            their_extra.difference_update((a, b))


def _nearly(one: str, other: str) -> bool:
    """An inflection or a slip of the keys: `cancellation` and `cancel`, `acount` and `account`. Same first letter."""
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    if len(short) < _SHORTEST_LIKE or len(long) - len(short) > _LONGEST_ENDING:
        return False
    if long.startswith(short):
        return True
    at = next(place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b)
    if len(long) > len(short):
        return short[at:] == long[at + 1 :]
    turned = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return turned or short[at + 1 :] == long[at + 1 :]
