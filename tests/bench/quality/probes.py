"""Which questions differ in just one thing? Pairs made of our own templates; weights may be fitted to them too.

    from tests.bench.quality.probes import generated
    generated(seed=0)  # {"id": [Pair, ...], ...}; label 1: an answer to q1 also answers q2

Every kind has pairs that must not match and, where spelling or wording can change alone, pairs that may. A template is
one question in two wordings; `{x}` is what makes it special. About a third of the templates is German.
"""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.bench.quality.data import ENTRY_SOURCE, Data, Pair, Stream, Text

SOURCE = "generated"
FALSE_SAME_WORDING, FALSE_OTHER_WORDING, TRUE_REWORDED = 140, 70, 60  # of each kind: at least 200 false pairs

Wordings = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Value:
    """What a question is about, the same in another spelling, and something else that looks like it."""

    said: str
    respelt: str
    other: str


Draw = Callable[[Random], Value]


@dataclass(frozen=True, slots=True)
class Kind:
    templates: Sequence[Wordings]
    draw: Draw
    german: Sequence[Wordings] = ()
    german_draw: Draw | None = None


def generated(seed: int = 0) -> dict[str, list[Pair]]:
    """All pairs by kind; the same seed, the same pairs."""
    chance = Random(seed)
    found = {name: _of_kind(name, kind, chance) for name, kind in KINDS.items()}
    for name, rewrite in REWRITES.items():
        found[name] = _unlike(partial(_rewritten, name, rewrite, chance), FALSE_SAME_WORDING + FALSE_OTHER_WORDING)
    found["freshness"] = _unlike(partial(_fresh, chance), FALSE_SAME_WORDING + FALSE_OTHER_WORDING)
    return found


def all_pairs(seed: int = 0) -> list[Pair]:
    return [pair for pairs in generated(seed).values() for pair in pairs]


def _of_kind(name: str, kind: Kind, chance: Random) -> list[Pair]:
    def drawn() -> tuple[Wordings, Value]:
        choices = [(it, kind.draw) for it in kind.templates]
        choices += [(it, kind.german_draw or kind.draw) for it in kind.german]
        template, draw = chance.choice(choices)
        return template, draw(chance)

    def same_wording() -> Pair:
        template, value = drawn()
        wording = chance.choice(template)
        return _pair(name, wording, value.said, wording, value.other, label=0)

    def other_wording() -> Pair:
        (first, second), value = drawn()
        return _pair(name, first, value.said, second, value.other, label=0)

    def reworded() -> Pair:
        (first, second), value = drawn()
        wordings = (first, second) if value.said == value.respelt or chance.random() < 0.5 else (first, first)
        return _pair(name, wordings[0], value.said, wordings[1], value.respelt, label=1)

    return [
        *_unlike(same_wording, FALSE_SAME_WORDING),
        *_unlike(other_wording, FALSE_OTHER_WORDING),
        *_unlike(reworded, TRUE_REWORDED),
    ]


def _pair(kind: str, first: str, one: str, second: str, other: str, *, label: int) -> Pair:
    return Pair(first.replace("{x}", one), second.replace("{x}", other), label, kind, SOURCE)


TRIES = 200


def _unlike(make: Callable[[], Pair], count: int) -> list[Pair]:
    """So many, none twice; fewer where the templates yield no more."""
    found: dict[tuple[str, str], Pair] = {}
    for _ in range(count * TRIES):
        if len(found) == count:
            break
        pair = make()
        if pair.q1 != pair.q2:
            found.setdefault((pair.q1, pair.q2), pair)
    return list(found.values())


# -- Values.


def _same(said: str, other: str) -> Value:
    return Value(said, said, other)


def _two_of(words: Sequence[str]) -> Draw:
    return lambda chance: _same(*chance.sample(list(words), 2))


def _digits(chance: Random, count: int) -> str:
    return "".join(chance.choice(string.digits) for _ in range(count))


