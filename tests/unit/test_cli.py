"""Does the command do what its words say, and end as they say?"""

import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

import cacheai
from cacheai._cli import main, transfer
from cacheai._cli.arguments import parser
from cacheai._cli.terminal import Progress, plain, table
from cacheai._cli.transfer import LARGEST_BYTES, SMALLEST_BYTES, Pace
from tests.unit.command_server import BASE_URL, KEY, CommandServer, entry

INSTALLED = Path(sys.executable).with_name("cacheai")


class Keyboard(io.StringIO):
    """A terminal with somebody at it."""

    def isatty(self) -> bool:
        return True


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """All of stdout is one."""
        return json.loads(self.out)


@dataclass
class Command:
    server: CommandServer
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *line: str, typed: str | None = None, piped: bytes = b"", key: str | None = KEY) -> Ended:
        stdin = Keyboard(typed) if typed is not None else io.TextIOWrapper(io.BytesIO(piped))
        self.monkeypatch.setattr(sys, "stdin", stdin)
        given = () if key is None else ("--api-key", key)
        code = main([*given, *line], connect=self.server.connect)
        told = self.capsys.readouterr()
        return Ended(code, told.out, told.err)


@pytest.fixture
def server() -> CommandServer:
    return CommandServer()


@pytest.fixture
def command(server: CommandServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    for name in [name for name in os.environ if name.startswith("CACHEAI_")]:
        monkeypatch.delenv(name)
    return Command(server, capsys, monkeypatch)


# -- words


@pytest.mark.parametrize(
    "line",
    [
        ("--json", "stats"),
        ("stats", "--json"),
        ("--base-url", BASE_URL, "stats", "--json"),
        ("stats", "--json", "--base-url", BASE_URL),
        ("blocklist", "--json", "list"),
        ("blocklist", "list", "--json"),
    ],
)
def test_what_every_verb_takes_may_stand_anywhere(command: Command, line: tuple[str, ...]) -> None:
    ended = command(*line)
    assert ended.code == 0
    assert isinstance(ended.document, dict)


def test_the_key_comes_from_the_environment_or_the_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = command("stats", key=None)
    assert (missing.code, missing.out) == (1, "")
    assert "--api-key" in missing.err
    assert "CACHEAI_API_KEY" in missing.err
    monkeypatch.setenv("CACHEAI_API_KEY", KEY)
    assert command("stats", key=None).code == 0
    assert command("stats", key="ca-wrong").code == 1  # the line beats the environment


@pytest.mark.parametrize(
    "line",
    [
        (),
        ("nothing",),
        ("list", "--bass"),
        ("list", "-l", "0"),
        ("list", "-l", "many"),
        ("list", "--status", "gone"),
        ("list", "--bas", BASE_URL),  # no guessing at what was begun
        ("show",),
        ("show", "stats"),
        ("show", ".."),
        ("stats", "--since", "yesterday"),
        ("purge", "-o", "-1"),
        ("purge",),
        ("purge", "-y"),
        ("purge", "-n"),
        ("lookup", "Why?", "--threshold", "2"),
        ("export",),
        ("export", "-", "-f", "csv"),
        ("export", "-", "-f", "jsonl", "--json"),
        ("blocklist",),
        ("blocklist", "add", "Why?", "-s", "6"),
        ("blocklist", "remove", "seven"),
        ("serve", "--help-me"),
        ("completion", "tcsh"),
    ],
)
def test_a_line_that_is_not_understood_ends_with_2_and_says_why(command: Command, line: tuple[str, ...]) -> None:
    command.server.hold(3)
    ended = command(*line)
    assert ended.code == 2
    assert ended.err.startswith("cacheai: ")
    assert len(command.server.entries) == 3


def test_help_and_version_are_told(command: Command) -> None:
    assert command("--version").out == f"cacheai {cacheai.__version__}\n"
    assert command("list", "--version").code == 0
    for line in ((), ("list",), ("blocklist", "add"), ("serve",)):
        helped = command(*line, "--help")
        assert helped.code == 0
        assert "--base-url" in helped.out


@pytest.mark.parametrize(
    "line",
    [
        ("stats", "-v"),
        ("list",),
        ("entries",),
        ("show", f"{0:064x}"),
        ("purge", "-n", "-a"),
        ("evict",),
        ("clear", "-y"),
        ("export", "-"),
        ("export", "out.jsonl"),
        ("import", "-"),
        ("lookup", "Question 0?"),
        ("blocklist", "add", "Why?"),
        ("blocklist", "check", "Why?"),
        ("blocklist", "list"),
        ("blocklist", "remove", "1"),
        ("blocklist", "false-positive", "1"),
        ("doctor",),
        ("completion", "bash"),
        ("show", "nothing-here"),  # errors, too
        ("list", "-l", "0"),
    ],
)
def test_with_json_stdout_is_one_document(command: Command, line: tuple[str, ...], tmp_path: Path) -> None:
    command.monkeypatch.chdir(tmp_path)
    command.server.hold(2)
    command.server.blocked[1] = {"id": 1, "query": "Why not?", "category": "general", "severity": 1, "hit_count": 0}
    assert command(*line, "--json").document is not None


# -- what is there


def test_stats_are_told_and_more_of_them_with_v(command: Command) -> None:
    command.server.hold(1200)
    short, long = command("stats"), command("stats", "-v")
    assert "Hit rate        66.7%" in short.out
    assert "Entries         1,200" in short.out
    assert "$0.0034, 1,500 tokens" in short.out
    assert "gpt-5" not in short.out
    assert "gpt-5  3      90      $0.0012" in long.out


@pytest.mark.parametrize(("since", "ago"), [("24h", timedelta(days=1)), ("7d", timedelta(days=7))])
def test_a_time_may_be_said_as_how_long_ago(command: Command, since: str, ago: timedelta) -> None:
    command("stats", "--since", since)
    asked = datetime.fromisoformat(command.server.asked[-1][2]["since"])
    assert abs(datetime.now(UTC) - ago - asked) < timedelta(minutes=1)
    command("stats", "--since", "2026-01-31")
    assert command.server.asked[-1][2]["since"] == "2026-01-31T00:00:00+00:00"


def test_a_list_has_what_was_asked_for(command: Command) -> None:
    command.server.hold(3)
    command.server.hold(2, model="gpt-5-mini", tags=["faq"])
    ended = command("list", "-m", "gpt-5-mini", "--tag", "faq")
    assert [line.split()[0] for line in ended.out.splitlines()[1:]] == [f"{3:064x}", f"{4:064x}"]
    assert "Question 4?" in ended.out
    assert command("list", "-p", "nobody").out == "No entries.\n"
    assert command("entries", "-o", "4", "--json").document["data"] == [command.server.entries[4]]
    command("list", "-q", "Why?", "--status", "live")
    assert command.server.asked[-1][2] == {"q": "Why?", "status": "live", "limit": "50"}


def test_a_long_list_is_asked_for_page_by_page(command: Command) -> None:
    command.server.hold(500)
    document = command("list", "-l", "450", "-o", "20", "--json").document
    assert [one["cache_key"] for one in document["data"]] == command.server.keys[20:470]
    assert document["has_more"]
    assert "-o 470" in command("list", "-l", "450", "-o", "20").err


def test_an_entry_is_shown_with_its_answer(command: Command) -> None:
    command.server.hold(1, answer="Two\nlines.", metadata={"note": "kept"})
    key = command.server.keys[0]
    ended = command("show", key)
    assert "Answer:\nTwo\nlines." in ended.out
    assert '{"note": "kept"}' in ended.out
    assert command("show", key, "--json").document == command.server.entries[0]


def test_an_entry_is_written_to_a_file(command: Command, tmp_path: Path) -> None:
    command.server.hold(1, answer="Größe")
    out = tmp_path / "entry.json"
    assert command("show", command.server.keys[0], "-o", str(out)).code == 0
    assert json.loads(out.read_text("utf-8")) == command.server.entries[0]


def test_what_is_not_there_ends_with_1_and_the_server_s_own_words(command: Command, tmp_path: Path) -> None:
    ended = command("show", "nothing-here", "-o", str(tmp_path / "out"))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "cacheai: There is no entry under this cache key.\n"
    assert list(tmp_path.iterdir()) == []
    assert command("show", "nothing-here", "--json").document["error"]["code"] == "not_found"
    assert command("show", "../stats").code == 2
    assert command.server.asked[-1][1] == "/cache/nothing-here"  # what is no key is not even sent


def test_text_cannot_steer_the_terminal(command: Command) -> None:
    command.server.hold(1, answer="\x1b[2J\x9b31mred\r\n\x00", model="a\nb")
    ended = command("show", command.server.keys[0]).out + command("list").out
    assert not set(ended) & {"\x1b", "\x9b", "\r", "\x00"}
    assert "a b" in ended


# -- what goes


@pytest.mark.parametrize(
    ("line", "sent", "left"),
    [
        (("purge", "-k", f"{0:064x}", "-k", f"{1:064x}"), {"keys": [f"{0:064x}", f"{1:064x}"]}, 4),
        (("purge", "-e"), {"expired": True}, 4),
        (("evict",), {"expired": True}, 4),
        (("evict", "-m", "gpt-5"), {"expired": True, "model": "gpt-5"}, 6),
        (("purge", "-m", "gpt-5", "-y"), {"model": "gpt-5"}, 2),
        (("purge", "-o", "2.5", "-y"), {"older_than_days": 2.5}, 0),
        (("purge", "--writer", "w", "--depends-on", "doc:42", "-y"), {"writer": "w", "depends_on": "doc:42"}, 0),
        (("purge", "-a", "--yes"), {"all": True}, 0),
        (("clear", "-y", "--tag", "none"), {"all": True, "tag": "none"}, 6),
    ],
)
def test_a_purge_sends_its_selectors_and_removes(
    command: Command, line: tuple[str, ...], sent: dict[str, Any], left: int
) -> None:
    command.server.hold(4)
    command.server.hold(2, model="gpt-5-mini", status="expired")
    ended = command(*line)
    assert ended.code == 0
    assert command.server.asked == [("POST", "/cache/purge", sent)]
    assert len(command.server.entries) == left
    assert ended.out.endswith(" removed.\n")


@pytest.mark.parametrize(("typed", "left"), [("y\n", 0), ("Yes\n", 0), ("n\n", 3), ("\n", 3), ("", 3)])
def test_a_purge_shows_the_count_and_asks(command: Command, typed: str, left: int) -> None:
    command.server.hold(3)
    ended = command("purge", "-a", typed=typed)
    assert ended.code == 0  # declined is no error
    assert "This removes 3 entries. Go on? [y/N]" in ended.err
    assert len(command.server.entries) == left


def test_without_a_terminal_a_purge_needs_its_yes(command: Command) -> None:
    command.server.hold(3)
    ended = command("clear")
    assert (ended.code, ended.out, len(command.server.entries)) == (2, "", 3)
    assert "-y" in ended.err


def test_a_dry_run_only_counts_and_nothing_to_remove_is_not_asked_about(command: Command) -> None:
    command.server.hold(1)
    assert command("purge", "-a", "-n").out == "1 entry would go.\n"
    assert command("purge", "-m", "none").out == "0 entries would go.\n"
    assert command("purge", "-a", "-n", "--json").document == {"matched": 1, "deleted": 0, "dry_run": True}
    assert len(command.server.entries) == 1


def test_a_purge_that_goes_on_is_waited_for(command: Command) -> None:
    command.server.hold(3)
    command.server.purges_later = True
    document = command("purge", "-a", "-y", "--json").document
    assert document == {"matched": 3, "deleted": 3, "dry_run": False, "job_id": "late"}


# -- files


def test_an_export_is_a_line_for_each_entry(command: Command, tmp_path: Path) -> None:
    command.server.hold(3)
    command.server.hold(2, model="gpt-5-mini")
    out = tmp_path / "out.jsonl"
    ended = command("export", str(out))
    assert ended.out == f"5 exported to {out}.\n"
    assert [json.loads(line) for line in out.read_text().splitlines()] == command.server.entries
    command("export", str(out), "-m", "gpt-5-mini")
    assert len(out.read_text().splitlines()) == 2
    command("export", str(out), "-l", "4")
    assert len(out.read_text().splitlines()) == 4
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_export_as_json_is_one_document(command: Command, tmp_path: Path, count: int) -> None:
    command.server.hold(count)
    out = tmp_path / "out.json"
    command("export", str(out))
    assert json.loads(out.read_text()) == {"object": "list", "data": command.server.entries}
    assert command("export", "-", "-f", "json").out == out.read_text()
    assert command("export", "-", "--json").document == json.loads(out.read_text())


@pytest.mark.parametrize("file", ["-", "/dev/stdout"])
def test_an_export_to_stdout_holds_nothing_else(command: Command, file: str) -> None:
    command.server.hold(2)
    ended = command("export", file)
    assert [json.loads(line) for line in ended.out.splitlines()] == command.server.entries
    assert ended.err == "2 exported.\n"


@pytest.mark.parametrize("before", [None, "what was there"])
def test_an_export_that_breaks_off_leaves_no_half_file(command: Command, tmp_path: Path, before: str | None) -> None:
    command.server.hold(5)
    command.server.export_breaks_after = 3
    out = tmp_path / "out.jsonl"
    if before is not None:
        out.write_text(before)
    ended = command("export", str(out))
    assert (ended.code, ended.out) == (1, "")
    assert "broke off" in ended.err
    assert [path.read_text() for path in tmp_path.iterdir()] == ([] if before is None else [before])


def test_an_export_that_is_refused_or_has_no_place_is_an_error(command: Command, tmp_path: Path) -> None:
    command.server.scopes.discard("cache:read")
    assert "cache:read" in command("export", str(tmp_path / "out")).err
    assert command("export", str(tmp_path / "none" / "out")).code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_may_not_purge_exports_without_a_total(command: Command, tmp_path: Path) -> None:
    command.server.scopes.discard("cache:purge")
    command.server.hold(2)
    assert command("export", str(tmp_path / "out")).code == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_what_was_exported_is_imported_and_again_doubles_nothing(command: Command, tmp_path: Path, name: str) -> None:
    command.server.hold(3)
    out = tmp_path / name
    command("export", str(out))
    held, command.server.entries = command.server.entries, []
    for _ in range(2):
        ended = command("import", str(out))
        assert (ended.code, ended.out) == (0, "3 stored, 0 rejected.\n")
        assert command.server.entries == held
    command.server.entries = []
    form = "json" if name.endswith(".json") else "jsonl"
    assert command("import", "-", "-f", form, piped=out.read_bytes()).code == 0
    assert command.server.entries == held


def test_broken_lines_are_told_by_their_number_in_the_file(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "Pace", partial(Pace, 500))
    monkeypatch.setattr(Pace, "took", lambda pace, seconds: None)
    lines = [json.dumps(entry(f"{number:064x}")) for number in range(4)]
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join([lines[0], "", "{broken", lines[1], "   ", "also broken", *lines[2:]]))
    ended = command("import", str(file))
    assert (ended.code, ended.out) == (1, "4 stored, 2 rejected.\n")
    assert ended.err == "line 3: This is no JSON.\nline 6: This is no JSON.\n"
    assert len(command.server.entries) == 4
    document = command("import", str(file), "--json").document
    assert (document["total"], document["stored"], document["rejected"]) == (6, 4, 2)
    assert len(command.server.jobs) > 2
    assert [error["line"] for error in document["errors"]] == [3, 6]


