"""The stack as `make run` starts it, in a home of its own, shared by the tests that do not break it.

Its own parts may be late there: what a call waits for is asked of stacks that are hurt.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.e2e.commands import ROOT, Commands

START_SECONDS = 180
STOP_SECONDS = 15


@dataclass
class Stack:
    """A running service and the demo provider behind it."""

    home: Path
    base_url: str
    api_key: str
    demo_url: str
    process: "subprocess.Popen[bytes]" = field(repr=False)
    namespace: str = ""  # of the test that runs, so that none meets another's entries
    commands: Commands | None = field(default=None, repr=False)

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")

    def pids(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads((self.home / "ready.json").read_text())["pids"]
        return pids

    def call(self, method: str, path: str, *, headers: Any = None, **options: Any) -> requests.Response:
        """An endpoint under /v1, with the demo key."""
        headers = {"Authorization": f"Bearer {self.api_key}", **(headers or {})}
        return requests.request(method, self.base_url + path, headers=headers, timeout=60, **options)

    def chat(self, question: str, *, stream: bool = False, headers: Any = None, **body: Any) -> requests.Response:
        """One call; whatever else it says, it names the demo model."""
        whole = {"model": "demo-small", "messages": [{"role": "user", "content": question}], "stream": stream, **body}
        headers = {"X-CacheAI-Namespace": self.namespace, **(headers or {})}
        return self.call("POST", "/chat/completions", headers=headers, json=whole)

    def control(self, **settings: Any) -> Any:
        """Tell the demo provider how to behave from now on."""
        response = requests.post(self.control_url, json=settings, timeout=30)
        response.raise_for_status()
        return response.json()

    @property
    def control_url(self) -> str:
        """Where the demo provider is told how to behave, and asked what it saw."""
        return self.demo_url.removesuffix("/v1") + "/control"

    def calls_upstream(self) -> int:
        """How often the provider was called since it was last reset."""
        report = requests.get(self.control_url, timeout=30).json()
        return int(report["calls_total"])

    def manage(self, *arguments: str) -> str:
        """A management command against this stack."""
        if self.commands is None:
            at_home = {"CACHEAI_HOME": str(self.home), "CACHEAI_DEMO_URL": self.demo_url}
            self.commands = Commands({**os.environ, **at_home})
        return self.commands.run(*arguments)

    def new_tenant(self, name: str = "") -> str:
        made = self.manage("create_tenant", "--name", name or uuid4().hex, "--email", f"{uuid4().hex}@example.test")
        words = made.split()
        return words[words.index("tenant") + 1]

    def new_key(self, *, tenant: str = "", scopes: str = "", rpm: int = 0) -> str:
        """Of a new tenant, if none is named."""
        narrowed = (*(("--scopes", scopes) if scopes else ()), *(("--rpm", str(rpm)) if rpm else ()))
        key = self.manage("create_key", "--tenant", tenant or self.new_tenant(), *narrowed).split()
        return key[key.index("key") + 1]

    def stop(self) -> None:
        if self.commands is not None:
            self.commands.close()
        stop_process(self.process)

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted((self.home / "logs").glob("*.log")))


def start(home: Path, **environment: str) -> Stack:
    """Raises AssertionError with what the stack said, if it does not come up."""
    out = home / "terminal.log"
    with out.open("wb") as terminal:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runstack", "--port", "0"],
            cwd=ROOT,
            env={**os.environ, "CACHEAI_HOME": str(home), **environment},
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ready = home / "ready.json"
    ends = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > ends:
            stop_process(process)
            raise AssertionError(f"the stack did not start:\n{out.read_text()}")
        time.sleep(0.1)
    told = json.loads(ready.read_text())
    demo = json.loads((home / "demo.json").read_text())
    return Stack(home, demo["base_url"], demo["api_key"], told["demo_url"], process)


def stop_process(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="cacheai-e2e-"))
    running = start(home, DJANGO_SETTINGS_MODULE="tests.e2e.patient_settings")
    yield running
    running.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _on_its_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test inherits the provider's moods of another, or its entries."""
    used = [request.getfixturevalue(name) for name in ("stack", "own_stack") if name in request.fixturenames]
    for running in used:
        running.namespace = uuid4().hex
    yield
    for running in used:
        running.control(reset=True)