def _id(chance: Random) -> Value:
    def one() -> str:
        letters = "".join(chance.sample("ABCDEFGHKLMNPQRSTUVWXYZ", 2))
        return chance.choice(forms)(letters)

    forms: list[Callable[[str], str]] = [
        lambda letters: f"#{_digits(chance, 6)}",
        lambda letters: f"{letters}-{_digits(chance, 5)}",
        lambda letters: _digits(chance, 8),
        lambda letters: f"{letters}{_digits(chance, 3)}{letters[0]}{_digits(chance, 2)}",
    ]
    said = one()
    if chance.random() < 0.5:  # one digit off, as a neighbour's order is
        at = chance.choice([at for at, sign in enumerate(said) if sign.isdigit()])
        other = said[:at] + chance.choice([it for it in string.digits if it != said[at]]) + said[at + 1 :]
        return _same(said, other)
    return _same(said, one())


def _version(chance: Random) -> Value:
    product = chance.choice(("Django", "PostgreSQL", "Node", "Kubernetes", "Ubuntu", "Spring Boot", "Angular", "PHP"))
    major, minor = chance.randint(2, 24), chance.randint(0, 12)
    said = f"{product} {major}.{minor}"
    other = (
        f"{product} {major + chance.choice((-1, 1))}.{minor}"
        if chance.random() < 0.5
        else (f"{product} {major}.{minor + chance.choice((1, 2, 3))}")
    )
    respelt = f"{product} v{major}.{minor}" if chance.random() < 0.5 else said
    return Value(said, respelt, other)


UNITS = (
    ("kg", "kilograms", "pounds"),
    ("km", "kilometers", "miles"),
    ("cm", "centimeters", "inches"),
    ("ml", "milliliters", "ounces"),
    ("mg", "milligrams", "grams"),
    ("GB", "gigabytes", "MB"),
    ("minutes", "min", "hours"),
    ("seconds", "s", "minutes"),
    ("°C", "degrees Celsius", "°F"),
    ("USD", "US dollars", "EUR"),
)
GERMAN_UNITS = (
    ("kg", "Kilogramm", "Pfund"),
    ("km", "Kilometer", "Meilen"),
    ("ml", "Milliliter", "Liter"),
    ("Minuten", "min", "Stunden"),
    ("GB", "Gigabyte", "MB"),
)


def _of_units(units: Sequence[tuple[str, str, str]]) -> Draw:
    def draw(chance: Random) -> Value:
        unit, spelt, other = chance.choice(units)
        amount = chance.choice((2, 5, 10, 12, 20, 25, 30, 40, 50, 75, 90, 100, 150, 200, 250, 300, 450, 500))
        return Value(f"{amount} {unit}", f"{amount} {spelt}", f"{amount} {other}")

    return draw


