"""What is asked in the tests: pairs, streams, turns and background, read from a folder by the files' prefixes."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

SHUFFLE_SEED = 7
ENTRY_SOURCE = "stackoverflow_titles"  # background that lies in the cache; that of other sources is asked
ENTRY_CHARACTERS = 200

# How much of a file is read. The named sizes are those the published table of plain cosine was measured with.
SIZES = {"pairs_qqp": 5000, "pairs_checklist": 4000, "pairs_negation": 3000, "pairs_gsm": 1200, "pairs_pawsx_en": 1000}
SIZES |= {"pairs_pawsx_de": 1000, "stream_bitext": 3000, "stream_banking77": 3500, "stream_qqp": 6000}
PAIRS, TEXTS = 3000, 4000
QUICK_PAIRS, QUICK_TEXTS, QUICK_BACKGROUND = 250, 400, 1200

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, and whether an answer to the first also answers the second."""

    q1: str
    q2: str
    label: int
    kind: str = ""
    src: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A question; those of one cluster share an answer."""

    text: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Stream:
    texts: Sequence[Text]
    specifics: bool = False  # support questions whose clusters differ in an id, an amount, a name


@dataclass(frozen=True, slots=True)
class Turns:
    """A later turn of a dialog that is stored, and one that is asked."""

    seed_history: Sequence[str]
    seed_turn: str
    probe_history: Sequence[str]
    probe_turn: str
    label: int
    kind: str


@dataclass(frozen=True, slots=True)
class Data:
    pairs: Mapping[str, Sequence[Pair]]
    streams: Mapping[str, Stream] = field(default_factory=dict)
    turns: Sequence[Turns] = ()
    background: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by source

    @property
    def stored_background(self) -> list[str]:
        short = (text for text in self.background.get(ENTRY_SOURCE, ()) if len(text) < ENTRY_CHARACTERS)
        return list(dict.fromkeys(short))

    @property
    def asked_background(self) -> list[str]:
        others = (text for source, texts in self.background.items() if source != ENTRY_SOURCE for text in texts)
        return list(dict.fromkeys(others))


def read(folder: Path, *, quick: bool = False) -> Data:
    files = {path.name.partition(".jsonl")[0]: path for path in sorted(folder.glob("*.jsonl*"))}

    def of(prefix: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        return ((name, list(_rows(path))) for name, path in files.items() if name.startswith(prefix))

    return Data(
        pairs={
            name.removeprefix("pairs_"): [
                _pair(row) for row in some(rows, QUICK_PAIRS if quick else _size(name, PAIRS))
            ]
            for name, rows in of("pairs_")
        },
        streams={
            name.removeprefix("stream_"): _stream(rows, QUICK_TEXTS if quick else _size(name, TEXTS))
            for name, rows in of("stream_")
        },
        turns=[_turns(row) for _, rows in of("mtprobe") for row in rows],
        background=_background([row for _, rows in of("background") for row in rows], quick=quick),
    )


def some(rows: Sequence[Row], count: int) -> list[Row]:
    shuffled = list(rows)
    Random(SHUFFLE_SEED).shuffle(shuffled)
    return shuffled[:count]


def whole_clusters(texts: Sequence[Text], count: int) -> list[Text]:
    """Clusters in chance order until there are so many texts, the texts then in chance order."""
    clusters: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        clusters[text.cluster].append(text)
    names = list(clusters)
    chance = Random(SHUFFLE_SEED)
    chance.shuffle(names)

    taken: list[Text] = []
    for name in names:
        if len(taken) >= count:
            break
        taken += clusters[name]
    chance.shuffle(taken)
    return taken


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _size(name: str, usual: int) -> int:
    return SIZES.get(name, usual)


def _pair(row: Mapping[str, Any]) -> Pair:
    return Pair(row["q1"], row["q2"], int(row["label"]), str(row.get("kind", "")), str(row.get("src", "")))


def _stream(rows: Sequence[Mapping[str, Any]], count: int) -> Stream:
    texts = [Text(row["text"], str(row["cluster"])) for row in rows]
    return Stream(whole_clusters(texts, count), specifics=any("intent" in row for row in rows))


def _turns(row: Mapping[str, Any]) -> Turns:
    return Turns(
        seed_history=row["seed_history"],
        seed_turn=row["seed_turn"],
        probe_history=row["probe_history"],
        probe_turn=row["probe_turn"],
        label=int(row["label"]),
        kind=str(row.get("kind", "")),
    )


def _background(rows: Sequence[Mapping[str, Any]], *, quick: bool) -> dict[str, list[str]]:
    by_source: dict[str, list[str]] = defaultdict(list)
    for row in some(rows, QUICK_BACKGROUND) if quick else rows:
        by_source[str(row.get("src", ""))].append(row["text"])
    return dict(by_source)
