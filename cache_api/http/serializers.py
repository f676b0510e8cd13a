"""Is what was sent to the management side what it takes?"""

import base64
import binascii
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import ProhibitNullCharactersValidator, RegexValidator
from rest_framework import serializers

from cache_api.dialects.errors import Refused
from cache_api.domain.controls import NAME_MAX

KEYS_MAX = 1_000
LIST_DEFAULT, LIST_MAX = 50, 200
OFFSET_MAX = 1_000_000
AGE_MAX_HOURS = 24 * 3650
SOURCES = ("proxied", "synthesized", "put", "baseline", "import", "keyed")
STATUSES = ("live", "expired", "quarantined")
ORDERS = ("-created", "created", "-hits", "-saved")
INVALID_CONTROL = "invalid_control"


class NameField(serializers.CharField):
    """What ends up in a text column or an index."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=NAME_MAX, required=False, **kwargs)
        plain = RegexValidator(r"[\x00\r\n]", "NUL and line ends are not allowed.", INVALID_CONTROL, inverse_match=True)
        self.validators = [
            *(one for one in self.validators if not isinstance(one, ProhibitNullCharactersValidator)),
            plain,
        ]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class TextField(serializers.CharField):
    """Any text at all: it is only ever stored sealed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, trim_whitespace=False, **kwargs)
        self.validators = [one for one in self.validators if not isinstance(one, ProhibitNullCharactersValidator)]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class KeyIdField(serializers.UUIDField):
    """A number would pass for one, too."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        key_id: UUID = super().to_internal_value(data)
        return key_id


class FilterSerializer(serializers.Serializer[Any]):
    """What lists and purges choose by."""

    project_id = serializers.CharField(required=False)
    provider = NameField()
    model = NameField()
    namespace = NameField(allow_blank=True)
    tag = NameField()
    writer = KeyIdField(required=False)
    depends_on = NameField()


class ReadSerializer(FilterSerializer):
    """What lists and exports choose by."""

    source = serializers.ChoiceField(SOURCES, required=False)  # type: ignore[assignment]  # a field like any other
    status = serializers.ChoiceField(STATUSES, required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)


class ExportSerializer(ReadSerializer):
    format = serializers.ChoiceField(("jsonl", "json"), default="jsonl")
    limit = serializers.IntegerField(min_value=1, required=False)


class ListSerializer(ReadSerializer):
    q = TextField(max_length=32_000)
    include = serializers.ChoiceField(("answer",), required=False)
    order = serializers.ChoiceField(ORDERS, default="-created")
    limit = serializers.IntegerField(min_value=1, max_value=LIST_MAX, default=LIST_DEFAULT)
    cursor = serializers.CharField(required=False, max_length=512)
    offset = serializers.IntegerField(min_value=0, max_value=OFFSET_MAX, default=0)


class PurgeSerializer(FilterSerializer):
    keys = serializers.ListField(child=NameField(), required=False, max_length=KEYS_MAX, allow_empty=False)
    expired = serializers.BooleanField(default=False)
    older_than_hours = serializers.FloatField(required=False, min_value=0, max_value=AGE_MAX_HOURS)
    older_than_days = serializers.FloatField(required=False, min_value=0, max_value=AGE_MAX_HOURS / 24)
    all = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        _refuse_unknown(self, data)
        values: dict[str, Any] = super().to_internal_value(data)
        return values

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # The empty namespace is one, and so is an age of nothing.
        if all(value is False for name, value in attrs.items() if name not in {"dry_run", "project_id"}):
            raise serializers.ValidationError("Say which entries: a filter, keys, expired, an age, or all.")
        return attrs


class ClearSerializer(serializers.Serializer[Any]):
    """In Vectorcache's words; nothing said is everything."""

    project_id = serializers.CharField(required=False)
    expired_only = serializers.BooleanField(default=False)
    older_than_hours = serializers.FloatField(required=False, min_value=0, max_value=AGE_MAX_HOURS)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        _refuse_unknown(self, data)
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class SimilarSerializer(serializers.Serializer[Any]):
    query = TextField(max_length=32_000, allow_blank=True)
    limit = serializers.IntegerField(min_value=1, max_value=LIST_MAX, default=10)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("query"):
            raise serializers.ValidationError({"query": ["This field is required."]}, code="required")
        return attrs


class BacktestSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    days = serializers.FloatField(min_value=0.01, max_value=3650, default=30)


class FeedbackSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    cache_key = NameField()
    verdict = serializers.ChoiceField(("right", "wrong"))
    request_id = NameField()
    question = TextField()
    evict = serializers.BooleanField(default=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("cache_key"):
            raise serializers.ValidationError({"cache_key": ["This field is required."]}, code="required")
        return attrs


class CheckSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    query = TextField(max_length=32_000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("query", "").strip():
            raise serializers.ValidationError({"query": ["This field is required."]}, code="required")
        return attrs


class BlockedSerializer(CheckSerializer):
    reason = TextField(max_length=2_000, allow_blank=True, default="")
    category = NameField(default="general")
    severity = serializers.IntegerField(min_value=1, max_value=5, default=1)
    metadata = serializers.DictField(default=dict)


class BlocklistSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    category = NameField()
    limit = serializers.IntegerField(min_value=1, max_value=LIST_MAX, default=LIST_DEFAULT)


class TimesSerializer(serializers.Serializer[Any]):
    project_id = serializers.CharField(required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)


def validated(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """The values, or Refused with one sentence about the first that is wrong."""
    checked = serializer(data=data)
    if checked.is_valid():
        return dict(checked.validated_data)

    path, detail = _first(checked.errors)
    param = ".".join(path) or None
    if detail.code == "required":
        raise Refused(400, "invalid_request", f"Field required: {param}", param)
    code = INVALID_CONTROL if detail.code in {INVALID_CONTROL, "null_characters_not_allowed"} else "invalid_request"
    raise Refused(400, code, f"{param}: {detail}" if param else str(detail), param)


def age_of(values: dict[str, Any]) -> timedelta | None:
    """The longer of both spellings."""
    hours = [values[name] * each for name, each in (("older_than_hours", 1), ("older_than_days", 24)) if name in values]
    return timedelta(hours=max(hours)) if hours else None


def cursor_of(order: str, value: Any, entry_id: UUID) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return base64.urlsafe_b64encode(orjson.dumps([order, text, str(entry_id)])).decode().rstrip("=")


def read_cursor(cursor: str, order: str) -> tuple[Any, UUID]:
    """Raises Refused."""
    field = serializers.DateTimeField() if order.endswith("created") else serializers.DecimalField(30, 10)
    try:
        made_for, text, entry_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for == order and isinstance(text, str):
            return field.run_validation(text), UUID(entry_id)
    except (ValueError, TypeError, AttributeError, binascii.Error, serializers.ValidationError, DjangoValidationError):
        pass
    raise Refused(400, "invalid_request", "cursor: take next_cursor of a page in the same order", "cursor")


def _refuse_unknown(serializer: serializers.Serializer[Any], data: Any) -> None:
    """A selector that is misspelt would remove what it was meant to spare."""
    if isinstance(data, dict) and (unknown := sorted(data.keys() - serializer.fields.keys())):
        raise serializers.ValidationError({unknown[0]: ["There is no such selector."]})


def _first(errors: Any) -> tuple[list[str], Any]:
    if isinstance(errors, dict):
        name, inner = next(iter(errors.items()))
        path, detail = _first(inner)
        return ([] if name == "non_field_errors" else [str(name)]) + path, detail
    if isinstance(errors, list):
        return _first(next(one for one in errors if one))
    return [], errors
