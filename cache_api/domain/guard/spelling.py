"""How is a text spelt plainly, so that two ways to write the same thing are one?"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

_QUOTES = {"’": "'", "‘": "'", "‛": "'", "ʼ": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'}
_DASHES = dict.fromkeys("‐‑‒–—−﹣-", "-")
_TYPEWRITER_QUOTE = re.compile(r"(?<!`)``(?!`)|''")
_SPACE = re.compile(r"\s+")
_TRAILING = " .?!。"
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")

_SHORT_AUXILIARIES = "is are was were do does did has have had ca could wo would should might must need ai sha dare"
_NEGATED = {f"{stem}nt": (stem, "not") for stem in _SHORT_AUXILIARIES.split()} | {
    "cannot": ("can", "not"),
    "cant": ("can", "not"),
    "cnt": ("can", "not"),
    "dnt": ("do", "not"),
    "wont": ("will", "not"),
    "aint": ("is", "not"),
    "shant": ("shall", "not"),
}
_IRREGULAR = {"ca": "can", "wo": "will", "ai": "is", "sha": "shall"}
_NO_PLURAL = frozenset({"https", "news"})
_DROPPED_TAILS = frozenset({"s", "re", "ve", "ll", "d", "m"})


def _is_accent(char: str) -> bool:
    return "\u0300" <= char <= "\u036f"


@lru_cache(maxsize=2048)
def _plain_character(char: str) -> str:
    return "".join([part for part in _accented_character(char) if not _is_accent(part)])


@lru_cache(maxsize=2048)
def _accented_character(char: str) -> str:
    """Look-alikes become one: widths, quotes, dashes, digits of any script. Invisible ones vanish, accents follow."""
    if char in _QUOTES:
        return _QUOTES[char]
    if char in _DASHES:
        return "-"
    decomposition = unicodedata.decomposition(char)
    if decomposition.startswith("<fraction>"):  # 2½ is "2 1/2", not "21/2"
        return " " + unicodedata.normalize("NFKD", char).replace("⁄", "/")
    if decomposition.startswith("<super>") and char not in "ªº":  # 10² is not 102
        return "^" + unicodedata.normalize("NFKD", char)

    plain = []
    for part in unicodedata.normalize("NFKD", char):
        category = unicodedata.category(part)
        if category == "Nd":
            plain.append(str(unicodedata.decimal(part)))
        elif category in ("Cf", "Cs"):
            continue
        elif category == "Cc":
            plain.append(" ")
        else:
            plain.append(part)
    return "".join(plain)


@lru_cache(maxsize=16)  # one question is looked at from several sides
def plain(text: str) -> str:
    """One spelling, still with its capitals; no accents, single blanks, no blank or full stop at the ends."""
    return _spelt(text, _plain_character)


def accented(text: str) -> str:
    """The same with its accents, each letter and its accents as one character."""
    return plain(text) if text.isascii() else unicodedata.normalize("NFC", _spelt(text, _accented_character))


def without_accents(accented: str) -> str:
    return "".join(map(_plain_character, accented))


def _spelt(text: str, character: Callable[[str], str]) -> str:
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(character, text))
    if "``" in text or "''" in text:
        text = _TYPEWRITER_QUOTE.sub('"', text)
    return _SPACE.sub(" ", text).strip(" ").rstrip(_TRAILING)


def words(folded: str) -> list[str]:
    """The words, contractions spelt out (`don't`, `dont` and `do not` are one), elisions split."""
    found: list[str] = []
    for word in _WORD.findall(folded):
        if word in _NEGATED:
            found += _NEGATED[word]
        elif "'" not in word:
            found.append(word)
        elif word.endswith("n't"):
            stem = word[:-3]
            found += (_IRREGULAR.get(stem, stem), "not")
        else:
            head, *tails = word.split("'")
            found.append(head)
            found += (tail for tail in tails if tail not in _DROPPED_TAILS)
    return found


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A light stem, good enough to see that `disabled` is `disable`; never shorter than three letters."""
    if len(word) > 32 or word in _NO_PLURAL:  # so long is no word of a language: keep the cache small
        return word
    for ending, instead in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("ly", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            word = word[: -len(ending)] + instead
            break
    if (len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeiousl") or (
        len(word) > 4 and word.endswith("ll")
    ):
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word
