"""Which call asks a small model instead, in the caller's own dialect?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from cache_api.domain.request import Request, Target

# Ours, and what only the model that was asked takes: a small one refuses the call for it.
_LEFT_OUT = frozenset({"cache", "reasoning", "reasoning_effort", "thinking", "verbosity", "prediction", "logit_bias"})


def may_be_synthesized(request: Request) -> bool:
    """Not what a program reads, nor what the provider keeps to go on from."""
    parsed = request.parsed
    return not (parsed.tools or parsed.continuable or parsed.unparsed or _wants_structure(parsed.body))


def asking_small_model(request: Request, target: Target, prompt: str) -> Request:
    """The caller's call with the prompt in the place of the question."""
    parsed = request.parsed
    body = {name: value for name, value in parsed.body.items() if name not in _LEFT_OUT}
    body |= {**_with_question(body, prompt), "model": target.model}
    return replace(
        request,
        target=target,
        parsed=replace(parsed, body=body, prompt_texts=(*parsed.prompt_texts[:-1], prompt)),
        raw=orjson.dumps(body),
        headers=request.headers if target.provider == request.target.provider else {},
    )


def _with_question(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    for name in ("messages", "input"):
        if isinstance(turns := body.get(name), list):
            return {name: [*turns[:-1], {**turns[-1], "content": text}]}
    return {"input" if "input" in body else "prompt": text}


def _wants_structure(body: Mapping[str, Any]) -> bool:
    text = body.get("text")
    formats = [body.get("response_format"), text.get("format") if isinstance(text, Mapping) else None]
    plain = all(one is None or (isinstance(one, Mapping) and one.get("type") == "text") for one in formats)
    return not plain or "output_format" in body or "output_config" in body
