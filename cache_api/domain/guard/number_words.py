"""What number does a word say?"""

# ruff: noqa: SIM905  (word lists read better as words)

from collections.abc import Sequence
from fractions import Fraction

# 0 to 19 (the Romance teens that are written apart come out of the sum), then the tens, a line a language.
_BELOW_TWENTY = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen",
    "de": "null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn "
    "siebzehn achtzehn neunzehn",
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien "
    "zeventien achttien negentien",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis "
    "diecisiete dieciocho diecinueve",
    "fr": "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici "
    "sedici diciassette diciotto diciannove",
    "pt": "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze quatorze quinze dezesseis "
    "dezessete dezoito dezenove",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig",
    "nl": "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "fr": "vingt trente quarante cinquante soixante septante huitante nonante",
    "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
}
_EXTRA = {
    "en": {"dozen": 12, "dozens": 12},
    "de": {"zwo": 2, "dutzend": 12},
    "nl": {"dozijn": 12},
    "es": {"una": 1, "cien": 100, "ciento": 100, "doscientos": 200, "trescientos": 300, "cuatrocientos": 400}
    | {"quinientos": 500, "seiscientos": 600, "setecientos": 700, "ochocientos": 800, "novecientos": 900}
    | {"docena": 12},
    "fr": {"une": 1, "quatre-vingt": 80, "quatre-vingts": 80, "douzaine": 12},
    "it": {"cento": 100, "duecento": 200, "trecento": 300, "cinquecento": 500, "duemila": 2000, "dozzina": 12},
    "pt": {"uma": 1, "duas": 2, "cem": 100, "cento": 100, "duzentos": 200, "trezentos": 300, "quinhentos": 500}
    | {"duzia": 12},
}
SCALES = {
    "hundred": 100,
    "hundreds": 100,
    "hundert": 100,
    "honderd": 100,
    "cent": 100,
    "cents": 100,
    "dozen": 12,
    "thousand": 1000,
    "thousands": 1000,
    "tausend": 1000,
    "duizend": 1000,
    "mil": 1000,
    "mille": 1000,
    "mila": 1000,
    "k": 1000,
    "lakh": 10**5,
    "lakhs": 10**5,
    "lac": 10**5,
    "lacs": 10**5,
    "crore": 10**7,
    "crores": 10**7,
    "million": 10**6,
    "millions": 10**6,
    "millionen": 10**6,
    "miljoen": 10**6,
    "millon": 10**6,
    "millones": 10**6,
    "milione": 10**6,
    "milioni": 10**6,
    "milhao": 10**6,
    "milhoes": 10**6,
    "mn": 10**6,
    "mio": 10**6,
    "billion": 10**9,
    "billions": 10**9,
    "bn": 10**9,
    "milliarde": 10**9,
    "milliarden": 10**9,
    "miljard": 10**9,
    "milliard": 10**9,
    "milliards": 10**9,
    "trillion": 10**12,
}
# `cent` is a coin in English, `mil` and `mille` begin names: a scale only in its own language.
_SCALE_OF = {"cent": ("fr",), "cents": ("fr",), "mil": ("es", "pt"), "mille": ("fr", "it")}

_ORDINALS = {
    name: number
    for number, names in enumerate(
        (
            "first erste ersten erster primero primera premier premiere",
            "second zweite zweiten zweiter segundo segunda deuxieme secondo seconda",
            "third dritte dritten dritter tercero tercera troisieme terzo terza terceiro terceira",
            "fourth vierte vierten vierter cuarto cuarta quatrieme quarto quarta",
            "fifth funfte funften quinto quinta cinquieme",
            "sixth sechste sechsten sechste sechsten sexto sexta sixieme",
            "seventh siebte siebten septimo septieme",
            "eighth achte achten octavo huitieme",
            "ninth neunte neunten noveno neuvieme",
            "tenth zehnte zehnten decimo dixieme",
        ),
        1,
    )
    for name in names.split()
}
_ROMAN = {  # not i, v and x: letters, and a pronoun
    name: number
    for number, name in enumerate(
        "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx xxi".split(), 1
    )
    if len(name) > 1
}
_FACTORS = {"half": Fraction(1, 2), "twice": Fraction(2), "thrice": Fraction(3)}
_JOINING = frozenset({"and", "y", "e", "und", "et", "en"})

# "one" is a pronoun beside these.
_ONE_AFTER = frozenset("which this that the no any every each some another new good best only a an".split())
_ONE_BEFORE = frozenset("of can should is who day must has could would another another's may does and".split())

_ENGLISH_TOO = frozenset("once due sei six cent mil mille elf dos son tres een un sept neuf uno tien".split())


