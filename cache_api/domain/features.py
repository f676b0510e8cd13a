"""In what are two questions alike, and in what do they differ?

What is counted once, of either text, is remembered for a while: one question meets five candidates, and popular ones
come again.
"""

# ruff: noqa: SIM905  (word lists read better as words)

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cache_api.domain.actions import ACTION_OF
from cache_api.domain.guard import traits
from cache_api.domain.guard.amounts import amounts_missing
from cache_api.domain.guard.other_words import are_other_words
from cache_api.domain.guard.spelling import plain, stem, words
from cache_api.domain.guard.units import UNITS
from cache_api.domain.light_words import LightWords, are_exchanged, by_word, is_adverb, light_words

FEATURES_VERSION = 6  # raised with any change of what a feature says: older weights do not fit then

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
    "numbers",
    "replaced",
    "added",
    "awaited",
    "told",
)
FEATURES = LIKENESS + DIFFERENCE

_REMEMBERED_TEXTS = 512
_COMPARED_CHARACTERS = 1500  # bounds what a long question costs
_SHORTEST_JOINED = 5
_SHORT_WORDS = 8  # that carry weight; in a longer text the vector hardly sees who does what to whom
_FEWEST_WORDS = 3  # fewer make no form to be filled in: `who made it`, `who built it`
_FEWEST_TOLD = 6  # that carry weight; what is shorter is as often a wish in few words: `card not working`
_MOST_REPLACED = 2
_FEW_UNLIKE = 2  # words of the longer text; with many more, or where nobody is named, it is told anew
_FEWEST_IN_PLACE = 4  # words in common, of which two have changed places
_ROOT_LETTERS = 5  # of a word, by which it is found again in another case or number
_SHORTEST_LIKE = 5  # shorter words that differ in a letter are other words
_LONGEST_ENDING = 6

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![.!?:] )(?<!^)\b[A-Z][^\W\d_]+")  # a capital that begins no sentence

_QUESTION_WORDS = by_word(
    {
        "how": "how wie como comment come hoe",
        "what": "what which was welche welcher welches que cual quel quelle che quale wat welk welke qual",
        "why": "why warum wieso weshalb porque pourquoi perche waarom",
        "when": "when wann cuando quand quando wanneer",
        "where": "where wo donde ou dove onde waar",
        "who": "who whom whose wer wem wen quien qui chi quem",
    }
)
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
    "um uma e eu het een ik mijn "
    "wurde wurden wird werden hat haben hatte hatten habe als bei fue fueron esta estan etait ete ont sont fut "
    "stato stata sono hanno foi foram werd zijn heeft hebben "
    "dieser diese dieses diesem diesen este estos estas ese esa ce cet cette ces questo questa esse essa deze "
    "dit".split()
)
_WEIGHTLESS = _LIGHT | _DENIALS  # `why are leaves not green`, `why aren't leaves green`: `denied` counts them
_BY = frozenset({"by", "von", "vom", "par", "por", "door"})
# `is A like B` asks what `is B like A` asks.
_BOTH_WAYS = frozenset(
    "and or between versus vs like same similar different married friends compare compared comparison difference "
    "und oder zwischen wie gleich ahnlich verheiratet befreundet vergleich unterschied".split()
)
# `pay with a card`, `with a card pay`; but two words that change places are another question: `Ann shares with Bob`.
_TOGETHER = frozenset({"with", "mit"})
# `from Rome to Oslo` is not `to Rome from Oslo`.
_RELATING = frozenset(
    "to from into by for before after over under against with without of in on at than "
    "nach von vom vor zu zum zur fur gegen mit ohne als a de desde hasta para por antes despues contra con sin "
    "depuis vers pour avant apres contre avec sans da per prima dopo contro senza naar van voor na tegen met".split()
)
# Asking, wishing and emphasis: with or without them the same is wanted. Words in -ly and -mente are such too.
_LITTLE = frozenset(
    map(
        stem,
        "help need want wanted wish like love know understand tell say show explain describe advise suggest recommend "
        "give get got find make let go come try use look see take do information info detail details assistance "
        "support advice question problem issue trouble way ways thing things stuff step steps guide "
        "very quite ever just even still only else other same exact possible able right correct "
        "proper current now quick again much many more lot lots most kind type sort thanks thank hello hi hey guys "
        "people person one someone something anyone anything would kindly work happen mean start "
        "hilfe helfen brauche brauchen mochte wollen will wissen sagen zeigen erklaren kann konnen gibt geht "
        "sehr noch schon mal gern gerne bitte danke frage problem wirklich eigentlich "
        "ayuda necesito quiero saber puedo gracias favor aide besoin veux savoir peux merci vraiment "
        "aiuto bisogno voglio sapere posso grazie davvero hulp nodig weten graag "
        "befindet befinden encuentra encuentran trouve trouvent trova trovano bevindt".split(),
    )
)
# `What is a good way` is `what is a way`; `is he a good teacher` is not `is he a teacher`.
_PRAISE = frozenset(map(stem, "best good better great nice actual gut beste besten mejor meilleur migliore".split()))
_ARTICLES = frozenset(
    map(stem, "a an the some any der die das ein eine el la los las un una le les il lo o os een het".split())
)
# What a contraction leaves out, and whose it is: `where's the order`, `where is my order`.
_UNHEARD = _ARTICLES | frozenset(
    map(
        stem,
        "is are am be was were been have has had would will my our please mein meine meinen meinem meiner unser unsere "
        "ist sind bin war waren habe hab hat hatte es bitte mi mis es son mon ma mes est io mio mia e mijn is "
        "of von del di".split(),
    )
)
_OF = frozenset({"of", "von"})
_OF_ONESELF = frozenset(
    "i me my mine we us our you your ich mich mir mein meine meinen meinem meiner wir uns unser du dein ihr "
    "yo mi mis tu je mon ma mes vous io mio mia eu meu minha ik mijn".split()
)
# `How do I reverse a string` is `reverse a string`, and `which of them` is `what of them`; `why is it` is not `is it`.
_UNSAID = frozenset({"how", "what"})
_ASKING = frozenset(map(stem, _QUESTION_WORDS)) | frozenset(map(stem, "kan kunnen puis peux peut pouvons".split()))
_AWAITING = frozenset(
    map(
        stem,
        "wait waiting await awaiting expect expecting expected pending arrive arrived status track tracking "
        "warte warten wartet erwarte erwarten verfolgen espero esperar esperando estado rastrear attends attendre "
        "suivi statut aspetto attesa stato wacht wachten volgen".split(),
    )
)
_OPENING = (  # of a question, or of a wish
    _LITTLE
    | _PRAISE
    | frozenset(ACTION_OF)
    | frozenset(map(stem, _QUESTION_WORDS))
    | frozenset(map(stem, "is are do does did can could will would should has have".split()))
)
# What is `deleted`, `closed` or `cancelled` is the same of an account, and not of a file, a tab or an issue.
_ANYWHERE = frozenset("deliver refund pay buy sell complain download upload explain translate summarise".split())
_ACCOUNTS = frozenset(
    map(
        stem,
        "account profile order subscription purchase password passcode membership address konto bestellung abonnement "
        "passwort cuenta pedido compte commande ordine conta".split(),
    )
)
_FIGURES = re.compile(r"[^\W_]*\d[^\W_]*")


