"""Which days and times does a text name?"""

# ruff: noqa: SIM905  (word lists read better as words)

import re
from collections.abc import Set
from fractions import Fraction
from functools import partial
from typing import NamedTuple

GAP = "\n"  # stands where something was recognised and taken out: nothing joins across it


class Day(NamedTuple):
    """A date, as far as it is told; 0 where the text leaves it open."""

    year: int
    month: int
    day: int

    def fits(self, other: "Day") -> bool:
        return all(ours == theirs or 0 in (ours, theirs) for ours, theirs in zip(self, other, strict=True))


class Dates(NamedTuple):
    days: frozenset[Day]
    others: frozenset[str]  # weekdays, times of day, `tomorrow`, `next week`


_MONTH_NAMES = (
    "january jan januar enero janvier gennaio janeiro januari",
    "february feb februar febrero fevrier febbraio fevereiro februari",
    "march mar marz maerz marzo mars marco maart",
    "april apr abril avril aprile",
    "may mai mayo maggio maio mei",
    "june jun juni junio juin giugno junho",
    "july jul juli julio juillet luglio julho",
    "august aug agosto aout augustus",
    "september sep sept septiembre septembre settembre setembro",
    "october oct oktober octubre octobre ottobre outubro",
    "november nov noviembre novembre novembro",
    "december dec dezember diciembre decembre dicembre dezembro",
)
_MONTHS = {name: number for number, names in enumerate(_MONTH_NAMES, 1) for name in names.split()}
# Without a number beside them these are verbs, planets and people more often than months; short ones are abbreviations.
_MONTHS_ALONE = {
    name: number
    for name, number in _MONTHS.items()
    if (len(name) > 4 and name not in {"march", "marzo", "marco", "augustus", "april", "avril"})
    or name in {"june", "july", "juni", "juli", "juin", "aout", "marz"}
}
# Behind one of these they are months, but for the sea and, in French, seven.
_AFTER_PREPOSITION = _MONTHS.keys() - _MONTHS_ALONE.keys() - {"mar", "sept"}
_WEEKDAY_NAMES = (
    "monday mondays montag lunes lundi lunedi maandag",
    "tuesday tuesdays dienstag martes mardi martedi dinsdag",
    "wednesday wednesdays mittwoch miercoles mercredi mercoledi woensdag",
    "thursday thursdays donnerstag jueves jeudi giovedi donderdag",
    "friday fridays freitag viernes vendredi venerdi vrijdag",
    "saturday saturdays samstag sonnabend samedi zaterdag",
    "sunday sundays sonntag domingo dimanche domenica zondag",
)
_DAY_WORDS = {name: f"weekday {number}" for number, names in enumerate(_WEEKDAY_NAMES) for name in names.split()} | {
    name: day
    for day, names in {
        "today": "today tonight heute hoy oggi hoje vandaag",
        "tomorrow": "tomorrow demain domani amanha",
        "yesterday": "yesterday gestern ayer ieri ontem gisteren",
        "12:00": "noon midday",
        "0:00": "midnight",
    }.items()
    for name in names.split()
}
_PERIOD = re.compile(
    r"\b(last|next|this|past|previous|coming|current|following) "
    r"(week|weekend|month|year|quarter|night|morning|evening|spring|summer|autumn|fall|winter)\b"
)
_PERIODS = frozenset("week weekend month year quarter night morning evening spring summer autumn fall winter".split())
_LETTERS = re.compile(r"[a-z]+")
_SAME_PERIOD = {"past": "last", "previous": "last", "coming": "next", "following": "next", "current": "this"}

_YEAR_FIRST = re.compile(r"(?<![\d.,/-])([12]\d{3})([-/.])(\d{1,2})\2(\d{1,2})(?![\d/-]|\.\d)(?:t(?=\d\d:))?")
_YEAR_LAST = re.compile(r"(?<![\d.,/-])(\d{1,2})([-/.])(\d{1,2})\2((?:[12]\d)?\d\d)(?![\d/-]|\.\d)")
_OR_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DAY_MONTH = re.compile(
    rf"(?<![\d.,/:-])(\d{{1,2}})(?:st|nd|rd|th|\.|er|o)?(?: of| de| d')?[ -]?\b({_OR_MONTH})\b\.?"
    r"(?:,? ?-?(?:of |de |del )?([12]\d{3})(?![\d.,]\d|\d))?"
)
_MONTH_DAY = re.compile(
    rf"\b({_OR_MONTH})\b\.?[ -](?:the )?(\d{{1,2}})(?:st|nd|rd|th)?\b(?![.,:/]?\d)(?:,? ([12]\d{{3}})(?![\d.,]\d|\d))?"
)
_MONTH_YEAR = re.compile(rf"\b({_OR_MONTH})\b\.?,?(?: of | de | del | )([12]\d{{3}})(?![\d.,]\d|\d)")
_MONTH_SAID = re.compile(
    r"\b(?:in|on|by|since|until|till|during|before|after|of|this|next|last|early|late|mid|im|ab|bis|seit|en|desde|hasta"
    rf"|depuis|fin|debut)[ -]({'|'.join(sorted(_AFTER_PREPOSITION))})\b(?! (?:i|we|you|he|she|it|they|be|not|have)\b)"
)
_CLOCK = re.compile(r"(?<![\d:.,])(\d{1,2})(?:[:.h](\d\d))?(?::\d\d)?(?: ?([ap])\.?m\b\.?| ?(uhr|o'clock|hrs)\b)")
_DIGITAL = re.compile(r"(?<![\d:.,])(\d{1,2})[:h](\d\d)(?::\d\d(?:\.\d{1,9})?)?z?(?![\d:])")


