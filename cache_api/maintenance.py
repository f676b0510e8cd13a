"""What goes by itself?"""

from datetime import datetime

from tenants.isolation import as_owner

ENTRIES_PER_TRANSACTION = 1_000

# Stale entries may stand in for a failing provider, if a policy allows it: for 30 days at most.
_EXPIRED = """
DELETE FROM entry WHERE (tenant_id, id) IN (
  SELECT entry.tenant_id, entry.id FROM entry LEFT JOIN policy USING (tenant_id, project_id)
  WHERE entry.expires_at < %(now)s
    - make_interval(secs => coalesce((policy.settings->>'stale_on_error_seconds')::float, 0))
  LIMIT %(limit)s FOR UPDATE OF entry SKIP LOCKED)
"""


def expire(now: datetime) -> int:
    """Remove the entries and the pending misses whose time is over; how many."""
    removed = 0
    while count := _delete(_EXPIRED, now):
        removed += count
    return removed + _delete("DELETE FROM pending_miss WHERE expires_at < %(now)s", now)


def _delete(sql: str, now: datetime) -> int:
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(sql, {"now": now, "limit": ENTRIES_PER_TRANSACTION})
        return int(cursor.rowcount)
