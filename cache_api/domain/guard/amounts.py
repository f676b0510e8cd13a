"""Which numbers, quantities and versions does a text state?"""

# ruff: noqa: SIM905  (word lists read better as words)

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from cache_api.domain.guard.number_words import NUMBER_WORDS, ordinal, read_number, scale
from cache_api.domain.guard.units import CURRENCIES, MEASURED_IN, OFTEN, RATED, RATES, UNITS, UNITS_ALONE


class Quantity(NamedTuple):
    value: Fraction
    base: str
    in_base: Fraction


class Amounts(NamedTuple):
    """What is stated, and in `values` also what is merely there ("one can", "half")."""

    numbers: frozenset[Fraction]
    quantities: frozenset[Quantity]
    versions: frozenset[str]
    units: frozenset[str]  # named without a number: "dollars to euros"
    values: frozenset[Fraction]
    bare: frozenset[Fraction]  # without a unit
    spellings: frozenset[str]  # as versions are compared: 2.0 is 2, but 3.10 is not 3.1


_TOKEN = re.compile(r"(?:(?<![^\s(])-)?\d+(?:[.,]\d+)*|[^\W\d_]+(?:-(?:vingts?|dix|sept|huit|neuf))?|[%°$€£¥₹/-]|\n")
_NUMBER = re.compile(r"\d")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_DOTTED_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+")
_DOT_FOR_THOUSANDS = frozenset({"de", "es", "it", "pt", "nl"})
_POINT = {"en": "point", "de": "komma", "fr": "virgule", "es": "coma", "it": "virgola", "pt": "virgula"}

# A number after one of these is a version, not an amount.
_VERSIONED = frozenset(
    "version versions v ver release python java javascript php ruby rails django flask node nodejs npm react angular "
    "vue next nuxt laravel symfony spring kotlin swift scala rust golang perl typescript ecmascript es html css "
    "bootstrap jquery tailwind postgres postgresql mysql mariadb sqlite mongodb redis elasticsearch kubernetes docker "
    "ubuntu debian fedora centos rhel windows macos osx ios ipados android linux kernel gcc clang cmake gradle maven "
    "numpy pandas pytorch torch tensorflow keras cuda opencv unity unreal excel office photoshop gpt llama claude "
    "gemini openssl tls ssl http ipv bluetooth usb hdmi wordpress drupal magento webpack vite eslint".split()
)
_SAYING = (
    NUMBER_WORDS | UNITS_ALONE.keys() | RATES.keys() | OFTEN.keys() | MEASURED_IN.keys()
)  # most texts have none of these
_LONGEST_NUMBER = 20  # digits and separators; longer ones are ids


def take_amounts(rest: str, language: str, *, elsewhere: Iterable[int]) -> Amounts:
    """`elsewhere` are numbers seen as parts of dates or as ids: there for the other text to name."""
    tokens = _TOKEN.findall(rest)
    reader = _Reader(tokens, language)
    if any(map(str.isdigit, rest)) or not _SAYING.isdisjoint(tokens):
        reader.read()
    there = set(map(Fraction, elsewhere))
    return Amounts(
        frozenset(reader.numbers),
        frozenset(reader.quantities),
        frozenset(reader.versions),
        frozenset(reader.units),
        frozenset(reader.values | reader.numbers | there),
        frozenset(reader.numbers | there),
        frozenset(reader.spellings),
    )