def test_a_mark_that_windows_begins_a_file_with_is_no_part_of_its_first_line(command: Command, tmp_path: Path) -> None:
    past = {"question": "Why?"}
    for name, content, verb, told in (
        ("in.jsonl", entry("a"), "import", "1 stored, 0 rejected."),
        ("in.json", [entry("b")], "import", "1 stored, 0 rejected."),
        ("past.jsonl", past, "backtest", "Questions: 1;"),
    ):
        file = tmp_path / name
        file.write_text(json.dumps(content), encoding="utf-8-sig")
        assert command(verb, str(file)).out.startswith(told)


def test_a_backtest_tells_broken_lines_as_an_import_does(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "past.jsonl"
    file.write_text('{"question": "Why?"}\n\nbroken\n{"question": "How?"}\nbroken too\n')
    ended = command("backtest", str(file))
    assert (ended.code, ended.out.split(";")[0]) == (1, "Questions: 2")
    assert ended.err == "line 3: This is no JSON.\nline 5: This is no JSON.\n"
    in_json = command("backtest", str(file), "--json")
    assert (in_json.code, in_json.document["rejected"]) == (1, 2)
    assert [error["line"] for error in in_json.document["errors"]] == [3, 5]
    assert in_json.err == ended.err

    file.write_text("broken\n" * 101)
    many = command("backtest", str(file))
    assert (many.code, len(many.err.splitlines())) == (1, 21)
    assert many.err.endswith("81 more: --json names those the server told.\n")
    assert command("backtest", "-", piped=b'{"question": "Why?"}\n').code == 0


def test_an_import_says_what_is_to_be_indexed_yet(command: Command, tmp_path: Path) -> None:
    command.server.unindexed = 1_200
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(entry("a" * 64)))
    told = "Still to index: 1,200. Until then they are found by the same words alone."
    assert command("import", str(file)).out == f"1 stored, 0 rejected.\n{told}\n"
    assert command("import", str(file), "--json").document["unindexed"] == 1_200