def _day(days: set[Day], year: str | None, month: int, day: str | None) -> str | None:
    """Keep a date that can exist; else leave the text as it was."""
    number = int(day or 0)
    if not (1 <= month <= 12 and number <= 31):
        return None
    days.add(Day(int(year or 0), month, number))
    return GAP


def _year_first(days: set[Day], found: re.Match[str]) -> str:
    return _day(days, found[1], int(found[3]), found[4]) or found[0]


def _year_last(days: set[Day], found: re.Match[str]) -> str:
    """Dots say day first. With slashes both orders are in use: told apart only by a number over 12.

    Where nothing tells, the month is kept as 1 to 12 plus 100 times the other number, so that the date equals
    itself, written the same way, and nothing else.
    """
    first, second = int(found[1]), int(found[3])
    year = found[4] if len(found[4]) == 4 else "20" + found[4]
    if found[2] == "." or first > 12:
        return _day(days, year, second, found[1]) or found[0]
    if second > 12:
        return _day(days, year, first, found[3]) or found[0]
    days.add(Day(int(year), first + 100 * second, 0 if first == second == 0 else 99))
    return GAP


def _day_month(days: set[Day], found: re.Match[str]) -> str:
    return _day(days, found[3], _MONTHS[found[2]], found[1]) or found[0]


def _month_day(days: set[Day], found: re.Match[str]) -> str:
    return _day(days, found[3], _MONTHS[found[1]], found[2]) or found[0]


def _month_year(days: set[Day], found: re.Match[str]) -> str:
    return _day(days, found[2], _MONTHS[found[1]], None) or found[0]


def _clock(times: set[str], found: re.Match[str]) -> str:
    hour, minute, half = int(found[1]), found[2] or "00", found[3]
    if hour > 24 or (half and not 1 <= hour <= 12):
        return found[0]
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    times.add(f"{hour % 24}:{minute}")
    return GAP


def _digital(times: set[str], found: re.Match[str]) -> str:
    hour = int(found[1])
    if hour > 24:
        return found[0]
    times.add(f"{hour % 24}:{found[2]}")
    return GAP


def take_dates(folded: str) -> tuple[Dates, str]:
    """The dates, and the text without those that were written with digits."""
    days: set[Day] = set()
    others: set[str] = set()
    rest = folded
    if any(map(str.isdigit, folded)):
        for pattern, read in (
            (_YEAR_FIRST, _year_first),
            (_YEAR_LAST, _year_last),
            (_DAY_MONTH, _day_month),
            (_MONTH_DAY, _month_day),
            (_MONTH_YEAR, _month_year),
        ):
            rest = pattern.sub(partial(read, days), rest)
        rest = _CLOCK.sub(partial(_clock, others), rest)
        rest = _DIGITAL.sub(partial(_digital, others), rest)

    said = set(_LETTERS.findall(rest))
    if not _PERIODS.isdisjoint(said):
        for which, period in _PERIOD.findall(rest):
            others.add(f"{_SAME_PERIOD.get(which, which)} {period}")
    others.update(_DAY_WORDS[word] for word in said & _DAY_WORDS.keys())
    days.update(Day(0, _MONTHS_ALONE[word], 0) for word in said & _MONTHS_ALONE.keys())
    if not _AFTER_PREPOSITION.isdisjoint(said):
        days.update(Day(0, _MONTHS[name], 0) for name in _MONTH_SAID.findall(rest))
    return Dates(frozenset(days), frozenset(others)), rest


def dates_differ(ours: Dates, theirs: Dates, *, our_numbers: Set[Fraction], their_numbers: Set[Fraction]) -> bool:
    """Each side names a day or time that the other does not."""
    return _lacks(ours, theirs, their_numbers) and _lacks(theirs, ours, our_numbers)


def _lacks(wanted: Dates, present: Dates, numbers: Set[Fraction]) -> bool:
    """`numbers` because "from 21 to 28 January" is "from January 21 to 28"."""
    if wanted.others - present.others:
        return True
    return any(
        not any(day.fits(other) or (day.day in numbers and day._replace(day=0).fits(other)) for other in present.days)
        for day in wanted.days
    )
