"""What would past questions have come to, at each setting?"""

import time
from argparse import Namespace
from codecs import BOM_UTF8
from typing import Any, Final

import httpx2

from .._client import Client
from .entries import ask, document
from .terminal import Failed, Misused, Progress, Terminal, table
from .transfer import opened, tell_rejected

PAUSE_SECONDS: Final = 0.25
LINES: Final = {"Content-Type": "application/x-ndjson"}


def backtest(client: Client, args: Namespace, terminal: Terminal) -> int:
    if (args.file is None) == (args.days is None):
        raise Misused("Give a FILE of questions, or --days of the project's own.")
    if args.file is None:
        begun = ask(client, "POST", "/backtest", days=args.days)
    else:
        with opened(args.file) as file:
            lines = file.read().removeprefix(BOM_UTF8)
        begun = document(client.post("/backtest", cast_to=httpx2.Response, content=lines, options={"headers": LINES}))
    job = _waited(client, str(begun["job_id"]))
    if job["status"] == "failed":
        raise Failed("The server gave up: try again.", "failed")
    result, rejected = job["result"], job["rejected"]
    terminal.show({**result, "rejected": rejected}, _lines(result, most=args.pairs))
    return tell_rejected(terminal, rejected, result["errors"])


def _waited(client: Client, job_id: str) -> dict[str, Any]:
    with Progress("Trying", None) as progress:
        while True:
            job = ask(client, "GET", f"/cache/jobs/{job_id}")
            if job["status"] in ("done", "failed"):
                return job
            progress.total = job["total"] or None
            progress.reach(job["done"])
            time.sleep(PAUSE_SECONDS)


def _lines(result: dict[str, Any], *, most: int) -> list[str]:
    heads = ("promise", "floor", "exact", "similar", "hit rate", "expected wrong", "saved")
    rows = [
        (
            f"{one['max_wrong_hit_rate']:.1%}",
            f"{one['similarity_floor']:.2f}",
            f"{one['exact_hits']:,}",
            f"{one['similar_hits']:,}",
            f"{one['hit_rate']:.1%}",
            f"{one['expected_wrong']:.1f} ({one['expected_wrong_low']:.1f} to {one['expected_wrong_high']:.1f})",
            f"${one['saved_usd']}",
        )
        for one in result["settings"]
    ]
    counts = f"Questions: {result['questions']:,}; looked up: {result['looked_up']:,}"
    shown = [f"{counts}; of unknown cost: {result['unpriced']:,}."]
    if reworded := result.get("reworded"):
        shown.append(
            f"Not among them: {reworded:,} hits by similarity, whose words are not kept: the rates are too low."
        )
    shown += table(heads, rows)
    if result["borderline"] and most:
        pairs = ((f"{one['probability']:.3f}", one["asked"], one["stored"]) for one in result["borderline"][:most])
        shown += ["", "Nearest to the project's own cut:", *table(("p", "asked", "stored"), pairs)]
    return shown
