"""Which word stands before which, and have two texts exchanged them?

`red roses and white lilies` are not `white roses and red lilies`: all words are the same, so hardly a vector moves.
"""

# ruff: noqa: SIM905  (word lists read better as words)

import re
from itertools import pairwise

from cache_api.domain.guard.polarity import LIGHT
from cache_api.domain.guard.spelling import stem

Pairs = frozenset[tuple[str, str]]

_TOKEN = re.compile(r"\d+(?:st|nd|rd|th)?\b|\d+|[^\W\d_]+|[,;:.!?]")  # a mark parts what stands beside it
_RANK = re.compile(r"\d+(?:st|nd|rd|th)")
# They stand elsewhere in a German clause that begins otherwise.
_VERBS = frozenset(
    "wurde wurden wird werden war waren hat hatte hatten haben kann konnte konnten um als fur zum".split()
)
# What stands beside these stands beside each other: `sell the house`, `written by Ann`. (German moves its verbs.)
_BETWEEN = frozenset("a an the my your his her its our their by el los las un una por le les par il lo gli da".split())


def word_pairs(folded: str) -> Pairs:
    """Neighbours of which neither is light, as stems; figures are words here, and a rank is told of something."""
    tokens: list[str] = []
    for token in _TOKEN.findall(folded):
        of_a_rank = tokens and token in LIGHT and _RANK.fullmatch(tokens[-1])  # `30th in the league`
        if token not in _BETWEEN and not of_a_rank:
            tokens.append(token)
    return frozenset(
        (stem(one), stem(other)) for one, other in pairwise(tokens) if _carries_weight(one) and _carries_weight(other)
    )


def _carries_weight(token: str) -> bool:
    return token.isalnum() and token not in LIGHT and token not in _VERBS


def exchanged(ours: Pairs, theirs: Pairs) -> bool:
    """Does what stands before a word of ours stand before another of them in theirs, and the reverse?"""
    only_ours, only_theirs = ours - theirs, theirs - ours
    if len(only_ours) < 2 or len(only_theirs) < 2:
        return False
    followed = {other for _, other in only_ours} & {other for _, other in only_theirs}
    moved = {one for one, other in only_ours if other in followed} & {
        one for one, other in only_theirs if other in followed
    }
    before = {other: one for one, other in only_ours if one in moved and other in followed}
    return any(one in moved and before.get(other, one) != one for one, other in only_theirs)
