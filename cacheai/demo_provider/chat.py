"""How are /v1/chat/completions and the older /v1/completions spoken?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cacheai.demo_provider.answers import Answer, Question, Tool, compose, count_tokens, split_tokens
from cacheai.demo_provider.behaviour import Behaviour
from cacheai.demo_provider.checks import (
    check_common,
    check_number,
    check_stream_options,
    checked_count,
    checked_list,
    checked_messages,
    checked_stops,
    named,
    text_of,
)
from cacheai.demo_provider.refusals import Refusal, openai_refusal
from cacheai.demo_provider.reply import UNKNOWN_FIELD, Event, Json, Plain, Reply, Stamp, Stream

FINGERPRINT = "fp_demo000001"
DONE = Event("[DONE]")
BROKEN = Event(openai_refusal(Refusal(500, "The server had an error while processing your request.")))
TOKENS_PER_MESSAGE = 3
ENDINGS = {"stop_sequence": "stop", "refusal": "stop"}  # Words that this protocol has no own one for.
JSON_ANYHOW = {"type": "object", "properties": {"answer": {"type": "string"}, "demo": {"const": True}}}


def question_text(body: Json) -> str:
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def answer(body: Json, behaviour: Behaviour, stamp: Stamp) -> Reply:
    check_common(body)
    check_number(body, "frequency_penalty", -2, 2)
    check_number(body, "presence_penalty", -2, 2)
    usage_asked = check_stream_options(body)
    question = _question(body)
    wanted = checked_count(body, "n", most=128) or 1
    answers = [compose(question, behaviour, variant=variant) for variant in range(wanted)]
    usage = openai_usage(question.prompt_tokens, answers, behaviour)
    if body.get("stream"):
        return Stream(_events(body, answers, usage, behaviour, stamp, usage_asked=usage_asked), BROKEN)
    choices = [
        {
            "index": index,
            "message": _message(answer, stamp, index),
            "logprobs": _logprobs(answer.text) if body.get("logprobs") is True else None,
            "finish_reason": ENDINGS.get(answer.ending, answer.ending),
        }
        for index, answer in enumerate(answers)
    ]
    whole = _frame("chat.completion", body, stamp) | {"choices": choices}
    return Plain(whole if behaviour.no_usage else whole | {"usage": usage})


def _question(body: Json) -> Question:
    messages = checked_messages(body)
    functions = [tool.get("function") for tool in checked_list(body, "tools", _is_function)]
    tools = tuple(Tool(function["name"], function.get("parameters") or {}) for function in functions)
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        forced = choice.get("function")
        name = forced.get("name") if isinstance(forced, dict) else None
        tools = tuple(tool for tool in tools if tool.name == name)
        if not tools:
            raise Refusal(400, "Tool choice is not among the tools.", param="tool_choice", code="invalid_value")
    return Question(
        text=question_text(body),
        prompt_tokens=prompt_tokens([text_of(message.get("content")) for message in messages]),
        max_tokens=checked_count(body, "max_completion_tokens", "max_tokens"),
        stops=checked_stops(body, "stop"),
        tools=() if choice == "none" else tools,
        must_call=choice == "required" or isinstance(choice, dict),
        one_call=body.get("parallel_tool_calls") is False,
        answers_a_tool=messages[-1]["role"] in ("tool", "function"),
        schema=_schema(body.get("response_format")),
    )


def _schema(response_format: object) -> Json | None:
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if not isinstance(response_format, dict) or kind not in ("text", "json_object", "json_schema"):
        raise Refusal(400, "Invalid 'response_format'.", param="response_format", code="invalid_value")
    if kind == "text":
        return None
    if kind == "json_object":
        return JSON_ANYHOW
    wrapper = response_format.get("json_schema")
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    if not isinstance(schema, dict):
        raise Refusal(
            400,
            "Missing required parameter: 'response_format.json_schema.schema'.",
            param="response_format.json_schema",
        )
    return schema


def prompt_tokens(texts: Sequence[str]) -> int:
    return sum(count_tokens(text) + TOKENS_PER_MESSAGE for text in texts) + TOKENS_PER_MESSAGE


def openai_usage(asked_tokens: int, answers: Sequence[Answer], behaviour: Behaviour) -> Json:
    """Cached tokens are a part of the prompt's, reasoning a part of the completion's."""
    prompt = max(asked_tokens, behaviour.cached_tokens)
    completion = sum(answer.tokens for answer in answers)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": behaviour.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(answer.reasoning_tokens for answer in answers),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _frame(kind: str, body: Json, stamp: Stamp) -> Json:
    prefix = "cmpl" if kind == "text_completion" else "chatcmpl"
    return {
        "id": f"{prefix}-{stamp.token}",
        "object": kind,
        "created": stamp.created_unix_seconds,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
        UNKNOWN_FIELD: stamp.unknown,
    }


def _message(answer: Answer, stamp: Stamp, index: int) -> Json:
    says = None if answer.refused or answer.tool_calls else answer.text
    message: Json = {"role": "assistant", "content": says, "refusal": answer.text if answer.refused else None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": _call_id(stamp, index, place),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for place, call in enumerate(answer.tool_calls)
        ]
    return message | {"annotations": []}


def _events(
    body: Json,
    answers: Sequence[Answer],
    usage: Json,
    behaviour: Behaviour,
    stamp: Stamp,
    *,
    usage_asked: bool,
) -> Iterator[Event]:
    frame = _frame("chat.completion.chunk", body, stamp)
    odd = behaviour.usage_in_odd_chunk and not behaviour.no_usage
    own_chunk = usage_asked and not behaviour.no_usage and not odd
    blank: Json = {"usage": None} if own_chunk else {}
    logprobs_wanted = body.get("logprobs") is True

    def chunk(index: int, delta: Json, finish: str | None = None, extra: Json = blank) -> Json:
        choice: Json = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if logprobs_wanted and isinstance(delta.get("content"), str) and delta["content"]:
            choice["logprobs"] = _logprobs(delta["content"])
        return frame | {"choices": [choice]} | extra

    early = {"usage": usage | {"completion_tokens": 1, "total_tokens": usage["prompt_tokens"] + 1}}
    for index, answer in enumerate(answers):
        opening: Json = {"role": "assistant", "content": None if answer.tool_calls else "", "refusal": None}
        yield Event(chunk(index, opening, extra=early if odd else blank))
    for index, answer in enumerate(answers):
        for delta in _deltas(answer, stamp, index):
            yield Event(chunk(index, delta), piece=True)
    for index, answer in enumerate(answers):
        finish = ENDINGS.get(answer.ending, answer.ending)
        yield Event(chunk(index, {}, finish, {"usage": usage} if odd else blank), closing=True)
    if own_chunk:
        yield Event(frame | {"choices": [], "usage": usage})
    yield DONE


def _deltas(answer: Answer, stamp: Stamp, index: int) -> Iterator[Json]:
    if answer.reasoning:
        yield {"reasoning_content": answer.reasoning}
    for piece in answer.pieces:
        yield {"refusal": piece} if answer.refused else {"content": piece}
    for place, call in enumerate(answer.tool_calls):
        yield {
            "tool_calls": [
                {
                    "index": place,
                    "id": _call_id(stamp, index, place),
                    "type": "function",
                    "function": {"name": call.name, "arguments": ""},
                }
            ]
        }
        for piece in call.pieces():
            yield {"tool_calls": [{"index": place, "function": {"arguments": piece}}]}


def _logprobs(text: str) -> Json:
    tokens = [
        {
            "token": token,
            "logprob": -0.01,
            "bytes": list(token.encode("utf-8", "replace")),
            "top_logprobs": [],
        }
        for token in split_tokens(text)
    ]
    return {"content": tokens, "refusal": None}


def _call_id(stamp: Stamp, index: int, place: int) -> str:
    return f"call_{stamp.token[:18]}{index:02d}{place:02d}"


def _is_function(tool: object) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function" and named(tool.get("function"))


def prompt_text(body: Json) -> str:
    prompts = _prompts(body)
    return prompts[-1] if prompts else ""


def complete(body: Json, behaviour: Behaviour, stamp: Stamp) -> Reply:
    """The older endpoint: a prompt in, text out; several prompts make several choices."""
    check_common(body)
    usage_asked = check_stream_options(body)
    prompts = _prompts(body)
    if not prompts:
        raise Refusal(400, "Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter")
    wanted = checked_count(body, "n", most=128) or 1
    shared = Question("", 0, checked_count(body, "max_tokens"), checked_stops(body, "stop"))
    answers = [
        compose(replace(shared, text=prompt), behaviour, variant=variant)
        for prompt in prompts
        for variant in range(wanted)
    ]
    usage = openai_usage(sum(map(count_tokens, prompts)), answers, behaviour)
    if body.get("stream"):
        return Stream(_completion_events(body, answers, usage, behaviour, stamp, usage_asked), BROKEN)
    echoed = [prompt for prompt in prompts for _ in range(wanted)] if body.get("echo") is True else [""] * len(answers)
    choices = [
        _text_choice(index, echo + answer.text, answer.ending)
        for index, (echo, answer) in enumerate(zip(echoed, answers, strict=True))
    ]
    whole = _frame("text_completion", body, stamp) | {"choices": choices}
    return Plain(whole if behaviour.no_usage else whole | {"usage": usage})


def _completion_events(
    body: Json, answers: Sequence[Answer], usage: Json, behaviour: Behaviour, stamp: Stamp, usage_asked: bool
) -> Iterator[Event]:
    frame = _frame("text_completion", body, stamp)
    for index, answer in enumerate(answers):
        for piece in answer.pieces:
            yield Event(frame | {"choices": [_text_choice(index, piece, None)]}, piece=True)
        yield Event(frame | {"choices": [_text_choice(index, "", answer.ending)]}, closing=True)
    if usage_asked and not behaviour.no_usage:
        yield Event(frame | {"choices": [], "usage": usage})
    yield DONE


def _text_choice(index: int, text: str, ending: str | None) -> Json:
    finish = ENDINGS.get(ending, ending) if ending else None
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _prompts(body: Json) -> list[str]:
    """A prompt is text, a list of texts, or tokens, which are shown as numbers."""
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        return []
    if all(isinstance(token, int) for token in prompt):
        return [" ".join(map(str, prompt))]
    return [part if isinstance(part, str) else str(part) for part in prompt]
