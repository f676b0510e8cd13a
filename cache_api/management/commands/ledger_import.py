"""Which rows are only in the log, because neither Postgres nor the disk took them?"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api.adapters import ledger

EVENT = "ledger_spill"


class Command(BaseCommand):
    help = f"Put the rows of `{EVENT}` log lines into the ledger. A row that is there already stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", type=Path, help="log files; none: standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with ledger.connect(ledger.app_conninfo()) as connection:
                taken = 0
                for row in _spilled(_lines(options["files"])):
                    taken += ledger.put_rows(connection, [row])
        except ledger.LedgerDown as error:
            raise CommandError("Postgres did not take the rows: run this again later.") from error
        self.stdout.write(f"{taken} rows taken.")


def _lines(files: list[Path]) -> Iterator[str]:
    if not files:
        yield from sys.stdin
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            yield from lines


def _spilled(lines: Iterable[str]) -> Iterator[bytes]:
    """Whatever a log collector put around them: the event is JSON from the first brace on."""
    for line in lines:
        if EVENT not in line or "{" not in line:
            continue
        try:
            event = json.loads(line[line.index("{") :])
        except ValueError:
            continue
        if event.get("event") == EVENT:
            yield event["row"].encode()
