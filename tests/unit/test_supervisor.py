"""Does the supervisor start in order, restart what dies, and leave nobody behind?

Each test runs one in a process of its own, with tiny processes under it, and does to it what a person or a
crash would: Ctrl-C, SIGTERM, kill -9.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cacheai import supervisor
from cacheai.supervisor import Refused, Supervisor

SLEEP = "time.sleep(600)"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); touch(name); time.sleep(600)"
WITH_A_WORKER = (
    "worker = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)']);"
    "write(f'{name}.worker', str(worker.pid)); time.sleep(600)"
)
# What each tiny process runs: its own line, after these helpers.
PROGRAM = """
import os, pathlib, signal, subprocess, sys, time
home, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def touch(file): (home / file).touch()
def write(file, text): (home / "draft").write_text(text); (home / "draft").replace(home / file)
{line}
"""
# The supervisor under test, loaded without the package around it, which takes a second each time.
DRIVER = """
import importlib.util, json, pathlib, sys
spec = importlib.util.spec_from_file_location("supervisor", sys.argv[3])
sys.modules["supervisor"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from supervisor import Process, Refused, StopRequest, Supervisor

home, specs = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])

def process(name, command, after=(), ready=None, once=False):
    up = (home / ready).exists if ready else lambda: True
    return Process(name, command, frozenset(after), up, once=once)

def show():
    (home / "draft.pids").write_text(json.dumps(it.pids))
    (home / "draft.pids").replace(home / "pids")

say = lambda line: print(line, flush=True)
try:
    with StopRequest() as stop, Supervisor(home, say=say, stop=stop) as it:
        if it.start([process(**spec) for spec in specs], environment={}, folder=home):
            show()
            it.watch(changed=show)
except Refused as reason:
    sys.exit(f"refused: {reason}")