def test_an_import_sends_as_much_at_once_as_some_seconds_take() -> None:
    pace = Pace()
    first = pace.size_bytes
    pace.took(5.0)
    assert pace.size_bytes == first
    for _ in range(20):
        pace.took(0.1)
    assert pace.size_bytes == LARGEST_BYTES
    for _ in range(20):
        pace.took(60.0)
    assert pace.size_bytes == SMALLEST_BYTES


def test_an_import_sends_what_entries_do_not_bring(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(entry("a")))
    assert command("import", str(file), "--namespace", "tests", "--tag", "one", "--ttl", "7d").code == 0
    assert command.server.entries[0]["namespace"] == "tests"


@pytest.mark.parametrize("content", ["{", '{"data": 3}', "3"])
def test_a_file_that_is_no_json_is_said_to_be_none(command: Command, tmp_path: Path, content: str) -> None:
    file = tmp_path / "in.json"
    file.write_text(content)
    ended = command("import", str(file))
    assert ended.code == 1
    assert "in.json" in ended.err
    assert command("import", str(tmp_path / "none")).code == 1


# -- look-ups


def test_a_look_up_says_hit_or_miss(command: Command) -> None:
    command.server.hold(1)
    hit = command("lookup", "Question 0?", "-m", "gpt-5", "-p", "openai", "--system", "Be brief.", "--fail-on-miss")
    assert (hit.code, hit.out.splitlines()[:2]) == (0, ["HIT (6 ms)", "Response: Rayleigh."])
    assert command.server.asked[-1][2]["system"] == "Be brief."
    miss = command("lookup", "Else?", "--threshold", "0.9", "-l", "3")
    assert miss.code == 0
    assert miss.out.startswith("MISS (6 ms)")
    assert "0.7123      floor" in miss.out
    assert command("lookup", "Else?", "--fail-on-miss").code == 3
    assert command("lookup", "Else?", "--fail-on-miss", "--json").document["decision"] == "miss"


