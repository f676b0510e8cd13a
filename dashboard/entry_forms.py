"""What may be typed about entries and the blocklist?"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from cache_api.adapters.blocklist import NewQuestion
from cache_api.adapters.catalogue import Filters, Order
from cache_api.dialects.errors import Refused
from cache_api.domain.blocklist import KEPT
from cache_api.domain.controls import NAME_MAX
from cache_api.http.questions import controls_in
from cache_api.http.serializers import SOURCES, STATUSES
from dashboard.durations import Duration
from dashboard.forms import Form
from dashboard.uploads import UPLOAD_MAX_BYTES

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
    q = forms.CharField(label="Search", max_length=QUESTION_MAX, required=False)
    by = forms.ChoiceField(
        label="By",
        required=False,
        choices=[("meaning", "By meaning"), ("words", "By words")],
        widget=forms.Select({"aria-label": "Search by"}),
    )
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


def _tags(text: str) -> list[str]:
    """Raises ValidationError."""
    tags = [tag.strip() for tag in text.split(",") if tag.strip()]
    _check_wish("tags", tags)
    return tags


def _check_wish(name: str, value: object) -> None:
    """As a call's own. Raises ValidationError."""
    try:
        controls_in({}, {name: value})
    except Refused as refused:
        raise forms.ValidationError(str(refused)) from refused


class ImportFile(Form):
    file = forms.FileField(
        label="File",
        help_text=f"JSON lines, at most {UPLOAD_MAX_BYTES // 2**20} MiB. For a larger one there is the command "
        "cacheai import.",
        widget=forms.FileInput({"accept": ".jsonl,.ndjson,.json,application/x-ndjson"}),
    )
    tags = forms.CharField(label="Tags", required=False, help_text="For all of them, with commas between.")
    namespace = forms.CharField(
        label="Namespace", max_length=NAME_MAX, required=False, help_text="For all of them. Empty: what a line says."
    )
    lives = Duration(
        label="Live for", required=False, max_length=16, help_text="Such as 7d, and never longer than the policy says."
    )
    # Made with the page: what is sent twice is imported once.
    once = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def clean_file(self) -> "UploadedFile[Any]":
        file: UploadedFile[Any] = self.cleaned_data["file"]
        size = file.size or 0
        if size > UPLOAD_MAX_BYTES:
            raise forms.ValidationError(
                f"This file has {filesizeformat(size)}; a page takes at most {UPLOAD_MAX_BYTES // 2**20} MiB. "
                "Send it with the command cacheai import, or in parts."
            )
        return file

    def clean_tags(self) -> list[str]:
        return _tags(self.cleaned_data["tags"])

    def clean_namespace(self) -> str:
        namespace: str = self.cleaned_data["namespace"]
        if namespace:
            _check_wish("namespace", namespace)
        return namespace

    @property
    def headers(self) -> dict[str, str]:
        """As a program sends them with its lines."""
        values = self.cleaned_data
        said = {
            "tags": ",".join(values["tags"]),
            "namespace": values["namespace"],
            "ttl": "" if values["lives"] is None else str(values["lives"]),
        }
        return {f"x-cacheai-{name}": value for name, value in said.items() if value}


class DuplicateSearch(Form):
    at_least = forms.TypedChoiceField(
        label="Similarity, at least",
        coerce=float,
        choices=[
            ("0.98", "0.98: nearly word for word"),
            ("0.95", "0.95: the same in other words"),
            ("0.9", "0.90: much alike"),
        ],
        initial="0.95",
    )


class EntryChange(Form):
    tags = forms.CharField(label="Tags", required=False, help_text="With commas between; at most 16.")
    lives = Duration(
        label="Lives on for",
        required=False,
        max_length=16,
        help_text="From now on, such as 12h or 7d, and never longer than the policy says. Empty: as before.",
    )

    def clean_tags(self) -> list[str]:
        return _tags(self.cleaned_data["tags"])

    @property
    def lives_for(self) -> timedelta | None:
        seconds: int | None = self.cleaned_data["lives"]
        return None if seconds is None else min(timedelta(seconds=seconds), YEARS_MAX)


class BlockedQuestion(Form):
    """Out of an address: what a call would ask."""

    asked = forms.CharField(label="Would this be blocked?", max_length=QUESTION_MAX)


class NewBlocked(Form):
    query = forms.CharField(
        label="Question",
        max_length=QUESTION_MAX,
        widget=forms.Textarea({"rows": 2}),
        help_text="It is blocked in these words, and in others that mean nearly the same.",
    )
    reason = forms.CharField(label="Reason", max_length=2_000, required=False, help_text="For your team.")
    category = forms.CharField(label="Category", max_length=NAME_MAX, initial="general")
    severity = forms.TypedChoiceField(
        label="Severity", coerce=int, choices=[(str(one), str(one)) for one in range(1, 6)], help_text="5 is the worst."
    )
    kept = Duration(
        label="For", max_length=16, initial=int(KEPT.total_seconds()), help_text="Such as 12h or 30d; then it goes."
    )

    def question(self) -> NewQuestion:
        values: dict[str, Any] = self.cleaned_data
        kept = min(timedelta(seconds=values["kept"]), YEARS_MAX)
        return NewQuestion(values["query"], values["reason"], values["category"], values["severity"], {}, kept)
