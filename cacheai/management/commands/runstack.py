"""Which processes make the stack, and what may a newcomer paste once it is up?"""

import contextlib
import errno
import http.client
import json
import os
import signal
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cacheai import embedded
from cacheai.supervisor import Process, Refused, StopRequest, Supervisor

DEFAULT_PORT = 8080
# Below the supervisor's own patience: what is being answered may end, a stream of minutes may not hold up Ctrl-C.
GRACEFUL_SECONDS = 3
READY_TIMEOUT_SECONDS = 2
MODEL_SECONDS = 120  # the first start exports it
# Of each web worker: most of them idle, and what waits for half a request holds no thread.
CONNECTIONS = 8_192
# Stripe's stand-in, while no key is set: it is with the tests, which an image leaves out.
EMULATOR = settings.BASE_DIR / "tests" / "stripe_emulator"
EMULATOR_PORT = 12111
EMULATED_WEBHOOK_SECRET = "whsec_emulated"  # noqa: S105 (it guards nothing)
WELCOME = """
CacheAI is ready.

  Dashboard   {dashboard_url}
  Sign in     {email}   {password}
  API key     {api_key}
  Billing     {billing}
  Processes   {home}/logs

Paste one of these; asked a second time, the answer comes from the cache:

curl {root}/v1/chat/completions -H "Authorization: Bearer {api_key}" -H "Content-Type: application/json" \
-d '{{"model": "{model}", "messages": [{{"role": "user", "content": "What is a semantic cache?"}}]}}'

{python} -c 'from cacheai import Client; print(Client(api_key="{api_key}", base_url="{base_url}")\
.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "What is a semantic cache?"}}])\
.choices[0].message.content)'

Ctrl-C stops everything; the data stays in {home}.
"""


class Command(BaseCommand):
    help = "Start every process of CacheAI on this machine, PostgreSQL and Redis too where no URL names them."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
        parser.add_argument("--reload", action="store_true", help="start web workers anew when code changes")

    def handle(self, *_: Any, host: str, port: int, reload: bool, **__: Any) -> None:
        home = settings.HOME
        try:
            with StopRequest() as stop, Supervisor(home, say=self._say, stop=stop) as supervisor:
                (home / "ready.json").unlink(missing_ok=True)  # A killed supervisor's.
                try:
                    self._run(supervisor, home, host, port, reload=reload)
                finally:
                    (home / "ready.json").unlink(missing_ok=True)
                self._say("Stopping.")
        except (Refused, embedded.CannotEmbed) as reason:
            raise CommandError(str(reason)) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise CommandError(f"The disk of {home} is full: make room and start again.") from None

    def _run(self, supervisor: Supervisor, home: Path, host: str, port: int, *, reload: bool) -> None:
        port = free_port(host, port)
        root = f"http://{_dialled(host)}:{port}"
        demo_port = _port_near(urlsplit(settings.DEMO_URL).port or 0)
        demo_url = f"http://127.0.0.1:{demo_port}/v1"
        self._say(f"Starting CacheAI on {root} (data and logs: {home})")

        ours = {"CACHEAI_HOME": str(home), "CACHEAI_DEMO_URL": demo_url}
        environment = {"CACHEAI_PUBLIC_URL": root, **os.environ, **ours}
        processes = stack(home, root, bind=f"{host}:{port}", demo_port=demo_port, reload=reload)
        has_key = settings.STRIPE_SECRET_KEY not in ("", embedded.EMULATED_STRIPE_KEY)  # that: a killed stack's
        billing = "Stripe, with the key that is set" if has_key else "off: no STRIPE_SECRET_KEY"
        emulator_url = ""
        if not has_key and EMULATOR.is_dir():
            emulator_port = _port_near(EMULATOR_PORT)
            emulator_url = f"http://127.0.0.1:{emulator_port}"
            processes += emulator_processes(home, root, emulator_url, port=emulator_port)
            environment |= {
                "STRIPE_SECRET_KEY": embedded.EMULATED_STRIPE_KEY,
                "STRIPE_WEBHOOK_SECRETS": EMULATED_WEBHOOK_SECRET,
                "STRIPE_API_BASE": emulator_url,
            }
            billing = "Stripe, emulated: no money"
        if not supervisor.start(processes, environment=environment, folder=settings.BASE_DIR):
            return

        demo: dict[str, str] = json.loads((home / "demo.json").read_text())
        addresses = {"base_url": demo["base_url"], "demo_url": demo_url, "stripe_url": emulator_url}
        show = partial(_show, home, supervisor, addresses)
        show()
        self._say(WELCOME.format(**demo, root=root, home=home, python=sys.executable, billing=billing))
        supervisor.watch(changed=show)

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # The terminal is gone; the processes still have to be ended.
            self.stdout.write(line)
            self.stdout.flush()


