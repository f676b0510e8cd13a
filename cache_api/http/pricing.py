"""What does this project say a model costs?"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from rest_framework import serializers

from cache_api import services
from cache_api.adapters import catalogue, own_prices
from cache_api.dialects.errors import Refused
from cache_api.domain.cost import Rates
from cache_api.domain.own_price import OwnPrice
from cache_api.domain.provider import providers
from cache_api.http.serializers import NameField, validated
from cache_api.http.visits import Visit, answer

READ_SECONDS = 2.0  # a person waits


class DollarsField(serializers.DecimalField):
    """Per million tokens. Anything below the smallest amount a column holds is a slip."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=10, min_value=Decimal(0), **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool):
            self.fail("invalid")
        dollars: Decimal = super().to_internal_value(data)
        return dollars


class WhichSerializer(serializers.Serializer[Any]):
    """`model` may end in `*`: then it stands for all whose names begin so."""

    project_id = serializers.CharField(required=False)
    provider = NameField()
    model = NameField()


class PriceSerializer(WhichSerializer):
    cost_per_million_input_tokens = DollarsField()
    cost_per_million_output_tokens = DollarsField()
    cost_per_million_caching_input_tokens = DollarsField(required=False, allow_null=True)
    cost_per_million_caching_hit_tokens = DollarsField(required=False, allow_null=True)


def listed(visit: Visit) -> HttpResponse:
    """The project's own prices, not the built-in list."""
    values = validated(WhichSerializer, visit.http.GET.dict())
    visit.same_project(values.get("project_id"))
    place = visit.place
    prices = own_prices.current(place.tenant_id, place.project_id, deadline_seconds=READ_SECONDS)
    wanted = [
        price
        for price in prices
        if values.get("provider", price.provider) == price.provider
        and values.get("model", price.model_pattern) == price.model_pattern
    ]
    return answer({"object": "list", "data": [_described(price) for price in wanted]})


def put(visit: Visit) -> HttpResponse:
    values = validated(PriceSerializer, visit.fields())
    visit.same_project(values.get("project_id"))
    provider, model = _named(values)
    rates = Rates(
        input=values["cost_per_million_input_tokens"],
        output=values["cost_per_million_output_tokens"],
        write_5m=values.get("cost_per_million_caching_input_tokens"),
        cached=values.get("cost_per_million_caching_hit_tokens"),
    )
    place = visit.place
    price = catalogue.guarded(
        lambda: services.price_put(
            tenant_id=place.tenant_id,
            project_id=place.project_id,
            provider=provider,
            model_pattern=model,
            rates=rates,
            now=datetime.now(UTC),
            actor=visit.actor,
        )
    )
    return answer(_described(price))


def removed(visit: Visit) -> HttpResponse:
    """Which one is said in the query, or in a body."""
    values = validated(WhichSerializer, visit.http.GET.dict() or visit.fields())
    visit.same_project(values.get("project_id"))
    provider, model = _named(values)
    place = visit.place
    deleted = catalogue.guarded(
        lambda: services.price_delete(
            tenant_id=place.tenant_id,
            project_id=place.project_id,
            provider=provider,
            model_pattern=model,
            now=datetime.now(UTC),
            actor=visit.actor,
        )
    )
    if not deleted:
        raise Refused(404, "not_found", "This project has set no price of its own for this model.", "model")
    return answer({"provider": provider, "model": model, "deleted": True})


def _named(values: dict[str, Any]) -> tuple[str, str]:
    """Raises Refused."""
    for name in ("provider", "model"):
        if not values.get(name):
            raise Refused(400, "invalid_request", f"Field required: {name}", name)
    provider = values["provider"].lower()
    if provider not in providers():
        message = f"Unknown provider {provider!r}. Known are: {', '.join(sorted(providers()))}."
        raise Refused(400, "invalid_request", message, "provider")
    model = values["model"]
    if "*" in model[:-1]:
        raise Refused(400, "invalid_request", "model: * may only be the last character", "model")
    return provider, model


def _described(price: OwnPrice) -> dict[str, Any]:
    rates = price.rates
    return {
        "id": price.id,
        "provider": price.provider,
        "model": price.model_pattern,
        "cost_per_million_input_tokens": _text(rates.input),
        "cost_per_million_output_tokens": _text(rates.output),
        "cost_per_million_caching_input_tokens": _text(rates.write_5m),
        "cost_per_million_caching_hit_tokens": _text(rates.cached),
        "valid_from": price.valid_from,
    }


def _text(dollars: Decimal | None) -> str | None:
    return None if dollars is None else f"{dollars.normalize():f}"
