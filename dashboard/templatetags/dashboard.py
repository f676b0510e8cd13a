"""How does a figure, a moment or an icon look on a page?"""

from datetime import datetime
from decimal import Decimal

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

register = template.Library()

# Below this the cents alone would say nothing: prices of single calls are fractions of one.
SMALL_USD = Decimal("0.1")


@register.simple_tag
def icon(name: str, style: str = "icon") -> SafeString:
    """From our one file of icons; it says nothing to a screen reader, the words beside it do."""
    return format_html(
        '<svg class="{}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        style,
        static("dashboard/icons.svg"),
        name,
    )


@register.simple_tag
def chart_data(columns: object, name: str) -> SafeString:
    """What the page's script draws; data, which a browser does not run."""
    return json_script(columns, f"{name}-data")


@register.filter
def moment(at: datetime | None) -> str | SafeString:
    """A time in UTC, which the page turns into the viewer's own."""
    return _time(at, "", "%d %b %Y, %H:%M UTC")


@register.filter
def day(at: datetime | None) -> str | SafeString:
    return _time(at, " data-day", "%d %b %Y")


@register.filter
def usd(amount: Decimal | None) -> str:
    """Dollars and cents; of small amounts, as many digits as tell something."""
    if amount is None:
        return "–"
    sign = "−" if amount < 0 else ""
    size = abs(amount)
    return f"{sign}${size:,.4f}" if 0 < size < SMALL_USD else f"{sign}${size:,.2f}"


@register.filter
def count(number: int | None) -> str:
    return "no limit" if number is None else f"{number:,}"


@register.filter
def percent(share: float) -> str:
    """0 to 1 as a percentage."""
    return f"{100 * share:.1f} %"


def _time(at: datetime | None, kind: str, form: str) -> str | SafeString:
    if at is None:
        return "–"
    return format_html('<time datetime="{}"' + kind + ">{}</time>", at.isoformat(), at.strftime(form))