class _Reader:
    def __init__(self, tokens: Sequence[str], language: str) -> None:
        self.tokens = tokens
        self.language = language
        self.numbers: set[Fraction] = set()
        self.quantities: set[Quantity] = set()
        self.versions: set[str] = set()
        self.units: set[str] = set()
        self.values: set[Fraction] = set()
        self.spellings: set[str] = set()

    def read(self) -> None:
        position = 0
        while position < len(self.tokens):
            token = self.tokens[position]
            if "0" <= token[-1] <= "9":
                position = self._digits(position)
            elif found := read_number(self.tokens, position, self.language):
                value, end, on_purpose = found
                if end < len(self.tokens) and self.tokens[end] == _POINT.get(self.language or "en"):
                    value, end = self._after_the_point(value, end)
                position = self._amount(value, position, end, stated=on_purpose)
            elif number := ordinal(token):
                self.values.add(Fraction(number))
                self.numbers.add(Fraction(number))
                position += 1
            else:
                if unit := self._unit_alone(token, before=self._token(position - 1)):
                    self.units.add(unit[0] + str(unit[1]))
                position += 1

    @staticmethod
    def _unit_alone(token: str, *, before: str) -> tuple[str, Fraction] | None:
        if before in RATED and token in RATES:
            return RATES[token]
        if before == "in" and token in MEASURED_IN:
            return MEASURED_IN[token]
        return UNITS_ALONE.get(token) or OFTEN.get(token)

    def _token(self, position: int) -> str:
        return self.tokens[position] if 0 <= position < len(self.tokens) else ""

    def _after_the_point(self, value: Fraction, point: int) -> tuple[Fraction, int]:
        """two point five"""
        digits, end = "", point + 1
        while end < len(self.tokens) and end < point + 10:
            found = read_number(self.tokens, end, self.language)
            if not found or not 0 <= found[0] < 10 or found[0].denominator != 1:
                break
            digits += str(found[0])
            end = found[1]
        return (value + Fraction(f"0.{digits}"), end) if digits else (value, point)

    def _digits(self, position: int) -> int:
        token, before = self.tokens[position].lstrip("-"), self._token(position - 1)
        if len(token) > _LONGEST_NUMBER:
            return position + 1

        end = position + 1
        values = list(_values(token, self.language))
        if len(values) != 1:
            if values:
                self.numbers.update(values)
                self.values.update(values)
            else:
                self._version(token)
            return end
        if before in _VERSIONED and "," not in token:
            self._version(token)
            self.values.add(values[0])
            return end

        value = values[0]
        spelling = _version_spelling(token)
        self.spellings.add(spelling)
        if self._token(end) == "/" and _NUMBER.match(self._token(end + 1)):
            value, end = self._fraction(value, end)
        elif self._token(end + 1) == "/" and _NUMBER.match(self._token(end)) and self._token(end + 2)[:1].isdigit():
            part, end = self._fraction(*_first_value(self.tokens[end], self.language, end + 1))
            value += part
        if self.tokens[position].startswith("-") or before == "minus":
            value = -value
        if self._token(end) in ("st", "nd", "rd", "th", "er", "ern", "s", "x"):  # 1st, the 1990s, 2x
            end += 1
        return self._amount(value, position, end, stated=True)

    def _fraction(self, value: Fraction, slash: int) -> tuple[Fraction, int]:
        divisor, _ = _first_value(self._token(slash + 1), self.language, slash)
        if divisor < 2 or max(value, divisor) > 100 or self._token(slash + 2) == "/":  # years, routes, paths
            return value, slash
        return value / divisor, slash + 2

    def _version(self, token: str) -> None:
        spelling = _version_spelling(token)
        self.versions.add(spelling)
        self.spellings.add(spelling)

    def _amount(self, value: Fraction, start: int, end: int, *, stated: bool) -> int:
        """Keep the number with the scale and the unit beside it."""
        before = self._token(start - 1) if self._token(start - 1) != "-" else self._token(start - 2)
        money = before in CURRENCIES
        while end < len(self.tokens):
            word = self.tokens[end]
            times = {"m": 10**6, "b": 10**9}.get(word) if money else None
            times = times or scale(word, self.language)
            if not times or (word == "cents" and not money):
                break
            value *= times
            end += 1

        self.values.add(value)
        unit = UNITS.get(before) if money else None
        after = end + 1 if self._token(end) == "-" else end
        if not unit and self._token(after) == "°" and self._token(after + 1) in ("c", "f"):
            unit = UNITS["celsius" if self._token(after + 1) == "c" else "fahrenheit"]
            end = after + 2
        elif not unit and self._token(after) in ("°", "degree", "degrees") and self._token(after + 1) in UNITS:
            unit = UNITS[self._token(after + 1)]
            end = after + 2
        elif not unit and (unit := UNITS.get(self._token(after))):
            end = after + 1
        if unit:
            self.quantities.add(Quantity(value, unit[0], value * unit[1]))
        elif stated:
            self.numbers.add(value)
        return end


def _first_value(token: str, language: str, end: int) -> tuple[Fraction, int]:
    values = list(_values(token, language)) if token and len(token) <= _LONGEST_NUMBER else []
    return (values[0] if values else Fraction(0)), end


def _values(token: str, language: str) -> Iterable[Fraction]:
    """One number, or several where commas list them, or none where the dots make it a version."""
    if "," in token and "." in token:
        comma_is_decimal = token.rfind(",") > token.rfind(".")
        token = token.replace(".", "").replace(",", ".") if comma_is_decimal else token.replace(",", "")
        return () if token.count(".") > 1 else (Fraction(token),)
    if _THOUSANDS.fullmatch(token):
        return (Fraction(token.replace(",", "")),)
    if token.count(",") == 1 and len(token.partition(",")[2]) != 3:
        return (Fraction(token.replace(",", ".")),)
    if "," in token:
        return tuple(Fraction(part) for part in token.split(","))
    if _DOTTED_THOUSANDS.fullmatch(token) and (language in _DOT_FOR_THOUSANDS or token.count(".") > 1):
        return (Fraction(token.replace(".", "")),)
    return () if token.count(".") > 1 else (Fraction(token),)


def _version_spelling(token: str) -> str:
    while token.endswith(".0"):
        token = token[:-2]
    return token


def amounts_differ(ours: Amounts, theirs: Amounts) -> str | None:
    """Each side states an amount the other lacks: which kind of amount is it?"""
    our_extra, their_extra = _unmatched(ours, theirs), _unmatched(theirs, ours)
    if our_extra and their_extra:
        if any(isinstance(extra, str) for extra in our_extra | their_extra):
            return "version"
        same_figures = {_figure(extra) for extra in our_extra} & {_figure(extra) for extra in their_extra}
        return "unit" if same_figures else "number"
    if ours.units - theirs.units and theirs.units - ours.units:
        return "unit"
    return None


def amounts_missing(ours: Amounts, theirs: Amounts) -> bool:
    """Does either side state an amount that the other lacks?"""
    return bool(_unmatched(ours, theirs) or _unmatched(theirs, ours))


def _figure(extra: Fraction | Quantity | str) -> Fraction | str:
    return extra.value if isinstance(extra, Quantity) else extra


def _unmatched(wanted: Amounts, present: Amounts) -> set[Fraction | Quantity | str]:
    extra: set[Fraction | Quantity | str] = set(wanted.numbers - present.values)
    extra |= wanted.versions - present.spellings
    if wanted.quantities:
        measured = {(quantity.base, quantity.in_base) for quantity in present.quantities}
        for quantity in wanted.quantities:
            if (quantity.base, quantity.in_base) not in measured and quantity.value not in present.bare:
                extra.add(quantity)
    return extra
