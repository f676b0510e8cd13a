"""Which ids, links, paths, quotations and pieces of code does a text contain?"""

import re
import unicodedata
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from cache_api.domain.guard.number_words import SCALES
from cache_api.domain.guard.spelling import without_accents
from cache_api.domain.guard.units import CURRENCIES, UNITS

# Every repetition has an end, and no pattern can begin anew inside what it has just failed on: linear on any text.
_LINK = re.compile(r"(?:\bhttps?://|\bftp://|\bwww\.)([^\s<>\"'`]{1,2000})", re.IGNORECASE)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}")
_BACKTICKS = re.compile(r"`+")
_QUOTED = re.compile(r'"(?!\s)([^"\n]{1,200})(?<!\s)"|(?<![^\s(])\'([^\'\n]{1,200})\'(?!\w)')
_PATH = re.compile(
    r"(?<![\w/.\\])(?:[A-Za-z]:\\[^\s\"'<>|]{1,200}|(?:~|\.{1,2})?/[\w.@-]{1,64}(?:/[\w.@*-]{1,64}){0,32}/?)"
)
_FILE = re.compile(
    r"(?<![\w.-])(?!(?:node|vue|react|next|nuxt|d3|three|chart|express)\.js\b)"
    r"[\w-]{1,64}(?:\.[\w-]{1,64}){0,4}\.(?:py|js|ts|tsx|jsx|java|rb|go|rs|cpp|cs|php|html?|css|json|ya?ml|"
    r"toml|xml|csv|tsv|txt|md|pdf|docx?|xlsx?|pptx?|png|jpe?g|gif|svg|mp3|mp4|wav|zip|gz|tar|sh|bat|ps1|sql|ini|cfg|"
    r"conf|log|env|lock|exe|dll|so|jar|ipynb|parquet|db)\b(?![\w-])",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?<![\w-])--[A-Za-z][\w-]{1,40}"  # --verbose
    r"|(?<![\w$.])_{0,2}[A-Za-z0-9]{1,64}(?:_{1,2}[A-Za-z0-9]{1,64}){1,12}(?!\w)"  # snake_case
    r"|(?<![\w.])[A-Za-z]\w{0,60}(?:\.[A-Za-z]\w{0,60}){0,8}\(\)"  # call()
    r"|(?<![\w.])[a-z]{2,30}[A-Z][a-z]\w{0,40}"  # camelCase
    r"|(?<![\w.])[A-Za-z]\w{2,60}(?:\.[A-Za-z]\w{1,60}){2,8}(?!\w)"  # a.dotted.name
    r"|(?<![\w$])\$[A-Za-z_]\w{1,40}"  # $HOME
    r"|</?[A-Za-z][A-Za-z0-9]{0,15}/?>"  # <div>
)
_MAYBE_CODE = re.compile(r"_|--|\(\)|[a-z][A-Z]|\w\.[A-Za-z]|\$[A-Za-z_]|<")  # none without; cheaper to look for
_FLAG = re.compile(r"(?<!\S)-[A-Za-z]{1,2}(?![\w-])")
_OPERATOR = re.compile(r"(?<![=!<>&|*:+-])(?:===|!==|==|!=|=>|->|&&|\|\||<=|>=|::|\*\*)(?![=!<>&|*:+-])")
_ARITHMETIC = re.compile(  # between figures or single letters: x - 2, 3 * 5
    r"(?:\d|(?<![^\W_])[A-Za-z]|\)) ?([+*^×÷=<>]|-(?= )) ?(?=\(?(?:\d|[A-Za-z](?![^\W_])))"
)
_MAYBE_ARITHMETIC = re.compile(r"[+*^×÷=<>]| - ")
_MAYBE_OPERATOR = re.compile(r"[=&|<>:*]")
# Signs that stand for themselves: `&` between blanks, a pattern like ^\\d+$, the blood group O-, Disney+.
_SIGN = re.compile(r"(?<!\S)(?!-+(?!\S))[!#$%&*+<=>?@^|~.:/\\-]{1,3}(?!\S)")
_PATTERN = re.compile(
    r"(?<!\S)(?![^\s]*\$\d|\d[\d.,]*\$)(?=[^\s]*[\\^$*+\[\]|<>&~#][^\s<>?!.,;:])[^\s\"'`]{2,60}(?!\S)"
)
_GRADED = re.compile(r"(?<!\S)([A-Za-z]{1,2}[+-]|[A-Za-z]{1,30}\+{1,2})(?=[\s?!.,;:)]|$)")
# Vitamin A, terminal E, plan B: as a word of its own the letter would be an article or an `and` somewhere.
_LETTERED = re.compile(
    r"\b(?:vitamin|hepatitis|influenza|type|group|plan|part|class|terminal|gate|platform|model|option|section|grade|team"
    r"|building|schedule|appendix|exhibit|line|zone|level|series|tier|column|row|section|page|question|answer|drive"
    r"|letter|point|factor|size|category|form|serie|gruppe|typ|klasse|gleis)e?s? ([a-z])(?![\w'.&+-])",
    re.IGNORECASE,
)
_MAYBE_SIGN = re.compile(r"[!#$%&*+<=>@^|~\\\[\]]|-(?!\w)|(?<!\S)[?.:/]")
_DECORATION = re.compile(r"[^\w\s]+$")
_ASKED_OF = re.compile(
    r"\b(?:emoji|symbol|sign|character|mean|means|meaning|translate|stand|stands|called|unicode)\b", re.IGNORECASE
)
# What follows is material: another letter of it is another answer.
_TASK = re.compile(
    r"^(?:please |can you |could you )?(?:translate|correct|proofread|fix|spell|classify|summari[sz]e|rewrite|rephrase|"
    r"paraphrase|extract|convert|conjugate|explain|tag|label|detect|refactor)\b[^:]{0,80}:\s*(?=\S)",
    re.IGNORECASE,
)
_WRAPPING = re.compile(r"[\s()\"';]+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_TOKEN = re.compile(r"[^\W_]+")

_HASH = re.compile(r"#\s?\d{3,}|#0\d+")
_RUN = re.compile(r"(?<![^\W_])(?<!\d[.,])[^\W_]*\d[^\W_]*")
_DECIMAL_TAIL = re.compile(r"[.,]\d")
_LETTER_AND_FIGURE = re.compile(r"(?<![^\W_])([^\W\d_])-(?=\d)")  # H-1B, F-16
_COUNTED = re.compile(r"\d+([^\W\d_]+)")
_NAME_AND_FIGURE = re.compile(r"[^\W\d_]{3,}\d{1,2}|v\d+|(?:rs|inr|usd|eur|gbp|cad|aud)\d+")
_FUSED = frozenset(UNITS) | frozenset(SCALES) | {"st", "nd", "rd", "th", "er", "ern", "s", "x", "am", "pm", "bn", "uhr"}
_LONG = 5  # from this many digits on, a bare number names something


class Text(Protocol):
    """What is compared here of a text's traits."""

    @property
    def folded(self) -> str: ...
    @property
    def letters(self) -> str: ...
    @property
    def ids(self) -> frozenset[str]: ...
    @property
    def literals(self) -> "Literals": ...
    @property
    def spelt(self) -> frozenset[str]: ...


def _keep(found: set[str], match: re.Match[str]) -> str:
    found.add(match[0])
    return "\n"


def _keep_link(found: set[str], match: re.Match[str]) -> str:
    found.add(match[1].removeprefix("www.").rstrip("/.,;:!?)"))
    return "\n"


class Literals(NamedTuple):
    links: frozenset[str]
    code: frozenset[str]
    quoted: frozenset[str]
    exact: frozenset[str]  # flags, operators, back-ticked code: `-d` is not `-D`
    shown: frozenset[str]  # pictures and signs of no script
    task: tuple[str, str]  # what is to be done with a text, and the text


def take_literals(plain: str) -> tuple[Literals, str]:
    """The literals, and the text without them; what stands in quotation marks stays."""
    links: set[str] = set()
    code: set[str] = set()
    exact: set[str] = set()
    quoted: list[str] = []
    rest = plain
    if "`" in rest:
        inside, rest = _backticked(rest)
        code.update(inside)
        exact.update(_WRAPPING.sub("", part) for part in code)
    if "://" in rest or "www." in rest.casefold():
        rest = _LINK.sub(partial(_keep_link, links), rest)
    if "@" in rest:
        rest = _MAIL.sub(partial(_keep, links), rest)
    if "/" in rest or "\\" in rest:
        rest = _PATH.sub(partial(_keep, code), rest)
    if "." in rest:
        rest = _FILE.sub(partial(_keep, code), rest)
    if '"' in rest or "'" in rest:
        quoted = _quotations(rest)
    if _MAYBE_CODE.search(rest):
        rest = _CODE.sub(partial(_keep, code), rest)
    if "-" in rest:
        rest = _FLAG.sub(partial(_keep, exact), rest)
    if _MAYBE_OPERATOR.search(rest):
        exact.update(_OPERATOR.findall(rest))
    if _MAYBE_ARITHMETIC.search(rest):
        exact.update(_ARITHMETIC.findall(rest))
    if _MAYBE_SIGN.search(rest):
        exact.update(_SIGN.findall(rest))
        exact.update(map(str.casefold, _GRADED.findall(rest)))
        exact.update(found.rstrip("?!.,;:") for found in _PATTERN.findall(rest))
    exact.update(f"the letter {letter.casefold()}" for letter in _LETTERED.findall(rest) if letter != "I")
    return (
        Literals(
            links=frozenset(map(str.casefold, links)),
            code=frozenset(map(str.casefold, code)),
            quoted=frozenset(map(str.casefold, quoted)),
            exact=frozenset(exact),
            shown=frozenset() if plain.isascii() else _shown(plain),
            task=_task(plain),
        ),
        rest,
    )


def spellings(accented: str) -> frozenset[str]:
    """What stands for itself, so that its accents count: back-ticked, quoted, or given as material."""
    if not any(mark in accented for mark in "`\"':"):
        return frozenset()
    inside, rest = _backticked(accented)
    return frozenset([*inside, *_quotations(rest), _task(accented)[1]])


def _backticked(text: str) -> tuple[list[str], str]:
    parts = _BACKTICKS.split(text)
    closed = len(parts) if len(parts) % 2 else len(parts) - 1
    return [part.strip() for part in parts[1:closed:2]], "\n".join(parts[0:closed:2] + parts[closed:])


def _quotations(text: str) -> list[str]:
    # An odd number of quotation marks: nobody knows what is inside and what is between.
    found = _QUOTED.findall(text if text.count('"') % 2 == 0 else text.replace('"', ""))
    return [double or single for double, single in found]


def _shown(plain: str) -> frozenset[str]:
    """Pictures at the end of a text that does not ask of them only adorn it."""
    asked_of = plain if _ASKED_OF.search(plain) else _DECORATION.sub("", plain)
    return frozenset(char for char in asked_of if unicodedata.category(char) in ("So", "Sm") and not char.isascii())


def _task(plain: str) -> tuple[str, str]:
    found = _TASK.match(plain) if ":" in plain else None
    return (found[0].casefold(), plain[found.end() :]) if found else ("", "")


def take_ids(folded: str) -> tuple[frozenset[str], str]:
    """Order numbers, serial numbers, codes; `10k`, `5km`, `1st` and `python3` are none."""
    if not any(map(str.isdigit, folded)):
        return frozenset(), folded
    ids: set[str] = set()

    def hashed(match: re.Match[str]) -> str:
        ids.add(match[0].lstrip("# "))
        return "\n"

    def run(match: re.Match[str]) -> str:
        token = match[0]
        if token.isdigit():
            amount = _DECIMAL_TAIL.match(folded, match.end()) or _is_amount(folded, match)
            long = len(token) >= _LONG and not (amount and len(token) < 16)
            if not long and not (token[0] == "0" and len(token) >= 3 and not amount):
                return token
        elif _NAME_AND_FIGURE.fullmatch(token) or (
            (counted := _COUNTED.fullmatch(token)) and counted[1] in _FUSED and len(token) < 16
        ):
            return token
        ids.add(token)
        return "\n"

    folded = _LETTER_AND_FIGURE.sub(r"\1", _HASH.sub(hashed, folded))
    rest = _RUN.sub(run, folded)
    return frozenset(ids), rest


def _is_amount(folded: str, match: re.Match[str]) -> bool:
    """Is a currency or a unit beside it? Then 12000 counts something and names nothing."""
    before = folded[max(0, match.start() - 9) : match.start()].split()
    after = folded[match.end() : match.end() + 16].split()
    return bool(
        (before and (before[-1].rstrip(".") in CURRENCIES or before[-1][-1] in "$€£¥₹"))
        or (after and (after[0].rstrip(".,;:?!)") in UNITS or after[0] in SCALES))
    )


def squeezed(folded: str) -> str:
    """Letters and digits only: `foo_bar`, `foo bar` and `fooBar` are one."""
    return _NOT_A_LETTER.sub("", folded)


def _joined(tokens: Sequence[str], longest: int) -> set[str]:
    """Each run of neighbouring tokens, as one word: `H-1B`, `H 1B` and `H1B` are one."""
    found: set[str] = set()
    for start in range(len(tokens)):
        word = ""
        for token in tokens[start : start + 6]:
            word += token
            if len(word) > longest:
                break
            found.add(word)
    return found


def _lacks_id(wanted: frozenset[str], present: frozenset[str], folded: str) -> bool:
    missing = wanted - present
    if not missing:
        return False
    joined = _joined(_TOKEN.findall(folded), max(map(len, missing)))
    return any(squeezed(name) not in joined for name in missing)


def literals_differ(ours: Text, theirs: Text) -> bool:
    """Code: one-sided too. Quotations, flags, operators, accents: each side has one the other lacks."""
    (task, text), (their_task, their_text) = ours.literals.task, theirs.literals.task
    return bool(
        (task == their_task and text != their_text)
        or (ours.literals.shown - theirs.literals.shown and theirs.literals.shown - ours.literals.shown)
        or (ours.literals.exact - theirs.literals.exact and theirs.literals.exact - ours.literals.exact)
        or _lacks(ours.literals.code, theirs)
        or _lacks(theirs.literals.code, ours)
        or (_lacks(ours.literals.quoted, theirs) and _lacks(theirs.literals.quoted, ours))
        or _accents_differ(ours.spelt - theirs.spelt, theirs.spelt - ours.spelt)
    )


def _accents_differ(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    return bool(ours and theirs) and not set(map(without_accents, ours)).isdisjoint(map(without_accents, theirs))


def _lacks(wanted: frozenset[str], present: Text) -> bool:
    """Is one of these nowhere in the other text, not even as plain words?"""
    for literal in wanted:
        bare = squeezed(literal)
        if not bare:
            if literal not in present.folded:
                return True
        elif len(bare) > 3:
            if bare not in present.letters:
                return True
        elif bare not in _joined(_TOKEN.findall(present.folded), 3):
            return True
    return False


def ids_differ(ours: Text, theirs: Text) -> bool:
    """One-sided too: an id is what the question is about."""
    return (
        ours.literals.links != theirs.literals.links
        or _lacks_id(ours.ids, theirs.ids, theirs.folded)
        or _lacks_id(theirs.ids, ours.ids, ours.folded)
    )
