"""Which events tell a whole response, and what whole response do events come to?"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from cache_api.dialects import sse
from cache_api.dialects.tape import ANSWER_MAX_BYTES

Json = Mapping[str, Any]

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})

# What each event adds to, by the name that `texts_of` gives it.
_GROWS = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.reasoning_summary_text.delta": "summary_text",
    "response.reasoning_text.delta": "reasoning_text",
}


def texts_of(output: Any) -> dict[str, str]:
    """Every text of the items, joined by its kind; nothing of what has another shape."""
    texts: dict[str, str] = defaultdict(str)
    for item in _objects(output):
        for name in ("arguments", "input"):
            if isinstance(item.get(name), str):
                texts[name] += item[name]
        for part in (*_objects(item.get("summary")), *_objects(item.get("content"))):
            text = part.get("refusal") if part.get("type") == "refusal" else part.get("text")
            if isinstance(text, str):
                texts[str(part.get("type"))] += text
    return texts


class Joining:
    """The response that its events come to. The closing event holds it whole; what came before bears it out."""

    def __init__(self) -> None:
        self.response: dict[str, Any] | None = None
        self._pieces: dict[str, dict[tuple[int, int], list[str]]] = defaultdict(lambda: defaultdict(list))
        self._items: dict[int, Json] = {}
        self._characters = 0

    def take(self, event: Json) -> None:
        kind = str(event.get("type"))
        place = _index(event, "output_index")
        if kind in _GROWS and isinstance(delta := event.get("delta"), str):
            self._characters += len(delta)
            if self._characters <= ANSWER_MAX_BYTES:
                part = _index(event, "summary_index") + _index(event, "content_index")  # no event has both
                self._pieces[_GROWS[kind]][place, part].append(delta)
        elif kind == "response.output_item.done" and isinstance(item := event.get("item"), dict):
            self._items[place] = item
        elif kind in ENDS and isinstance(response := event.get("response"), dict):
            # Some providers leave out of the closing event what they have said already.
            output = response.get("output") or [self._items[index] for index in sorted(self._items)]
            self.response = {**response, "output": output}

    @property
    def faithful(self) -> bool:
        """Whether the whole says what was said piece by piece; a provider may also say it all at once."""
        if self.response is None:
            return False
        whole = texts_of(self.response["output"])
        return all(text == whole[kind] for kind, text in self._texts())

    @property
    def text(self) -> str:
        return "".join(text for _, text in self._texts())

    def _texts(self) -> Iterator[tuple[str, str]]:
        """By place, not by time: items may grow side by side."""
        for kind, places in self._pieces.items():
            yield kind, "".join("".join(places[place]) for place in sorted(places))


def replay_events(answer: Json, members: bytes) -> Iterator[bytes]:
    """One block of all that was said; then the closing event, which waits for the ledger."""
    say = _Numbered()
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    if "completed_at" in answer:
        begun["completed_at"] = None

    out = [say("response.created", response=begun), say("response.in_progress", response=begun)]
    for index, item in enumerate(answer["output"]):
        out.append(say("response.output_item.added", output_index=index, item=_item_begun(item)))
        out.extend(_filling(say, item, {"item_id": item.get("id") or "", "output_index": index}))
        out.append(say("response.output_item.done", output_index=index, item=item))
    yield b"".join(out)

    yield sse.with_members(say(f"response.{answer['status']}", response=answer), members)


class _Numbered:
    """Says events, each with the next number."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, kind: str, **fields: Any) -> bytes:
        body = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return sse.named(kind, body)


def _item_begun(item: Json) -> Json:
    """The item before anything was said in it."""
    begun = dict(item)
    for name, nothing in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
        if begun.get(name):
            begun[name] = nothing
    if "status" in begun:
        begun["status"] = "in_progress"
    return begun


def _filling(say: _Numbered, item: Json, where: Json) -> Iterator[bytes]:
    """What is said between an item's beginning and its end."""
    match item["type"]:
        case "function_call":
            named = {"name": item.get("name")}
            yield from _grown(
                say, "response.function_call_arguments", where, "arguments", item["arguments"], done=named
            )
            return
        case "custom_tool_call":
            yield from _grown(say, "response.custom_tool_call_input", where, "input", item["input"])
            return
        case "reasoning":
            for index, part in enumerate(item.get("summary") or ()):
                yield from _summary(say, part, {**where, "summary_index": index})
    for index, part in enumerate(item.get("content") or ()):
        yield from _part(say, part, {**where, "content_index": index})


def _summary(say: _Numbered, part: Json, where: Json) -> Iterator[bytes]:
    yield say("response.reasoning_summary_part.added", **where, part={**part, "text": ""})
    yield from _grown(say, "response.reasoning_summary_text", where, "text", part["text"])
    yield say("response.reasoning_summary_part.done", **where, part=part)


def _part(say: _Numbered, part: Json, where: Json) -> Iterator[bytes]:
    lists = {name: part[name] for name in ("annotations", "logprobs") if isinstance(part.get(name), list)}
    yield say("response.content_part.added", **where, part={**part, "text": "", **{name: [] for name in lists}})
    if part["type"] == "reasoning_text":
        yield from _grown(say, "response.reasoning_text", where, "text", part["text"])
    elif logprobs := lists.get("logprobs"):  # they belong to tokens we no longer see
        yield say("response.output_text.delta", **where, delta=part["text"], logprobs=logprobs)
        yield say("response.output_text.done", **where, text=part["text"], logprobs=logprobs)
    else:
        plain: Json = {"logprobs": []}
        yield from _grown(say, "response.output_text", where, "text", part["text"], each=plain, done=plain)
    for index, annotation in enumerate(lists.get("annotations", ())):
        added = {**where, "annotation_index": index, "annotation": annotation}
        yield say("response.output_text.annotation.added", **added)
    yield say("response.content_part.done", **where, part=part)


def _grown(
    say: _Numbered, kind: str, where: Json, name: str, whole: str, *, each: Json | None = None, done: Json | None = None
) -> Iterator[bytes]:
    """A text in small pieces, then the whole under its name."""
    for piece in sse.pieces(whole):
        yield say(f"{kind}.delta", **where, delta=piece, **(each or {}))
    yield say(f"{kind}.done", **where, **{name: whole}, **(done or {}))


def _objects(values: Any) -> Sequence[Json]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _index(event: Json, name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) else 0
