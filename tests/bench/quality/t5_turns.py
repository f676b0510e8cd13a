"""T5: is an answer of one conversation, or of one caller, ever given in another?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from cache_api.dialects import openai_chat
from cache_api.domain.request import Caller, Controls, Request
from tests.bench.quality.data import Turns
from tests.bench.quality.product import judged
from tests.bench.quality.vectors import vectors_of
from tests.unit.builders import DEMO, KEY, PROJECT, TENANT, call_of

# Words enough to be a dialog; they stand in where there is no data.
PLAIN = [
    Turns(
        [f"What should I know about {place}?", f"{place} is old and has a river."],
        "How many people live there?",
        [f"What should I know about {other}?", f"{other} is old and has a river."],
        "How many people live there?",
        label=0,
        kind="same_turn_other_dialog",
    )
    for place, other in (("Lyon", "Graz"), ("Porto", "Ghent"), ("Turin", "Basel"))
]

_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
CHANGES = ("prompt", "model", "tool", "temperature", "namespace", "end user", "project", "tenant")


def measured(turns: Sequence[Turns]) -> dict[str, Any]:
    turns = turns or PLAIN
    by_kind: dict[str, dict[str, int]] = {}
    for it in turns:
        counted = by_kind.setdefault(f"{it.kind} ({it.label})", {"n": 0, "as given": 0, "own history compared": 0})
        counted["n"] += 1
        counted["as given"] += served(call(it.probe_history, it.probe_turn), call(it.seed_history, it.seed_turn))
        counted["own history compared"] += compared(
            call(it.seed_history, it.probe_turn), call(it.seed_history, it.seed_turn)
        )
    return {
        "kinds": by_kind,
        "changes": {
            change: {
                "n": len(turns),
                "served": sum(
                    served(changed(it.seed_history, it.seed_turn, change), call(it.seed_history, it.seed_turn))
                    for it in turns
                ),
            }
            for change in CHANGES
        },
    }


def served(asked: Request, stored: Request) -> bool:
    """By the exact tier, or by similarity among what shares its Scope."""
    if asked.fingerprint == stored.fingerprint:
        return True
    if not compared(asked, stored):
        return False
    texts = [asked.question or "", stored.question or ""]
    vectors = vectors_of(texts)
    return judged(texts[0], [texts[1]], [float(vectors[0] @ vectors[1])]).served is not None


def compared(asked: Request, stored: Request) -> bool:
    return asked.scope == stored.scope


def call(history: Sequence[str], turn: str, *, prompt: str = "", **body: Any) -> Request:
    return _call(history, turn, Caller(TENANT, PROJECT, KEY), prompt=prompt, **body)


def changed(history: Sequence[str], turn: str, change: str) -> Request:
    """The same call with one thing other than it was."""
    caller = Caller(TENANT, PROJECT, KEY)
    match change:
        case "prompt":
            return _call(history, turn, caller, prompt="Answer in one sentence.")
        case "model":
            return _call(history, turn, caller, model="demo-large")
        case "tool":
            return _call(history, turn, caller, tools=[_TOOL])
        case "temperature":
            return _call(history, turn, caller, temperature=0.7)
        case "namespace":
            return _call(history, turn, caller, controls=Controls(namespace="other"))
        case "end user":
            return _call(history, turn, caller, controls=Controls(end_user="other"))
        case "project":
            return _call(history, turn, replace(caller, project_id=UUID(int=77)))
        case _:
            return _call(history, turn, replace(caller, tenant_id=UUID(int=78), project_id=UUID(int=79)))


def _call(
    history: Sequence[str],
    turn: str,
    caller: Caller,
    *,
    prompt: str = "",
    controls: Controls = Controls(),  # noqa: B008 (frozen)
    **body: Any,
) -> Request:
    messages = [{"role": "system", "content": prompt}] if prompt else []
    roles = ("user", "assistant")
    messages += [{"role": roles[at % 2], "content": text} for at, text in enumerate(history)]
    whole = {"model": "demo-small", **body, "messages": [*messages, {"role": "user", "content": turn}]}
    target = replace(DEMO, model=str(whole["model"]))
    return call_of(openai_chat, orjson.dumps(whole), target=target, controls=controls, caller=caller)
