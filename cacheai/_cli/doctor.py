"""Why does it not work? Each usual mistake is looked for, and each line says what to do."""

import re
import secrets
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
from openai import APIConnectionError, APIStatusError

from .._client import Client
from .._config import text_or_variable
from .._errors import CacheAIError, CacheError
from .entries import ask
from .terminal import Terminal, in_options, plain, told_by

PATIENCE_SECONDS: Final = 10.0
SKEW_SECONDS: Final = 60.0  # keys and entries expire by the server's clock
KEY: Final = re.compile(r"ca-[0-9A-Za-z]{20,}", re.ASCII)
ENTRY_SECONDS: Final = 60

OK, NOTE, BAD = "ok", "note", "failed"


@dataclass(frozen=True)
class Finding:
    check: str
    status: str
    found: str
    to_do: str = ""

    def lines(self) -> Iterator[str]:
        yield f"{self.status:<8}{self.check:<15}{plain(self.found)}"
        if self.to_do:
            yield f"{'':<23}-> {self.to_do}"


def doctor(args: Namespace, terminal: Terminal, connect: Callable[..., Client]) -> int:
    findings = list(_findings(args, connect))
    bad = any(finding.status == BAD for finding in findings)
    document = {"ok": not bad, "checks": [vars(finding) for finding in findings]}
    terminal.show(document, (line for finding in findings for line in finding.lines()))
    return 1 if bad else 0


def _findings(args: Namespace, connect: Callable[..., Client]) -> Iterator[Finding]:
    key = text_or_variable("api_key", args.api_key)
    yield (given := _key_given(key))
    try:
        usable = key if key and given.status == OK else "ca-missing"
        client = connect(api_key=usable, base_url=args.base_url, max_retries=0, timeout=PATIENCE_SECONDS)
    except CacheAIError as error:
        yield Finding(
            "address", BAD, in_options(str(error)), "give --base-url or CACHEAI_BASE_URL, as http://127.0.0.1:8080/v1"
        )
        return
    with client:
        try:
            ready = client.get(f"{_root(client)}/readyz", cast_to=httpx2.Response)
            server, degraded = _ready(client, ready)
        except CacheAIError as error:
            yield _unready(client, error)
            return
        yield server
        if server.status == BAD:
            return
        yield _clock(ready)
        if given.status == BAD:
            return
        yield (accepted := _key_accepted(client))
        if accepted.status == BAD:
            return
        yield _provider_key(client)
        yield _embedder(degraded)
        yield _round_trip(client)


def _key_given(key: str | None) -> Finding:
    if key is None:
        return Finding("key", BAD, "none given", "set CACHEAI_API_KEY, or give --api-key; `make run` prints one")
    if not KEY.fullmatch(key):
        to_do = "a CacheAI key begins with ca-; a provider's own key goes into CACHEAI_BACKEND_API_KEY"
        return Finding("key", BAD, "this is no key of CacheAI's", to_do)
    return Finding("key", OK, f"{key[:7]}...")


def _ready(client: Client, ready: httpx2.Response) -> tuple[Finding, Sequence[str]]:
    """What is found of the server, and the parts it works without. Raises CacheError."""
    try:
        degraded: list[str] = ready.json()["degraded"]
    except (ValueError, LookupError, TypeError):
        raise CacheError(CacheError.__doc__) from None
    address = _address(client)
    if not address.endswith("/v1"):
        return Finding("server", BAD, f"{address} has no /v1", f"use {address}/v1"), degraded
    if degraded:
        to_do = "calls go on without the cache's help: see the logs of these parts"
        return Finding("server", NOTE, f"{address} works without {', '.join(degraded)}", to_do), degraded
    return Finding("server", OK, f"{address} is ready"), degraded


def _unready(client: Client, error: CacheAIError) -> Finding:
    address = _address(client)
    if isinstance(error, APIConnectionError):
        to_do = "is it started (`make run`), is --base-url right, does a proxy of the environment stand between?"
        return Finding("server", BAD, f"no answer from {address}: {error.__cause__ or error}", to_do)
    if isinstance(error, APIStatusError) and error.status_code == 503:
        state = error.body.get("status") if isinstance(error.body, dict) else None
        return Finding("server", BAD, f"{address} is {state or 'not ready'}", "wait a moment; else see its logs")
    status = f" (status {error.status_code})" if isinstance(error, APIStatusError) else ""
    return Finding("server", BAD, f"{address} is no CacheAI{status}", "is --base-url right? It ends in /v1")


