"""Is this process alive, and may it be sent calls?"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import orjson
from django.core.handlers.wsgi import WSGIRequest
from django.db import Error as DatabaseError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpResponse
from redis import RedisError

from cache_api import wiring
from cache_api.adapters import catalogue
from cache_api.dialects.errors import Refused
from cache_api.http.answering import JSON, identify, refusal
from cache_api.http.headers import plain_headers
from cache_api.http.paths import wrong_base_url
from cache_api.http.shapes import shape_of
from cache_api.ports import CacheUnavailable
from tenants import isolation
from tenants.authentication import Access

DATABASE_SECONDS = 0.05
EMBED_SECONDS = 0.5
PROBED_FOR_SECONDS = 1.0
EMBED_PROBED_FOR_SECONDS = 5.0  # a probe costs the worker some 10 ms
# So seldom that failing probes alone never open the breaker, which would hold up calls once the worker is there.
EMBED_MISSED_FOR_SECONDS = 2.5
PROBE_TEXT = "ready"
RETRY = {"Retry-After": "1"}

draining = threading.Event()  # set when the process is told to stop


@dataclass(slots=True)
class Probe:
    """Asks a part at most once in a while; whoever comes while it is asked gets the last answer."""

    ask: Callable[[], bool]
    fresh_seconds: float
    fresh_seconds_down: float = PROBED_FOR_SECONDS
    _up: bool = False
    _asked_at: float = float("-inf")
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def up(self) -> bool:
        first = self._asked_at == float("-inf")
        if self._is_fresh():
            return self._up
        if not self._asking.acquire(blocking=first):
            return self._up
        try:
            if not self._is_fresh():
                self._up = self.ask()
                self._asked_at = time.monotonic()
        finally:
            self._asking.release()
        return self._up

    def _is_fresh(self) -> bool:
        fresh_seconds = self.fresh_seconds if self._up else self.fresh_seconds_down
        return time.monotonic() - self._asked_at < fresh_seconds


def health(http: WSGIRequest) -> HttpResponse:
    """Without a key nothing of any tenant; one that may read statistics adds its project's figures."""
    cache: dict[str, object] = {"enabled": True, "embedder": wiring.parts().embedder.version or None}
    limits: Mapping[str, str] = {}
    synthesis = "off"
    if "HTTP_AUTHORIZATION" in http.META or "HTTP_X_API_KEY" in http.META:
        try:
            who = identify(http)
        except Refused as refused:
            return refusal(refused, shape_of(http.path), {})
        limits = who.rate
        if who.access is not None:
            synthesis = _synthesis(who.access)
            if "stats:read" in who.access.scopes:
                cache.update(_figures(who.access))
    return _answer(
        {
            "status": "ok",
            "timestamp": datetime.now(UTC).isoformat(),
            "version": version_here(),
            "cache": cache,
            "cache_backend": "postgresql",
            "synthesis": synthesis,
        },
        headers=limits,
    )


def healthz(http: WSGIRequest) -> HttpResponse:
    return _answer({"status": "ok"})


def readyz(http: WSGIRequest) -> HttpResponse:
    if draining.is_set():
        return _answer({"status": "draining"}, status=503, headers=RETRY)
    if not _migrated.up():
        waiting_for = "starting" if _database.up() else "waiting for the database"
        return _answer({"status": waiting_for}, status=503, headers=RETRY)
    degraded = [name for name, probe in _parts.items() if not probe.up()]
    return _answer({"status": "ready", "degraded": degraded})


def bad_request(http: WSGIRequest, exception: Exception) -> HttpResponse:
    return refusal(Refused(400, "invalid_request", "The request cannot be read."), shape_of(http.path), {})


def not_found(http: WSGIRequest, exception: Exception) -> HttpResponse:
    message = f"There is nothing here.{wrong_base_url(http.path)}"
    return refusal(Refused(404, "not_found", message), shape_of(http.path), {})


def server_error(http: WSGIRequest) -> HttpResponse:
    message = "Internal server error. Please try again or contact support."
    return refusal(Refused(500, "internal_error", message), shape_of(http.path), {})


def _ask_database() -> bool:
    try:
        isolation.read_before_tenant("SELECT 1", (), deadline_seconds=DATABASE_SECONDS)
    except isolation.DatabaseUnavailable:
        return False
    return True


def _ask_redis() -> bool:
    try:
        return bool(wiring.redis_client().ping())
    except (RedisError, OSError):
        return False


def _ask_embedder() -> bool:
    try:
        wiring.parts().embedder.embed(PROBE_TEXT, EMBED_SECONDS)
    except CacheUnavailable:
        return False
    return True


def _ask_migrations() -> bool:
    connection = connections[isolation.APP]
    try:
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return False
    finally:
        connection.close()


def _figures(access: Access) -> dict[str, int]:
    place = catalogue.Place(access.tenant_id, access.project_id)
    try:
        counted = catalogue.counts(place, now=datetime.now(UTC))
    except isolation.DatabaseUnavailable:
        return {}  # `/readyz` says so
    return {"entries": counted.entries, "live": counted.live, "hits": counted.hits}


def _synthesis(access: Access) -> str:
    try:
        return wiring.parts().policies.of(access.tenant_id, access.project_id).synthesis
    except CacheUnavailable:
        return "off"  # as it is while nobody knows the rules


class _Migrated(Probe):
    """What was migrated once stays so: a database lost later only degrades."""

    def up(self) -> bool:
        return self._up or super().up()


_database = Probe(_ask_database, PROBED_FOR_SECONDS)
_migrated = _Migrated(_ask_migrations, PROBED_FOR_SECONDS)
_parts = {
    "database": _database,
    "ledger": Probe(lambda: not wiring.parts().ledger.is_down, PROBED_FOR_SECONDS),
    "redis": Probe(_ask_redis, PROBED_FOR_SECONDS),
    "embedder": Probe(_ask_embedder, EMBED_PROBED_FOR_SECONDS, EMBED_MISSED_FOR_SECONDS),
}


def version_here() -> str:
    try:
        return version("cacheai")
    except PackageNotFoundError:  # a source tree that was not installed
        return ""


def _answer(body: dict[str, object], status: int = 200, headers: Mapping[str, str] = {}) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type=JSON, headers={**plain_headers(), **headers})
