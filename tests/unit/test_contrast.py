"""Can every text and every bar be told from what it lies on, in light and dark?"""

import re
from pathlib import Path

import pytest

from dashboard import charts

STATIC = Path(charts.__file__).parent / "static" / "dashboard"
TOKENS = {
    name: colours
    for name, *colours in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (STATIC / "tokens.css").read_text()
    )
}
TEXTS = ("ink", "ink-soft", "ink-faint", "accent", "good", "warn", "bad")
BARS = ("exact", "semantic", "synthesized", "miss")
GROUNDS = ("ground", "surface", "sunken")


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("names", "grounds", "least"), [(TEXTS, GROUNDS, 4.5), (BARS, (*GROUNDS, "hover"), 3.0)], ids=["texts", "bars"]
)
def test_it_stands_out(names: tuple[str, ...], grounds: tuple[str, ...], least: float, scheme: int) -> None:
    found = {(name, on): _contrast(TOKENS[name][scheme], TOKENS[on][scheme]) for name in names for on in grounds}

    assert {pair: ratio for pair, ratio in found.items() if ratio < least} == {}


def test_a_placeholder_is_a_text_like_any_other() -> None:
    assert "::placeholder { color: var(--ink-faint); opacity: 1; }" in (STATIC / "dashboard.css").read_text()
