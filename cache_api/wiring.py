"""Which parts does this process put together?"""

import threading
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from celery import current_app
from django.conf import settings
from redis import Redis

from cache_api.adapters.addresses import Allowed
from cache_api.adapters.blocklist import PostgresBlocklist
from cache_api.adapters.breaker import Breaker
from cache_api.adapters.checks import WantedChecks
from cache_api.adapters.drains import Drains
from cache_api.adapters.embedding_queue import QueueEmbedder
from cache_api.adapters.error_counts import ErrorCounts
from cache_api.adapters.flights import SharedFlights
from cache_api.adapters.ledger import PostgresLedger
from cache_api.adapters.policies import Policies
from cache_api.adapters.quotas import Quotas
from cache_api.adapters.rates import KnownRates
from cache_api.adapters.store import PostgresStore
from cache_api.adapters.upstream import UrllibUpstream
from cache_api.adapters.used import Used
from cache_api.service import CacheService
from tenants import vault

THREADS_KEPT_FREE = 10  # for hits, while all others wait for providers

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a web process is made of."""

    service: CacheService
    ledger: PostgresLedger
    store: PostgresStore
    blocklist: PostgresBlocklist
    embedder: QueueEmbedder
    upstream: UrllibUpstream
    policies: Policies
    quotas: Quotas
    error_counts: ErrorCounts

    def close(self) -> None:
        """Write what is not written yet."""
        self.ledger.close()
        self.quotas.close()
        self.error_counts.close()


def parts() -> Parts:
    """This process's own, made on the first call."""
    with _lock:
        return _parts()


@cache
def _parts() -> Parts:
    embedder = QueueEmbedder(current_app, settings.REDIS_URL, seal=vault.transport_seal, breaker=Breaker())
    blocklist = PostgresBlocklist(breaker=Breaker())
    redis, known_rates = redis_client(), KnownRates()
    used = Used(redis=redis, redis_breaker=Breaker(), truth_breaker=Breaker())
    quotas = Quotas(used=used, cost_of=known_rates.cost_of)
    store = PostgresStore(reads=Breaker(), writes=Breaker(), stored=quotas.stored)
    ledger, error_counts = PostgresLedger(), ErrorCounts()
    ledger.start()  # rows that an earlier process left wait for no call
    service = CacheService(
        store=store,
        blocklist=blocklist,
        embedder=embedder,
        flights=SharedFlights(redis=redis, breaker=Breaker(), find_exact=store.find_exact),
        ledger=ledger,
        checks=WantedChecks(),
        limits=quotas,
        drain=Drains(),
        cost_of=known_rates.cost_of,
        note_error=error_counts.note,
    )
    upstream = UrllibUpstream(
        allowed=allowed_addresses(),
        denied=tuple(settings.DENY_NETS),
        waiting_max=settings.WEB_THREADS - THREADS_KEPT_FREE,
    )
    return Parts(service, ledger, store, blocklist, embedder, upstream, Policies(), quotas, error_counts)


def redis_client() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=settings.REDIS_TIMEOUT_SECONDS,
    )


@cache
def allowed_addresses() -> Allowed:
    """The operator's exceptions: the demo provider, and what the settings name as host:port."""
    urls = [settings.DEMO_URL, *(f"//{pair}" for pair in settings.UPSTREAM_ALLOWED)]
    named = {(parts.hostname or "", parts.port or 80) for parts in map(urlsplit, urls)}
    if settings.SELF_HOSTED:
        named.add(("127.0.0.1", 11434))  # ollama on this machine
    return frozenset(named)
