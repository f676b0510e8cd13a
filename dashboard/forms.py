"""What may be typed, and what is said of it?

A form says what is missing or malformed. What the tenant's state forbids, the service says: `refuse` puts that beside
the field it is about.
"""

from typing import Any

from django import forms
from django.forms.renderers import DjangoTemplates

from tenants.refusals import Refusal


class Renderer(DjangoTemplates):
    form_template_name = "dashboard/parts/form.html"
    field_template_name = "dashboard/parts/field.html"


class Form(forms.Form):
    default_renderer = Renderer()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def refuse(self, refusal: Refusal) -> None:
        self.add_error(refusal.field if refusal.field in self.fields else None, str(refusal))


class TenantName(Form):
    name = forms.CharField(label="Name", max_length=128, widget=forms.TextInput({"autocomplete": "organization"}))
