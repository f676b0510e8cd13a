"""What does a stream of real questions come to, sent through the running service?

Each question has a label: questions of one label may share an answer. A hit whose entry was bought for another label is
wrong. The entry is known by its cache key, which the miss that bought it was told.
"""

import gzip
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q, Sum

from cache_api import proving
from cache_api.models import Call
from tenants.isolation import as_tenant

CALL_SECONDS = 60.0
LABEL = "cluster"
SPELLINGS = ("question", "prompt", "text")
PERCENTILES = (0.50, 0.95, 0.99)
POLL_SECONDS = 5.0


class BadQuestions(ValueError):
    """The file holds no questions, or a line of JSON without one."""


class NoService(Exception):
    """Start the stack first (make run), or give --base-url and a key."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    label: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """One question, and what the service said of it. Status 0: there was no answer."""

    question: Question
    status: int
    milliseconds: float
    decision: str = ""
    layer: str = ""
    reason: str = ""
    cache_key: str = ""
    saved_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Service:
    """Where the questions go, and what every call carries."""

    base_url: str
    api_key: str
    model: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Layer:
    """The hits of one layer, judged by label."""

    hits: int
    right: int
    wrong: int
    unjudged: int  # bought by nobody in this run

    @property
    def wrong_share(self) -> float:
        judged = self.right + self.wrong
        return self.wrong / judged if judged else 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    asked: int
    failed: Mapping[str, int]
    decisions: Mapping[str, int]  # "miss no_candidate": how many
    layers: Mapping[str, Layer]
    answerable: int  # questions whose label had been bought before
    saved_usd: Decimal
    milliseconds: Mapping[str, Mapping[str, float]]  # by "hit exact" and the like
    wrong: tuple[tuple[str, str], ...]  # asked, and what the entry served was bought for

    @property
    def hits(self) -> int:
        return sum(layer.hits for layer in self.layers.values())


@dataclass(frozen=True, slots=True)
class LedgerRows:
    """What the ledger holds of a run."""

    calls: int
    hits: int
    unpriced: int
    waiting: int  # for their price
    cost_usd: Decimal
    saved_usd: Decimal


def read_questions(path: Path, *, limit: int, seed: int) -> list[Question]:
    """The first of the file's questions, once shuffled. Raises BadQuestions."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.strip()]
        questions = [Question(str(row["text"]), str(row[LABEL])) for row in rows]
    except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile) as error:
        raise BadQuestions(BadQuestions.__doc__) from error
    random.Random(seed).shuffle(questions)  # noqa: S311 (an order, not a secret)
    return questions[:limit]


def read_plain_questions(path: Path) -> list[Question]:
    """A question a line, or in lines of JSON; each once. Raises BadQuestions."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1) if line.strip()]
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise BadQuestions(BadQuestions.__doc__) from error
    if not lines:
        raise BadQuestions(BadQuestions.__doc__)
    as_json = ".jsonl" in path.suffixes
    texts = [_question_in(line, number) if as_json else line for number, line in lines]
    return [Question(text, label="") for text in dict.fromkeys(texts)]


def read_topics(path: Path) -> list[list[Question]]:
    """Wordings of one question a line each, a blank line between topics, `# a task` above those of one task."""
    topics: list[list[Question]] = []
    task = ""
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        if block.startswith("#"):
            task = block.removeprefix("#").strip()
        else:
            lines = block.splitlines()
            topics.append([Question(line, lines[0], task) for line in lines])
    return topics


def traffic(topics: Sequence[Sequence[Question]], *, calls: int, seed: int) -> list[Question]:
    """As people ask: few topics often and most of them seldom, each time in one of their wordings."""
    chance = random.Random(seed)  # noqa: S311 (an order, not a secret)
    ranked = chance.sample(topics, len(topics))
    often = [1 / (place + 1) for place in range(len(ranked))]
    return [chance.choice(topic) for topic in chance.choices(ranked, weights=often, k=calls)]


def service_of(base_url: str, api_key: str, *, model: str, namespace: str) -> Service:
    """Those given, or the running stack's with its demo key. Raises NoService."""
    try:
        demo = json.loads((settings.HOME / "demo.json").read_text())
    except (OSError, ValueError):
        demo = {}
    base_url, api_key = base_url or demo.get("base_url", ""), api_key or demo.get("api_key", "")
    if not base_url or not api_key:
        raise NoService(NoService.__doc__)
    return Service(base_url.rstrip("/"), api_key, model, namespace)


