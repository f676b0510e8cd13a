"""What may be typed, and what is said of it?

A form says what is missing or malformed. What the tenant's state forbids, the service says: `refuse` puts that beside
the field it is about.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.forms.renderers import DjangoTemplates

from dashboard.durations import Duration
from tenants import api_keys, keys
from tenants.models import ApiKey, Project
from tenants.refusals import LimitReached, NotInPlan, Refusal
from tenants.roles import ROLES
from tenants.webhooks import EVENT_WORDS

SCOPE_WORDS: Mapping[str, str] = {
    "proxy": "Call models",
    "cache:read": "Be served from the cache",
    "cache:write": "Have answers stored",
    "cache:purge": "Delete entries",
    "stats:read": "Read statistics",
    "keys:manage": "Manage the project's keys and prices",
    keys.TENANT_MANAGE: "Manage the whole tenant",
}
GRACE_WORDS: Mapping[timedelta, str] = dict(
    zip(api_keys.GRACES, ("at once", "after 15 minutes", "after an hour", "after a day", "after 7 days"), strict=True)
)
EXPIRIES = [("", "Never"), *((str(days), f"In {days} days") for days in (7, 30, 90, 365))]
ROLE_WORDS: Mapping[str, str] = {
    "owner": "Owner: everything, and the tenant itself",
    "admin": "Admin: all but plan, invoices and deletion",
    "developer": "Developer: keys, policy, stored text",
    "billing": "Billing: plan, invoices, budgets, figures",
    "viewer": "Viewer: figures and the list of calls",
}


DECISION_WORDS = (("hit", "Hits"), ("miss", "Misses"), ("bypass", "Bypasses"), ("blocked", "Blocked"))
LAYER_WORDS = (("exact", "Exact"), ("semantic", "Semantic"), ("synthesized", "Synthesized"))
BUDGET_ACTION_WORDS: Mapping[str, str] = {
    "alert": "Tell us, nothing else",
    "cache_only": "Serve hits alone, refuse the rest",
    "block": "Refuse every call",
}


AS_IT_IS = "same"


class Renderer(DjangoTemplates):
    form_template_name = "dashboard/parts/form.html"
    field_template_name = "dashboard/parts/field.html"


class Form(forms.Form):
    default_renderer = Renderer()
    wants_plan = False  # what was refused comes with a larger one

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def offer(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        """Choices that depend on who asks."""
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def refuse(self, refusal: Refusal) -> None:
        self.wants_plan = isinstance(refusal, NotInPlan) or (isinstance(refusal, LimitReached) and bool(refusal.plan))
        self.add_error(refusal.field if refusal.field in self.fields else None, str(refusal))


def _dollars(label: str, *, required: bool = True) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=required, min_value=0, max_digits=20, decimal_places=10, help_text="Dollars per million."
    )


class TenantName(Form):
    name = forms.CharField(label="Name", max_length=128, widget=forms.TextInput({"autocomplete": "organization"}))


class TenantEnd(Form):
    """Typed in full, so that no slip of the hand ends a tenant."""

    confirmation = forms.CharField(label="Type the tenant's name", widget=forms.TextInput({"autocomplete": "off"}))

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_confirmation(self) -> str:
        typed: str = self.cleaned_data["confirmation"]
        if typed.strip() != self.name:
            raise forms.ValidationError(f"This is not {self.name}.")
        return typed


class SpendCap(Form):
    usd = forms.DecimalField(
        label="Spend cap in dollars",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=2,
        help_text="The most that requests beyond the plan may cost in a period. Empty: as much as the plan itself.",
    )


class NewBudget(Form):
    whom = forms.ChoiceField(label="For", required=False)
    task = forms.CharField(
        label="Only this task", max_length=64, required=False, help_text="As named in X-CacheAI-Task."
    )
    amount_usd = forms.DecimalField(label="Dollars", min_value=Decimal("0.01"), max_digits=12, decimal_places=2)
    period = forms.ChoiceField(label="In each", choices=[("month", "month"), ("day", "day")])
    action = forms.ChoiceField(label="When it is spent", help_text="Owners and admins hear of it at 50, 80 and 100 %.")

    def __init__(self, *args: Any, whom: Sequence[tuple[str, str]], may_refuse: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("whom", [("", "The whole tenant"), *whom])
        actions = BUDGET_ACTION_WORDS.items()
        self.offer("action", [(action, words) for action, words in actions if may_refuse or action == "alert"])

    def budget(self) -> dict[str, Any]:
        """As the service takes it."""
        values = dict(self.cleaned_data)
        kind, _, found_id = values.pop("whom").partition(":")
        return values | ({f"{kind}_id": UUID(found_id)} if kind else {})


class NewEndpoint(Form):
    url = forms.URLField(
        label="URL", assume_scheme="https", help_text="It is sent a signed POST for each event, over https."
    )
    events = forms.MultipleChoiceField(
        label="Events",
        required=False,
        choices=list(EVENT_WORDS.items()),
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all of them, and those to come.",
    )


class SsoFacts(Form):
    domain = forms.CharField(label="Domain", max_length=253, help_text="Of your people's addresses: example.com.")
    issuer = forms.URLField(label="Issuer", assume_scheme="https", help_text="Where your OpenID Connect provider is.")
    client_id = forms.CharField(label="Client id", max_length=255)
    secret = forms.CharField(
        label="Client secret",
        max_length=1024,
        help_text="Encrypted with a key of your tenant, and never shown.",
        widget=forms.PasswordInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, is_there: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_there:
            self.fields["secret"].required = False
            self.fields["secret"].help_text = "Empty: the one you gave stays."


class Filter(Form):
    """Out of an address: a field that cannot be read there filters nothing, and one that is not offered yet is kept."""

    def __init__(self, *args: Any, offered: Mapping[str, Mapping[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs |= {"class": "" if isinstance(field, forms.BooleanField) else "input compact"}
            if isinstance(field.widget, forms.TextInput):
                field.widget.attrs |= {"placeholder": f"Any {name}"}
            else:
                field.widget.attrs |= {"data-submits": True}
        for name, words in (offered or {}).items():
            asked = self.data.get(name, "")
            known = {asked: asked, **words} if asked and asked not in words else words
            self.fields[name].widget.choices = [("", f"Any {name}"), *known.items()]

    def chosen(self) -> Mapping[str, Any]:
        """Only what is chosen, and can be read."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class FigureFilter(Filter):
    provider = forms.CharField(label="Provider", required=False, max_length=128, widget=forms.Select)
    model = forms.CharField(label="Model", required=False, max_length=128, widget=forms.Select)
    key = forms.UUIDField(label="Key", required=False, widget=forms.Select)