# -- the blocklist


def test_a_question_is_blocked_found_and_let_go(command: Command) -> None:
    assert command("blocklist", "list").out == "Nothing is blocked.\n"
    assert command("blocklist", "add", "Why?", "-r", "Legal", "-c", "law", "-s", "3").out == "Blocked as 1.\n"
    assert command("blocklist", "add", "Why?").out == "Blocked already, as 1.\n"
    assert command("blocklist", "check", "Why?").out.startswith("Blocked by 1 (similarity 1.0000): Legal")
    assert command("blocklist", "check", "How?").out == "Not blocked.\n"
    assert "Legal" in command("blocklist", "list", "-l", "5", "-c", "law").out
    assert command("blocklist", "list", "-c", "other").out == "Nothing is blocked.\n"
    assert command("blocklist", "false-positive", "1").out == "Noted.\n"
    assert command("blocklist", "remove", "1").code == 0
    assert command("blocklist", "remove", "1").code == 1


# -- what goes wrong


@pytest.mark.parametrize(
    ("down", "code"),
    [(httpx2.ConnectError("refused"), 1), (httpx2.ReadTimeout("slow"), 1), (KeyboardInterrupt(), 130)],
)
def test_an_end_has_its_code(command: Command, tmp_path: Path, down: BaseException, code: int) -> None:
    command.server.down = down  # type: ignore[assignment]
    ended = command("export", str(tmp_path / "out"))
    assert (ended.code, ended.out) == (code, "")
    assert len(ended.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_import_waits_for_no_answer(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(entry("a")))
    here, over, answered = threading.get_ident(), threading.Event(), threading.Event()

    def late(server: CommandServer, request: httpx2.Request) -> httpx2.Response:
        signal.pthread_kill(here, signal.SIGINT)
        over.wait(30)
        answered.set()
        return httpx2.Response(503)

    monkeypatch.setattr(CommandServer, "handle", late)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # Tests in the background ignore it.
    try:
        ended = command("import", str(file))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ended.code, ended.err) == (130, "cacheai: Interrupted.\n")
    assert not answered.is_set()
    over.set()
    assert answered.wait(30)


