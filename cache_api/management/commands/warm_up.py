"""Ask the running service a file of questions, so that their answers are there before somebody waits for them."""

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cache_api.management import replaying
from cache_api.management.progress import bar
from cache_api.management.replaying import BadQuestions, NoService


class Command(BaseCommand):
    help = "Ask the running service a file of questions: a line each, or JSON with `question`, `prompt` or `text`."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a question a line, or lines of JSON (.jsonl), gzipped or not")
        parser.add_argument("--model", default="demo-small")
        parser.add_argument("--key", default="", help="the demo key by default")
        parser.add_argument("--base-url", default="", help="with /v1; the running stack's by default")
        parser.add_argument("--namespace", default="")
        parser.add_argument("--concurrency", type=int, default=4)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            service = replaying.service_of(
                options["base_url"], options["key"], model=options["model"], namespace=options["namespace"]
            )
            questions = replaying.read_plain_questions(options["file"])
        except NoService as error:
            raise CommandError(str(error)) from None
        except (OSError, BadQuestions) as error:
            raise CommandError(f"{options['file']}: {error}") from None
        answered = replaying.replay(
            questions, service, concurrency=options["concurrency"], progress=bar(self.stdout, len(questions))
        )
        counts = Counter(one.decision or f"HTTP {one.status or 'without an answer'}" for one in answered)
        self.stdout.write(", ".join(f"{count:,} {name}" for name, count in counts.most_common()))
        if not any(one.decision for one in answered):
            raise CommandError("No question was answered.")