class CallFilter(FigureFilter):
    decision = forms.ChoiceField(label="Decision", required=False, choices=[("", "Any decision"), *DECISION_WORDS])
    layer = forms.ChoiceField(label="Layer", required=False, choices=[("", "Any layer"), *LAYER_WORDS])
    task = forms.CharField(label="Task", required=False, max_length=128)
    unpriced = forms.BooleanField(label="Unpriced", required=False)

    field_order = ("decision", "layer", "provider", "model", "key", "task", "unpriced")


class Asking(Form):
    question = forms.CharField(max_length=20_000, strip=False, widget=forms.Textarea({"rows": 3, "autofocus": True}))
    model = forms.CharField(
        max_length=128,
        help_text="demo-small is answered without a provider's key.",
        widget=forms.TextInput({"list": "models", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, projects: Sequence[tuple[str, str]], models: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.models = models
        self.fields["project_id"] = forms.ChoiceField(label="Project", choices=projects)


class ProjectFacts(Form):
    name = forms.CharField(label="Name", max_length=128)
    default_model = forms.CharField(
        label="Default model",
        max_length=128,
        required=False,
        help_text="Asked where a call names none.",
    )


class KeyRules(Form):
    """What a key may; `expires` is said from now on."""

    name = forms.CharField(label="Name", max_length=128, required=False, help_text="Where it is used: “support bot”.")
    scopes = forms.MultipleChoiceField(label="It may", widget=forms.CheckboxSelectMultiple)
    expires = forms.ChoiceField(
        label="Expires", required=False, help_text="Owners and admins get a mail 14, 3 and 1 days before."
    )
    models_allowed = forms.CharField(
        label="Models",
        required=False,
        help_text="Only these, one in each line or with commas between; gpt-4o* is all that begin so. Empty: any.",
        widget=forms.Textarea({"rows": 2, "spellcheck": "false"}),
    )
    networks = forms.CharField(
        label="Networks",
        required=False,
        help_text="Works from these addresses only, such as 203.0.113.0/24. Empty: from anywhere.",
        widget=forms.Textarea({"rows": 2, "spellcheck": "false"}),
    )
    rpm = forms.IntegerField(label="Requests per minute", min_value=1, required=False)
    tpm = forms.IntegerField(label="Tokens per minute", min_value=1, required=False)
    provider = forms.ChoiceField(
        label="Usual provider", required=False, help_text="Asked where a call names none, if it speaks its language."
    )
    ttl_max_seconds = Duration(
        label="Answers live for, at most",
        required=False,
        max_length=16,
        help_text="Those it has stored, such as 12h or 7d. Empty: as the policy says.",
    )

    def __init__(self, *args: Any, scopes: Iterable[str], providers: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("scopes", [(scope, words) for scope, words in SCOPE_WORDS.items() if scope in set(scopes)])
        self.fields["scopes"].initial = sorted(keys.DEFAULT_SCOPES)
        self.offer("expires", EXPIRIES)
        self.offer("provider", [("", "–"), *((name, name) for name in providers)])

    def clean_models_allowed(self) -> list[str]:
        return _parted(self.cleaned_data["models_allowed"])

    def clean_networks(self) -> list[str]:
        return _parted(self.cleaned_data["networks"])

    def rules(self) -> dict[str, Any]:
        """As the service takes them."""
        values = {name: self.cleaned_data[name] for name in KeyRules.base_fields if name != "expires"}
        days = self.cleaned_data["expires"]
        return values | {"expires_at": datetime.now(UTC) + timedelta(days=int(days)) if days else None}


class NewKey(KeyRules):
    project_id = forms.TypedChoiceField(label="Project", coerce=UUID)

    def __init__(self, *args: Any, projects: Sequence[Project], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("project_id", [(str(one.id), one.name) for one in projects])


class KeyChange(KeyRules):
    """Of a key that is there: its end stays, unless another is chosen."""

    def __init__(self, *args: Any, key: ApiKey, **kwargs: Any) -> None:
        lists = {name: "\n".join(getattr(key, name)) for name in ("models_allowed", "networks")}
        same = {name: getattr(key, name) for name in ("name", "scopes", "rpm", "tpm", "provider", "ttl_max_seconds")}
        super().__init__(*args, initial={**same, **lists, "expires": AS_IT_IS}, **kwargs)
        ends = f"{key.expires_at:%d %b %Y, %H:%M} UTC" if key.expires_at else "never"
        self.offer("expires", [(AS_IT_IS, f"As it is: {ends}"), *EXPIRIES])

    def rules(self) -> dict[str, Any]:
        if self.cleaned_data["expires"] != AS_IT_IS:
            return super().rules()
        self.cleaned_data["expires"] = ""
        return {name: value for name, value in super().rules().items() if name != "expires_at"}


class OwnPriceFields(Form):
    provider = forms.ChoiceField(label="Provider")
    model = forms.CharField(label="Model", max_length=128, help_text="gpt-4o* is all that begin so.")
    input = _dollars("Input")
    output = _dollars("Output")
    cached = _dollars("Input read from the provider's cache", required=False)
    write_5m = _dollars("Input written to it", required=False)

    def __init__(self, *args: Any, providers: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("provider", [(name, name) for name in providers])

    def clean_model(self) -> str:
        model: str = self.cleaned_data["model"]
        if "*" in model[:-1]:
            raise forms.ValidationError("* may only be the last character.")
        return model


class Rotation(Form):
    grace = forms.TypedChoiceField(
        label="The old key ends",
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        choices=[(str(int(grace.total_seconds())), words) for grace, words in GRACE_WORDS.items()],
        initial=str(int(api_keys.GRACES[3].total_seconds())),
        help_text="Put the new key everywhere in that time.",
    )


class ProviderSecret(Form):
    provider = forms.ChoiceField(label="Provider")
    secret = forms.CharField(
        label="Their API key",
        help_text="Encrypted with a key of your tenant. Only its last four characters are ever shown again.",
        widget=forms.PasswordInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    base_url = forms.URLField(
        label="Base URL",
        required=False,
        assume_scheme="https",
        help_text="Only where it is not the provider's usual one.",
    )

    def __init__(self, *args: Any, providers: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("provider", [(name, name) for name in providers])


class Invitation(Form):
    email = forms.EmailField(label="Email", widget=forms.EmailInput({"autocomplete": "off"}))
    role = forms.ChoiceField(label="Role", initial="developer")

    def __init__(self, *args: Any, roles: Iterable[str] = ROLES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("role", [(role, ROLE_WORDS[role]) for role in roles])


def _parted(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]
