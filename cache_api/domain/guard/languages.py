"""Which language is a text written in, and which languages does it name?"""

# ruff: noqa: SIM905  (word lists read better as words)

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cache_api.domain.guard.spelling import without_accents

# Function words, unaccented, that the neighbouring languages do not share or share rarely.
_FUNCTION_WORDS = {
    "en": "the of and to is are was were how what which who why where when do does did can could should would "
    "will i you my your it this that with for from by an be have has not if there their we they he she its me "
    "get any please need want",
    "de": "der die das und ist sind ein eine einen einem einer wie was wer wo warum wann ich du mein meine meinen "
    "meinem nicht mit fur von zu zum zur auf den dem des im kann konnen soll wird werden hat haben sie wir es auch "
    "bei nach welche welcher kein keine sich uber mochte muss gibt",
    "es": "el los las una y es son como que cual quien donde por para con mi mis su sus del al no puedo puede se lo "
    "esta este hay tengo quiero cuando cuanto cuantos hacer mas muy yo cuesta tiene sin necesito",
    "fr": "le les des un une et est sont comment que quel quelle qui ou pourquoi quand je tu mon ma mes ne pas avec "
    "pour de du au aux dans sur peut puis il elle nous vous ce cette il y plus faire combien sans ai veux quelles",
    "it": "il gli della del dei delle un uno una e sono come che cosa quale chi dove perche quando io mio mia non con "
    "per di da nel nella posso puo si ho questo questa quanto quanti fare piu voglio ha vorrei senza ci",
    "pt": "o os as um uma e sao como que qual quem onde porque quando eu meu minha nao com para por de do da dos das "
    "no na posso pode se isso este esta quanto quantos fazer mais voce tenho quero sem preciso",
    "nl": "het een en zijn hoe wat wie waar waarom wanneer ik je jij mijn niet met voor van naar op aan kan kunnen "
    "moet worden heeft hebben wij dit dat deze er bij ook geen veel welke wil zonder",
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {}
for _language, _words in _FUNCTION_WORDS.items():
    for _word in set(_words.split()):
        _LANGUAGES_OF[_word] = (*_LANGUAGES_OF.get(_word, ()), _language)

_THEIR_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzäöüßàâçéèêëîïôœùûÿáíóúñìòãõ")
_NAMES_SHARE = 1 / 3  # so many words may be foreign names: `How do I get from Łódź to Wrocław?`

# Each line is one language by its own name and by its neighbours' names for it. Where a name is also an everyday
# word (`polish`, `thai` is none), only the capital or a preposition could tell; those few stay out.
_NAMES = """
english englisch ingles anglais inglese engels
german deutsch aleman allemand tedesco alemao duits
spanish spanisch espanol castellano espagnol spagnolo espanhol spaans castilian
french franzosisch frances francais francese frans
italian italienisch italiano italien italiaans
portuguese portugiesisch portugues portugais portoghese portugees
dutch niederlandisch hollandisch holandes neerlandes neerlandais olandese nederlands flemish
russian russisch ruso russe russo russkij
ukrainian ukrainisch ucraniano ukrainien
chinese chinesisch chino chinois cinese chines mandarin
cantonese kantonesisch
japanese japanisch japones japonais giapponese
korean koreanisch coreano coreen
arabic arabisch arabe arabo
hindi
urdu
bengali
punjabi
tamil
telugu
marathi
gujarati
kannada
malayalam
sanskrit sanskrito
turkish turkisch turco turc
greek griechisch griego grec greco
hebrew hebraisch hebreo hebreu ebraico
latin latein latino
swedish schwedisch sueco suedois svedese
norwegian norwegisch noruego norvegien norvegese
danish danisch danes danois danese
finnish finnisch finlandes finnois finlandese
polnisch polaco polonais polacco
czech tschechisch checo tcheque ceco
slovak slowakisch eslovaco
hungarian ungarisch hungaro hongrois ungherese
romanian rumanisch rumano roumain rumeno
bulgarian bulgarisch bulgaro
serbian serbisch serbio
croatian kroatisch croata croate
vietnamese vietnamesisch vietnamita vietnamien
thai
indonesian indonesisch indonesio
malay malayisch malayo
tagalog filipino
persian farsi persisch persa persan
swahili
esperanto
""".split("\n")
_NAMED = {name: line.split()[0] for line in _NAMES if line for name in line.split()}
_AFTER_PREPOSITION = {"polish": "polnisch"}
_NAMING = _NAMED.keys() | _AFTER_PREPOSITION.keys()
_WANTED_AFTER = frozenset(
    "in into to from using speak speaking learn learning write writing teach translate say ins auf en al em naar aus "
    "del du".split()
)
_WANTED_BEFORE = frozenset("language translation version word words sentence text grammar subtitles".split())
_PEOPLE = frozenset("people culture history society war market league government politics food restaurant".split())


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    name = unicodedata.name(char, "")
    return name.partition(" ")[0] if char.isalpha() else ""


def script_shares(text: str) -> dict[str, float]:
    """Which share of the letters is of which script, by the first word of their Unicode names."""
    counts: dict[str, int] = {}
    for char in text:
        script = "LATIN" if "a" <= char <= "z" or "A" <= char <= "Z" else _script(char)
        if script:
            counts[script] = counts.get(script, 0) + 1
    letters = sum(counts.values())
    return {script: count / letters for script, count in counts.items()}


def language_guess(words: Sequence[str]) -> tuple[str, bool]:
    """The likeliest language ("" where nothing speaks for one), and whether it is beyond doubt."""
    scores: dict[str, float] = {}
    for word in words:
        for language in (known := _LANGUAGES_OF.get(word, ())):
            scores[language] = scores.get(language, 0.0) + 1 / len(known)
    if not scores:
        return "", False
    first, *others = sorted(scores.items(), key=lambda item: -item[1])
    second = others[0][1] if others else 0.0
    if first[1] <= second:
        return "", False
    return first[0], first[1] >= 2 and first[1] >= 3 * second


def is_foreign(words: Sequence[str]) -> bool:
    """Do Latin letters with their accents speak for a language that is none of those above, as Vietnamese or Polish?"""
    foreign = {word for word in words if any(_script(letter) == "LATIN" for letter in set(word) - _THEIR_LETTERS)}
    if not foreign:
        return False
    _, certain = language_guess([without_accents(word) for word in words if word not in foreign])
    return not certain or sum(word in foreign for word in words) > _NAMES_SHARE * len(words)


def main_script(text: str) -> str:
    """The script most letters are of; "" without letters."""
    if text.isascii():
        return "LATIN" if any(map(str.isalpha, text)) else ""
    shares = script_shares(text)
    return max(shares, key=lambda script: shares[script], default="")


class LanguagesNamed(NamedTuple):
    named: frozenset[str]
    wanted: frozenset[str]  # of these, the ones that are surely meant as languages


def languages_named(words: Sequence[str]) -> LanguagesNamed:
    """Human languages the text speaks of: `in French`, `auf Deutsch`; perhaps `an English photographer`."""
    named: set[str] = set()
    wanted: set[str] = set()
    if _NAMING.isdisjoint(words):
        return LanguagesNamed(frozenset(), frozenset())
    for position, word in enumerate(words):
        language = _NAMED.get(word)
        before = words[position - 1] if position else ""
        if word in _AFTER_PREPOSITION and before in _WANTED_AFTER:
            language = _AFTER_PREPOSITION[word]
        if not language:
            continue
        named.add(language)
        following = words[position + 1] if position + 1 < len(words) else ""
        if (before in _WANTED_AFTER and following not in _PEOPLE) or following in _WANTED_BEFORE:
            wanted.add(language)
    return LanguagesNamed(frozenset(named), frozenset(wanted))


def named_differ(ours: LanguagesNamed, theirs: LanguagesNamed) -> bool:
    """One-sided where a language is surely meant; else each side names one the other does not."""
    our_extra, their_extra = ours.named - theirs.named, theirs.named - ours.named
    return bool(our_extra & ours.wanted or their_extra & theirs.wanted or (our_extra and their_extra))