"""


def spec(home: Path, name: str, line: str, **more: Any) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM.format(line=line), str(home), name]
    return {"name": name, "command": command, **more}


class Stack:
    """A supervisor in a process of its own."""

    def __init__(self, home: Path, *specs: dict[str, Any]) -> None:
        home.mkdir(exist_ok=True)
        (home / "pids").unlink(missing_ok=True)
        self.home = home
        self.popen = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(home), json.dumps(specs), supervisor.__file__],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def pids(self) -> dict[str, int]:
        until((self.home / "pids").exists)
        return dict(json.loads((self.home / "pids").read_text()))

    def end(self, number: signal.Signals, *, seconds: float = 10) -> tuple[int, str]:
        self.popen.send_signal(number)
        said, _ = self.popen.communicate(timeout=seconds)
        return self.popen.returncode, said


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = supervisor._marked(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], "a process outlived its stack"


def until(happened: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_starts_when_what_it_needs_is_up(home: Path) -> None:
    last = spec(home, "last", "touch('order-kept' if (home / 'made').exists() else 'too-early');" + SLEEP)
    stack = Stack(
        home,
        last | {"after": ["made", "slow"]},
        spec(home, "made", "time.sleep(0.2); touch('made')", once=True),
        spec(home, "slow", f"time.sleep(0.1); touch('slow-is-up'); {SLEEP}", ready="slow-is-up"),
    )
    assert set(stack.pids) == {"last", "slow"}
    until((home / "order-kept").exists)
    code, said = stack.end(signal.SIGINT)
    assert code == 0
    assert said.index("made") < said.index("last")


def test_a_process_that_takes_its_time_is_asked_ever_more_seldom(home: Path) -> None:
    asked: list[float] = []

    def ready() -> bool:
        asked.append(time.monotonic())
        return asked[-1] - asked[0] > 2

    slow = supervisor.Process("slow", ("sleep", "600"), ready=ready)
    with Supervisor(home, say=lambda _: None) as it:
        assert it.start([slow], environment={}, folder=home)

    assert len(asked) < 25  # 40 if it were asked each time that the supervisor looks


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_stop_ends_every_process(home: Path, number: signal.Signals) -> None:
    stack = Stack(home, spec(home, "web", WITH_A_WORKER), spec(home, "other", SLEEP))
    until((home / "web.worker").exists)
    pids = [*stack.pids.values(), int((home / "web.worker").read_text())]
    assert stack.end(number)[0] == 0
    assert not any(alive(pid) for pid in pids)


def test_what_others_need_is_stopped_after_them(home: Path) -> None:
    goodbye = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep({}), print_end(), sys.exit(0)));"
    helper = "print_end = lambda: (home / 'ends').open('a').write(name + ' ');"
    stack = Stack(
        home,
        spec(home, "data", helper + goodbye.format(0) + f"touch('data-up'); {SLEEP}", ready="data-up"),
        spec(home, "web", helper + goodbye.format(0.3) + f"touch('web-up'); {SLEEP}", ready="web-up")
        | {"after": ["data"]},
    )
    assert len(stack.pids) == 2
    stack.end(signal.SIGTERM)
    assert (home / "ends").read_text().split() == ["web", "data"]


@pytest.mark.parametrize("after_seconds", [0.0, 0.1, 0.3, 0.6])
def test_ctrl_c_in_the_middle_of_the_start_ends_every_process(home: Path, after_seconds: float) -> None:
    stack = Stack(
        home,
        spec(home, "data", WITH_A_WORKER, ready="data.worker"),
        spec(home, "never", SLEEP, ready="no-such-file") | {"after": ["data"]},
    )
    until((home / "supervisor.lock").exists)
    time.sleep(after_seconds)  # Another moment of the start each time: all of them must do.
    stack.end(signal.SIGINT, seconds=5)
    assert not (home / "data.worker").exists() or not alive(int((home / "data.worker").read_text()))


def test_a_process_that_ignores_the_signal_is_killed_in_time(home: Path) -> None:
    stack = Stack(home, spec(home, "stubborn", STUBBORN, ready="stubborn"))
    pid = stack.pids["stubborn"]
    assert stack.end(signal.SIGTERM, seconds=10)[0] == 0
    assert not alive(pid)


def test_a_second_ctrl_c_ends_it_at_once(home: Path) -> None:
    stack = Stack(home, spec(home, "stubborn", STUBBORN, ready="stubborn"))
    assert stack.pids
    stack.popen.send_signal(signal.SIGINT)
    time.sleep(supervisor.IMPATIENT_AFTER_SECONDS + 0.2)  # Sooner is `make` passing the same one on.
    assert stack.end(signal.SIGINT, seconds=1)[0] == 0


def test_a_killed_process_is_back_soon_and_its_worker_is_gone(home: Path) -> None:
    stack = Stack(home, spec(home, "web", WITH_A_WORKER, ready="web.worker"))
    first, worker = stack.pids["web"], int((home / "web.worker").read_text())
    os.kill(first, signal.SIGKILL)
    until(lambda: stack.pids.get("web", first) != first, seconds=5)
    until(lambda: not alive(worker), seconds=1)
    assert "ended by signal 9" in stack.end(signal.SIGINT)[1]


def test_a_process_comes_back_although_what_it_needs_is_down(home: Path) -> None:
    broken = f"touch('broken') if not (home / 'broken').exists() else sys.exit(3); {SLEEP}"
    stack = Stack(home, spec(home, "data", broken, ready="broken"), spec(home, "web", SLEEP) | {"after": ["data"]})
    first = stack.pids
    os.kill(first["data"], signal.SIGKILL)
    os.kill(first["web"], signal.SIGKILL)
    until(lambda: stack.pids.get("web", first["web"]) != first["web"], seconds=5)
    stack.end(signal.SIGINT)


def test_a_process_that_keeps_dying_is_not_started_in_a_hurry(home: Path) -> None:
    count = "(home / 'starts').open('a').write('.');"
    dying = f"{count} sys.exit(1) if (home / 'all-up').exists() else None; {SLEEP}"
    stack = Stack(home, spec(home, "web", dying))
    pid = stack.pids["web"]
    until((home / "starts").exists)
    (home / "all-up").touch()
    os.kill(pid, signal.SIGKILL)
    time.sleep(1.5)
    stack.end(signal.SIGINT)
    assert 2 <= len((home / "starts").read_text()) <= 5


def test_nothing_is_left_when_the_supervisor_is_killed(home: Path) -> None:
    stack = Stack(home, spec(home, "web", SLEEP), spec(home, "other", SLEEP))
    pids = stack.pids.values()
    stack.end(signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), seconds=2)


def test_the_next_start_ends_what_a_killed_supervisor_left(home: Path) -> None:
    killed = Stack(home, spec(home, "web", WITH_A_WORKER, ready="web.worker"))
    assert killed.pids
    worker = int((home / "web.worker").read_text())
    killed.end(signal.SIGKILL)
    assert alive(worker), "this test is about one that got away"
    stack = Stack(home, spec(home, "web", SLEEP))
    assert stack.pids
    assert not alive(worker)
    assert "left behind" in stack.end(signal.SIGINT)[1]


@pytest.mark.parametrize("once", [True, False])
def test_a_process_that_cannot_start_is_a_plain_sentence_with_its_last_lines(home: Path, once: bool) -> None:
    broken = spec(home, "broken", "sys.exit('the port is taken')", once=once, ready="no-such-file")
    stack = Stack(home, broken, spec(home, "other", SLEEP))
    said, _ = stack.popen.communicate(timeout=10)
    assert stack.popen.returncode == 1
    assert "broken ended with status 1" in said
    assert "the port is taken" in said
    assert "Traceback" not in said


def test_two_in_one_home_are_refused(home: Path) -> None:
    stack = Stack(home, spec(home, "web", SLEEP))
    assert stack.pids
    with pytest.raises(Refused, match=f"already runs in .* .process {stack.popen.pid}."), Supervisor(home):
        raise AssertionError("two supervisors in one home")
    stack.end(signal.SIGINT)


def test_a_full_disk_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FREE_BYTES_MIN", 2**62)
    with pytest.raises(Refused, match="Make room"), Supervisor(home):
        raise AssertionError("started on a full disk")


def test_each_process_has_a_log_and_keeps_the_one_before(home: Path) -> None:
    for line in ("the first", "the second"):
        stack = Stack(home, spec(home, "web", f"print({line!r}, flush=True); touch({line!r}); {SLEEP}", ready=line))
        assert stack.pids
        stack.end(signal.SIGINT)
    assert (home / "logs" / "web.log").read_text() == "the second\n"
    assert (home / "logs" / "web.log.1").read_text() == "the first\n"
