"""Does a stored question differ from the asked one in what no vector sees?

A cosine hardly moves when a number, an id or a "not" changes, and the answer changes with it. Each guard names one
such difference. A guard may refuse a right answer now and then, never more than one in a hundred.
"""

from collections.abc import Iterator
from functools import lru_cache

from cache_api.domain.guard.accents import HAVE_TWINS
from cache_api.domain.guard.amounts import Amounts, amounts_differ, take_amounts
from cache_api.domain.guard.code import code_languages, code_languages_differ
from cache_api.domain.guard.dates import Dates, dates_differ, take_dates
from cache_api.domain.guard.languages import LanguagesNamed, language_guess, languages_named, main_script, named_differ
from cache_api.domain.guard.literals import (
    Literals,
    ids_differ,
    literals_differ,
    spellings,
    squeezed,
    take_ids,
    take_literals,
)
from cache_api.domain.guard.order import Pairs, exchanged, word_pairs
from cache_api.domain.guard.polarity import Polarity, polarity, polarity_differs
from cache_api.domain.guard.spelling import accented, plain, words
from cache_api.domain.records import record

_REMEMBERED_TEXTS = 512  # one question meets five candidates, and popular ones come again
# In other scripts neither these rules nor the shipped model know a word's meaning: only the same words are the same.
_JUDGED_SCRIPTS = frozenset({"", "LATIN"})
_REMEMBERED_LENGTH = 2000  # longer texts are rare here and would fill the memory


@record(frozen=True, slots=True)
class Traits:
    """What the guards see of one text."""

    folded: str
    letters: str
    ids: frozenset[str]
    literals: Literals
    spelt: frozenset[str]  # with its accents, what is another word without them
    dates: Dates
    amounts: Amounts
    code_languages: frozenset[str]
    language: str
    script: str
    named: LanguagesNamed
    polarity: Polarity
    pairs: Pairs


def mismatch(asked: str, stored: str) -> str | None:
    """The first guard that tells the two apart, or None."""
    if asked == stored:
        return None
    return _first_difference(traits(asked), traits(stored))


def traits(text: str) -> Traits:
    return _remembered(text) if len(text) <= _REMEMBERED_LENGTH else _traits(text)


def _traits(text: str) -> Traits:
    spelt = plain(text)
    folded = spelt.casefold()
    spelling = accented(text).casefold()
    literals, rest = take_literals(spelt)
    rest = rest.casefold()
    said = words(rest)
    language, certain = language_guess(said)
    dates, rest = take_dates(rest)
    ids, rest = take_ids(rest)
    return Traits(
        folded=folded,
        letters=squeezed(folded),
        ids=ids,
        literals=literals,
        spelt=spellings(spelling) | HAVE_TWINS.intersection(words(spelling)),
        dates=dates,
        amounts=take_amounts(rest, language, elsewhere=_numbers_elsewhere(dates, ids)),
        code_languages=code_languages(folded, said),
        language=language if certain else "",
        script=main_script(spelt),
        named=languages_named(said),
        polarity=polarity(said),
        pairs=word_pairs(folded),
    )


def _numbers_elsewhere(dates: Dates, ids: frozenset[str]) -> Iterator[int]:
    for day in dates.days:
        yield from (day.year, day.day)
    for name in ids:
        if name.isdecimal() and name[0] != "0" and len(name) < 16:
            yield int(name)


_remembered = lru_cache(maxsize=_REMEMBERED_TEXTS)(_traits)


def _first_difference(ours: Traits, theirs: Traits) -> str | None:
    same = ours.folded == theirs.folded
    if same and ours.literals.exact == theirs.literals.exact and ours.spelt == theirs.spelt:
        return None
    if ids_differ(ours, theirs):
        return "id"
    if amount := amounts_differ(ours.amounts, theirs.amounts):
        return amount
    our_numbers, their_numbers = ours.amounts.values, theirs.amounts.values
    if dates_differ(ours.dates, theirs.dates, our_numbers=our_numbers, their_numbers=their_numbers):
        return "date"
    if literals_differ(ours, theirs):
        return "literal"
    if code_languages_differ(ours.code_languages, theirs.code_languages):
        return "code_language"
    if _languages_differ(ours, theirs):
        return "language"
    if polarity_differs(ours.polarity, theirs.polarity):
        return "negation"
    if exchanged(ours.pairs, theirs.pairs):
        return "order"
    return None


def _languages_differ(ours: Traits, theirs: Traits) -> bool:
    if named_differ(ours.named, theirs.named):
        return True
    if ours.language and theirs.language:
        return ours.language != theirs.language
    if ours.script and theirs.script and ours.script != theirs.script:
        return True
    return not {ours.script, theirs.script} <= _JUDGED_SCRIPTS and ours.polarity.stems != theirs.polarity.stems
