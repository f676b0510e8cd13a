"""How does a person write how long something lasts?"""

import re
from typing import Any

from django import forms

_WRITTEN = re.compile(r"(\d{1,9})\s*([smhd])", re.ASCII)
_UNIT_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Duration(forms.CharField):
    """Seconds, written as a person would: 90s, 15m, 12h, 7d."""

    def to_python(self, value: Any) -> Any:
        written = super().to_python(value)
        if not written:
            return None
        found = _WRITTEN.fullmatch(written.strip().lower())
        if found is None:
            raise forms.ValidationError("Write a number and s, m, h or d, as in 12h or 7d.")
        return int(found[1]) * _UNIT_SECONDS[found[2]]

    def prepare_value(self, value: Any) -> Any:
        """In the largest unit that says it without a rest; what was typed stays."""
        if not isinstance(value, int):
            return value
        if value == 0:
            return "0s"
        unit = next(name for name, seconds in _UNIT_SECONDS.items() if value % seconds == 0)
        return f"{value // _UNIT_SECONDS[unit]}{unit}"

    def run_validators(self, value: Any) -> None:
        """A text's own are about its letters."""
