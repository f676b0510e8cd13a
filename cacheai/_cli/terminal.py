"""What does a person at a terminal, or a program behind a pipe, get to see?"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TextIO
from unicodedata import category

import httpx2
from openai import APIStatusError

from .._errors import CacheError

REDRAWN_SECONDS: Final = 0.1
LINE_SECONDS: Final = 10.0  # between two lines where nothing can be redrawn
WIDTH_WITHOUT_TERMINAL: Final = 160
BAR_WIDTH: Final = 24
FALLBACK_COLUMNS: Final = 80  # of a terminal that does not tell
ARGUMENT: Final = re.compile(r"\b(api_key|base_url)\b")


class Failed(Exception):
    """It could not be done."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def told_by(error: APIStatusError) -> tuple[str, str]:
    """The server's own sentence and word for what is wrong."""
    if isinstance(error.body, Mapping):
        return str(error.body.get("message") or error.message), str(error.body.get("code") or error.status_code)
    message = error.message if is_ours(error.response) else in_options(f"{error.message}. {CacheError.__doc__}")
    return message, str(error.status_code)


def is_ours(answer: httpx2.Response) -> bool:
    """Else it is of whoever answers at that address."""
    return "x-cacheai-request-id" in answer.headers


def in_options(message: str) -> str:
    """What the client says of its arguments, said of the command's options."""
    return ARGUMENT.sub(lambda found: f"--{found[0].replace('_', '-')}", message)


class Misused(Exception):
    """The line cannot be understood, or says too little."""


@dataclass(frozen=True)
class Terminal:
    """Results go to stdout, as text or as one JSON document; all else goes to stderr."""

    as_json: bool = False

    def show(self, document: Any, lines: Iterable[str]) -> None:
        """`lines` are only made where they are wanted."""
        if self.as_json:
            _write(sys.stdout, json.dumps(document, indent=2, default=str))
            return
        for line in lines:
            _write(sys.stdout, line)

    def say(self, line: str) -> None:
        _write(sys.stderr, line)

    def fail(self, message: str, code: str) -> None:
        self.show({"error": {"message": message, "code": code}}, ())
        self.say(f"cacheai: {plain(message)}")

    def confirm(self, question: str) -> bool:
        """Raises Misused where nobody can be asked."""
        if not sys.stdin.isatty():
            raise Misused(f"{question} Without a terminal nobody can be asked: repeat it with -y, or -n to count only.")
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


@dataclass
class Progress:
    """How far long work is: done, total, rate, time left."""

    doing: str
    total: int | None
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    now: Callable[[], float] = time.monotonic
    done: int = 0
    _began: float = 0.0
    _shown: float = 0.0
    _drawn: bool = False

    def __post_init__(self) -> None:
        self._began = self._shown = self.now()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            self._draw()
            self.stream.write("\n")

    def reach(self, done: int) -> None:
        self.done = done
        redraws = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        if self.now() - self._shown < (REDRAWN_SECONDS if redraws else LINE_SECONDS):
            return
        self._shown = self.now()
        if redraws:
            self._draw()
        else:
            _write(self.stream, self.line())

    def line(self) -> str:
        seconds = self.now() - self._began
        rate = self.done / seconds if seconds > 0 else 0.0
        if not self.total:
            return f"{self.doing}: {self.done:,}, {rate:,.0f}/s"
        share = min(1.0, self.done / self.total)
        left = f"{_duration((self.total - self.done) / rate)} left" if rate else "time left unknown"
        return f"{self.doing}: {self.done:,} of {self.total:,} ({share:.0%}), {rate:,.0f}/s, {left}"

    def _draw(self) -> None:
        bar, line = "", self.line()
        width = _columns(self.stream) - 1  # What reaches the edge would go on below, and stay there.
        if self.total and width >= BAR_WIDTH + len("[] ") + len(line):
            full = round(BAR_WIDTH * min(1.0, self.done / self.total))
            bar = f"[{'#' * full}{'.' * (BAR_WIDTH - full)}] "
        self.stream.write(f"\r\x1b[K{bar}{cut(line, width)}")
        self.stream.flush()
        self._drawn = True


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    """Columns as wide as their widest cell; the last one takes what the terminal has left."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in [list(heads), *cells]) for n in range(len(heads) - 1)]
    left = max(20, _width() - sum(widths) - 2 * len(widths))
    for row in [list(heads), *cells]:
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield f"{start}  {cut(row[-1], left)}".rstrip()


def pairs(named: Mapping[str, object]) -> Iterable[str]:
    width = max(len(name) for name in named)
    return (f"{name.ljust(width)}  {one_line(value)}" for name, value in named.items())


def one_line(value: object) -> str:
    return " ".join(plain("" if value is None else str(value)).split())


def plain(text: str) -> str:
    """Without what would steer a terminal: an answer may hold anything."""
    return "".join(letter if category(letter) != "Cc" or letter in "\n\t" else "\ufffd" for letter in text)


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _width() -> int:
    return _columns(sys.stdout) if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL


def _columns(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or FALLBACK_COLUMNS
    except OSError:
        return FALLBACK_COLUMNS


def _write(stream: TextIO, line: str) -> None:
    """Whatever the terminal's letters are: what it has not is written as an escape."""
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
