"""What may be typed about entries and the blocklist?"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django import forms

from cache_api.adapters.blocklist import NewQuestion
from cache_api.adapters.catalogue import Filters, Order
from cache_api.dialects.errors import Refused
from cache_api.domain.blocklist import KEPT
from cache_api.domain.controls import NAME_MAX
from cache_api.http.questions import controls_in
from cache_api.http.serializers import SOURCES, STATUSES
from dashboard.durations import Duration
from dashboard.forms import Form

QUESTION_MAX = 32_000
YEARS_MAX = timedelta(days=3650)
SOURCE_WORDS: Mapping[str, str] = {
    "proxied": "Proxied",
    "synthesized": "Synthesized",
    "put": "Put by a client",
    "baseline": "A client's own model",
    "import": "Imported",
    "keyed": "Under an own key",
}
ORDER_WORDS: Mapping[Order, str] = {
    "-created": "Newest first",
    "created": "Oldest first",
    "-hits": "Most hits first",
    "-saved": "Most saved first",
}


class EntryFilters(Form):
    """Which entries; what is left empty says nothing."""

    model = forms.CharField(label="Model", max_length=NAME_MAX, required=False)
    namespace = forms.CharField(label="Namespace", max_length=NAME_MAX, required=False)
    tag = forms.CharField(label="Tag", max_length=NAME_MAX, required=False)
    status = forms.ChoiceField(
        label="Status", required=False, choices=[("", "Any"), *((one, one.capitalize()) for one in STATUSES)]
    )
    source = forms.ChoiceField(
        label="Source", required=False, choices=[("", "Any"), *((one, SOURCE_WORDS[one]) for one in SOURCES)]
    )

    def filters(self, *, now: datetime) -> Filters:
        return Filters(
            **{name: self.cleaned_data[name] for name in EntryFilters.base_fields if self.cleaned_data[name]}
        )


class EntrySearch(EntryFilters):
    q = forms.CharField(label="Meaning", max_length=QUESTION_MAX, required=False)
    order_by = forms.ChoiceField(label="Order", required=False, choices=list(ORDER_WORDS.items()))

    @property
    def order(self) -> Order:
        asked: Order = self.cleaned_data["order_by"] or "-created"
        return asked


class PurgeChoice(EntryFilters):
    older_than = Duration(
        label="Older than", required=False, help_text="Such as 12h or 30d. Empty: of any age.", max_length=16
    )

    def filters(self, *, now: datetime) -> Filters:
        chosen = super().filters(now=now)
        seconds = self.cleaned_data["older_than"]
        if seconds is None:
            return chosen
        return replace(chosen, created_before=now - min(timedelta(seconds=seconds), YEARS_MAX))


class EntryChange(Form):
    tags = forms.CharField(label="Tags", required=False, help_text="With commas between; at most 16.")
    lives = Duration(
        label="Lives on for",
        required=False,
        max_length=16,
        help_text="From now on, such as 12h or 7d, and never longer than the policy says. Empty: as before.",
    )

    def clean_tags(self) -> list[str]:
        tags = [tag.strip() for tag in self.cleaned_data["tags"].split(",") if tag.strip()]
        try:
            controls_in({}, {"tags": tags})
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return tags

    @property
    def lives_for(self) -> timedelta | None:
        seconds: int | None = self.cleaned_data["lives"]
        return None if seconds is None else min(timedelta(seconds=seconds), YEARS_MAX)


class NewBlocked(Form):
    query = forms.CharField(
        label="Question",
        max_length=QUESTION_MAX,
        widget=forms.Textarea({"rows": 2}),
        help_text="It is blocked in these words, and in others that mean nearly the same.",
    )
    reason = forms.CharField(label="Reason", max_length=2_000, required=False, help_text="For your team.")
    category = forms.CharField(label="Category", max_length=NAME_MAX, initial="general")
    kept = Duration(
        label="For", max_length=16, initial=int(KEPT.total_seconds()), help_text="Such as 12h or 30d; then it goes."
    )

    def question(self) -> NewQuestion:
        values: dict[str, Any] = self.cleaned_data
        kept = min(timedelta(seconds=values["kept"]), YEARS_MAX)
        return NewQuestion(values["query"], values["reason"], values["category"], 1, {}, kept)
