"""What is answered to this question, in whatever protocol it was asked?"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cacheai.demo_provider.behaviour import DIRECTIVE, Behaviour
from cacheai.demo_provider.topics import known_answer

NOTICE = " (demo answer)"
WORDS_PER_PIECE = 3
MOST_PIECES = 512  # A long answer comes in larger pieces, not in more.
ECHOED_CHARACTERS = 160
DEEPEST_SAMPLE = 6  # A schema may refer to itself.
LONGEST_SAMPLE = 100

# Near enough to a real tokenizer for plausible usage, and cheap.
TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")
COUNTED_EXACTLY_CHARACTERS = 20_000
OPENINGS = ("You asked:", "The question was:", "This is about:")
REMARKS = (
    "The demo provider has no model behind it, so it says this instead of thinking.",
    "A real provider would now explain it at length.",
    "There are three sides to it: what is known, what is guessed, and what a demo can say.",
    "Point the same call at a real provider to learn more.",
    "The same question always gets this same text.",
    "A few more words follow only so that a stream has something to carry.",
)


@dataclass(frozen=True)
class Tool:
    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: str

    def pieces(self) -> list[str]:
        size = max(1, math.ceil(len(self.arguments) / 4))
        return [self.arguments[at : at + size] for at in range(0, len(self.arguments), size)]


@dataclass(frozen=True)
class Question:
    text: str
    prompt_tokens: int
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    one_call: bool = False
    answers_a_tool: bool = False
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    pieces: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...]
    refused: bool
    reasoning: str | None
    ending: str
    """stop, stop_sequence, length, tool_calls, refusal; or what the provider was told."""
    stop: str | None
    tokens: int
    reasoning_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def count_tokens(text: str) -> int:
    if len(text) > COUNTED_EXACTLY_CHARACTERS:
        return len(text) // 4
    return len(TOKEN.findall(text))


def split_tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def compose(question: Question, behaviour: Behaviour, *, variant: int = 0) -> Answer:
    """Equal questions get equal answers; a variant is another choice of the same call."""
    calls = () if behaviour.empty_answer or behaviour.refusal else _tool_calls(question)
    text = "" if calls else _text(question, behaviour, variant)
    ending = "tool_calls" if calls else "stop"

    stop = next((stop for stop in question.stops if stop in text), None)
    if stop is not None:
        text, ending = text[: text.index(stop)], "stop_sequence"
    cut = _first_tokens(text, question.max_tokens)
    if len(cut) < len(text):
        text, ending = cut, "length"
    if behaviour.refusal:
        ending = "refusal"

    reasoning_tokens = count_tokens(behaviour.reasoning or "")
    spent = count_tokens(text) + sum(count_tokens(call.name + call.arguments) + 4 for call in calls)
    return Answer(
        pieces=_pieces(text, behaviour),
        tool_calls=calls,
        refused=behaviour.refusal,
        reasoning=behaviour.reasoning,
        ending=behaviour.finish_reason or ending,
        stop=stop if ending == "stop_sequence" else None,
        tokens=spent + reasoning_tokens,
        reasoning_tokens=reasoning_tokens,
    )


def _text(question: Question, behaviour: Behaviour, variant: int) -> str:
    if behaviour.empty_answer:
        return ""
    if behaviour.refusal:
        return "I’m sorry, but I can’t help with that." + NOTICE

    asked = DIRECTIVE.sub("", question.text).strip()
    if question.schema is not None:
        text = json.dumps(sample(question.schema, asked), ensure_ascii=False)
    else:
        text = (known_answer(asked) or _paragraph(asked)) + (f" (choice {variant})" if variant else "") + NOTICE

    if behaviour.half_utf8:
        text = "Ünïcödé 日本語 🙂 " + text
    if behaviour.chunks is not None:
        text = _at_least(text, len(text.split()), behaviour.chunks)
    if behaviour.body_bytes:
        text = _at_least(text, len(text.encode("utf-8", "replace")), behaviour.body_bytes)
    if behaviour.tokens is not None:
        text = _exactly(text, behaviour.tokens)
    return text


def _paragraph(asked: str) -> str:
    digest = hashlib.sha256(asked.encode("utf-8", "replace")).digest()
    echo = " ".join(asked[:ECHOED_CHARACTERS].split())
    start = digest[1] % len(REMARKS)
    remarks = (REMARKS[start:] + REMARKS[:start])[: 2 + digest[2] % 3]
    return f"{OPENINGS[digest[0] % len(OPENINGS)]} “{echo}” {' '.join(remarks)}"


def _at_least(text: str, size: int, wanted: int) -> str:
    """Says it again until it is long enough; the notice stays last."""
    if size >= wanted:
        return text
    return (text + " ") * math.ceil(wanted / max(1, size)) + text


def _exactly(text: str, tokens: int) -> str:
    notice = NOTICE if tokens > count_tokens(NOTICE) else ""
    body = text.removesuffix(NOTICE)
    body = _at_least(body, count_tokens(body), tokens)
    return _first_tokens(body, tokens - count_tokens(notice)) + notice


def _first_tokens(text: str, most: int | None) -> str:
    if most is None or most >= len(text):
        return text
    end = 0
    for number, token in enumerate(TOKEN.finditer(text)):
        if number == most:
            return text[:end]
        end = token.end()
    return text


def _pieces(text: str, behaviour: Behaviour) -> tuple[str, ...]:
    words = re.findall(r"\s*\S+\s*$|\s*\S+", text)
    if not words:
        return (text,) if text else ()
    count = behaviour.chunks or min(math.ceil(len(words) / WORDS_PER_PIECE), MOST_PIECES)
    count = min(count, len(words))
    edges = [number * len(words) // count for number in range(count + 1)]
    pieces = ["".join(words[start:end]) for start, end in pairwise(edges)]
    if behaviour.long_line_bytes:
        pieces[0] = "x" * behaviour.long_line_bytes + " " + pieces[0]
    return tuple(pieces)


def _tool_calls(question: Question) -> tuple[ToolCall, ...]:
    words = question.text.lower()
    named = [tool for tool in question.tools if _names(words, tool.name)]
    if question.answers_a_tool and not question.must_call:
        return ()
    chosen = named or (list(question.tools[:1]) if question.must_call else [])
    if question.one_call:
        chosen = chosen[:1]
    asked = DIRECTIVE.sub("", question.text)
    return tuple(ToolCall(tool.name, json.dumps(sample(tool.schema, asked))) for tool in chosen)


def _names(words: str, name: str) -> bool:
    name = name.lower()
    return name in words or name.replace("_", " ") in words


def sample(schema: Mapping[str, Any], asked: str) -> Any:
    """A value that fits the schema, made from the question."""
    return _sample(schema, schema, asked, 0)


def _sample(schema: Any, root: Mapping[str, Any], asked: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > DEEPEST_SAMPLE:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return _sample(_resolve(reference, root), root, asked, depth + 1)
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return next((choice for choice in choices if str(choice).lower() in asked.lower()), choices[0])
    for several in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(several), list) and options:
            return _sample(options[0], root, asked, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties")
        named = properties.items() if isinstance(properties, dict) else ()
        return {name: _sample(inner, root, asked, depth + 1) for name, inner in named}
    if kind == "array":
        least = schema.get("minItems")
        count = min(max(1, least), LONGEST_SAMPLE) if isinstance(least, int) else 1
        return [_sample(schema.get("items", {"type": "string"}), root, asked, depth + 1)] * count
    return _simple_sample(kind, schema, asked)


def _simple_sample(kind: object, schema: Mapping[str, Any], asked: str) -> Any:
    if kind in ("integer", "number"):
        number = re.search(r"-?\d{1,9}(?:\.\d{1,9})?", asked)
        least = schema.get("minimum")
        value = float(number[0] if number else least if isinstance(least, int | float) else 1)
        return int(value) if kind == "integer" or value.is_integer() else value
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    # A name is the likeliest argument: the last word with a capital, else the last word.
    words: Sequence[str] = re.findall(r"\w+", asked[-ECHOED_CHARACTERS:])
    names = [word for word in words[1:] if word[0].isupper()]
    return (names or words or ["demo"])[-1]


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    place: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            place = place.get(part) if isinstance(place, dict) else None
    return place