class View(NamedTuple):
    """What is compared of one text; words are stems."""

    stems: frozenset[str]
    weighty: tuple[str, ...]  # those that carry weight, in order
    owned: tuple[str, ...]  # the same, whose it is before what it is: `password of my account` as `account password`
    said: tuple[str, ...]  # all, in order
    spelt: Mapping[str, str]  # each as it was written
    numbers: frozenset[str]
    names: frozenset[str]
    actions: frozenset[str]
    asks: str
    denied: bool
    by: bool
    both_ways: bool
    relating: tuple[str, ...]  # to, from, before ..., in order
    awaits: bool  # asks what has become of something, rather than for it
    tells: bool  # neither asks nor wishes: its answer depends on all it says
    figures: tuple[str, ...]  # in order, with the letters they stand in: 14, ps5
    light: LightWords


def features(asked: str, stored: str, cosine: float) -> tuple[float, ...]:
    """In the order of FEATURES; each from 0 to 1, but for a cosine under 0."""
    ours, theirs = view(asked), view(stored)
    our_extra, their_extra, reworded = _unmatched(ours, theirs)
    places = _places(ours.weighty, theirs.weighty)
    complete = len(places) == len(ours.weighty) == len(theirs.weighty)
    in_order = _rises(places) or _rises(_places(ours.owned, theirs.owned))
    turned = _turned(ours, theirs, places, complete=complete, in_order=in_order)
    tell = ours.tells and theirs.tells
    voice = ours.by != theirs.by and _same_deed(ours.weighty, theirs.weighty)
    matched = our_extra <= _UNHEARD and their_extra <= _UNHEARD and (in_order or (complete and not tell))
    our_special, their_special = _special(our_extra, ours, theirs), _special(their_extra, theirs, ours)
    longest = max(len(ours.weighty), len(theirs.weighty))
    denied = ours.denied != theirs.denied
    exchanged = len(ours.weighty) == len(theirs.weighty) and are_exchanged(ours.light, theirs.light, alike=complete)
    return (
        cosine,
        max(0.0, cosine - 0.80) / 0.20,
        max(0.0, cosine - 0.85) / 0.15,
        max(0.0, cosine - 0.90) / 0.10,
        max(0.0, cosine - 0.95) / 0.05,
        float(matched and not (turned or voice or denied or reworded or exchanged) and ours.numbers == theirs.numbers),
        float(bool(ours.names & our_extra and theirs.names & their_extra)),
        float(bool(ours.actions and theirs.actions) and ours.actions.isdisjoint(theirs.actions)),
        float(denied),
        float(bool(ours.asks and theirs.asks) and ours.asks != theirs.asks),
        float(turned),
        float(voice),
        float(amounts_missing(traits(asked).amounts, traits(stored).amounts)),
        float(
            exchanged
            or (
                longest >= _FEWEST_WORDS
                and bool(our_special and their_special)
                and _replaced(ours, theirs, our_extra, their_extra)
            )
        ),
        float(
            _FEWEST_WORDS <= longest <= _SHORT_WORDS
            and (bool(our_special and their_extra <= _ARTICLES) or bool(their_special and our_extra <= _ARTICLES))
        ),
        float(ours.awaits != theirs.awaits),
        float(tell and longest >= _FEWEST_TOLD and not (matched and complete and in_order)),
    )


