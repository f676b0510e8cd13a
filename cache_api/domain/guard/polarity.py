"""Does one text say yes where the other, otherwise alike, says no?"""

# ruff: noqa: SIM905  (word lists read better as words)

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cache_api.domain.guard.opposites import OPPOSITES_OF, STATES
from cache_api.domain.guard.spelling import stem

_NEGATORS = frozenset(
    "not no never hardly barely rarely seldom nothing nobody nowhere none unable nicht kein keine keinen "
    "keinem keiner keines nie niemals nichts "
    "niemand weder jamas ni pas jamais aucun aucune non mai nao nem niet geen nooit niets niemand inte aldrig ikke "
    "nie nigdy".split()
)
# These shut something out: they count even where the other text does not speak of it at all.
_RESTRICTING = frozenset(
    "without except excluding ohne ausser sin excepto salvo sans sauf senza tranne sem exceto zonder behalve utan "
    "bez".split()
)
# In languages that say no twice ("no lo hago nunca") these count only where nothing else says it.
_ECHOES = frozenset(
    "nunca nada nadie ningun ninguno ninguna tampoco rien personne niente nulla nessun nessuno nessuna "
    "nenhum nenhuma ninguem nor neither".split()
)
_LESSENING = frozenset({"less", "fewer", "least", "menos", "moins", "meno", "weniger", "minder"})
_COMPARING = frozenset({"than", "que", "als", "di", "de", "dan"})

# Too light to be what is denied.
_AUXILIARY = frozenset(
    "a an the is are was were be been being am do does did doing have has had having will would can could shall should "
    "may might must i me my we our us you your he she it its they them their this that these those there to of in at "
    "by for from as any some get got getting go goes seem seems really yet even der die das ein eine einen dem den des "
    "mich mir ich mein meine el la los las un una me mi se lo le les je mon ma il io mio mia o os as um uma eu meu "
    "minha "
    "de het een ik mijn".split()
)
# Carries no weight in "otherwise alike" either.
LIGHT = _AUXILIARY | frozenset(
    "on off with about into and or but if then than so too very just please also all more most what which "
    "who how when where why ever "
    "ist sind wird du man und oder zu mit von es er sie wie was es un son yo a y que como en por para con est elle "
    "du et ou ce dans gli di e che mi da do en te van".split()
)

_LIGHT_BUT_OPPOSED = frozenset(
    "even much many with on off before after more plus con avec mit com met mas piu mais an aus ein voor na vor nach"
    " aan uit".split()
)
# `check in` is not `check out`.
_IN_OR_OUT = frozenset(
    "check checked checking zoom opt opted log logged logging sign signed signing clock move".split()
)
_AFFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "des", "de", "mis", "on", "anti", "ab")
_SHORTEST_BASE = 3
# Words that begin like a denial of another word and are none.
_NO_DENIALS = frozenset(
    map(
        stem,
        "invaluable inflammable invest invent invite inform income increase indoor inland inlet insight inside "
        "international into impress import impart deliver depart delight demand define despite destroy defend detail "
        "describe design desert decline degrade decrease delay discover discuss display dispatch disease discount "
        "discourse until under union unit unite universe misses onto online once input install".split(),
    )
)

# "I do not know how to pay" asks how to pay; "it does not work" asks for it to work.
_UNSURE = frozenset(
    map(stem, "know knowing understand sure certain remember idea clue wissen weiss se sais work working".split())
) | frozenset({"let", "allow", "funktioniert", "funciona", "fonctionn", "funziona"})
_WORKING = frozenset({"work", "function", "funktionieren", "funcionar", "fonctionner"})
_FILLERS = frozenset({"only", "matter", "doubt", "problem", "worries", "thanks", "thank"})
_I = frozenset({"i", "we", "ich", "wir", "ik", "wij", "je", "nous"})
_CAN = frozenset({"can", "could", "able", "kann", "konnen", "kan", "kunnen", "peux", "pouvons"})
_I_CAN = frozenset({"puedo", "podemos", "posso", "possiamo"})
_HOW = frozenset({"how", "where", "como", "wie", "wo", "comment", "hoe", "come"})
_RELATIVE = frozenset({"that", "who", "which", "whose", "die", "que", "qui", "che"})
_RHETORICAL = frozenset("is are was were should would could have has does did".split())
_PRONOUNS = frozenset("i we you he she it they".split())

