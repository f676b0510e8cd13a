"""Does each verb of the installed command do its work on the real service?"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.conftest import START_SECONDS, STOP_SECONDS, Stack
from tests.waiting import wait_until

COMMAND = Path(sys.executable).with_name("cacheai")
QUESTION = "How do I reset my password?"
REWORDED = "How can I reset my password?"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Run:
    """The command, as a team of its own has it in its environment."""
    return runner(stack, stack.new_key(), tmp_path)


def runner(stack: Stack, key: str, folder: Path) -> Run:
    environment = {**os.environ, "CACHEAI_API_KEY": key, "CACHEAI_BASE_URL": stack.base_url}

    def run(*line: str, code: int = 0, **options: Any) -> "subprocess.CompletedProcess[str]":
        ended = subprocess.run(
            [COMMAND, *line], env=environment, cwd=folder, capture_output=True, text=True, timeout=120, **options
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    run.key = key  # type: ignore[attr-defined]
    return run


def document(ended: "subprocess.CompletedProcess[str]") -> Any:
    return json.loads(ended.stdout)


def ask(stack: Stack, run: Run, *questions: str) -> None:
    for question in questions:
        key = {"Authorization": f"Bearer {run.key}"}  # type: ignore[attr-defined]
        assert stack.chat(question, headers={**key, "X-CacheAI-Namespace": ""}).status_code == 200


def test_what_is_cached_is_counted_listed_shown_looked_up_and_removed(stack: Stack, run: Run) -> None:
    ask(stack, run, QUESTION, QUESTION, "What is a semantic cache?")

    stats = document(run("stats", "--json", "--since", "1h"))
    assert (stats["hits"], stats["misses"], stats["entries"]) == (1, 2, 2)
    assert "demo-small" in run("stats", "-v").stdout

    assert QUESTION in run("list", "-m", "demo-small", "-p", "demo", "--status", "live").stdout
    near = document(run("list", "-q", "I forgot my password", "-l", "1", "--json"))["data"]
    assert [one["question"] for one in near] == [QUESTION]
    key = near[0]["cache_key"]
    assert [one["cache_key"] for one in document(run("entries", "-o", "1", "--json"))["data"]] == [key]

    assert "Answer:" in run("show", key).stdout
    run("show", key, "-o", "entry.json")

    hit = run("lookup", REWORDED, "-m", "demo-small", "--fail-on-miss")
    assert hit.stdout.startswith("HIT (")
    assert "Response: " in hit.stdout
    run("lookup", QUESTION, "-m", "demo-small", "--system", "Be brief.", "--fail-on-miss", code=3)

    assert run("purge", "-m", "demo-small", "-n").stdout == "2 entries would go.\n"
    run("purge", "-m", "demo-small", code=2, stdin=subprocess.DEVNULL)
    assert run("purge", "-k", key).stdout == "1 entry removed.\n"
    run("show", key, code=1)
    assert document(run("evict", "--json"))["deleted"] == 0
    assert document(run("clear", "-y", "--json"))["deleted"] == 1
    assert run("list").stdout == "No entries.\n"


def stored(ended: subprocess.CompletedProcess[str], told: str) -> bool:
    """Exactly that, and perhaps how many the index does not have yet: that depends on how far it has come."""
    return bool(re.fullmatch(rf"{re.escape(told)}\n(?:Still to index: .+\n)?", ended.stdout))


@pytest.mark.parametrize("name", ["entries.jsonl", "entries.json"])
def test_what_is_exported_comes_back(stack: Stack, run: Run, tmp_path: Path, name: str) -> None:
    ask(stack, run, QUESTION, "What is a semantic cache?")
    assert run("export", name).stdout == f"2 exported to {name}.\n"
    written = (tmp_path / name).read_bytes()
    run("clear", "-y")

    for _ in range(2):  # again doubles nothing
        assert stored(run("import", name), "2 stored, 0 rejected.")
        assert len(document(run("list", "--json"))["data"]) == 2
    wait_until(
        lambda: run("lookup", REWORDED, "-m", "demo-small").stdout.startswith("HIT ("),
        seconds=60,
        what="the index of what was imported",
    )

    form = name.rpartition(".")[2]
    piped = run("export", "-", "-f", form, "-l", "1").stdout
    assert len(json.loads(piped)["data"] if form == "json" else piped.splitlines()) == 1
    assert stored(run("import", "-", "-f", form, input=written.decode()), "2 stored, 0 rejected.")


def test_past_questions_are_tried_at_each_setting(run: Run, tmp_path: Path) -> None:
    asked = [{"question": text, "cost_usd": "0.01"} for text in (QUESTION, QUESTION, REWORDED)]
    (tmp_path / "past.jsonl").write_text("\n".join(map(json.dumps, asked)))

    result = document(run("backtest", "past.jsonl", "--json"))
    assert (result["questions"], result["looked_up"]) == (3, 3)
    assert {one["exact_hits"] for one in result["settings"]} == {1}
    shown = run("backtest", "past.jsonl").stdout.splitlines()
    assert shown[0] == "Questions: 3; looked up: 3; of unknown cost: 0."
    assert shown[1].split()[:4] == ["promise", "floor", "exact", "similar"]
    assert run("backtest", "--days", "1").stdout.startswith("Questions: 0;")
    assert run("backtest", code=2).returncode == 2
    broken = run("backtest", "-", input='{broken\n\n{"question": "Why?"}\n{}', code=1)
    assert broken.stdout.startswith("Questions: 1;")
    assert [line.partition(":")[0] for line in broken.stderr.splitlines()] == ["line 1", "line 4"]


def test_broken_lines_are_told_and_the_others_are_in(run: Run, tmp_path: Path) -> None:
    good = [json.dumps({"question": f"Question {n}?", "answer": "Yes.", "model": "demo-small"}) for n in range(3)]
    (tmp_path / "in.jsonl").write_text("\n".join([good[0], "{broken", "", good[1], '{"question": 3}', good[2]]))

    ended = run("import", "in.jsonl", "--tag", "faq", "--ttl", "1h", code=1)

    assert stored(ended, "3 stored, 2 rejected.")
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["line 2", "line 5"]
    assert len(document(run("list", "--tag", "faq", "--json"))["data"]) == 3


def test_a_question_is_blocked_and_let_go(run: Run) -> None:
    number = str(document(run("blocklist", "add", QUESTION, "-r", "Legal", "-c", "law", "-s", "3", "--json"))["id"])
    assert f"Blocked by {number} " in run("blocklist", "check", REWORDED).stdout
    assert "Legal" in run("blocklist", "list", "-c", "law", "-l", "5").stdout
    assert run("blocklist", "false-positive", number).stdout == "Noted.\n"
    run("blocklist", "remove", number)
    assert run("blocklist", "check", REWORDED).stdout == "Not blocked.\n"


def test_the_doctor_finds_nothing_wrong_but_a_wrong_key(stack: Stack, run: Run) -> None:
    checks = {one["check"]: one["status"] for one in document(run("doctor", "--json"))["checks"]}
    assert checks.pop("provider key") == "note"  # the demo provider answers
    assert set(checks.values()) == {"ok"}
    assert run("list").stdout == "No entries.\n"

    wrong = run("doctor", "--api-key", stack.api_key[:-1] + "0", code=1)
    assert "-> it may be revoked" in wrong.stdout
    run("doctor", "--base-url", stack.root, code=1)


def test_an_interrupted_export_leaves_no_half_file(stack: Stack, run: Run, tmp_path: Path) -> None:
    """Interrupted while the file is being written: a pipe that nobody reads holds it up."""
    answer = "word " * 4_000
    rows = [{"question": f"Question {n}?", "answer": answer, "model": "demo-small"} for n in range(40)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("import", "in.jsonl")

    environment = {**os.environ, "CACHEAI_API_KEY": run.key, "CACHEAI_BASE_URL": stack.base_url}  # type: ignore[attr-defined]
    # Whoever runs the tests in the background has told them to ignore interrupts, and so their children.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    exporting = subprocess.Popen(
        [COMMAND, "export", "-"],
        env=environment,
        stdout=subprocess.PIPE,
        preexec_fn=heeding,
    )
    assert exporting.stdout is not None
    exporting.stdout.read(1)
    exporting.send_signal(signal.SIGINT)
    try:
        assert exporting.wait(120) == 130
    finally:
        exporting.stdout.close()


def test_serve_starts_the_stack_and_ends_with_it(tmp_path: Path) -> None:
    out = tmp_path / "terminal.log"
    with out.open("wb") as terminal:
        serving = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", "--reload"],
            env={**os.environ, "CACHEAI_HOME": str(tmp_path)},
            cwd=tmp_path,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ends = time.monotonic() + START_SECONDS
        while not (tmp_path / "ready.json").exists():
            assert serving.poll() is None, out.read_text()
            assert time.monotonic() < ends, out.read_text()
            time.sleep(0.1)
        base_url = json.loads((tmp_path / "demo.json").read_text())["base_url"]
        assert requests.get(f"{base_url.removesuffix('/v1')}/healthz", timeout=30).status_code == 200
    finally:
        serving.send_signal(signal.SIGINT)
        assert serving.wait(STOP_SECONDS + 15) == 0
