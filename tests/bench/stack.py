"""What is measured of ours: the stack as `make run` starts it, in a home of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180
STOP_SECONDS = 20


class NotStarted(Exception):
    """A server did not come up; the message says what it printed last."""


@dataclass(frozen=True)
class Stack:
    home: Path
    base_url: str
    demo_url: str
    pids: dict[str, int]

    def control(self, **settings: Any) -> Any:
        """Tell the demo provider how to behave, or with nothing, ask what it was asked."""
        address = self.demo_url.removesuffix("/v1") + "/control"
        data = json.dumps(settings).encode() if settings else None
        with urlopen(Request(address, data, {"Content-Type": "application/json"}), timeout=30) as response:
            return json.load(response)


@contextlib.contextmanager
def running(home: Path, *, models: Path) -> Iterator[Stack]:
    """`models` outlives the home: exporting the model is set-up, done once. Raises NotStarted."""
    home.mkdir(parents=True, exist_ok=True)
    models.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "CACHEAI_HOME": str(home),
        "CACHEAI_MODELS": str(models),
        "CACHEAI_WEB_WORKERS": "1",
    }
    for name in ("DATABASE_URL", "DATABASE_APP_URL", "REDIS_URL"):
        environment.pop(name, None)
    command = [sys.executable, "manage.py", "runstack", "--port", "0"]
    with started(command, log=home / "terminal.log", environment=environment) as process:
        ready = home / "ready.json"
        wait_until(ready.exists, process, home / "terminal.log", START_SECONDS)
        told = json.loads(ready.read_text())
        yield Stack(home, told["base_url"], told["demo_url"], told["pids"])


@contextlib.contextmanager
def started(command: list[str], *, log: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a session of its own, so that Ctrl-C reaches only us, and we end it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(up: Any, process: "subprocess.Popen[bytes]", log: Path, seconds: float) -> None:
    """Raises NotStarted."""
    ends = time.monotonic() + seconds
    while not up():
        if process.poll() is not None or time.monotonic() > ends:
            last = log.read_text(errors="replace").strip().splitlines()[-5:]
            raise NotStarted(" / ".join(last) or "it printed nothing")
        time.sleep(0.1)
