"""Which processes run, in which order do they start, and how does none of them outlive the stack?

Each process is a session of its own, so that it ends with everything it started. The kernel ends it should
the supervisor be killed; what still escapes carries the home's name in its environment, and the next start
ends that.
"""

import contextlib
import ctypes
import enum
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

POLL_SECONDS = 0.05
# To be asked costs a process time that it needs to get ready: the longer it takes, the more seldom it is asked.
ASKED_AGAIN_SHARE = 0.25  # of the time since its start
ASKED_AGAIN_SECONDS_MAX = 1.0
FREE_BYTES_MIN = 200 * 1024 * 1024  # PostgreSQL's first files take 40 MB, its log of changes grows at once.
PATIENCE_SECONDS = 180  # The first start exports the embedding model.
STILL_WAITING_SECONDS = 10
START_FAILURES_MAX = 3
BACKOFF_FIRST_SECONDS = 0.2
BACKOFF_MAX_SECONDS = 5.0
STEADY_SECONDS = 10.0  # Up for so long, a process has earned a quick restart.
# Two steps, what people talk to and then what keeps the data, and all of it within 10 s.
STOP_PATIENCE_SECONDS = 4.0
STOP_ALL_SECONDS = 9.0
KILLED_PATIENCE_SECONDS = 1.0
LEFTOVER_PATIENCE_SECONDS = 4.0
# `make` passes a signal on that its whole group already got: only a later one means impatience.
IMPATIENT_AFTER_SECONDS = 0.5
LOG_BYTES_MAX = 50 * 1024 * 1024
LOG_CHECK_SECONDS = 60
TAIL_LINES = 12
MARK = "CACHEAI_SUPERVISED_HOME"
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


class Refused(Exception):
    """The stack cannot start, or stay up; the message tells a person why."""


@dataclass(frozen=True)
class Process:
    """One command. It is started when all of `after` are up, and it is up when `ready` says so."""

    name: str
    command: Sequence[str]
    after: frozenset[str] = frozenset()
    ready: Callable[[], bool] = lambda: True
    once: bool = False  # Up when it ended well, and never started again.
    stop_signal: signal.Signals = signal.SIGTERM


class State(enum.Enum):
    WAITING = enum.auto()
    STARTING = enum.auto()
    UP = enum.auto()


@dataclass
class _Child:
    process: Process
    log: Path
    state: State = State.WAITING
    popen: subprocess.Popen[bytes] | None = None
    begun_at: float = 0.0
    not_before: float = 0.0
    asked_again_at: float = 0.0
    failures: int = 0

    @property
    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None


@dataclass
class StopRequest:
    """Ctrl-C, SIGTERM or a closed terminal. It only takes notes, so that no moment is a bad one."""

    asked_at: float | None = None
    impatient: bool = False
    _before: dict[int, object] = field(default_factory=dict)

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked_at is None:
            self.asked_at = time.monotonic()
        elif time.monotonic() - self.asked_at > IMPATIENT_AFTER_SECONDS:
            self.impatient = True


