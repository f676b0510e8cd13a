"""Is long work done once, whoever dies at it; and is a cache warm before somebody asks?"""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Stack
from tests.e2e.with_faults.hurting import tree

ENTRIES = 2_400
LINES = {"Content-Type": "application/x-ndjson"}
WAIT_SECONDS = 180


def job(stack: Stack, job_id: str) -> Any:
    return stack.call("GET", f"/cache/jobs/{job_id}").json()


def wait_for(stack: Stack, job_id: str, reached: Any) -> Any:
    ends = time.monotonic() + WAIT_SECONDS
    while not reached(told := job(stack, job_id)):
        assert time.monotonic() < ends, told
        time.sleep(0.05)
    return told


def test_an_import_whose_worker_is_killed_goes_on_and_doubles_nothing(stack: Stack) -> None:
    words = random.Random(1)
    lines = [
        {"question": f"Question {n}?", "answer": words.randbytes(1_000).hex(), "model": "demo-small", "tags": ["bulk"]}
        for n in range(ENTRIES)
    ]
    lines[10] = {"question": "Without an answer?", "model": "demo-small"}
    sent = b"\n".join(json.dumps(line).encode() for line in lines)
    job_id = stack.call("POST", "/cache/entries", data=sent, headers=LINES).json()["job_id"]

    told = wait_for(stack, job_id, lambda told: told["done"])
    assert told["done"] < ENTRIES - 1, "too quick to be interrupted"
    for pid in tree(stack.pids()["default"]):
        os.kill(pid, signal.SIGKILL)

    told = wait_for(stack, job_id, lambda told: told["status"] == "done")
    assert (told["total"], told["done"], told["rejected"]) == (ENTRIES, ENTRIES - 1, 1)
    assert [error["line"] for error in told["errors"]] == [11]
    exported = stack.call("GET", "/cache/export?tag=bulk").text.splitlines()
    assert len({json.loads(line)["question"] for line in exported}) == len(exported) == ENTRIES - 1


def test_a_file_of_questions_warms_the_cache(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("How do I reset my password?\nWhere is my invoice?\n")
    where = ("--base-url", stack.base_url, "--key", stack.api_key, "--namespace", stack.namespace)
    said = stack.manage("warm_up", str(file), "--model", "demo-small", *where)
    assert "2 of 2" in said
    assert "2 miss" in said
    assert stack.chat("Where is my invoice?").headers["X-CacheAI-Reason"] == "exact"
    assert "2 hit" in stack.manage("warm_up", str(file), *where)


def test_a_fresh_installation_gets_something_to_show(stack: Stack) -> None:
    said = stack.manage("demo_traffic", "--calls", "40")

    assert "40 of 40" in said
    assert "hit exact" in said
    assert stack.root in said