def _table(language: str) -> dict[str, int]:
    below, tens = _BELOW_TWENTY[language].split(), _TENS[language].split()
    table = {word: number for number, word in enumerate(below)}
    table |= {word: 10 * number for number, word in enumerate(tens, 2)}
    joint = {"de": "und", "nl": "en"}.get(language)
    for number, ten in enumerate(tens, 2):
        for digit in range(1, 10):
            if joint:  # einundzwanzig
                table[("ein" if below[digit] == "eins" else below[digit]) + joint + ten] = 10 * number + digit
            elif language == "it":  # ventuno, ventidue
                head = ten[:-1] if digit in (1, 8) else ten
                table[head + below[digit]] = 10 * number + digit
            elif language == "es" and number == 2:
                table["veinti" + below[digit]] = 20 + digit
    if language in ("de", "nl"):
        hundred, thousand = ("hundert", "tausend") if language == "de" else ("honderd", "duizend")
        for digit in range(1, 10):
            head = {1: "ein"}.get(digit, below[digit])
            table[head + hundred] = 100 * digit
            table[head + thousand] = 1000 * digit
    return table | _EXTRA[language]


_TABLES = {language: _table(language) for language in _BELOW_TWENTY}
_ANYWHERE: dict[str, int] = {}
for _words in _TABLES.values():
    for _word, _number in _words.items():
        if _ANYWHERE.setdefault(_word, _number) != _number or _word in _ENGLISH_TOO:
            _ANYWHERE[_word] = -1  # says different things in different languages
_ANYWHERE = {word: number for word, number in _ANYWHERE.items() if number >= 0} | {"six": 6}
_ARTICLES = frozenset({"a", "an", "ein", "eine", "un", "una", "une", "um", "uma"})
NUMBER_WORDS = frozenset().union(*_TABLES.values(), SCALES, _ROMAN, _FACTORS, _ORDINALS)  # a text without has no number
_BEGINNINGS = frozenset().union(*_TABLES.values(), SCALES, _ROMAN, _FACTORS, _ARTICLES)


def scale(word: str, language: str) -> int | None:
    """What a number before this word is to be multiplied by."""
    if word in _SCALE_OF and language not in _SCALE_OF[word]:
        return None
    return SCALES.get(word)


def ordinal(word: str) -> int | None:
    return _ORDINALS.get(word)


def _single(word: str, language: str) -> int | None:
    if language and language != "en" and (number := _TABLES[language].get(word)) is not None:
        return number
    return _TABLES["en"].get(word, _ANYWHERE.get(word))


def read_number(tokens: Sequence[str], start: int, language: str) -> tuple[Fraction, int, bool] | None:
    """The number that begins at `start`, where it ends, and whether it is said on purpose ("one can" is not)."""
    word = tokens[start]
    if word not in _BEGINNINGS:
        return None
    following = tokens[start + 1] if start + 1 < len(tokens) else ""
    if word in _ROMAN:
        return Fraction(_ROMAN[word]), start + 1, True
    if word in _FACTORS:
        end = start + 2 if following in ("a", "an", "of") else start + 1
        times = scale(tokens[end], language) if end < len(tokens) else None
        if times:
            return _FACTORS[word] * times, end + 1, True
        return _FACTORS[word], start + 1, word != "half"
    if word in _ARTICLES:  # a thousand, a dozen
        times = scale(following, language)
        if times and len(following) > 1:
            return Fraction(times), start + 2, True
        return None

    total = current = 0
    position = start
    while position < len(tokens):
        word = tokens[position]
        number, times = _single(word, language), scale(word, language)
        if number is not None and not (current and number == 12 and times):
            if current and not _continues(current, number):
                break
            current += number
        elif times and (current or times >= 100) and len(word) > 1:
            if times >= 1000:
                total += (current or 1) * times
                current = 0
            else:
                current = (current or 1) * times
        elif not (
            word in _JOINING | {"-"}
            and position > start
            and position + 1 < len(tokens)
            and (part := _single(tokens[position + 1], language)) is not None
            and _continues(current or total, part)
        ):
            break
        position += 1
        if position - start > 16:  # nobody says longer numbers
            break
    if position == start:
        return None
    return Fraction(total + current), position, not _pronoun(tokens, start, position)


def _continues(current: int, number: int) -> bool:
    """May `number` follow in the same number? "twenty five", "two hundred fifty", but not "five six"."""
    if current % 100 in (60, 80) and 10 <= number < 20:  # quatre-vingt-dix
        return True
    if current % 100 == 0 and current >= 100:
        return number < 100
    return current % 10 == 0 and current % 100 >= 20 and 0 < number < 10


def _pronoun(tokens: Sequence[str], start: int, end: int) -> bool:
    if end - start > 1 or tokens[start] not in ("one", "un", "une", "una", "uno", "um", "uma", "een"):
        return False
    before = tokens[start - 1] if start else ""
    after = tokens[end] if end < len(tokens) else ""
    return tokens[start] != "one" or not after or before in _ONE_AFTER or after in _ONE_BEFORE