def stack(home: Path, root: str, *, bind: str, demo_port: int, reload: bool) -> list[Process]:
    data = data_processes(home)
    has_data = frozenset(process.name for process in data)
    has_tables = has_data | {"migrate"}
    # For work in the background nobody waits: it begins when what a newcomer waits for is there.
    is_settled = has_tables | {"selfcheck", "createdemo"}
    python, manage = sys.executable, str(settings.BASE_DIR / "manage.py")

    def worker(queue: str, pool: str, size: int, *, after: frozenset[str]) -> Process:
        what = (
            f"--queues={queue}",
            f"--hostname={queue}@%h",
            f"--pool={pool}",
            f"--concurrency={size}",
        )
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        return Process(queue, (python, "-m", "celery", "-A", "cacheai", "worker", *what, *quiet), after)

    reached = (f"--base-url={root}/v1", f"--dashboard-url={root}/")
    beat = ("-A", "cacheai", "beat", f"--schedule={home / 'beat'}", "--pidfile=")
    return [
        *data,
        Process("migrate", (python, manage, "migrate", "--database=owner", "--no-input"), has_data, once=True),
        Process("selfcheck", (python, manage, "selfcheck"), has_tables, once=True),
        Process("createdemo", (python, manage, "createdemo", *reached), has_tables, once=True),
        Process("demo", (python, "-m", "cacheai.demo_provider", f"--port={demo_port}")),
        # The model takes longest to load, and it needs no table: it begins as soon as there is a queue.
        worker("embed", "threads", 2, after=has_data),
        worker("accounting", "prefork", 1, after=is_settled),
        worker("default", "prefork", 2, after=is_settled),
        Process("beat", (python, "-m", "celery", *beat), is_settled),
        # It makes the self-check's checks itself, before it answers anybody.
        Process(
            "web",
            _gunicorn(bind, reload=reload),
            has_tables,
            ready=partial(web_ready, root, monotonic() + MODEL_SECONDS),
        ),
    ]


def emulator_processes(home: Path, root: str, url: str, *, port: int) -> list[Process]:
    """What is bought on it stays bought: its state is a file of this home."""
    started = ("-m", EMULATOR.relative_to(settings.BASE_DIR).as_posix().replace("/", "."))
    options = (f"--port={port}", f"--state={home / 'stripe.json'}", f"--webhook-secret={EMULATED_WEBHOOK_SECRET}")
    catalogue = (str(settings.BASE_DIR / "manage.py"), "stripe_setup")
    where = (f"--webhook-url={root}/billing/webhook", f"--return-url={root}/")
    return [
        Process("stripe", (sys.executable, *started, *options), ready=partial(_answers, url, "/_emulator/health")),
        Process("stripe_setup", (sys.executable, *catalogue, *where), frozenset({"stripe"}), once=True),
    ]


def data_processes(home: Path) -> list[Process]:
    """PostgreSQL and Redis, each only where no URL names another."""
    ours = embedded.addresses(home)
    processes = []
    if ours.owner_url == settings.DATABASE_URL:
        embedded.prepare(home)
        if embedded.needs_cluster(home):
            processes.append(Process("initdb", embedded.initdb_command(home), once=True))
        processes.append(
            Process(
                "postgres",
                embedded.postgres_command(home),
                frozenset(process.name for process in processes),
                ready=partial(embedded.postgres_ready, home),
                stop_signal=signal.SIGINT,  # PostgreSQL's "do not wait for clients"; SIGTERM would.
            )
        )
    if ours.redis_url == settings.REDIS_URL:
        embedded.prepare(home)
        ready = partial(embedded.redis_ready, home)
        processes.append(Process("redis", embedded.redis_command(home), ready=ready))
    return processes


def web_ready(root: str, give_up_on_model_at: float) -> bool:
    """Up, and the embedding model answers: until then a question in other words would be a miss.

    A model that cannot be loaded holds nothing else up: after a while exact hits are all there is.
    """
    body = _answer(root, "/readyz")
    return body is not None and ("embedder" not in json.loads(body)["degraded"] or monotonic() > give_up_on_model_at)


def _answers(root: str, path: str) -> bool:
    return _answer(root, path) is not None


def _answer(root: str, path: str) -> bytes | None:
    connection = http.client.HTTPConnection(urlsplit(root).netloc, timeout=READY_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_port(host: str, port: int) -> int:
    """The port itself if it is free, or any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refused(
                    f"Port {port} of {host} is taken. Stop what listens there, or choose another: "
                    f"CACHEAI_PORT={port + 1} make run"
                ) from None
            raise Refused(f"Cannot listen on port {port} of {host}: {error.strerror or error}.") from None
        return int(probe.getsockname()[1])


def _port_near(wanted: int) -> int:
    """That one; another where it is taken, by another stack perhaps."""
    try:
        return free_port("127.0.0.1", wanted)
    except Refused:
        return free_port("127.0.0.1", 0)


def _gunicorn(bind: str, *, reload: bool) -> tuple[str, ...]:
    workers = ("--worker-class=cacheai.worker.LingeringWorker", f"--workers={settings.WEB_WORKERS}")
    threads = (*workers, f"--threads={settings.WEB_THREADS}", f"--worker-connections={CONNECTIONS}")
    times = ("--timeout=60", f"--graceful-timeout={GRACEFUL_SECONDS}", "--keep-alive=75")
    # The control socket's default path would be one for all stacks of this user.
    more = (*threads, *times, "--no-control-socket", *(("--reload",) if reload else ()))
    return (sys.executable, "-m", "gunicorn", "cacheai.wsgi", f"--bind={bind}", *more)


def _dialled(host: str) -> str:
    """Where a server that listens on all addresses is found from here."""
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (compared, not bound)


def _show(home: Path, supervisor: Supervisor, addresses: dict[str, str]) -> None:
    _write(home / "ready.json", {**addresses, "pids": supervisor.pids})


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, and for this user alone."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
        Path(draft).replace(path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
