"""What is asked: questions in pairs, the second being the first in other words, and questions nobody asked before."""

import random
from collections.abc import Iterator

THINGS = (
    "a bicycle chain",
    "a camping tent",
    "a cast iron pan",
    "a ceiling fan",
    "a chess set",
    "a coffee grinder",
    "a compost bin",
    "a cotton shirt",
    "a digital piano",
    "a door lock",
    "a feather pillow",
    "a fish tank",
    "a garden hose",
    "a glass bottle",
    "a gas stove",
    "a guitar string",
    "a hiking boot",
    "a kitchen knife",
    "a laser printer",
    "a leather sofa",
    "a mountain bike",
    "a paper lamp",
    "a rain jacket",
    "a road map",
    "a sewing machine",
    "a silver ring",
    "a sleeping bag",
    "a snow shovel",
    "a steam iron",
    "a straw hat",
    "a swimming pool",
    "a tennis racket",
    "a toy train",
    "a vacuum cleaner",
    "a washing machine",
    "a water heater",
    "a wine cellar",
    "a wooden table",
    "a wool sweater",
    "a yoga mat",
)
# Each pair asks for the same.
WORDINGS = (
    ("How do I clean {}?", "How can I clean {}?"),
    ("How do I repair {}?", "How can I repair {}?"),
    ("What is the best way to store {}?", "What's the best way of storing {}?"),
    ("How is {} made?", "How is {} being made?"),
    ("Can you explain how {} works?", "Please explain how {} works."),
    ("What should I look for when buying {}?", "What should I look for when I buy {}?"),
    ("How do I choose {}?", "How should I choose {}?"),
    ("Who invented {}?", "Who was the inventor of {}?"),
)
SUBJECTS = """
alarm apple archive barrel basket beacon bridge bucket cabin candle canal carpet castle cedar circus clinic
cloud copper cotton desert dragon engine falcon ferry forest garden glacier hammer harbor helmet island jacket
kettle ladder lantern lemon library magnet marble meadow mirror needle nickel ocean orchard oven paddle palace
parcel pebble pencil planet pocket quarry rabbit radio ribbon river rocket saddle salmon shadow signal spider
temple thunder tiger tunnel valley velvet violin wagon window
""".split()  # noqa: SIM905 (a line each would fill two pages)


def pairs(count: int) -> list[tuple[str, str]]:
    """The first so many of all combinations, in one fixed order."""
    made = [(first.format(thing), second.format(thing)) for thing in THINGS for first, second in WORDINGS]
    random.Random(7).shuffle(made)
    return made[:count]


def unheard(seed: int) -> Iterator[str]:
    """Questions that are each a miss: no two share their ticket, and hardly a word."""
    chance = random.Random(seed)
    for number in range(1_000_000):
        one, other, third = chance.sample(SUBJECTS, 3)
        ticket = f"{seed % 1000:03}{number:06}"
        yield f"What do we answer on ticket #{ticket} about the {one} and the {other} near the {third}?"