class Supervisor:
    """`with Supervisor(home) as it: it.start(...); it.watch(...)`; leaving ends every process."""

    def __init__(self, home: Path, *, say: Callable[[str], None] = print, stop: StopRequest | None = None) -> None:
        self._home = home
        self._say = say
        self._stop = stop or StopRequest()
        self._children: list[_Child] = []
        self._environment: dict[str, str] = {}
        self._folder = Path.cwd()
        self._lock: IO[str] | None = None
        self._all_up = False

    def __enter__(self) -> Self:
        """Make sure that this home is ours alone and has room, and end what a killed supervisor left."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(self._home).free
        if free_bytes < FREE_BYTES_MIN:
            raise Refused(
                f"Only {free_bytes // 1024**2} MB are free for {self._home}, and CacheAI needs "
                f"{FREE_BYTES_MIN // 1024**2} MB to start. Make room, or set CACHEAI_HOME to another disk."
            )

        self._lock = (self._home / "supervisor.lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            raise Refused(
                f"CacheAI already runs in {self._home} (process {holder}). "
                "Stop it first, or set CACHEAI_HOME to another folder."
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        self._end_leftovers()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end_all()
        if self._lock is not None:
            self._lock.close()

    @property
    def pids(self) -> dict[str, int]:
        running = [child for child in self._children if child.running]
        return {child.process.name: child.popen.pid for child in running if child.popen}

    def start(self, processes: Sequence[Process], *, environment: Mapping[str, str], folder: Path) -> bool:
        """Start each as soon as what it needs is up. False: told to stop before all were."""
        self._environment = {**environment, MARK: str(self._home), "PYTHONUNBUFFERED": "1"}
        self._folder = folder
        logs = self._home / "logs"
        logs.mkdir(exist_ok=True)
        self._children = [_Child(process, logs / f"{process.name}.log") for process in processes]
        for child in self._children:
            if child.log.exists():
                child.log.replace(child.log.with_suffix(".log.1"))

        begun_at = said_at = time.monotonic()
        while not self._all_up:
            if self._stop.asked_at is not None:
                return False
            for child in self._children:
                self._advance(child)
            self._all_up = all(child.state is State.UP for child in self._children)
            now = time.monotonic()
            starting = [child for child in self._children if child.state is State.STARTING]
            missing = ", ".join(child.process.name for child in starting)
            if now - begun_at > PATIENCE_SECONDS:
                raise Refused(f"Still not ready after {PATIENCE_SECONDS} s: {missing}. See {logs}.")
            if now - said_at > STILL_WAITING_SECONDS:
                self._say(f"  still waiting for {missing}")
                said_at = now
            time.sleep(POLL_SECONDS)
        return True

    def watch(self, *, changed: Callable[[], None]) -> None:
        """Start again what dies, until told to stop; `changed` is called when a process has a new pid."""
        logs_checked_at = time.monotonic()
        while self._stop.asked_at is None:
            pids = self.pids
            for child in self._children:
                self._advance(child)
            if self.pids.items() - pids.items():
                changed()
            if time.monotonic() - logs_checked_at > LOG_CHECK_SECONDS:
                logs_checked_at = time.monotonic()
                self._bound_logs()
            time.sleep(POLL_SECONDS)

    def _advance(self, child: _Child) -> None:
        now = time.monotonic()
        if child.state is State.WAITING:
            # A restart waits for nobody: calls pass through although what the process needs is down as well.
            if now >= child.not_before and (self._all_up or child.process.after <= self._up()):
                self._spawn(child)
            return

        if not child.running and not (child.process.once and child.state is State.UP):
            self._ended(child)
        elif child.state is State.STARTING and not child.process.once and now >= child.asked_again_at:
            if child.process.ready():
                self._is_up(child)
            else:
                waited = ASKED_AGAIN_SHARE * (now - child.begun_at)
                child.asked_again_at = now + min(waited, ASKED_AGAIN_SECONDS_MAX)

    def _up(self) -> set[str]:
        return {child.process.name for child in self._children if child.state is State.UP}

    def _is_up(self, child: _Child) -> None:
        child.state = State.UP
        word = "done" if child.process.once else "again up" if self._all_up else "up"
        self._say(f"  {child.process.name:<12} {word:<9} {time.monotonic() - child.begun_at:5.1f} s")

    def _spawn(self, child: _Child) -> None:
        parent = os.getpid()

        def end_with_the_supervisor() -> None:
            if sys.platform == "linux":
                _libc.prctl(PR_SET_PDEATHSIG, int(child.process.stop_signal))
                if os.getppid() != parent:  # Killed between the fork and the line above.
                    os._exit(1)

        child.begun_at = time.monotonic()
        child.state = State.STARTING
        child.asked_again_at = 0.0
        with child.log.open("ab") as log:
            child.popen = subprocess.Popen(
                child.process.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
                preexec_fn=end_with_the_supervisor,  # Safe: there are no threads here.
            )

    def _ended(self, child: _Child) -> None:
        assert child.popen is not None  # noqa: S101 (only what was started can end)
        code = child.popen.returncode
        _signal_group(child.popen.pid, signal.SIGKILL)  # What it started must not keep its port.
        if child.process.once and code == 0:
            self._is_up(child)
            return

        how = f"ended by signal {-code}" if code < 0 else f"ended with status {code}"
        child.failures = 1 if time.monotonic() - child.begun_at > STEADY_SECONDS else child.failures + 1
        if not self._all_up and (child.process.once or child.failures >= START_FAILURES_MAX):
            raise Refused(f"{child.process.name} {how}. Its last lines ({child.log}):\n{_tail(child.log)}")

        delay = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (child.failures - 1))
        child.not_before = time.monotonic() + delay
        child.state = State.WAITING
        self._say(f"  {child.process.name:<12} {how}: starting it again")

    def _end_all(self) -> None:
        """Ask, wait, kill; what others need is asked when those others are gone."""
        begun_at = time.monotonic()
        asked_at: dict[str, float] = {}
        alive = [child for child in self._children if child.popen is not None]
        while alive:
            needed = {name for child in alive for name in child.process.after}
            now = time.monotonic()
            for child in alive:
                assert child.popen is not None  # noqa: S101
                name = child.process.name
                if name not in asked_at and name not in needed:
                    asked_at[name] = now
                    _signal(child.popen.pid, child.process.stop_signal)
                if (
                    self._stop.impatient
                    or now - asked_at.get(name, now) > STOP_PATIENCE_SECONDS
                    or now - begun_at > STOP_ALL_SECONDS
                ):
                    _signal_group(child.popen.pid, signal.SIGKILL)
            ended = [child for child in alive if not child.running]
            for child in ended:
                assert child.popen is not None  # noqa: S101
                _signal_group(child.popen.pid, signal.SIGKILL)
            alive = [child for child in alive if child not in ended]
            time.sleep(POLL_SECONDS)
        if self._children:
            self._end_marked(signal.SIGKILL, KILLED_PATIENCE_SECONDS)

    def _end_leftovers(self) -> None:
        """SIGINT is understood by all of ours, and by PostgreSQL as: at once, but in order."""
        for number, patience_seconds in (
            (signal.SIGINT, LEFTOVER_PATIENCE_SECONDS),
            (signal.SIGKILL, KILLED_PATIENCE_SECONDS),
        ):
            if left := _marked(self._home):
                self._say(f"  ending {len(left)} processes that an earlier run left behind")
                self._end_marked(number, patience_seconds)

    def _end_marked(self, number: signal.Signals, patience_seconds: float) -> None:
        """A signal is sent at once and obeyed later: only who is gone has let go of its ports and files."""
        deadline = time.monotonic() + patience_seconds
        told: set[int] = set()
        while (left := set(_marked(self._home))) and time.monotonic() < deadline:
            for pid in left - told:
                _signal(pid, number)
            told |= left
            time.sleep(POLL_SECONDS)

    def _bound_logs(self) -> None:
        """The processes append to open files, so a long one is copied aside and cut, not renamed."""
        for child in self._children:
            try:
                if child.log.stat().st_size > LOG_BYTES_MAX:
                    shutil.copyfile(child.log, child.log.with_suffix(".log.1"))
                    os.truncate(child.log, 0)
            except OSError as error:
                if error.errno == errno.ENOSPC:  # Better no log than no database.
                    os.truncate(child.log, 0)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # Gone; or macOS, and a zombie.
        os.killpg(pid, number)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _marked(home: Path) -> list[int]:
    """Every process that was started for this home, children of children too; zombies have no environment."""
    mark = os.fsencode(f"{MARK}={home}")
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # Another user's, or just gone.
            continue
    return found


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").rstrip().splitlines()[-TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"
