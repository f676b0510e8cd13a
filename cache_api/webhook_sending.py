"""How does an event leave for a tenant's endpoint? Past the same guard of addresses as calls to providers."""

import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from cache_api.adapters.upstream import UrllibUpstream
from cache_api.ports import UpstreamError
from tenants import vault, webhooks
from tenants.webhooks import Due

ANSWER_SECONDS = 10.0
RUN_SECONDS = 60.0  # then the queue's other tasks come in between


def send_due(upstream: UrllibUpstream, now: Callable[[], datetime]) -> int:
    """Send what is due, for a while; how many were taken by their endpoints.

    An endpoint that failed is left alone until the next run: many events for one that hangs hold up nobody else's.
    """
    ends, sent = time.monotonic() + RUN_SECONDS, 0
    failed: set[UUID] = set()
    while time.monotonic() < ends and (due := webhooks.take_due(now(), but_not_to=failed)):
        status, error = _send(upstream, due, now())
        webhooks.note(due, status=status, error=error, now=now())
        if status is not None and 200 <= status < 300:
            sent += 1
        else:
            failed.add(due.endpoint_id)
    return sent


def _send(upstream: UrllibUpstream, due: Due, now: datetime) -> tuple[int | None, str]:
    """The answer's status, or why there is none. A redirect is an answer: nobody goes after it."""
    parts = urlsplit(due.url)
    try:
        headers = webhooks.headers_of(due, now)
        arriving = upstream.relay(
            "POST",
            parts._replace(query="").geturl(),
            headers,
            due.body,
            query=parts.query,
            read_seconds=ANSWER_SECONDS,
            total_seconds=ANSWER_SECONDS,
        )
    except UpstreamError as error:
        return None, str(error).replace("base URL", "address").replace("provider", "endpoint")
    except (vault.Corrupt, vault.VaultUnavailable) as error:
        return None, f"The endpoint's secret cannot be opened: {type(error).__name__}."
    arriving.close()
    return arriving.status, "" if arriving.status < 300 else f"It answered {arriving.status}."