# The way there, and the way from there.
_WAYS = {"to": 1, "into": 1, "nach": 1, "from": -1, "von": -1}
_MOST_EXTRA = 24  # words; texts that differ in more are not "otherwise alike"


class Denial(NamedTuple):
    of: str  # the stem of what is denied
    restricting: bool


class Polarity(NamedTuple):
    denials: tuple[Denial, ...]
    complaint: bool  # "I cannot": denies only what the other text affirms, "I can"
    can: bool
    stems: frozenset[str]
    affirmed: frozenset[str]
    ways: frozenset[tuple[int, str]]  # whither and whence: 1 or -1, and the place


def polarity(words: Sequence[str]) -> Polarity:
    denials: list[Denial] = []
    echoes: list[Denial] = []
    complaint = can = False
    stems: set[str] = set()
    affirmed: set[str] = set()
    ways: set[tuple[int, str]] = set()
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        before = words[position - 1] if position else ""
        if word in _RESTRICTING:
            denials.append(Denial(_denied(words, position), True))
        elif word in _ECHOES:
            echoes.append(Denial(_denied(words, position), False))
        elif word in _NEGATORS or (word in ("stopped", "stops") and following == "working"):
            if _says_nothing(words, position):
                continue
            if _is_complaint(words, position):
                complaint = True
            else:
                related = not _RELATIVE.isdisjoint(words[max(0, position - 3) : position])
                denials.append(Denial(_denied(words, position), related))
        elif word in _LESSENING and following not in _COMPARING and before not in ("or", "at", "o", "oder", "ou"):
            denials.append(Denial(_denied(words, position), False))
        elif word not in LIGHT or word in _LIGHT_BUT_OPPOSED or (word == "in" and before in _IN_OR_OUT):
            wished = "get" in words[max(0, position - 5) : position]  # "get it unlocked"
            meant = word if word in STATES and not wished else stem(word)
            stems.add(meant)
            if not (meant in _WORKING and before == "to"):
                affirmed.add(meant)
        can = can or _affirms(words, position)
        if word in _WAYS and (place := _place(words, position)):
            ways.add((_WAYS[word], place))
    return Polarity(tuple(denials or echoes), complaint, can, frozenset(stems), frozenset(affirmed), frozenset(ways))


def _place(words: Sequence[str], position: int) -> str:
    """To or from what: the next word with a meaning of its own."""
    return next((stem(word) for word in words[position + 1 : position + 4] if word not in _AUXILIARY), "")


def _denied(words: Sequence[str], position: int) -> str:
    """The next word with a meaning of its own, else the one before; `work` of "why does my new card not work"."""
    following = [stem(word) for word in words[position + 1 : position + 7] if word not in _AUXILIARY]
    for word in following:
        if word in _WORKING:
            return word
    if following:
        return following[0]
    for word in reversed(words[max(0, position - 5) : position]):
        if word not in _AUXILIARY:
            return stem(word)
    return ""


def _says_nothing(words: Sequence[str], position: int) -> bool:
    """Polite, rhetorical or idle: "isn't it", "or not", "no problem", "No, that is ..."."""
    word = words[position]
    before = words[position - 1] if position else ""
    following = words[position + 1] if position + 1 < len(words) else ""
    if (word in ("no", "not") and following in _FILLERS) or (word == "not" and before in ("or", "why")):
        return True
    if word == "no" and position == 0:
        return following in _PRONOUNS or following in ("that", "this", "but", "no")
    if word == "not" and following in _PRONOUNS and position == len(words) - 2:
        return True
    return word == "not" and position == 1 and before in _RHETORICAL and len(words) > 4


def _is_complaint(words: Sequence[str], position: int) -> bool:
    if words[position] == "unable":
        return not _I.isdisjoint(words[max(0, position - 2) : position])
    if position + 1 < len(words) and words[position + 1] in _I_CAN:
        return True
    nearby = words[max(0, position - 4) : position]
    return any(one in _I and other in _CAN for one, other in pairwise(nearby)) or (
        len(nearby) > 2 and nearby[-1] in _CAN and nearby[-3] in _I
    )


def _affirms(words: Sequence[str], position: int) -> bool:
    """ "I can", said as a fact; not "how I can", nor "I cannot"."""
    word = words[position]
    if word in _I_CAN:
        return position == 0 or words[position - 1] not in _HOW | _NEGATORS
    if word not in _CAN or position == 0 or words[position - 1] not in _I:
        return False
    asked = position > 1 and words[position - 2] in _HOW
    return not asked and _NEGATORS.isdisjoint(words[position + 1 : position + 4])