def view(text: str) -> View:
    return _remembered(text[:_COMPARED_CHARACTERS])


def _view(text: str) -> View:
    spelt = plain(text)
    folded = spelt.casefold()
    heard = words(folded)
    said = [stem(word) for word in heard]
    weighty = tuple([one for one, word in zip(said, heard, strict=True) if word not in _WEIGHTLESS])
    asks = next((_QUESTION_WORDS[word] for word in heard if word in _QUESTION_WORDS), "")
    return View(
        stems=frozenset(said),
        weighty=weighty,
        owned=weighty if _OF.isdisjoint(heard) else _owned(heard, said),
        said=tuple(said),
        spelt=dict(zip(said, heard, strict=True)),
        numbers=frozenset(_NUMBER.findall(folded)),
        names=frozenset([stem(name.casefold()) for name in _NAME.findall(spelt)]),
        actions=frozenset([ACTION_OF[one] for one in said if one in ACTION_OF]),
        asks=asks,
        denied=sum([word in _DENIALS for word in heard]) % 2 == 1,
        by=not _BY.isdisjoint(heard),
        both_ways=not _BOTH_WAYS.isdisjoint(heard),
        relating=tuple([word for word in heard if word in _RELATING]),
        awaits=not _AWAITING.isdisjoint(said),
        tells="?" not in text and _OF_ONESELF.isdisjoint(heard) and not (said and said[0] in _OPENING),
        figures=tuple(_FIGURES.findall(folded)),
        light=light_words(heard, said),
    )


_remembered = lru_cache(maxsize=_REMEMBERED_TEXTS)(_view)


def _owned(heard: Sequence[str], said: Sequence[str]) -> tuple[str, ...]:
    ordered: list[str] = []
    head = None  # where the word stands before which its owner goes
    for place, word in enumerate(heard):
        if word in _OF:
            thing = place and heard[place - 1] not in _WEIGHTLESS
            head = len(ordered) - 1 if thing and not heard[min(place + 1, len(heard) - 1)].endswith("ing") else None
        elif word in _WEIGHTLESS:
            head = head if heard[place - 1] in _OF else None  # `of the account`
        elif head is None:
            ordered.append(said[place])
        else:
            ordered.insert(head, said[place])
            head += 1
    return tuple(ordered)


def _rises(places: Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(places))


