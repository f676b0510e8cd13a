"""Which rows of the audit trail are asked for, out of an address?"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from uuid import UUID

from django import forms

from dashboard.forms import Form
from tenants.selectors import AuditFilters

# The first half of an action says what it is done to.
AREA_WORDS: Mapping[str, str] = {
    "audit.": "The audit log",
    "blocklist.": "The blocklist",
    "budget.": "Budgets",
    "calls.": "Calls",
    "entry.": "Entries",
    "export.": "Exports of the tenant",
    "job.": "Long work",
    "key.": "API keys",
    "member.": "Members",
    "plan.": "The plan",
    "policy.": "Rules",
    "price.": "Prices",
    "project.": "Projects",
    "provider_key.": "Providers' credentials",
    "sso.": "Single sign-on",
    "tenant.": "The tenant",
    "webhook.": "Webhooks",
}


class AuditFilter(Form):
    actor = forms.CharField(label="Who", required=False, max_length=64, widget=forms.Select)
    action = forms.CharField(label="Did", required=False, max_length=64, widget=forms.Select)
    target = forms.CharField(
        label="To", required=False, max_length=128, widget=forms.TextInput({"placeholder": "a name, or an id"})
    )
    since = forms.DateField(label="From", required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label="To the end of", required=False, widget=forms.DateInput({"type": "date"}))

    def __init__(
        self, *args: Any, actors: Mapping[str, str], actions: Iterable[str], zone: tzinfo = UTC, **kwargs: Any
    ) -> None:
        """Days begin at midnight in `zone`."""
        super().__init__(*args, auto_id="filter-%s", **kwargs)
        self._zone = zone
        if zone is UTC:
            for name in ("since", "until"):
                self.fields[name].label = f"{self.fields[name].label} (UTC)"
        offered = list(actions)
        areas = sorted({f"{action.partition('.')[0]}." for action in offered})
        acts = {area: [(one, one) for one in offered if one.startswith(area)] for area in areas}
        grouped = [(AREA_WORDS.get(area, area.rstrip(".")), [(area, "all"), *acts[area]]) for area in areas]
        self._offer("actor", [("", "Anybody"), *actors.items()])
        self._offer("action", [("", "Anything"), *grouped])

    def clean_actor(self) -> str:
        actor: str = self.cleaned_data["actor"]
        if actor and _id_in(actor) is None and not actor.isalpha():
            raise forms.ValidationError("Nobody is called that.")
        return actor

    def filters(self, targets: Mapping[str, str]) -> AuditFilters:
        """`targets` is what people call the things that are acted on, by id."""
        values = self.cleaned_data
        actor_id, typed = _id_in(values["actor"]), values["target"].strip()
        named = [found for found, name in targets.items() if name.casefold() == typed.casefold()]
        until: date | None = values["until"]
        return AuditFilters(
            actor_id=actor_id,
            actor_kind="" if actor_id else values["actor"],
            action=values["action"],
            targets=[typed, *named] if typed else None,
            since=self._midnight(values["since"]),
            until=self._midnight(until + timedelta(days=1)) if until and until < date.max else None,
        )

    def _midnight(self, day: date | None) -> datetime | None:
        return None if day is None else datetime.combine(day, time(), self._zone)

    def _offer(self, name: str, choices: list[Any]) -> None:
        """What is asked for stays to be seen, whether it is offered or not."""
        asked = self.data.get(name, "")
        known = {value for value, more in choices if not isinstance(more, list)}
        known |= {value for _, more in choices if isinstance(more, list) for value, _ in more}
        self.fields[name].widget.choices = choices if asked in known else [*choices, (asked, asked)]


def _id_in(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
