"""What is in the cache, what would it say, and what shall go?"""

import json
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import httpx2

from .._asking import given
from .._cache import CACHE_KEY, NO_CACHE_KEY
from .._client import Client
from .._errors import CacheError
from .terminal import Misused, Progress, Terminal, is_ours, pairs, plain, table

PAGE_MAX: Final = 200
MISS: Final = 3
JOB_PAUSE_SECONDS: Final = 0.5
FILTERS: Final = ("provider", "model", "namespace", "tag")


def stats(client: Client, args: Namespace, terminal: Terminal) -> int:
    found = ask(client, "GET", "/cache/stats", since=args.since)
    terminal.show(found, _stats_lines(found, verbose=args.verbose))
    return 0


def _stats_lines(found: Mapping[str, Any], *, verbose: bool) -> Iterator[str]:
    shown: dict[str, object] = {
        "Entries": f"{found['entries']:,}",
        "Look-ups": f"{found['total_lookups']:,}",
        "Hits": f"{found['hits']:,}",
        "Misses": f"{found['misses']:,}",
        "Hit rate": f"{found['hit_rate']:.1%}",
        "Saved": f"${found['total_cost_saved_usd']}, {found['total_tokens_saved']:,} tokens (estimate)",
        "Unpriced calls": f"{found['unpriced']:,}",
    }
    if not verbose:
        yield from pairs(shown)
        return
    more = {
        "Embedder": found["embedder"],
        "Oldest entry": found["oldest_entry"],
        "Newest entry": found["newest_entry"],
        "Decisions": ", ".join(f"{count:,} {name}" for name, count in found["decisions"].items()),
        "Feedback": ", ".join(f"{count:,} {name}" for name, count in found["feedback"].items()),
    }
    yield from pairs(shown | more)
    for head, of_each in (("Provider", found["provider_stats"]), ("Model", found["model_stats"])):
        if of_each:
            yield ""
            rows = [(name, one["count"], one["total_tokens"], f"${one['total_cost']}") for name, one in of_each.items()]
            yield from table((head, "Calls", "Tokens", "Cost"), rows)


def listed(client: Client, args: Namespace, terminal: Terminal) -> int:
    found = _page(client, args, min(args.limit, PAGE_MAX), offset=args.offset)
    entries = found["data"]
    while found.get("next_cursor") and len(entries) < args.limit:
        found = _page(client, args, min(args.limit - len(entries), PAGE_MAX), cursor=found["next_cursor"])
        entries += found["data"]
    document = {**found, "data": entries}
    rows = [
        (one["cache_key"], one["model"], one["status"], one["hits"], str(one["created_at"])[:19], one["question"])
        for one in entries
    ]
    heads = ("Cache key", "Model", "Status", "Hits", "Created", "Question")
    terminal.show(document, table(heads, rows) if rows else ["No entries."])
    if found["has_more"]:
        terminal.say(f"There are more: repeat with -o {(args.offset or 0) + len(entries)}.")
    return 0


def _page(client: Client, args: Namespace, limit: int, **place: Any) -> dict[str, Any]:
    filters = filters_of(args)
    return ask(client, "GET", "/cache/entries", **filters, q=args.query, status=args.status, limit=limit, **place)


def show(client: Client, args: Namespace, terminal: Terminal) -> int:
    if not CACHE_KEY.fullmatch(args.key):
        raise Misused(f"{args.key!r}: {NO_CACHE_KEY}")
    entry = ask(client, "GET", f"/cache/{args.key}")
    if args.output is None:
        terminal.show(entry, _entry_lines(entry))
        return 0
    with whole_file(args.output) as file:
        file.write(json.dumps(entry, indent=2, ensure_ascii=False).encode() + b"\n")
    terminal.show({"cache_key": args.key, "file": args.output}, [f"Written to {args.output}."])
    return 0


def _entry_lines(entry: Mapping[str, Any]) -> Iterator[str]:
    texts = ("question", "context", "answer", "output", "prompt", "model_id", "request", "response")
    shown = {name: value for name, value in entry.items() if name not in texts and value not in (None, [], {}, "")}
    yield from pairs({name: _flat(value) for name, value in shown.items()})
    for name in ("context", "question", "answer"):
        if (text := entry.get(name)) is not None:
            yield f"\n{name.capitalize()}:\n{plain(_flat(text))}"