def replay(
    questions: Sequence[Question], service: Service, *, concurrency: int, progress: Callable[[int], None]
) -> list[Answered]:
    """Ask all of them, so many at a time; in the order they were answered."""
    waiting = _Shared(questions)
    answered: list[Answered] = []
    counted = threading.Lock()

    def ask_on() -> None:
        asking = _Asking(service)
        for question in waiting:
            one = asking.ask(question)
            with counted:
                answered.append(one)
                progress(len(answered))

    threads = [threading.Thread(target=ask_on, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def judge(answered: Sequence[Answered], *, wrong_shown: int) -> Outcome:
    bought: dict[str, Question] = {}
    for one in answered:
        if one.decision == "miss" and one.cache_key:
            bought.setdefault(one.cache_key, one.question)

    seen: set[str] = set()
    answerable = 0
    for one in answered:
        answerable += one.question.label in seen
        if one.decision == "miss":
            seen.add(one.question.label)

    hits = [one for one in answered if one.decision == "hit"]
    wrong = [
        (one.question.text, bought[one.cache_key].text)
        for one in hits
        if one.cache_key in bought and bought[one.cache_key].label != one.question.label
    ]
    good = [one for one in answered if one.decision]
    return Outcome(
        asked=len(answered),
        failed=Counter(f"HTTP {one.status}" if one.status else "no answer" for one in answered if not one.decision),
        decisions=Counter(f"{one.decision} {one.layer or one.reason}" for one in good),
        layers={name: _layer(group, bought) for name, group in _grouped(hits, lambda one: one.layer)},
        answerable=answerable,
        saved_usd=sum((one.saved_usd for one in hits), Decimal(0)),
        milliseconds={
            name: percentiles([one.milliseconds for one in group])
            for name, group in _grouped(good, lambda one: f"{one.decision} {one.layer}".strip())
        },
        wrong=tuple(islice(wrong, wrong_shown)),
    )


def percentiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{share * 100:.0f}": ordered[round(share * (len(ordered) - 1))] for share in PERCENTILES if ordered}


def wait_until_counted(tenant_id: UUID, *, seconds: float) -> proving.Recount:
    """The recount once accounting has priced and rolled up all there is, or as it stands after so long."""
    ends = time.monotonic() + seconds
    while (found := proving.recount(tenant_id)).pending_hours and time.monotonic() < ends:
        time.sleep(POLL_SECONDS)
    return found


def ledger_rows(tenant_id: UUID, *, task: str, since: datetime) -> LedgerRows:
    with as_tenant(tenant_id):
        sums: dict[str, Any] = Call.objects.filter(tenant_id=tenant_id, at__gte=since, task=task).aggregate(
            calls=Count("id"),
            hits=Count("id", filter=Q(decision="hit")),
            unpriced=Count("id", filter=Q(price_source="unpriced")),
            waiting=Count("id", filter=Q(priced_at=None)),
            cost_usd=Sum("cost_usd"),
            saved_usd=Sum("saved_usd"),
        )
    cost, saved = sums.pop("cost_usd"), sums.pop("saved_usd")  # None where no call has one.
    return LedgerRows(**sums, cost_usd=cost or Decimal(0), saved_usd=saved or Decimal(0))


class _Shared:
    """One list, taken from by many threads."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self._questions = iter(questions)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Question]:
        while True:
            with self._lock:
                question = next(self._questions, None)
            if question is None:
                return
            yield question


class _Asking:
    """A caller with one connection."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._address = urlsplit(service.base_url)
        self._connection = _connection(self._address)
        self._headers = {
            "Authorization": f"Bearer {service.api_key}",
            "Content-Type": "application/json",
            **({"X-CacheAI-Namespace": service.namespace} if service.namespace else {}),
            "X-CacheAI-Task": service.namespace or "warm-up",
        }

    def ask(self, question: Question) -> Answered:
        messages = [{"role": "user", "content": question.text}]
        body = json.dumps({"model": self._service.model, "messages": messages})
        began = time.perf_counter()
        try:
            headers = {**self._headers, "X-CacheAI-Task": question.task} if question.task else self._headers
            self._connection.request("POST", f"{self._address.path}/chat/completions", body, headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # The next request opens a new one.
            return Answered(question, 0, (time.perf_counter() - began) * 1000)
        took = (time.perf_counter() - began) * 1000
        if response.status != http.HTTPStatus.OK:
            return Answered(question, response.status, took)
        told = response.headers
        return Answered(
            question,
            response.status,
            took,
            decision=told.get("X-CacheAI-Decision", ""),
            layer=told.get("X-CacheAI-Layer", ""),
            reason=told.get("X-CacheAI-Reason", ""),
            cache_key=told.get("X-CacheAI-Cache-Key", ""),
            saved_usd=Decimal(told.get("X-CacheAI-Saved-USD", "0")),
        )


def _question_in(line: str, number: int) -> str:
    """Raises BadQuestions."""
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise BadQuestions(f"Line {number} is no JSON.") from error
    found = [row[name] for name in SPELLINGS if row.get(name)] if isinstance(row, dict) else [row]
    if len(found) != 1 or not isinstance(found[0], str):
        raise BadQuestions(f"Line {number} must be a text, or have one as {', '.join(SPELLINGS)}.")
    return found[0].strip()


def _connection(address: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    return kind(address.hostname or "", address.port, timeout=CALL_SECONDS)


def _layer(hits: Sequence[Answered], bought: Mapping[str, Question]) -> Layer:
    verdicts = Counter(_verdict(one, bought.get(one.cache_key)) for one in hits)
    return Layer(len(hits), verdicts["right"], verdicts["wrong"], verdicts["unjudged"])


def _verdict(hit: Answered, bought: Question | None) -> Literal["right", "wrong", "unjudged"]:
    if bought is None:
        return "unjudged"
    return "right" if bought.label == hit.question.label else "wrong"


def _grouped(answered: Iterable[Answered], key: Callable[[Answered], str]) -> Iterable[tuple[str, list[Answered]]]:
    groups: dict[str, list[Answered]] = {}
    for one in answered:
        groups.setdefault(key(one), []).append(one)
    return sorted(groups.items())


def as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "asked": outcome.asked,
        "failed": dict(outcome.failed),
        "decisions": dict(outcome.decisions),
        "layers": {
            name: {"hits": one.hits, "right": one.right, "wrong": one.wrong, "wrong_share": round(one.wrong_share, 4)}
            for name, one in outcome.layers.items()
        },
        "answerable": outcome.answerable,
        "saved_usd": str(outcome.saved_usd),
        "milliseconds": {name: dict(found) for name, found in outcome.milliseconds.items()},
    }