def _number(chance: Random) -> Value:
    amount = chance.choice((chance.randint(3, 12), chance.randint(13, 95), chance.randint(2, 90) * 100))
    words = ("three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    respelt = words[amount - 3] if amount <= 12 else f"{amount:,}"
    other = amount + chance.choice((1, 2, 5, 10, 100)) if amount < 100 else amount + chance.choice((100, 500, 50))
    return Value(str(amount), respelt, str(other))


def _german_number(chance: Random) -> Value:
    value = _number(chance)
    return _same(value.said, value.other)


MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
GERMAN_MONTHS = (
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
)


def _date(chance: Random) -> Value:
    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(2015, 2026)
    said = f"{day} {MONTHS[month - 1]} {year}"
    respelt = chance.choice((f"{MONTHS[month - 1]} {day}, {year}", f"{year}-{month:02}-{day:02}"))
    other = chance.choice(
        (
            f"{day % 28 + 1} {MONTHS[month - 1]} {year}",
            f"{day} {MONTHS[month % 12]} {year}",
            f"{day} {MONTHS[month - 1]} {year - 1}",
        )
    )
    return Value(said, respelt, other)


def _german_date(chance: Random) -> Value:
    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(2015, 2026)
    said = f"{day}. {GERMAN_MONTHS[month - 1]} {year}"
    other = chance.choice(
        (f"{day % 28 + 1}. {GERMAN_MONTHS[month - 1]} {year}", f"{day}. {GERMAN_MONTHS[month % 12]} {year}")
    )
    return Value(said, f"{day:02}.{month:02}.{year}", other)


LITERALS = (
    ("`os.path.join`", "`os.path.split`"),
    ("`git rebase`", "`git reset`"),
    ("`useEffect`", "`useMemo`"),
    ("`--no-cache`", "`--no-color`"),
    ("`max_connections`", "`max_wal_size`"),
    ("`list.sort()`", "`list.reverse()`"),
    ("`SELECT DISTINCT`", "`SELECT INTO`"),
    ("`/etc/hosts`", "`/etc/fstab`"),
    ("`/var/log/syslog`", "`/var/log/auth.log`"),
    ("`~/.bashrc`", "`~/.profile`"),
    ('"Access denied"', '"Access granted"'),
    ('"connection refused"', '"connection reset"'),
    ('"file not found"', '"module not found"'),
    ('"invalid token"', '"expired token"'),
    ('"permission denied"', '"disk full"'),
    ("`np.zeros`", "`np.ones`"),
    ("`docker run`", "`docker rm`"),
    ("`chmod 644`", "`chmod 755`"),
    ("`ENOENT`", "`EACCES`"),
    ("`config.yaml`", "`compose.yaml`"),
)


def _literal(chance: Random) -> Value:
    return _same(*chance.sample(chance.choice(LITERALS), 2))


PROGRAMMING = (
    "Python",
    "Java",
    "JavaScript",
    "Rust",
    "Go",
    "Ruby",
    "PHP",
    "Kotlin",
    "Swift",
    "TypeScript",
    "C++",
    "C#",
)
LANGUAGES = ("French", "Spanish", "Italian", "German", "Dutch", "Polish", "Portuguese", "Japanese", "Korean", "Turkish")
GERMAN_LANGUAGES = ("Französisch", "Spanisch", "Italienisch", "Englisch", "Niederländisch", "Polnisch", "Türkisch")

THINGS = (
    "rice", "lentils", "spinach", "salmon", "tofu", "pumpkin", "quinoa", "asparagus", "beetroot", "chickpeas",
    "leather shoes", "a wool coat", "a laptop", "a bicycle", "a piano", "a violin", "curtains", "a carpet", "silver",
)  # fmt: skip
GERMAN_THINGS = (
    "Reis",
    "Linsen",
    "Spinat",
    "Lachs",
    "Kürbis",
    "Spargel",
    "Lederschuhe",
    "Teppiche",
    "Silber",
    "Vorhänge",
)
COUNTRIES = (
    "Norway",
    "Portugal",
    "Chile",
    "Vietnam",
    "Kenya",
    "Austria",
    "Canada",
    "Morocco",
    "Iceland",
    "Peru",
    "Ghana",
)
GERMAN_COUNTRIES = ("Norwegen", "Portugal", "Chile", "Vietnam", "Kenia", "Österreich", "Kanada", "Marokko", "Island")
FIRST_NAMES = ("Anna", "Peter", "Maria", "James", "Sofia", "Lukas", "Emma", "David", "Laura", "Martin", "Nina", "Paul")
LAST_NAMES = ("Berger", "Novak", "Silva", "Jensen", "Moreau", "Rossi", "Walker", "Keller", "Lindqvist", "Okafor")


def _person(chance: Random) -> Value:
    first, other = chance.sample(FIRST_NAMES, 2)
    last = chance.choice(LAST_NAMES)
    return _same(f"{first} {last}", f"{other} {last}")


ACTIONS = (
    ("eat", "exercising"), ("stretch", "running"), ("drink coffee", "a blood test"), ("shower", "swimming"),
    ("take ibuprofen", "surgery"), ("update the firmware", "a factory reset"), ("book a hotel", "getting the visa"),
    ("restart the router", "changing the password"), ("apply sunscreen", "putting on makeup"), ("walk", "a meal"),
    ("brush your teeth", "breakfast"), ("rest", "a vaccination"), ("water the lawn", "fertilizing it"),
    ("wash the rice", "soaking it"),
    ("sign the lease", "a viewing"),
    ("save the file", "closing the editor"), ("take a nap", "studying"), ("back up the data", "the migration"),
)  # fmt: skip


def _temporal(chance: Random) -> Value:
    action, occasion = chance.choice(ACTIONS)
    when, other = chance.sample(("before", "after"), 2)
    return _same(f"{action} {when} {occasion}", f"{action} {other} {occasion}")


AGENTS = (
    "the buyer",
    "the seller",
    "the landlord",
    "the tenant",
    "the bank",
    "the customer",
    "the insurer",
    "the court",
)
VERBS = ("sue", "pay", "notify", "refund", "compensate", "contact", "charge", "warn")


def _order(chance: Random) -> Value:
    first, second = chance.sample(AGENTS, 2)
    verb = chance.choice(VERBS)
    return _same(f"{first} {verb} {second}", f"{second} {verb} {first}")


STATES = (
    ("allowed", "not allowed"), ("safe", "unsafe"), ("possible", "impossible"), ("legal", "illegal"),
    ("required", "not required"), ("taxable", "tax-free"), ("healthy", "unhealthy"), ("reversible", "irreversible"),
)  # fmt: skip
DEEDS = (
    "to park here overnight", "to freeze cooked rice", "to record a phone call", "to share an account",
    "to charge a phone overnight", "to work two jobs", "to drink tap water on a train", "to keep bees in a city",
    "to sublet a flat", "to fast for a day", "to fly a drone at night", "to resell a ticket",
)  # fmt: skip


def _negation(chance: Random) -> Value:
    deed = chance.choice(DEEDS)
    said, other = chance.sample(chance.choice(STATES), 2)
    return _same(f"{said} {deed}", f"{other} {deed}")


# -- Kinds.

KINDS: Mapping[str, Kind] = {
    "id": Kind(
        (
            ("Where is my order {x}?", "Can you tell me where order {x} is now?"),
            ("I want to cancel order {x}", "Please help me cancel order {x}"),
            ("How do I get a refund for invoice {x}?", "I need a refund for invoice {x}, how do I get it?"),
            ("What is the status of ticket {x}?", "Could you check the status of ticket {x} for me?"),
            ("Change the delivery address of parcel {x}", "I'd like parcel {x} delivered to another address"),
        ),
        _id,
        (
            ("Wo ist meine Bestellung {x}?", "Kannst du mir sagen, wo die Bestellung {x} ist?"),
            ("Ich möchte die Rechnung {x} reklamieren", "Wie reklamiere ich die Rechnung {x}?"),
        ),
    ),
    "version": Kind(
        (
            ("How do I upgrade to {x}?", "What are the steps to upgrade to {x}?"),
            ("What is new in {x}?", "Which features were added in {x}?"),
            ("Is {x} still supported?", "Does {x} still get support?"),
            ("How do I install {x} on a server?", "What is the way to install {x} on a server?"),
        ),
        _version,
        (
            ("Wie installiere ich {x}?", "Wie kann ich {x} installieren?"),
            ("Wird {x} noch unterstützt?", "Gibt es für {x} noch Unterstützung?"),
        ),
    ),
    "unit": Kind(
        (
            ("Is {x} too much?", "Would {x} be too much?"),
            ("How do I convert {x} to another unit?", "What is the way to convert {x} to another unit?"),
            ("What does it mean if the label says {x}?", "The label says {x}, what does that mean?"),
            ("Can I set the limit to {x}?", "Is it possible to set the limit to {x}?"),
        ),
        _of_units(UNITS),
        (
            ("Sind {x} zu viel?", "Wären {x} zu viel?"),
            ("Kann ich die Grenze auf {x} setzen?", "Ist es möglich, die Grenze auf {x} zu setzen?"),
        ),
        _of_units(GERMAN_UNITS),
    ),
    "number": Kind(
        (
            ("How do I add {x} users to my account?", "What is the way to add {x} users to my account?"),
            ("Can I return {x} items at once?", "Is it possible to return {x} items at once?"),
            ("What should I cook for {x} people?", "Which dish should I cook for {x} people?"),
            ("How long does it take to read {x} pages?", "How much time does one need to read {x} pages?"),
        ),
        _number,
        (
            ("Wie lade ich {x} Personen ein?", "Wie kann ich {x} Personen einladen?"),
            ("Kann ich {x} Artikel zurückgeben?", "Ist es möglich, {x} Artikel zurückzugeben?"),
        ),
        _german_number,
    ),
    "date": Kind(
        (
            ("Can I move my appointment to {x}?", "Is it possible to move my appointment to {x}?"),
            ("What happened on {x}?", "Which events took place on {x}?"),
            ("Show me the invoices of {x}", "I want to see the invoices of {x}"),
            ("Which day of the week was {x}?", "On which day of the week did {x} fall?"),
        ),
        _date,
        (
            ("Was geschah am {x}?", "Was passierte am {x}?"),
            ("Kann ich den Termin auf den {x} verschieben?", "Ist der Termin auf den {x} verschiebbar?"),
        ),
        _german_date,
    ),
    "literal": Kind(
        (
            ("What does {x} mean?", "Can you explain what {x} means?"),
            ("How do I fix a problem with {x}?", "What is the fix for a problem with {x}?"),
            ("When should I use {x}?", "In which cases should I use {x}?"),
            ("Why do I see {x} in my build?", "My build shows {x}, why?"),
        ),
        _literal,
        (
            ("Was bedeutet {x}?", "Kannst du erklären, was {x} bedeutet?"),
            ("Warum steht {x} in meinem Protokoll?", "In meinem Protokoll steht {x}, warum?"),
        ),
    ),
    "code_language": Kind(
        (
            ("How do I sort a list in {x}?", "What is the way to sort a list in {x}?"),
            ("Write a function in {x} that reverses a string", "Give me a {x} function that reverses a string"),
            ("How can I read a JSON file in {x}?", "Show me how to read a JSON file with {x}"),
            ("How do I catch exceptions in {x}?", "What is the syntax to catch exceptions in {x}?"),
            ("How do I open a TCP socket in {x}?", "Opening a TCP socket in {x}: how?"),
        ),
        _two_of(PROGRAMMING),
        (
            ("Wie sortiere ich eine Liste in {x}?", "Wie kann ich in {x} eine Liste sortieren?"),
            (
                "Schreibe eine Funktion in {x}, die Primzahlen findet",
                "Ich brauche eine {x}-Funktion, die Primzahlen findet",
            ),
        ),
    ),
    "target_language": Kind(
        (
            ("Translate 'good morning' into {x}", "How do you say 'good morning' in {x}?"),
            ("Write a thank-you note in {x}", "Compose a thank-you note in {x}"),
            ("Answer in {x}: why is the sky blue?", "Why is the sky blue? Answer in {x}."),
            ("How do I say 'where is the station' in {x}?", "What is 'where is the station' in {x}?"),
        ),
        _two_of(LANGUAGES),
        (
            ("Übersetze 'Guten Morgen' auf {x}", "Was heißt 'Guten Morgen' auf {x}?"),
            ("Schreibe einen Gruß auf {x}", "Verfasse einen Gruß auf {x}"),
        ),
        _two_of(GERMAN_LANGUAGES),
    ),
    "template": Kind(
        (
            ("How do I clean {x}?", "What is the way to clean {x}?"),
            ("How long does {x} keep?", "For how long can {x} be kept?"),
            ("Where can I buy {x} online?", "Which shops sell {x} online?"),
            ("How do I store {x} over the winter?", "What is the way to store {x} over the winter?"),
        ),
        _two_of(THINGS),
        (
            ("Wie reinige ich {x}?", "Wie kann ich {x} reinigen?"),
            ("Wo kaufe ich {x}?", "Wo kann man {x} kaufen?"),
            ("Wie lagere ich {x} im Winter?", "Wie kann man {x} im Winter lagern?"),
        ),
        _two_of(GERMAN_THINGS),
    ),
    "template_place": Kind(
        (
            ("Do I need a visa for {x}?", "Is a visa needed for {x}?"),
            ("What is the capital of {x}?", "Which city is the capital of {x}?"),
            ("Which plugs are used in {x}?", "What kind of plug does {x} use?"),
        ),
        _two_of(COUNTRIES),
        (
            ("Brauche ich ein Visum für {x}?", "Ist für {x} ein Visum nötig?"),
            ("Welche Stecker gibt es in {x}?", "Welche Stecker benutzt man in {x}?"),
        ),
        _two_of(GERMAN_COUNTRIES),
    ),
    "entity": Kind(
        (
            ("Is {x} a good teacher?", "Would you say that {x} is a good teacher?"),
            ("Send the contract to {x}", "Please send {x} the contract"),
            ("When was {x} hired?", "On which day was {x} hired?"),
        ),
        _person,
        (("Wann wurde {x} eingestellt?", "Seit wann ist {x} angestellt?"),),
    ),
    "temporal": Kind(
        (("Should I {x}?", "Is it a good idea to {x}?"), ("Is it necessary to {x}?", "Do I have to {x}?")),
        _temporal,
    ),
    "negation": Kind(
        (("Is it {x}?", "Would you say it is {x}?"), ("Why is it {x}?", "What is the reason it is {x}?")),
        _negation,
    ),
    "order": Kind(
        (("Can {x}?", "Is it possible that {x}?"), ("When must {x}?", "In which cases must {x}?")),
        _order,
    ),
}


# -- The same question, written otherwise.

BASE = (
    "What is the best way to learn to play the piano", "How do I change the email address of my account",
    "I am not able to log in to the customer portal", "What is the difference between a virus and a bacterium",
    "Why does bread not rise in a cold kitchen", "I cannot find the receipt for my washing machine",
    "How is cheese made from goat milk", "I have forgotten the password of my online account",
    "Where is the nearest place to renew a passport", "It is not clear how the annual bonus is calculated",
    "Why do cats not like closed doors", "They are charging me for a subscription that I did not order",
    "How does a heat pump work in winter", "You are sending my newsletter to the wrong address",
    "What is a good name for a small bakery", "I would like to know how the warranty works",
    "Why are leaves not green in autumn", "I do not understand the second page of the contract",
    "How do I remove red wine from a white carpet", "We are planning a garden and do not know where to begin",
)  # fmt: skip
GERMAN_BASE = (
    "Wie geht es meinem Antrag auf Elternzeit", "Gibt es einen Rabatt für Studenten",
    "Ich habe mein Passwort vergessen",
    "Hast du eine Idee für ein einfaches Abendessen", "Wie lange dauert es, einen Reisepass zu beantragen",
    "Ich habe die falsche Größe bestellt", "Wo gibt es die Gebrauchsanweisung für die Waschmaschine",
    "Ich hätte gerne eine Kopie der Rechnung", "Warum geht es mit der Lieferung nicht weiter",
)  # fmt: skip
ENDINGS = ("", "?", " please?", ", can you help me?", " - any advice?", ", thanks")
GREETINGS = ("", "", "Hello! ", "Quick question: ")
GERMAN_GREETINGS = ("", "", "Hallo! ", "Eine Frage: ")
GERMAN_ENDINGS = ("", "?", " bitte?", ", kannst du helfen?", ", danke")

CONTRACTIONS = (
    ("What is", "What's"), ("Where is", "Where's"), ("How is", "How's"), ("I am", "I'm"), ("I have", "I've"),
    ("I would", "I'd"), ("It is", "It's"), ("They are", "They're"), ("You are", "You're"), ("We are", "We're"),
    ("cannot", "can't"), ("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"), ("is not", "isn't"),
    ("Why are leaves not", "Why aren't leaves"), ("Why do cats not", "Why don't cats"),
    ("Why does bread not", "Why doesn't bread"), ("geht es", "geht's"), ("Gibt es", "Gibt's"), ("gibt es", "gibt's"),
    ("Ich habe", "Ich hab"), ("Ich hätte", "Ich hätt"),
)  # fmt: skip


def _base(chance: Random) -> str:
    if chance.random() < 0.3:
        return chance.choice(GERMAN_GREETINGS) + chance.choice(GERMAN_BASE) + chance.choice(GERMAN_ENDINGS)
    return chance.choice(GREETINGS) + chance.choice(BASE) + chance.choice(ENDINGS)


def _contracted(text: str, chance: Random) -> str:
    for long, short in CONTRACTIONS:
        text = text.replace(long, short)
    return text


def _misspelt(text: str, chance: Random) -> str:
    """One or two slips of the finger, inside longer words."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    for at in chance.sample(long, min(len(long), chance.choice((1, 1, 2)))):
        word = words[at]
        spot = chance.randrange(1, len(word) - 2)
        words[at] = chance.choice(
            (
                word[:spot] + word[spot + 1] + word[spot] + word[spot + 2 :],
                word[:spot] + word[spot + 1 :],
                word[:spot] + word[spot] + word[spot:],
            )
        )
    return " ".join(words)


REWRITES: Mapping[str, Callable[[str, Random], str]] = {"typo": _misspelt, "contraction": _contracted}


def _rewritten(kind: str, make: Callable[[str, Random], str], chance: Random) -> Pair:
    text = _base(chance)
    return Pair(text, make(text, chance), 1, kind, SOURCE)


# -- What was true when it was stored.

FRESH: Sequence[tuple[Wordings, Sequence[str]]] = (
    (("What is the weather in {x} today?", "How is the weather in {x} right now?"), COUNTRIES),
    (("What is the latest news about {x}?", "Any news about {x} today?"), (*COUNTRIES, *PROGRAMMING)),
    (("What is the newest version of {x}?", "What is the current version of {x}?"), PROGRAMMING),
    (("Who is the current president of {x}?", "Who is the president of {x} at the moment?"), COUNTRIES),
    (
        ("What is the price of {x} today?", "How much does {x} cost right now?"),
        ("gold", "bitcoin", "silver", "crude oil"),
    ),
    (("Is the {x} office open now?", "Is the {x} office open right now?"), COUNTRIES),
    (("Wie ist das Wetter in {x} heute?", "Wie wird das Wetter heute in {x}?"), GERMAN_COUNTRIES),
    (("Was sind die neuesten Nachrichten aus {x}?", "Gibt es heute Nachrichten aus {x}?"), GERMAN_COUNTRIES),
    (("Welche Version von {x} ist die neueste?", "Was ist derzeit die neueste Version von {x}?"), PROGRAMMING),
)


def _fresh(chance: Random) -> Pair:
    wordings, topics = chance.choice(FRESH)
    topic = chance.choice(list(topics))
    first, second = chance.sample(wordings, 2)
    return _pair("freshness", first, topic, second, topic, label=0)


# -- For runs without data.

STREAM_VALUES = 12
OPENINGS = ("", "Hello! ", "Hi there, quick question. ")
STORED_BACKGROUND = (
    "Who invented {x}?", "What colour is {x}?", "Why is {x} expensive?", "Tell me a story about {x}",
    "Is {x} a good present?", "How heavy is {x}?", "Who exports most of {x}?", "Write an advertisement for {x}",
)  # fmt: skip
ASKED_BACKGROUND = (
    "Describe the flag of {x}", "Write a poem about {x}", "Who was the first king of {x}?", "Plan a week in {x}",
    "Which rivers cross {x}?", "What do people eat for breakfast in {x}?", "Name three painters of {x}",
    "How large is {x}?", "When did {x} join the United Nations?", "Which animals live in {x}?",
    "What music is played in {x}?", "Recommend a novel set in {x}",
)  # fmt: skip


def generated_data(seed: int = 0) -> Data:
    """Support questions with order numbers as a stream, and as background what no order has to do with."""
    background = {
        ENTRY_SOURCE: [question.replace("{x}", thing) for question in STORED_BACKGROUND for thing in THINGS],
        SOURCE: [question.replace("{x}", country) for question in ASKED_BACKGROUND for country in COUNTRIES],
    }
    texts = list(_support(Random(seed)))
    return Data(pairs={}, streams={SOURCE: Stream(texts, specifics=True)}, background=background)


def _support(chance: Random) -> Iterator[Text]:
    for template, wordings in enumerate(KINDS["id"].templates):
        for _ in range(STREAM_VALUES):
            value = _id(chance).said
            for opening in OPENINGS:
                for wording in wordings:
                    yield Text(opening + wording.replace("{x}", value), f"{template}/{value}")