def _turned(ours: View, theirs: View, places: Sequence[int], *, complete: bool, in_order: bool) -> bool:
    """Does who does what to whom, or what comes from where, differ in nothing but the order of words?"""
    if _figures_turned(ours, theirs):
        return True
    if ours.weighty == theirs.weighty:
        return ours.relating != theirs.relating and sorted(ours.relating) == sorted(theirs.relating)
    if in_order:
        return False
    longest = max(len(ours.weighty), len(theirs.weighty))
    if longest > _SHORT_WORDS or (ours.tells and theirs.tells):
        few = max(_FEW_UNLIKE, longest // 5) if ours.names or theirs.names else 1
        return longest - len(places) <= few
    if ours.both_ways or theirs.both_ways:
        return False
    if _swapped(places) and (complete or (longest - len(places) <= 1 and len(places) >= _FEWEST_IN_PLACE)):
        return True
    return complete and _TOGETHER.isdisjoint(ours.relating + theirs.relating)


def _figures_turned(ours: View, theirs: View) -> bool:
    """The same words, and the same figures in another order: `is 10 faster than 11`, `is 11 faster than 10`."""
    if ours.figures == theirs.figures or ours.said != theirs.said:
        return False
    return sorted(ours.figures) == sorted(theirs.figures) and not ours.light.comparing


def _swapped(places: Sequence[int]) -> bool:
    """Have two words changed places, and those between them not?"""
    moved = [here for here, there in enumerate(sorted(places)) if there != places[here]]
    return len(moved) == 2 and moved[1] - moved[0] > 1


def _places(ours: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """Where in their words each of ours stands that they have too, in our order."""
    both = set(ours).intersection(theirs)  # these by more than their root: `Worcester` is not `Worcestershire`
    left: dict[str, list[int]] = {}
    for place in range(len(theirs) - 1, -1, -1):
        word = theirs[place]
        left.setdefault(word if word in both else word[:_ROOT_LETTERS], []).append(place)
    return [left[root].pop() for word in ours if left.get(root := word if word in both else word[:_ROOT_LETTERS])]


def _same_deed(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Are they the same words in the same order, but for the form of one: `A knows B`, `A is known by B`?"""
    if len(ours) != len(theirs):
        return False
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other]
    return not pairs or (len(pairs) == 1 and pairs[0][0][0] == pairs[0][1][0])


def _special(extra: set[str], view: View, other: View) -> set[str]:
    """Those that say what is asked about, rather than how."""
    may_stay_unsaid = view.asks == other.asks or (view.asks in _UNSAID and not other.asks)
    return {
        word
        for word in extra.intersection(view.weighty)
        if word not in _LITTLE
        and not (word in _ASKING and may_stay_unsaid)
        and not (view.asks and word in _PRAISE)
        and not is_adverb(view.spelt[word])
    }


def _replaced(ours: View, theirs: View, our_extra: set[str], their_extra: set[str]) -> bool:
    """Do they say the same but for one or two words, as a form that is filled in?"""
    if len(ours.weighty) != len(theirs.weighty):
        return False
    pairs = [(one, other) for one, other in zip(ours.weighty, theirs.weighty, strict=True) if one != other]
    return len(pairs) <= _MOST_REPLACED and all(
        one in our_extra and other in their_extra and not _left_to_guards(ours, theirs, one, other)
        for one, other in pairs
    )


def _left_to_guards(ours: View, theirs: View, one: str, other: str) -> bool:
    """Two names of a unit, or the units of two amounts: 5 kg are 5,000 g. Without a number, inches are not feet."""
    unit, their_unit = UNITS.get(ours.spelt[one]), UNITS.get(theirs.spelt[other])
    return unit is not None and their_unit is not None and (unit == their_unit or bool(ours.numbers))


def _unmatched(ours: View, theirs: View) -> tuple[set[str], set[str], bool]:
    """Each side's words that the other lacks, but for another spelling, or another word for the same action."""
    our_extra, their_extra = set(ours.stems - theirs.stems), set(theirs.stems - ours.stems)
    if not our_extra or not their_extra:
        return our_extra, their_extra, False

    reworded = False
    _match_joined(our_extra, their_extra, theirs)
    _match_joined(their_extra, our_extra, ours)
    left = sorted(their_extra)
    for one in sorted(our_extra):
        action, written = ACTION_OF.get(one), ours.spelt[one]
        for other in left:
            alike = looks_like(one, other, written, theirs.spelt[other]) and not are_other_words(one, other)
            if alike or (action and action == ACTION_OF.get(other)):
                reworded = reworded or not (alike or action in _ANYWHERE or not _ACCOUNTS.isdisjoint(ours.stems))
                our_extra.discard(one)
                their_extra.discard(other)
                left.remove(other)
                break
    return our_extra, their_extra, reworded


def _match_joined(extra: set[str], their_extra: set[str], theirs: View) -> None:
    """Two neighbours may be written as one: `top up`, `topup`."""
    for a, b in pairwise(theirs.said):
        if (joined := a + b) in extra and len(joined) >= _SHORTEST_JOINED:
            extra.discard(joined)
            their_extra.difference_update((a, b))


def looks_like(one: str, other: str, written: str, their_written: str) -> bool:
    """May one stem be the other in another form, or one word as it was written a slip of the other?"""
    return one[0] == other[0] and (_nearly(one, other) or _misspelt(written, their_written))


def _nearly(one: str, other: str) -> bool:
    """An inflection or a slip of the keys: `cancellation` and `cancel`, `acount` and `account`. Same first letter."""
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    if len(short) < _SHORTEST_LIKE or len(long) - len(short) > _LONGEST_ENDING:
        return False
    another_letter = len(short) == len(long) and sum(a != b for a, b in zip(short, long, strict=True)) == 1
    return another_letter or long.startswith(short) or _misspelt(short, long)


def _misspelt(one: str, other: str) -> bool:
    """One letter too many or too few, or two in each other's place. (With another letter, short ones are words.)"""
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    if len(long) - len(short) > 1 or len(short) < _SHORTEST_LIKE or short == long or long.startswith(short):
        return False
    at = next(place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b)
    if len(long) > len(short):
        return short[at:] == long[at + 1 :]
    return short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
