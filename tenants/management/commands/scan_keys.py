"""Does a file hold an ApiKey that should be nowhere? Ends with 1 if so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import keys

MARK = "no-real-key"  # on a line whose key opens nothing
SKIPPED = frozenset({".git", ".venv", "node_modules", "__pycache__"})
BINARY_SOUGHT_BYTES = 8192


class Command(BaseCommand):
    help = f"Look for well-formed API keys in files and folders; a line marked {MARK} may hold one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        found = [place for path in options["paths"] for file in files_in(path) for place in keys_in(file)]
        if found:
            raise CommandError("\n".join(found))
        self.stdout.write("No key was found.")


def files_in(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise CommandError(f"There is nothing at {path}.")
    if path.is_file():
        yield path
        return
    for one in sorted(path.iterdir()):
        if one.name not in SKIPPED and not one.is_symlink():
            yield from files_in(one) if one.is_dir() else [one]


def keys_in(file: Path) -> Iterator[str]:
    """File, line and the beginning of each key that is not marked: the rest would be one more place it leaked to."""
    if not file.is_file():  # a socket
        return
    raw = file.read_bytes()
    if b"\0" in raw[:BINARY_SOUGHT_BYTES]:
        return
    for number, line in enumerate(raw.decode(errors="replace").splitlines(), start=1):
        if MARK not in line:
            yield from (f"{file}:{number}: {keys.hint(key)}..." for key in keys.find_in(line))
