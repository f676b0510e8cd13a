"""Do words that carry no weight make another question: is and was, can and should, my and your, and and or?"""

# ruff: noqa: SIM905  (word lists read better as words)

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cache_api.domain.guard.spelling import stem

_ADVERB_ENDINGS = ("ly", "mente")
_NO_ADVERBS = frozenset(
    "hourly daily nightly weekly biweekly monthly quarterly yearly early friendly elderly family supply apply reply "
    "fly rely comply multiply ally bully belly jelly italy july sicily assembly anomaly monopoly butterfly "
    "demente".split()
)


def by_word(lists: Mapping[str, str]) -> dict[str, str]:
    """What each word of the lists stands for."""
    return {word: meaning for meaning, listed in lists.items() for word in listed.split()}


# What is so now, what was so once, and what will be.
_TIMES = by_word(
    {
        "now": "is are am ist sind es son est sont e sono",
        "then": "was were had did war waren hatte hatten era eran etait etaient erano foi eram",
        "later": "will shall",
        "done": "has have",
    }
)
_MODALS = by_word({"may": "can could may", "should": "should shall", "must": "must"})
_OWNERS = by_word({"1": "my our mine ours", "2": "your yours", "he": "his", "she": "hers", "they": "their theirs"})
_PERSONS = _OWNERS | by_word({"1": "i me we us", "2": "you", "he": "he him", "she": "she her", "they": "they them"})
_THIRD = frozenset({"he", "she", "they"})
_COMPARING = frozenset(map(stem, "between versus vs or compare compared comparison difference different".split()))
# Adverbs that hardly say anything: another in their place is as good.
_EMPHATIC = frozenset(
    "really actually basically literally exactly easily quickly properly correctly immediately possibly probably "
    "usually generally normally typically especially specifically successfully completely totally fully entirely "
    "absolutely definitely certainly clearly obviously instantly suddenly recently finally kindly hopefully "
    "unfortunately effectively efficiently accidentally mistakenly apparently currently please truly highly nearly "
    "simply likely mainly mostly directly exclusively officially ultimately".split()
)


class LightWords(NamedTuple):
    """Those of one text."""

    times: frozenset[str]
    modal: str  # that a question for yes or no begins with
    persons: tuple[str, ...]  # in order
    owners: tuple[str, ...]
    joins: tuple[str, ...]  # and, or
    adverbs: frozenset[str]
    comparing: frozenset[str]  # stems


def light_words(heard: Sequence[str], stems: Sequence[str]) -> LightWords:
    return LightWords(
        times=frozenset([_TIMES[word] for word in heard if word in _TIMES]),
        modal=_MODALS.get(heard[0], "") if heard else "",
        persons=tuple([_PERSONS[word] for word in heard if word in _PERSONS]),
        owners=tuple([_OWNERS[word] for word in heard if word in _OWNERS]),
        joins=tuple([word for word in heard if word in ("and", "or")]),
        adverbs=frozenset([word for word in heard if is_adverb(word)]),
        comparing=_COMPARING.intersection(stems),
    )


def is_adverb(word: str) -> bool:
    return word.endswith(_ADVERB_ENDINGS) and word not in _NO_ADVERBS


def are_exchanged(ours: LightWords, theirs: LightWords, *, alike: bool) -> bool:
    """`alike`: each word of weight is in both texts; of others but adverbs so little tells nothing."""
    our_adverbs, their_adverbs = ours.adverbs - theirs.adverbs, theirs.adverbs - ours.adverbs
    if our_adverbs and their_adverbs and not our_adverbs | their_adverbs <= _EMPHATIC:
        return True
    if not alike:
        return False
    if _at_another_time(ours, theirs):
        return True
    if ours.modal and theirs.modal and ours.modal != theirs.modal:
        return True
    if len(ours.joins) == len(theirs.joins) and sorted(ours.joins) != sorted(theirs.joins):
        return not (ours.comparing | theirs.comparing) - {"or"}
    return _others_meant(ours, theirs)


def _at_another_time(ours: LightWords, theirs: LightWords) -> bool:
    """`Has it been` is `was it`, and `what will I get` is `what do I get`; `is it` is not `was it`."""
    return any(
        ("then" in one and "now" in other and "then" not in other)
        or ("later" in one and "later" not in other and not other.isdisjoint({"then", "done"}))
        for one, other in ((ours.times, theirs.times), (theirs.times, ours.times))
    )


def _others_meant(ours: LightWords, theirs: LightWords) -> bool:
    """Is somebody else meant? `How do you` is `how do I`, but `your number` is not `my number`."""
    if ours.persons == theirs.persons or len(ours.persons) != len(theirs.persons):
        return False
    if set(ours.persons) == set(theirs.persons):
        return True  # turned: `can I call you`, `can you call me`
    if _THIRD & (set(ours.persons) ^ set(theirs.persons)):
        return True
    if len(set(ours.persons)) > 1 or len(set(theirs.persons)) > 1:
        # one of several: `how do I find your number`
        return len(ours.owners) == len(theirs.owners) and ours.owners != theirs.owners
    return len(ours.owners) == len(ours.persons)  # nobody does it: `what is your number`
