"""Ask the running service real questions, and say how many it answered from the cache, rightly or not."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api.management import replaying
from cache_api.management.progress import bar
from cache_api.management.replaying import BadQuestions, LedgerRows, NoService, Outcome, Service
from cache_api.proving import Recount
from tenants import api_keys

# Accounting looks once a minute, first for prices, then for what to roll up.
COUNTED_SECONDS = 180.0
CLOCK_SKEW = timedelta(minutes=1)


class Command(BaseCommand):
    help = "Send labelled questions through the running service; prints hits, wrong hits, savings, times, the ledger."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="lines of JSON with `text` and `cluster`, gzipped or not")
        parser.add_argument("--limit", type=int, default=5000, help="how many questions")
        parser.add_argument("--seed", type=int, default=1, help="of the order they are asked in")
        parser.add_argument("--base-url", default="", help="with /v1; the running stack's by default")
        parser.add_argument("--api-key", default="", help="the demo key by default")
        parser.add_argument("--concurrency", type=int, default=4)
        parser.add_argument("--model", default="demo-small")
        parser.add_argument("--wrong", type=int, default=10, metavar="N", help="show so many wrong hits")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there too")

    def handle(self, *args: Any, **options: Any) -> None:
        started = datetime.now(UTC) - CLOCK_SKEW
        service = _service(options)
        try:
            questions = replaying.read_questions(options["file"], limit=options["limit"], seed=options["seed"])
        except (OSError, BadQuestions) as error:
            raise CommandError(f"{options['file']}: {error}") from None
        answered = replaying.replay(
            questions, service, concurrency=options["concurrency"], progress=bar(self.stdout, len(questions))
        )
        outcome = replaying.judge(answered, wrong_shown=options["wrong"])
        self.stdout.write("\n".join(_lines(outcome)))
        counted = self._recount(service, started)
        if options["json"]:
            options["json"].write_text(json.dumps({**replaying.as_json(outcome), **counted}, indent=2) + "\n")

    def _recount(self, service: Service, started: datetime) -> dict[str, Any]:
        known = api_keys.keys_matching(service.api_key)
        if not known:
            self.stdout.write("\nNo recount: this key is not in the database of this home.")
            return {}
        self.stdout.write("\nWaiting until every call is priced and rolled up ...")
        recount = replaying.wait_until_counted(known[0].tenant_id, seconds=COUNTED_SECONDS)
        rows = replaying.ledger_rows(known[0].tenant_id, task=service.namespace, since=started)
        self.stdout.write("\n".join(_ledger_lines(rows, recount)))
        return {
            "ledger": {"calls": rows.calls, "hits": rows.hits, "saved_usd": str(rows.saved_usd)},
            "recount": {"differences": len(recount.differences), "pending_hours": recount.pending_hours},
        }


def _service(options: dict[str, Any]) -> Service:
    # A fresh one, so that nothing of an earlier run is found.
    namespace = f"replay-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        return replaying.service_of(
            options["base_url"], options["api_key"], model=options["model"], namespace=namespace
        )
    except NoService as error:
        raise CommandError(str(error)) from None


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"\nAsked {outcome.asked:,}; {outcome.hits:,} from the cache ({_share(outcome.hits, outcome.asked)})"
    for name, count in sorted(outcome.decisions.items()):
        yield f"  {name:<28} {count:>7,}  {_share(count, outcome.asked):>7}"
    for name, count in sorted(outcome.failed.items()):
        yield f"  failed: {name:<20} {count:>7,}"
    yield "\nBy label             hits    right    wrong  wrong share"
    for name, layer in outcome.layers.items():
        yield f"  {name:<14} {layer.hits:>8,} {layer.right:>8,} {layer.wrong:>8,}     {layer.wrong_share:>7.2%}"
    right = sum(layer.right for layer in outcome.layers.values())
    yield f"  answerable     {outcome.answerable:>8,}, of which rightly served {_share(right, outcome.answerable)}"
    yield "\nMilliseconds          p50      p95      p99"
    for name, found in outcome.milliseconds.items():
        yield f"  {name:<14} " + " ".join(f"{value:>8.1f}" for value in found.values())
    yield f"\nSaved, by the answers' headers: ${outcome.saved_usd}"
    for asked, stored in outcome.wrong:
        yield f"  wrong: {asked!r} was answered as {stored!r}"


def _ledger_lines(rows: LedgerRows, recount: Recount) -> Iterator[str]:
    yield f"Ledger: {rows.calls:,} calls, {rows.hits:,} hits, {rows.unpriced:,} unpriced, {rows.waiting:,} not priced"
    yield f"  cost ${rows.cost_usd}, saved ${rows.saved_usd}"
    yield f"Recount: {len(recount.differences)} roll-ups differ from their calls"
    yield f"  hours that wait for their roll-up: {recount.pending_hours}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