@pytest.mark.parametrize("line", [("stats",), ("stats", "--json")])
def test_interrupted_while_it_loads_the_command_ends_as_it_does_later(tmp_path: Path, line: tuple[str, ...]) -> None:
    (tmp_path / "openai.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([INSTALLED, *line], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "cacheai: Interrupted.\n")
    told = json.dumps({"error": {"message": "Interrupted.", "code": "interrupted"}}, indent=2)
    assert ended.stdout == (f"{told}\n" if "--json" in line else "")


def test_a_web_page_is_no_answer(command: Command) -> None:
    command.server.speaks = False
    for line in (("stats",), ("list",), ("lookup", "Why?")):
        ended = command(*line)
        assert ended.code == 1
        assert "--base-url" in ended.err


@pytest.mark.parametrize("answer", [{"json": {}}, {"json": {"data": 1}}, {"json": []}, {"html": "<h1>Sign in</h1>"}])
@pytest.mark.parametrize(
    "line",
    [
        ("stats", "-v"),
        ("list",),
        ("show", "a" * 64),
        ("purge", "-a", "-y"),
        ("export", "out"),
        ("import", "in.jsonl"),
        ("backtest", "in.jsonl"),
        ("backtest", "-d", "1"),
        ("lookup", "Why?"),
        ("blocklist", "add", "Why?"),
        ("blocklist", "check", "Why?"),
        ("blocklist", "list"),
        ("blocklist", "remove", "1"),
        ("blocklist", "false-positive", "1"),
    ],
)
def test_what_another_service_answers_is_no_answer_and_no_backup(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...], answer: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"question": "Why?"}\n')
    Path("out").write_text("the good one")
    command.server.down = httpx2.Response(200, **answer)
    ended = command(*line)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("cacheai: What answered does not speak as CacheAI does: is `--base-url` right?")
    assert Path("out").read_text() == "the good one"


