"""Ask the running service questions as people would, so that a fresh installation has something to show."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api.management import replaying
from cache_api.management.progress import bar
from cache_api.management.replaying import NoService

QUESTIONS = Path(__file__).parents[1] / "demo_questions.txt"


class Command(BaseCommand):
    help = "Ask the running service some hundred built-in questions, many of them in several wordings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--calls", type=int, default=600, help="how many")
        parser.add_argument("--seed", type=int, default=1, help="of what is asked, and in which order")
        parser.add_argument("--model", default="demo-small")
        parser.add_argument("--key", default="", help="the demo key by default")
        parser.add_argument("--base-url", default="", help="with /v1; the running stack's by default")
        parser.add_argument("--concurrency", type=int, default=4)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            service = replaying.service_of(options["base_url"], options["key"], model=options["model"], namespace="")
        except NoService as error:
            raise CommandError(str(error)) from None
        questions = replaying.traffic(replaying.read_topics(QUESTIONS), calls=options["calls"], seed=options["seed"])
        answered = replaying.replay(
            questions, service, concurrency=options["concurrency"], progress=bar(self.stdout, len(questions))
        )
        outcome = replaying.judge(answered, wrong_shown=0)
        if not outcome.decisions:
            raise CommandError(f"No question was answered: is the stack running at {service.base_url}?")
        for name, count in sorted(outcome.decisions.items()):
            self.stdout.write(f"  {name:<28} {count:>6,}")
        for name, count in sorted(outcome.failed.items()):
            self.stdout.write(f"  failed: {name:<20} {count:>6,}")
        self.stdout.write(f"\n{outcome.hits:,} of {outcome.asked:,} came from the cache.{_where()}")


def _where() -> str:
    """Where that can be seen, if this home knows."""
    try:
        demo = json.loads((settings.HOME / "demo.json").read_text())
        return f" See {demo['dashboard_url']}, signed in as {demo['email']}; figures come within two minutes."
    except (OSError, ValueError, KeyError):
        return ""