def _flat(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def purge(client: Client, args: Namespace, terminal: Terminal) -> int:
    selectors = {
        **filters_of(args),
        **given(
            keys=args.key or None,
            older_than_days=args.older,
            expired=args.expired or None,
            all=args.all or None,
            writer=args.writer,
            depends_on=args.depends_on,
        ),
    }
    if not selectors:
        raise Misused(
            "Say which entries: -p, -m, --namespace, --tag, -k, -o, -e, --writer, --depends-on, or -a for all."
        )

    asks_first = not (args.yes or args.key or args.expired)
    if args.dry_run or asks_first:
        counted = ask(client, "POST", "/cache/purge", **selectors, dry_run=True)
        matched = _entries(counted["matched"])
        if args.dry_run or not counted["matched"]:
            terminal.show(counted, [f"{matched} would go."])
            return 0
        if not terminal.confirm(f"This removes {matched}. Go on?"):
            terminal.show(counted, ["Nothing was removed."])
            return 0
    done = ask(client, "POST", "/cache/purge", **selectors)
    if job_id := done.get("job_id"):
        job = _finished(client, job_id)
        done = {"matched": job["total"], "deleted": job["done"], "dry_run": False, "job_id": job_id}
    terminal.show(done, [f"{_entries(done['deleted'])} removed."])
    return 0


def _finished(client: Client, job_id: str) -> dict[str, Any]:
    """Raises CacheError if the work failed."""
    with Progress("Removing", None) as progress:
        while True:
            job = ask(client, "GET", f"/cache/jobs/{job_id}")
            progress.total = job["total"]
            progress.reach(job["done"])
            if job["status"] == "done":
                return job
            if job["status"] == "failed":
                raise CacheError(f"The work broke off after {_entries(job['done'])}: run it again.")
            time.sleep(JOB_PAUSE_SECONDS)


def lookup(client: Client, args: Namespace, terminal: Terminal) -> int:
    found = ask(
        client,
        "POST",
        "/cache/lookup",
        question=args.text,
        model=args.model,
        provider=args.provider,
        system=args.system,
        similarity_threshold=args.threshold,
        limit=args.limit,
        include_answer=True,
    )
    terminal.show(found, _lookup_lines(found))
    return MISS if args.fail_on_miss and found["decision"] != "hit" else 0


def _lookup_lines(found: Mapping[str, Any]) -> Iterator[str]:
    decision = found["decision"].upper()
    reason = "" if decision == "HIT" else f": {found['reason']}"
    yield f"{decision} ({found['timings_ms']['total']} ms){reason}"
    if decision == "HIT":
        yield f"Response: {plain(_flat(found.get('answer')))}"
    if found["candidates"]:
        yield ""
        heads = ("Similarity", "", "Cache key", "Question")
        yield from table(heads, [_candidate(one) for one in found["candidates"]])


def _candidate(one: Mapping[str, Any]) -> tuple[object, ...]:
    accepted = "accepted" if one["accepted"] else one["reason"]
    return f"{one['similarity']:.4f}", accepted, one["cache_key"], one["question"]


def filters_of(args: Namespace) -> dict[str, Any]:
    return given(**{name: getattr(args, name) for name in FILTERS})


def ask(client: Client, method: str, path: str, **fields: Any) -> dict[str, Any]:
    """The server's own document, so that `--json` hides nothing of it. Fields that are None are not sent."""
    fields = given(**fields)
    options: Any = {"extra_json": fields} if method in ("POST", "PUT") else {"params": fields}
    return document(getattr(client, method.lower())(path, cast_to=httpx2.Response, options=options))


def document(answer: httpx2.Response) -> dict[str, Any]:
    """Raises CacheError."""
    check_ours(answer)
    read: dict[str, Any] = answer.json()
    return read


def check_ours(answer: httpx2.Response) -> None:
    """A web page, or what another service says, is no answer. Raises CacheError."""
    if not is_ours(answer):
        raise CacheError(CacheError.__doc__)


@contextmanager
def whole_file(name: str) -> Iterator[IO[bytes]]:
    """A file that is there when it is complete, and not before; devices and pipes are written to as they are."""
    path = Path(name)
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()
    try:
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        error.filename = name  # not the draft's: nobody asked for that
        raise
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _entries(count: int) -> str:
    return f"{count:,} entry" if count == 1 else f"{count:,} entries"