def test_an_error_page_of_something_else_is_no_answer_either(command: Command) -> None:
    command.server.down = httpx2.Response(404, html="<h1>Not found</h1>")
    ended = command("stats")
    assert (ended.code, ended.out) == (1, "")
    assert "404" in ended.err
    assert "--base-url" in ended.err


def test_what_is_no_address_is_told_in_the_command_s_own_words(command: Command) -> None:
    ended = command("stats", "--base-url", "nonsense")
    assert (ended.code, ended.err) == (1, "cacheai: --base-url must be an address with http:// or https://\n")


def test_an_export_may_go_to_a_pipe_that_the_shell_names(command: Command) -> None:
    """As in `>(gzip)`: the name leads to one that is none of a file."""
    command.server.hold(1)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        ended = command("export", f"/dev/fd/{writing}")
        os.close(writing)
        assert (ended.code, len(pipe.read().splitlines())) == (0, 1)


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_stream_that_is_closed_is_as_one_that_nobody_reads(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    command.server.hold(1)
    monkeypatch.setattr(sys, closed, None)
    assert main(["export", str(tmp_path / "out"), "--api-key", KEY], connect=command.server.connect) == 0
    getattr(sys, closed).close()


@pytest.mark.parametrize("line", [("completion", "bash"), ("nothing", "--json")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_is_full_is_told_in_a_line(line: tuple[str, ...], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        ended = subprocess.run([INSTALLED, *line], env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "cacheai: No space left on device\n")


def test_a_folder_that_is_not_there_is_told_by_the_name_that_was_given(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "out"
    assert command("export", str(out)).err == f"cacheai: {out}: No such file or directory\n"


def test_a_folder_is_no_file(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for verb in ("export", "import", "backtest"):
        ended = command(verb, "folder")
        assert (ended.code, ended.err) == (1, "cacheai: folder: Is a directory\n")


def test_long_statistics_stand_in_one_column(command: Command) -> None:
    named = [line for line in command("stats", "-v").out.split("\n\n")[0].splitlines() if line]
    assert len({len(line) - len(line.split("  ", 1)[1].lstrip()) for line in named}) == 1


# -- doctor


def checks(ended: Ended) -> dict[str, str]:
    return {one["check"]: one["status"] for one in ended.document["checks"]}


def test_a_doctor_finds_a_healthy_service_healthy(command: Command) -> None:
    ended = command("doctor", "--json")
    names = ("key", "server", "clock", "key accepted", "provider key", "embedder", "round trip")
    assert (ended.code, checks(ended)) == (0, dict.fromkeys(names, "ok"))
    assert command.server.entries == []  # what it put it removed
    text = command("doctor").out.splitlines()
    assert len(text) == len(names)
    assert KEY not in "".join(text)


@pytest.mark.parametrize(
    ("change", "line", "key", "bad"),
    [
        ({}, (), None, {"key": "failed"}),
        ({}, (), "sk-proj-something-of-openai", {"key": "failed"}),
        ({}, (), KEY[:-1] + "x", {"key accepted": "failed"}),
        ({}, ("--base-url", "https://cache.example.com"), KEY, {"server": "failed"}),
        ({}, ("--base-url", "not an address"), KEY, {"address": "failed"}),
        ({}, (), "ca-ü", {"key": "failed"}),
        ({"down": httpx2.ConnectError("refused")}, (), KEY, {"server": "failed"}),
        ({"speaks": False}, (), KEY, {"server": "failed"}),
        ({"ahead": timedelta(minutes=5)}, (), KEY, {"clock": "failed"}),
        ({"ahead": timedelta(minutes=-5)}, (), KEY, {"clock": "failed"}),
        ({"degraded": ["embedder"]}, (), KEY, {"server": "note", "embedder": "failed"}),
        ({"degraded": ["redis"]}, (), KEY, {"server": "note"}),
        ({"provider_error": (400, "provider_key_missing")}, (), KEY, {"provider key": "failed"}),
        ({"provider_error": (401, "invalid_api_key")}, (), KEY, {"provider key": "failed"}),
        ({"provider_error": (502, "upstream_unreachable")}, (), KEY, {"provider key": "failed"}),
        ({"models": ["demo-small"]}, (), KEY, {"provider key": "note"}),
        ({"scopes": {"proxy", "cache:read"}}, (), KEY, {"key accepted": "note", "round trip": "note"}),
    ],
)
def test_a_doctor_finds_what_is_wrong_and_says_what_to_do(
    command: Command, change: dict[str, Any], line: tuple[str, ...], key: str | None, bad: dict[str, str]
) -> None:
    for name, value in change.items():
        setattr(command.server, name, value)
    ended = command("doctor", "--json", *line, key=key)
    assert {check: status for check, status in checks(ended).items() if status != "ok"} == bad
    assert ended.code == (1 if "failed" in bad.values() else 0)
    assert all(one["to_do"] for one in ended.document["checks"] if one["status"] != "ok")


# -- progress


class Screen(Keyboard):
    def __init__(self, *, redraws: bool) -> None:
        super().__init__()
        self.redraws = redraws

    def isatty(self) -> bool:
        return self.redraws


def worked(screen: Screen, total: int | None) -> str:
    """A thousand steps, 32 a second."""
    seconds = [0.0]
    with Progress("Exporting", total, stream=screen, now=lambda: seconds[0]) as progress:
        for done in range(1000):
            seconds[0] += 1 / 32
            progress.reach(done + 1)
    return screen.getvalue()


def test_without_a_terminal_progress_is_a_line_each_ten_seconds() -> None:
    assert worked(Screen(redraws=False), 1000).splitlines() == [
        "Exporting: 320 of 1,000 (32%), 32/s, 21 s left",
        "Exporting: 640 of 1,000 (64%), 32/s, 11 s left",
        "Exporting: 960 of 1,000 (96%), 32/s, 1 s left",
    ]


def test_on_a_terminal_progress_is_redrawn_in_place() -> None:
    shown = worked(Screen(redraws=True), 1000)
    assert shown.count("\n") == 1
    assert shown.endswith("1,000 of 1,000 (100%), 32/s, 0 s left\n")
    assert 200 < shown.count("\r") < 320


def test_on_a_narrow_terminal_progress_stays_on_its_line() -> None:
    reading, writing = os.openpty()
    termios.tcsetwinsize(writing, (24, 40))
    seconds = itertools.count()
    with (
        os.fdopen(writing, "w") as terminal,
        Progress("Importing", 100_000, terminal, lambda: next(seconds)) as progress,
    ):
        progress.reach(12_345)
        terminal.flush()
        shown = os.read(reading, 4096).decode()
    os.close(reading)
    assert len(shown.removeprefix("\r\x1b[K")) == 39
    assert shown.startswith("\r\x1b[KImporting: 12,345 of 100,000 (12%)")


def test_without_a_total_there_is_no_time_left() -> None:
    assert worked(Screen(redraws=False), None).splitlines()[0] == "Exporting: 320, 32/s"


def test_work_that_is_done_at_once_shows_nothing() -> None:
    screen = Screen(redraws=True)
    with Progress("Exporting", 1, stream=screen, now=lambda: 0.0) as progress:
        progress.reach(1)
    assert screen.getvalue() == ""


def test_a_table_has_columns_and_plain_text() -> None:
    assert list(table(("A", "B"), [("one", "x\ny"), ("a longer one", None)])) == [
        "A             B",
        "one           x y",
        "a longer one",
    ]
    assert plain("ünï\u200dcode\t\x07") == "ünï\u200dcode\t\ufffd"


# -- completion

BASH = shutil.which("bash")


def completed(command: Command, typed: str) -> set[str]:
    """What bash itself would offer for the last word."""
    script = command("completion", "bash").out
    words = typed.split(" ")
    line = " ".join(f"'{word}'" for word in words)
    asked = (
        f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _cacheai; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    told = subprocess.run([BASH or "bash", "-c", asked], capture_output=True, text=True, check=True)
    assert told.stderr == ""
    return set(told.stdout.split())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("cacheai st", {"stats"}),
        ("cacheai e", {"entries", "evict", "export"}),
        ("cacheai list --st", {"--status"}),
        ("cacheai list --status ", {"live", "expired", "quarantined"}),
        ("cacheai --json list --name", {"--namespace"}),
        ("cacheai --api-key ca-x blocklist ", {"add", "check", "list", "remove", "false-positive"}),
        ("cacheai blocklist add --sev", {"--severity"}),
        ("cacheai export --format j", {"jsonl", "json"}),
        ("cacheai completion ", {"bash", "zsh", "fish"}),
        ("cacheai export out", set()),  # then bash completes files
    ],
)
def test_bash_completes_what_the_command_takes(command: Command, typed: str, offered: set[str]) -> None:
    found = completed(command, typed)
    assert {word for word in found if not (typed.endswith(" ") and word.startswith("-"))} == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_verb_and_option_is_completed_in_every_shell(command: Command, shell: str) -> None:
    script = command("completion", shell).out
    for verb in parser()._subparsers._group_actions[0].choices:  # type: ignore[union-attr]
        assert verb in script
    for option in ("depends-on", "fail-on-miss", "false-positive"):
        assert option in script


def test_zsh_can_read_the_script(command: Command) -> None:
    """After a colon it takes a letter for a modifier: a length has to be a number, or arithmetic."""
    script = command("completion", "zsh").out
    assert "@]:1:$((" in script
    assert ":COMP_" not in script


# -- serve


def test_away_from_a_source_tree_serve_says_how(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cacheai._cli import serving

    monkeypatch.setattr(serving, "TREE", tmp_path)
    ended = command("serve", key=None)
    assert ended.code == 1
    assert "make run" in ended.err
