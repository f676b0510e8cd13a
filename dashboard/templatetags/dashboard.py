"""How does a figure, a moment or an icon look on a page?"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString

from cache_api.domain.risk import Measured
from cache_api.figures import Figures
from dashboard.durations import Duration
from tenants import features, members
from tenants.models import TenantExport

register = template.Library()
register.filter("is_invitation", members.is_invitation)

# Below this the cents alone would say nothing: prices of single calls are fractions of one.
SMALL_USD, TINY_USD = Decimal("0.1"), Decimal("0.001")
AS_BEFORE = "as before"
SHOWN_CHARACTERS = 8_000  # of a stored text: enough to judge it by, and a page stays light
# Acts whose details in the audit trail are pairs: what was, and what is.
CHANGES = frozenset({"key.change", "member.role", "plan.applied", "policy.change", "project.change", "tenant.rename"})
FEATURE_WORDS: Mapping[str, str] = {
    features.SYNTHESIS: "Answers from near ones",
    features.OWN_PRICES: "Prices of your own",
    features.REFUSING_BUDGETS: "Budgets that refuse",
    features.WEBHOOKS: "Webhooks",
    features.SSO: "Single sign-on",
    features.AUDIT_LOG: "Audit log",
    features.NETWORKS: "Keys for some networks",
    features.SAML: "SAML",
    features.OWN_KMS: "Your own KMS key",
}


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
def change(now: int | Decimal, before: int | Decimal) -> str:
    """A figure against the period before."""
    if not before:
        return "none before"
    percents = round(100 * float(now - before) / abs(float(before)))
    return f"{'+' if percents > 0 else '−'}{abs(percents):,} %" if percents else AS_BEFORE


@register.simple_tag
def points(now: float, before: float, lookups: int) -> str:
    """A share against the one before, in points of a percentage."""
    if not lookups:
        return "none before"
    tenths = round(1000 * (now - before))
    return f"{'+' if tenths > 0 else '−'}{abs(tenths) / 10:.1f} points" if tenths else AS_BEFORE


@register.simple_tag
def change_ms(now: float | None, before: float | None) -> str:
    """Of what may not be known."""
    return "none before" if now is None or before is None else change(round(now), round(before))


@register.filter
def hit_rate(figures: Figures) -> str:
    """Where the cache was never asked there is none, which is not zero."""
    return percent(figures.hit_rate) if figures.lookups else "–"


@register.filter
def share_of(figures: Figures, name: str) -> str:
    """A part of the hit rate."""
    return percent(getattr(figures, name) / figures.lookups) if figures.lookups else "–"


@register.filter
def interval(measured: Measured) -> str:
    return f"{100 * measured.low:.1f}–{percent(measured.high)}"


@register.filter
def promised(rates: tuple[float, float]) -> str:
    strictest, loosest = rates
    if strictest == loosest:
        return f"promised: {percent(loosest)} at most"
    return f"promised: {100 * strictest:.1f}–{percent(loosest)} at most"


@register.filter
def lasting(milliseconds: float | None) -> str:
    """How long something lasts in all, in its two largest units."""
    if milliseconds is None:
        return "–"
    sign, seconds = ("−" if milliseconds < 0 else ""), abs(milliseconds) / 1000
    for name, size, part, of in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            return f"{sign}{seconds // size:,.0f} {name} {seconds % size // of:.0f} {part}"
    return f"{sign}{seconds:.1f} s"


@register.filter
def ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "–"
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


@register.simple_tag
def chart_data(columns: object, name: str) -> SafeString:
    """What the page's script draws; data, which a browser does not run."""
    return json_script(columns, f"{name}-data")


@register.filter
def moment(at: datetime | None) -> str | SafeString:
    """A time in UTC, which the page turns into the viewer's own."""
    return _time(at, "", "%d %b %Y, %H:%M UTC")


@register.filter
def instant(at: datetime | None) -> str | SafeString:
    """A moment to the second, where many share a minute."""
    return _time(at, " data-instant", "%d %b %Y, %H:%M:%S UTC")


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
    if 0 < size < TINY_USD:
        return f"{sign}${size:,.6f}"
    return f"{sign}${size:,.4f}" if 0 < size < SMALL_USD else f"{sign}${size:,.2f}"


@register.filter
def shown(text: str) -> str:
    """A text that came from outside; what no page can hold is named, and what is long is cut."""
    cut = text[:SHOWN_CHARACTERS] + ("…" if len(text) > SHOWN_CHARACTERS else "")
    return cut.replace("\0", "\N{SYMBOL FOR NULL}")


@register.filter
def plain(amount: Decimal) -> str:
    """For attributes, which know neither signs nor commas."""
    return f"{amount:.6f}"


@register.filter
def duration(seconds: int) -> str:
    """As a person writes it: 12h, 7d."""
    return str(Duration().prepare_value(seconds))


@register.filter
def count(number: int | None) -> str:
    return "no limit" if number is None else f"{number:,}"


@register.filter
def said(value: object, action: str) -> str:
    """A value out of the audit trail: of a change the one before and the one after, of a list its parts."""
    if action in CHANGES and isinstance(value, list):
        return " → ".join(_said(one) for one in value)
    return _said(value)


@register.filter
def sentence(title: str) -> str:
    """Of django-allauth's Headings Like This; TOTP and I stay as they are."""
    return " ".join(word if word.isupper() or not at else word.lower() for at, word in enumerate(title.split()))


@register.filter
def words(name: str) -> str:
    """A feature's name as people say it."""
    return FEATURE_WORDS.get(name, name.replace("_", " "))


@register.filter
def after_colon(text: str) -> str:
    return text.partition(": ")[2]


@register.filter
def under_way(exports: Iterable[TenantExport]) -> bool:
    return any(one.finished_at is None for one in exports)


@register.filter
def percent(share: float) -> str:
    """0 to 1 as a percentage."""
    return f"{100 * share:.1f} %"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value in (None, "") else str(value)


def _time(at: datetime | None, kind: str, form: str) -> str | SafeString:
    if at is None:
        return "–"
    return format_html('<time datetime="{}"' + kind + ">{}</time>", at.isoformat(), at.strftime(form))
