"""Export the embedding model ahead of the first start."""

from time import perf_counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cache_api.adapters.embedding_model import EmbeddingFailed, load


class Command(BaseCommand):
    help = "Bring the embedding model into the form it is fastest in. Done once; a second run only checks it."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        began = perf_counter()
        self.stdout.write("Preparing the embedding model; the first time takes up to a minute.")
        self.stdout.flush()
        try:
            model = load(settings.EMBEDDING_MODEL, folder=settings.MODELS, threads=settings.EMBEDDING_THREADS)
        except EmbeddingFailed as error:
            raise CommandError(f"The embedding model cannot be prepared: {error}") from error
        self.stdout.write(f"{model.version}, {model.backend}: {perf_counter() - began:.1f} s")
