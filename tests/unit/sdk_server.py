"""A CacheAI to talk to without a socket, and the caller's own model beside it.

It keeps what was asked of it, answers what a test laid out, else a chat completion.
"""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

from cacheai import AsyncClient, Client

KEY = "ca-000A7dl5PEW67zZCpFU9uKaHnGgOvQKAR2D5xqf"  # no-real-key
BASE_URL = "https://cache.example.com/v1"
MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]


def completion(text: str = "Rayleigh.", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "gpt-5-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9},
        **more,
    }


def chunks(*texts: str) -> httpx2.Response:
    """A stream as a provider sends it."""
    events = [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_750_000_000,
            "model": "gpt-5-mini",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        }
        for text in texts
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body.encode())


class Wire(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is not there before it is read, as on a socket."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.body


@dataclass
class Server:
    """Answers in the order laid out; after the last one, a chat completion each time."""

    answers: list[httpx2.Response | Exception | dict[str, Any]] = field(default_factory=list)
    asked: list[httpx2.Request] = field(default_factory=list)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else completion()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            answer = httpx2.Response(200, json=answer)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=Wire(answer.content))

    def refuse(self, status: int, code: str, *, times: int = 1, message: str = "No.") -> None:
        body = {"error": {"message": message, "type": "any", "param": None, "code": code}}
        self.answers += [httpx2.Response(status, json=body, headers={"retry-after-ms": "1"}) for _ in range(times)]

    @property
    def paths(self) -> list[tuple[str, str]]:
        return [(request.method, request.url.path) for request in self.asked]

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.asked]

    def headers(self, index: int = -1) -> dict[str, str]:
        """What went out beside openai's own headers."""
        headers = self.asked[index].headers
        return {name: value for name, value in headers.items() if name.startswith("x-cacheai-")}

    def body(self, index: int = -1) -> Any:
        return json.loads(self.asked[index].content)


class SyncSide:
    """The same words for both clients, so that each test is written once."""

    kind: type[Client] | type[AsyncClient] = Client

    def __init__(self, server: Server) -> None:
        self.server = server

    def client(self, **options: Any) -> Any:
        transport = httpx2.MockTransport(self.server.handle)
        http_client = DefaultHttpxClient(transport=transport)
        return self.kind(**{"api_key": KEY, "base_url": BASE_URL, "http_client": http_client, **options})

    def get(self, answer: Any) -> Any:
        return answer

    def parsed(self, response: Any) -> Any:
        with response as opened:
            return opened.parse()

    def texts(self, stream: Iterable[Any]) -> list[str]:
        return [chunk.choices[0].delta.content for chunk in stream]


class AsyncSide(SyncSide):
    kind = AsyncClient

    def client(self, **options: Any) -> Any:
        transport = httpx2.MockTransport(self.server.handle)
        http_client = DefaultAsyncHttpxClient(transport=transport)
        return self.kind(**{"api_key": KEY, "base_url": BASE_URL, "http_client": http_client, **options})

    def get(self, answer: Any) -> Any:
        return asyncio.run(_settled(answer)) if inspect.isawaitable(answer) else answer

    def parsed(self, response: Any) -> Any:
        async def read() -> Any:
            async with response as opened:
                return await opened.parse()

        return asyncio.run(read())

    def texts(self, stream: Any) -> list[str]:
        async def read() -> list[str]:
            return [chunk.choices[0].delta.content async for chunk in await stream]

        return asyncio.run(read())


async def _settled(answer: Awaitable[Any]) -> Any:
    return await answer
