"""Is the wheel the SDK, whole and alone? Built, opened, and used where nothing else is installed."""

import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import cacheai

ROOT = Path(__file__).parents[2]
KEY = "ca-000A7dl5PEW67zZCpFU9uKaHnGgOvQKAR2D5xqf"  # no-real-key

# What a stranger's program does. Loaded modules are told by their first name.
PROGRAM = """
import asyncio, json, sys
import openai
from cacheai import AsyncClient, AuthenticationError, Client, LLMCache, cached_call, wrap_openai

question = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
with Client() as client:
    answer = client.chat.completions.create(**question)
    stream = "".join(c.choices[0].delta.content for c in client.chat.completions.create(stream=True, **question))
    hits = client.cache.stats().hits
    try:
        client.with_options(api_key="ca-wrong").chat.completions.create(**question)
        refused = None
    except AuthenticationError as error:
        refused = error.code

with openai.OpenAI(api_key="sk-own", base_url="https://nowhere.invalid/v1") as theirs, wrap_openai(theirs):
    wrapped = theirs.chat.completions.create(**question).choices[0].message.content

@cached_call()
def asked_once(text):
    return text.upper()

async def ask():
    async with AsyncClient() as client:
        return (await client.chat.completions.create(**question)).choices[0].message.content

print(json.dumps({
    "text": answer.choices[0].message.content,
    "decision": answer.cacheai["decision"],
    "stream": stream,
    "async": asyncio.run(ask()),
    "hits": hits,
    "wrapped": wrapped,
    "cached": asked_once("rayleigh."),
    "refused": refused,
    "home": sys.modules["cacheai"].__file__,
    "server_packages": sorted({"django", "celery", "redis", "torch"} & {n.partition(".")[0] for n in sys.modules}),
}))
"""

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Rayleigh."}, "finish_reason": "stop"}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_750_000_000,
    "model": "gpt-5-mini",
    "choices": [CHOICE],
    "cacheai": {"decision": "hit", "layer": "exact"},
}
CHUNK = ANSWER | {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Rayleigh."}}]}
STATS = {"hits": 7, "misses": 3, "total_lookups": 10, "hit_rate": 0.7}


class Stub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self._answer(401, json.dumps({"error": {"message": "No.", "code": "invalid_api_key"}}))
        elif asked.get("stream"):
            self._answer(200, f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n", kind="text/event-stream")
        else:
            self._answer(200, json.dumps(ANSWER))

    def do_GET(self) -> None:
        self._answer(200, json.dumps(STATS))

    def _answer(self, status: int, body: str, *, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-CacheAI-Request-Id", "stub")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """A test that passes has nothing to say."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Python and the command are, with the wheel and what it needs beside them and nothing else."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    installed = subprocess.run(
        [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel],
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    return venv / "bin"


@pytest.fixture
def stub_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_the_wheel_holds_the_sdk_and_nothing_of_the_server(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    home = ROOT / "cacheai"
    folders = [path for folder in ("_cli", "integrations") for path in (home / folder).glob("*.py")]
    sdk = [*home.glob("_*.py"), *folders, home / "py.typed"]
    assert held == {str(path.relative_to(ROOT)) for path in sdk}


def test_the_wheel_needs_openai_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(path).decode())

    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [re.split(r"[<>=]", line)[0].strip() for line in needed] == ["openai"]
    assert metadata["Version"] == cacheai.__version__
    assert {"pydantic-ai", "langchain"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_wheel_works_where_nothing_else_is_installed(programs: Path, stub_url: str, tmp_path: Path) -> None:
    environment = {"CACHEAI_API_KEY": KEY, "CACHEAI_BASE_URL": stub_url, "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        [programs / "python", "-I", "-c", PROGRAM],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr

    told = json.loads(ran.stdout)
    assert Path(told.pop("home")).is_relative_to(programs.parent)
    assert told == {
        "text": "Rayleigh.",
        "decision": "hit",
        "stream": "Rayleigh.",
        "async": "Rayleigh.",
        "hits": 7,
        "wrapped": "Rayleigh.",
        "cached": "RAYLEIGH.",
        "refused": "invalid_api_key",
        "server_packages": [],
    }


def test_the_command_works_where_nothing_else_is_installed(programs: Path, stub_url: str, tmp_path: Path) -> None:
    environment = {"CACHEAI_API_KEY": KEY, "CACHEAI_BASE_URL": stub_url, "NO_PROXY": "127.0.0.1", "PATH": "/usr/bin"}

    def command(*line: str) -> "subprocess.CompletedProcess[str]":
        whole = [programs / "cacheai", *line]
        return subprocess.run(whole, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert command("--version").stdout == f"cacheai {cacheai.__version__}\n"
    told = command("stats", "--json")
    assert (told.returncode, json.loads(told.stdout), told.stderr) == (0, STATS, "")
    assert command("nothing").returncode == 2
    served = command("serve")
    assert served.returncode == 1
    assert "make run" in served.stderr
