"""Which words does the command understand?"""

import argparse
import re
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, TypeAlias

from .._config import __version__
from . import blocklist, entries, transfer
from .backtest import backtest
from .completion import completion
from .doctor import doctor
from .serving import serve
from .terminal import Misused

Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"

SECONDS_OF: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
STATUSES: Final = ("live", "expired", "quarantined")


class Parser(ArgumentParser):
    """Knows `--help` alone, and lets the four options of every verb stand anywhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"add_help": False, "allow_abbrev": False, **options})
        everywhere = self.add_argument_group("everywhere")
        everywhere.add_argument("--help", action="help", help="say this and end")
        everywhere.add_argument("--version", action="version", version=f"cacheai {__version__}", help="say which it is")
        # SUPPRESS: a verb's default would undo what stood before the verb.
        everywhere.add_argument("--base-url", metavar="URL", default=SUPPRESS, help="else CACHEAI_BASE_URL")
        everywhere.add_argument("--api-key", metavar="KEY", default=SUPPRESS, help="else CACHEAI_API_KEY")
        everywhere.add_argument("--json", action="store_true", default=SUPPRESS, help="one JSON document on stdout")

    def error(self, message: str) -> NoReturn:
        raise Misused(f"{message}\n{self.format_usage().rstrip()}\nMore: {self.prog} --help")


def read(line: Sequence[str]) -> Namespace:
    """Raises Misused."""
    return parser().parse_args(line, Namespace(base_url=None, api_key=None, json=False))


def parser() -> Parser:
    whole = Parser(prog="cacheai", description="The cache of LLM answers, from the command line.")
    verbs = whole.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    _stats(verbs)
    _list(verbs)
    _show(verbs)
    _purge(verbs)
    _export(verbs)
    _import(verbs)
    _lookup(verbs)
    _blocklist(verbs)
    _backtest(verbs)
    _verb(verbs, "doctor", doctor, "find the usual mistakes and say what to do", is_local=True)
    _serve(verbs)
    one = _verb(verbs, "completion", completion, "print what a shell completes by", is_local=True)
    one.add_argument("shell", choices=("bash", "zsh", "fish"))
    one.set_defaults(make_parser=parser)
    return whole


def _verb(
    verbs: Verbs, name: str, run: Callable[..., int], help_text: str, *, is_local: bool = False, **defaults: Any
) -> Parser:
    one = verbs.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
    one.set_defaults(run=run, is_local=is_local, **defaults)
    return one


def _stats(verbs: Verbs) -> None:
    one = _verb(verbs, "stats", entries.stats, "what the cache did and holds")
    one.add_argument("-v", "--verbose", action="store_true", help="by provider and model, too")
    one.add_argument("--since", type=_moment, metavar="TIME", help="ISO 8601, or how long ago: 30m 24h 7d")


def _list(verbs: Verbs) -> None:
    for name, help_text in (("list", "entries, the newest first"), ("entries", "the same as list")):
        one = _verb(verbs, name, entries.listed, help_text)
        _filters(one)
        one.add_argument("-l", "--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
        one.add_argument("-o", "--offset", type=_number, metavar="N", help="leave out the first ones")
        one.add_argument("-q", "--query", metavar="TEXT", help="by meaning, the nearest first")
        one.add_argument("--status", choices=STATUSES)


def _show(verbs: Verbs) -> None:
    one = _verb(verbs, "show", entries.show, "one entry with its answer")
    one.add_argument("key", metavar="KEY")
    one.add_argument("-o", "--output", metavar="FILE", help="write it there, as JSON")


def _purge(verbs: Verbs) -> None:
    of_name = {
        "purge": ("remove entries that fit all that is given", {}),
        "evict": ("remove what expired: purge -e", {"expired": True}),
        "clear": ("remove all entries: purge -a", {"all": True}),
    }
    for name, (help_text, preset) in of_name.items():
        one = _verb(verbs, name, entries.purge, help_text)
        _filters(one)
        one.add_argument("-k", "--key", action="append", metavar="KEY", help="may be given more than once")
        one.add_argument("-o", "--older", type=_days, metavar="DAYS", help="stored longer ago")
        one.add_argument("-e", "--expired", action="store_true")
        one.add_argument("-a", "--all", action="store_true")
        one.add_argument("--writer", metavar="ID", help="the key that stored them")
        one.add_argument("--depends-on", metavar="NAME", help="name, or name@version")
        one.add_argument("-n", "--dry-run", action="store_true", help="count only")
        one.add_argument("-y", "--yes", "--confirm", action="store_true", help="do not ask")
        one.set_defaults(**preset)


def _export(verbs: Verbs) -> None:
    one = _verb(verbs, "export", transfer.export, "write entries to a file")
    one.add_argument("file", metavar="FILE", help="- is the standard output")
    _filters(one)
    one.add_argument("-f", "--format", choices=transfer.FORMATS, help="jsonl, or json for a file named so")
    one.add_argument("-l", "--limit", type=_count, metavar="N", help="at most so many")


def _import(verbs: Verbs) -> None:
    one = _verb(verbs, "import", transfer.load, "store the entries of a file; again is no harm")
    one.add_argument("file", metavar="FILE", help="- is the standard input")
    one.add_argument("-f", "--format", choices=transfer.FORMATS, help="jsonl, or json for a file named so")
    one.add_argument("--namespace", metavar="NAME", help="for entries that bring none")
    one.add_argument("--tag", action="append", metavar="TAG", help="for entries that bring none; more than once")
    one.add_argument("--ttl", metavar="TIME", help="for entries that bring none: seconds, or 30s 5m 2h 7d")


def _lookup(verbs: Verbs) -> None:
    one = _verb(verbs, "lookup", entries.lookup, "what the cache would say; no model is asked")
    one.add_argument("text", metavar="TEXT")
    one.add_argument("-m", "--model", metavar="NAME")
    one.add_argument("-p", "--provider", metavar="NAME")
    one.add_argument("--system", metavar="TEXT", help="the system prompt, which must match exactly")
    one.add_argument("--threshold", type=_share, metavar="0..1", help="no entry less similar")
    one.add_argument("-l", "--limit", type=_count, metavar="N", help="so many candidates")
    one.add_argument("--fail-on-miss", action="store_true", help="exit 3 unless it is a hit")


def _blocklist(verbs: Verbs) -> None:
    group = verbs.add_parser("blocklist", help="questions that are not answered", description="Blocked questions.")
    inner = group.add_subparsers(title="verbs", metavar="VERB", required=True, dest="blocklist_verb")
    one = _verb(inner, "add", blocklist.add, "block a question and its rewordings")
    one.add_argument("text", metavar="TEXT")
    one.add_argument("-r", "--reason", metavar="TEXT")
    one.add_argument("-c", "--category", metavar="NAME")
    one.add_argument("-s", "--severity", type=int, choices=range(1, 6), metavar="1..5")
    one = _verb(inner, "check", blocklist.check, "whether a question is blocked")
    one.add_argument("text", metavar="TEXT")
    one = _verb(inner, "list", blocklist.listed, "what is blocked, the newest first")
    one.add_argument("-l", "--limit", type=_count, default=50, metavar="N", help="at most so many (50)")
    one.add_argument("-c", "--category", metavar="NAME")
    one = _verb(inner, "remove", blocklist.remove, "let a question be answered again")
    one.add_argument("id", type=_number, metavar="ID")
    one = _verb(inner, "false-positive", blocklist.false_positive, "say that this blocked what it should not")
    one.add_argument("id", type=_number, metavar="ID")


def _backtest(verbs: Verbs) -> None:
    one = _verb(verbs, "backtest", backtest, "try past questions at each setting; no model is asked")
    one.add_argument("file", nargs="?", metavar="FILE", help="a question a line, as JSON; - is the standard input")
    one.add_argument("-d", "--days", type=_days, metavar="DAYS", help="instead: the project's own, so far back")
    one.add_argument("--pairs", type=_number, default=5, metavar="N", help="so many borderline pairs (5)")


def _serve(verbs: Verbs) -> None:
    one = _verb(verbs, "serve", serve, "start the whole service from a source tree", is_local=True)
    one.add_argument("-h", "--host", default="127.0.0.1")
    one.add_argument("-p", "--port", type=_number, default=8100)
    one.add_argument("-r", "--reload", action="store_true", help="start the web processes anew when code changes")


def _filters(one: Parser) -> None:
    one.add_argument("-p", "--provider", metavar="NAME")
    one.add_argument("-m", "--model", metavar="NAME")
    one.add_argument("--namespace", metavar="NAME")
    one.add_argument("--tag", metavar="TAG")


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _count(text: str) -> int:
    if (number := _number(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 3650:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days")
    return days


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 1")
    return share


def _moment(text: str) -> str:
    if ago := re.fullmatch(r"([0-9]{1,6})([smhd])", text, re.ASCII):
        moment = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * SECONDS_OF[ago[2]])
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no time: give 2026-01-31T12:00:00Z, or 24h") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
