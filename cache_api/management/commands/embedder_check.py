"""Does the embed worker answer?"""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api.ports import CacheUnavailable
from cache_api.wiring import parts

PAUSE_SECONDS = 0.5  # Between two tries while Redis is not there yet.


class Command(BaseCommand):
    help = "Wait until the embed worker answers; print its model, its backend and how long a question takes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")

    def handle(self, *, timeout: float, **_: Any) -> None:
        embedder = parts().embedder
        due = time.monotonic() + timeout
        while not embedder.version:
            left = due - time.monotonic()
            if left <= 0:
                raise CommandError(f"The embed worker did not answer within {timeout:g} s")
            try:
                embedder.embed("Is anybody there?", left)
            except CacheUnavailable:
                time.sleep(min(PAUSE_SECONDS, left))

        started = time.monotonic()
        embedder.embed("Is anybody there?", max(1.0, due - started))
        taken_ms = (time.monotonic() - started) * 1000
        self.stdout.write(f"{embedder.version} on {embedder.backend}: {taken_ms:.1f} ms a question")
