"""What may be typed as a project's rules?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from django import forms

from cache_api.domain.policy import LEARNT, BadPolicy, Policy
from cache_api.domain.provider import providers
from dashboard.durations import Duration
from dashboard.forms import Form

Choices = Sequence[tuple[str, str]]

MODES: Choices = (
    ("on", "On: exact and similar questions"),
    ("exact", "Exact: exact repeats alone"),
    ("shadow", "Shadow: record, serve nothing"),
    ("off", "Off: pass every call on"),
)
COMPARED: Choices = (("similar", "Compare by meaning"), ("exact", "Exact repeats alone"), ("off", "Never"))
# Each part of the page: its name, what it is about, its rules.
PARTS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("Serving", "When a stored answer is given.", ("mode", "max_wrong_hit_rate", "similarity_floor")),
    (
        "Keeping",
        "How long an answer may be served.",
        ("ttl_seconds", "volatile_ttl_seconds", "stale_on_error_seconds"),
    ),
    (
        "Kinds of questions",
        "Which are compared by meaning.",
        ("actions", "personal", "maths", "tools", "max_temperature", "end_users"),
    ),
    ("Blocklist", "What becomes of a question that is on it.", ("blocklist", "blocklist_text")),
    (
        "Synthesis",
        "A small model answers from near entries where none may be served as it is.",
        ("synthesis", "synthesis_model", "synthesis_provider", "synthesis_floor"),
    ),
    (
        "Checks",
        "A model of yours looks at some of the hits, so that the promise is measured.",
        ("verify_model", "verify_provider", "verify_share", "verify_budget_usd"),
    ),
    ("Addresses", "Where calls may go.", ("allow_base_url",)),
)


def _one_of(label: str, choices: Choices, said: str) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, help_text=said)


def _number(label: str, said: str) -> forms.FloatField:
    return forms.FloatField(label=label, required=False, help_text=said, widget=forms.NumberInput({"step": "any"}))


def _time(label: str, said: str) -> Duration:
    return Duration(label=label, required=False, max_length=16, help_text=said)


def _text(label: str, said: str, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, help_text=said, **options)


class PolicyRules(Form):
    """Every rule; an empty number or time is its default."""

    mode = _one_of("Mode", MODES, "Shadow shows what the cache would do, and changes nothing for callers.")
    max_wrong_hit_rate = _number(
        "Wrong hits, at most", "The promise: 0.02 is 2 in 100 of the hits by similarity. 0 serves none of these."
    )
    similarity_floor = _number(
        "Similarity floor", "From 0 to 1. No entry less similar than this is ever served; above it the promise decides."
    )
    ttl_seconds = _time("An answer lives for", "Such as 12h or 7d. A caller may ask for less, never for more.")
    volatile_ttl_seconds = _time(
        "A question about the present lives for", "Weather, prices, news. 0s: such a question is not cached at all."
    )
    stale_on_error_seconds = _time(
        "After its end it may stand in for", "Only while the provider fails: such as 1h. 0s: never."
    )
    actions = _one_of("Requests to do something", COMPARED, "Cancel my order, send this mail.")
    personal = _one_of("Questions about the asker's own data", COMPARED, "Where is my parcel?")
    maths = _one_of("Mathematics", COMPARED, "One digit changes the answer.")
    tools = _one_of("Calls with tools", COMPARED, "Calls that carry tools or functions.")
    max_temperature = _number("Temperature, at most", "From 0 to 2. A call above it asks for something new each time.")
    end_users = _one_of(
        "End users",
        (("optional", "Shared unless a call names one"), ("separate", "Each has a cache of their own")),
        "Separate: a call that names no end user is not cached.",
    )
    blocklist = _one_of(
        "A blocked question",
        (
            ("refuse", "Is refused"),
            ("skip", "Is answered with the text below"),
            ("observe", "Is counted alone"),
            ("off", "Is like any other"),
        ),
        "Questions are put on the list on the page Cache.",
    )
    blocklist_text = _text("Text", "What such a question is answered with.", widget=forms.Textarea({"rows": 2}))
    synthesis = _one_of(
        "Synthesize",
        (("off", "Never"), ("auto", "From entries every guard lets pass"), ("always", "From refused entries, too")),
        "Always is cheaper more often, and more often wrong.",
    )
    synthesis_model = _text("Model", "A small one, by its provider's name for it.")
    synthesis_provider = forms.ChoiceField(label="Provider", required=False, help_text="Empty: the one that was asked.")
    synthesis_floor = _number("Floor of synthesis", "From 0 to 1. Entries less similar are about something else.")
    verify_model = _text("Judge", "The model that says of a hit whether it was right. Empty: nobody checks.")
    verify_provider = forms.ChoiceField(
        label="Provider", required=False, help_text="Whose model it is; called with your key."
    )
    verify_share = _number("Share that is checked", "From 0 to 1, of the hits by similarity.")
    verify_budget_usd = _number("Dollars a month, at most", "What checks may cost; then they rest.")
    allow_base_url = forms.BooleanField(
        label="Callers may name a provider's URL",
        required=False,
        help_text="In a header, with a credential of their own.",
    )

    def __init__(self, *args: Any, rules: Policy, initial: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, initial={**asdict(rules), **(initial or {})}, **kwargs)
        named = [("", "–"), *((name, name) for name in sorted(providers()))]
        for name in ("synthesis_provider", "verify_provider"):
            self.offer(name, named)

    def changes(self, rules: Policy) -> dict[str, Any]:
        """What is other than it was, as the service takes it: None where a rule goes back to its default."""
        usual = {one.name: one.default for one in fields(Policy) if one.name not in LEARNT}
        typed = self.cleaned_data
        wanted = {name: usual[name] if value is None else value for name, value in typed.items()}
        return {name: typed[name] for name, value in wanted.items() if value != getattr(rules, name)}

    def clean(self) -> dict[str, Any]:
        """What one rule asks of another is said at the one that is missing."""
        typed = self.cleaned_data
        if typed.get("synthesis", "off") != "off" and not typed.get("synthesis_model"):
            self.add_error("synthesis_model", "Name a small model, or choose Never above.")
        if typed.get("verify_model") and not typed.get("verify_provider"):
            self.add_error("verify_provider", "Choose the judge's provider.")
        return typed

    def refuse_rule(self, bad: BadPolicy) -> None:
        """Its sentence begins with the rule it is about, which people know by its label."""
        name, _, rest = str(bad).partition(" ")
        if name in self.fields:
            self.add_error(name, f"“{self.fields[name].label}” {rest}.")
        else:
            self.add_error(None, str(bad))

    @property
    def parts(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        return [(name, about, [self[rule] for rule in rules]) for name, about, rules in PARTS]