@lru_cache(maxsize=8192)
def _opposites(stemmed: str) -> frozenset[str]:
    """Its opposites, and what it denies, if its first or last letters are a denial."""
    opposites = set(OPPOSITES_OF.get(stemmed, ()))
    if stemmed not in _NO_DENIALS and len(stemmed) <= 32:
        for affix in _AFFIXES:
            if stemmed.startswith(affix) and len(stemmed) - len(affix) >= _SHORTEST_BASE:
                opposites.add(stemmed[len(affix) :])
        if stemmed.endswith("less") and len(stemmed) >= 7:
            opposites |= {stemmed[:-4], stemmed[:-4] + "ful"}
    return frozenset(opposites)


def _are_opposites(one: str, other: str) -> bool:
    return other in _opposites(one) or one in _opposites(other)


def _opposed(ours: set[str], theirs: set[str]) -> int:
    """Pair off opposites and denied words; the rest stays in the sets."""
    pairs = 0
    for word in sorted(ours):
        for other in sorted(theirs):
            if _are_opposites(word, other):
                ours.discard(word)
                theirs.discard(other)
                pairs += 1
                break
    return pairs


def polarity_differs(ours: Polarity, theirs: Polarity) -> bool:
    if _other_way(ours, theirs):
        return True
    if ours.stems == theirs.stems and ours.denials == theirs.denials and ours.complaint == theirs.complaint:
        return False
    our_extra, their_extra = set(ours.stems - theirs.stems), set(theirs.stems - ours.stems)
    shared = len(ours.stems) - len(our_extra)
    if len(our_extra) + len(their_extra) > min(2 * shared + 4, _MOST_EXTRA):
        return False
    denials = _counted(ours, theirs, our_extra) + _counted(theirs, ours, their_extra)
    if ours.complaint != theirs.complaint:
        plain = theirs if ours.complaint else ours
        denials += plain.can or bool(plain.denials and denials)

    opposed = _opposed(our_extra, their_extra) if our_extra and their_extra else 0
    # Two opposites alone ("raise the highest", "lower the lowest") do not undo each other; a denial undoes one.
    differs = opposed > 0 if denials == 0 else (denials + opposed) % 2 == 1
    if not differs:
        return False
    outright = max(len(our_extra), len(their_extra)) <= 1 and _denies_outright(ours, theirs)
    return outright or _alike(ours, our_extra, their_extra, opposed)


def _other_way(ours: Polarity, theirs: Polarity) -> bool:
    """To a place in one, from the very same in the other, and nowhere the same way."""
    return any(
        (-way, place) in theirs.ways and (way, place) not in theirs.ways and (-way, place) not in ours.ways
        for way, place in ours.ways
    )


def _counted(ours: Polarity, theirs: Polarity, extra: set[str]) -> int:
    """Our denials of what they affirm.

    What they do not mention at all is a clause of its own ("I did not get a letter, how do I ..."), unless the
    denial is all there is of it.
    """
    count = 0
    for denial in ours.denials:
        spoken_of = denial.of in theirs.affirmed or any(denial.of == other.of for other in theirs.denials)
        opposed = denial.of and any(_are_opposites(denial.of, word) for word in theirs.affirmed)
        alone = len(extra) <= 1 and denial.of not in _UNSURE
        count += bool(spoken_of or opposed or denial.restricting or alone)
    return count


def _denies_outright(ours: Polarity, theirs: Polarity) -> bool:
    """Is the very word denied that the other affirms, and is it more than a thing that works or is known?"""
    denied = {denial.of for denial in ours.denials} & theirs.affirmed | {
        denial.of for denial in theirs.denials
    } & ours.affirmed
    return not denied <= _WORKING | _UNSURE


def _alike(ours: Polarity, our_extra: set[str], their_extra: set[str], opposed: int) -> bool:
    """Are the texts the same but for the denial? Unmatched words on both sides may be opposites unknown to us."""
    shared = len(ours.stems) - len(our_extra) - opposed
    if opposed:
        return len(our_extra) + len(their_extra) <= 2 * (shared + opposed)
    return not (our_extra and their_extra) and len(our_extra) + len(their_extra) <= shared + 1