def _clock(ready: httpx2.Response) -> Finding:
    """By the second: what goes by the clock are times to live."""
    try:
        skew = (parsedate_to_datetime(ready.headers["date"]) - datetime.now(UTC)).total_seconds()
    except (LookupError, ValueError):
        return Finding("clock", NOTE, "the server does not tell its time")
    if abs(skew) > SKEW_SECONDS:
        found = f"this machine is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the server"
        return Finding("clock", BAD, found, "set this machine's clock: --since counts by it, as TLS does")
    return Finding("clock", OK, "agrees with the server's")


def _key_accepted(client: Client) -> Finding:
    try:
        ask(client, "GET", "/cache/stats")
    except APIStatusError as error:
        if error.status_code == 401:
            to_do = "it may be revoked, expired, another server's, or bound to other networks: make a new one"
            return Finding("key accepted", BAD, "the server does not know this key", to_do)
        if error.status_code == 403:
            return Finding("key accepted", NOTE, "known, but without stats:read", "`cacheai stats` needs that scope")
        return Finding("key accepted", BAD, f"{error.status_code}: {told_by(error)[0]}", "see the server's logs")
    return Finding("key accepted", OK, "its project answers")


def _provider_key(client: Client) -> Finding:
    """The provider itself is asked for its list of models, which costs nothing."""
    try:
        models = ask(client, "GET", "/models").get("data") or []
    except APIStatusError as error:
        found = f"{error.status_code}: {told_by(error)[0]}"
        if error.status_code == 401:
            return Finding("provider key", BAD, found, "the provider refuses the key: store a valid one")
        if error.code == "provider_key_missing":
            to_do = "store one, or send it with each call: CACHEAI_BACKEND_API_KEY"
            return Finding("provider key", BAD, "the team has none", to_do)
        if error.status_code == 403:
            return Finding("provider key", NOTE, found, "a key without the scope proxy cannot call models")
        return Finding("provider key", BAD, found, "see the provider's status page")
    except CacheAIError as error:
        return Finding("provider key", BAD, str(error), "see the provider's status page")
    names = ", ".join(str(model.get("id")) for model in models[:3])
    if names.startswith("demo-"):
        return Finding("provider key", NOTE, f"none; the demo provider answers: {names}", "store one for real answers")
    return Finding("provider key", OK, f"the provider answers{f', with {names}' if names else ''}")


def _embedder(degraded: Sequence[str]) -> Finding:
    if "embedder" in degraded:
        to_do = "only exact hits until it does: see the log of the process embed"
        return Finding("embedder", BAD, "does not answer", to_do)
    return Finding("embedder", OK, "answers")


def _round_trip(client: Client) -> Finding:
    """One entry put, found in the same words, and removed."""
    text = f"Is the cache well, asks the doctor {secrets.token_hex(4)}?"
    which = {"question": text, "model": "cacheai-doctor", "provider": "openai"}
    began = time.perf_counter()
    try:
        put = ask(client, "POST", "/cache/entries", **which, answer="It is.", ttl=ENTRY_SECONDS)
        found = ask(client, "POST", "/cache/lookup", **which)
    except APIStatusError as error:
        found_out = f"{error.status_code}: {told_by(error)[0]}"
        if error.status_code == 403:
            return Finding("round trip", NOTE, found_out, "without cache:read and cache:write nothing is cached")
        return Finding("round trip", BAD, found_out, "see the server's logs")
    milliseconds = (time.perf_counter() - began) * 1000
    with suppress(APIStatusError):  # It ends by itself in a minute.
        ask(client, "DELETE", f"/cache/{put['cache_key']}")
    if found["decision"] != "hit":
        found_out = f"{found['decision']} ({found['reason']}) where a hit was due"
        return Finding("round trip", BAD, found_out, "see the project's policy, and the server's logs")
    return Finding("round trip", OK, f"stored and found in {milliseconds:.0f} ms")


def _address(client: Client) -> str:
    return str(client.base_url).rstrip("/")


def _root(client: Client) -> str:
    return _address(client).removesuffix("/v1")
