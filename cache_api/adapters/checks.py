"""How does a pair that is to be looked at reach the worker, and its verdict the books?

The web side lays it down in a thread of its own, sealed, and never waits; what finds no room is let go: it was a
sample.
"""

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID, uuid4

import orjson
from django.db import connection

from cache_api.adapters.store import vector_literal
from cache_api.domain.call import new_id
from cache_api.domain.checking import Kind, Wanted
from cache_api.domain.entry import Vector
from cache_api.domain.evidence import CHECKS_OF_ONE_KEY, TRUST
from cache_api.domain.risk import Checked
from cache_api.models import AnswerCheck, Calibration, CheckWanted, Entry
from tenants import isolation, vault
from tenants.hints import hint
from tenants.isolation import as_owner, as_tenant

WAITING_MAX = 1_000
WRITE_SECONDS = 1.0
COLUMN = "check_wanted.body"
CLAIMED = timedelta(minutes=5)  # after which a pair whose worker died is another's
KEPT = timedelta(days=7)
UNPRICED_CHECK_USD = Decimal("0.01")  # a judge without a price is not free
MEASURED = timedelta(days=30)
SERVED = ("hit", "shadow")  # a random sample of what was, or would have been, served

_PUT = (
    "INSERT INTO check_wanted (tenant_id, id, project_id, kind, body, entry_id, bought_id, similarity, probability, "
    "chance, wanted_at, next_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now(), now()) "
    "ON CONFLICT DO NOTHING"
)
_CLAIM = """
UPDATE check_wanted SET next_at = %(until)s, attempts = attempts + 1
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM check_wanted WHERE next_at <= %(now)s ORDER BY next_at LIMIT %(limit)s
  FOR UPDATE SKIP LOCKED)
RETURNING tenant_id, id
"""
_FEEDBACK = """
INSERT INTO feedback (tenant_id, id, project_id, key_id, verdict, asked, vector, embedder, cached, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s::halfvec, %s, %s, %s)
"""
_SPENT = """
SELECT coalesce(sum(coalesce(cost_usd, CASE WHEN priced_at IS NULL THEN 0 ELSE %s END)), 0) FROM call
WHERE tenant_id = %s AND project_id = %s AND origin = 'shadow' AND at >= %s
"""

log = logging.getLogger(__name__)


class WantedChecks:
    """The Checks port."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Wanted] = queue.Queue(WAITING_MAX)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def want(self, wanted: Wanted) -> None:
        try:
            self._waiting.put_nowait(wanted)
        except queue.Full:
            log.info("check_let_go")
            return
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._lay_down, name="checks", daemon=True)
                self._thread.start()

    def _lay_down(self) -> None:
        while True:
            wanted = self._waiting.get()
            try:
                _put(wanted)
                hint("cache_api.default.verify")
            except (isolation.DatabaseUnavailable, vault.VaultUnavailable, orjson.JSONEncodeError) as error:
                log.info("check_let_go", extra={"reason": type(error).__name__})
            except Exception:
                log.exception("check_not_laid_down")


def _put(wanted: Wanted) -> None:
    tenant_id, row_id = wanted.tenant_id, wanted.call_id
    body = vault.seal(tenant_id, orjson.dumps(wanted.asked), column=COLUMN, row_id=row_id)
    values = (
        tenant_id,
        row_id,
        wanted.project_id,
        wanted.kind,
        body,
        wanted.entry_id,
        wanted.bought_id,
        wanted.similarity,
        wanted.probability,
        wanted.chance,
    )
    isolation.write(tenant_id, _PUT, values, deadline_seconds=WRITE_SECONDS)


# -- the worker's side


def claim(now: datetime, *, limit: int) -> list[tuple[UUID, UUID]]:
    """Tenant and id of pairs that are due; nobody else gets them for a while."""
    with as_owner() as owner, owner.cursor() as cursor:
        cursor.execute("DELETE FROM check_wanted WHERE wanted_at < %s", [now - KEPT])
        cursor.execute(_CLAIM, {"now": now, "until": now + CLAIMED, "limit": limit})
        return list(cursor.fetchall())


def wanted(tenant_id: UUID, check_id: UUID) -> tuple[Wanted, int] | None:
    """And how often it was tried. None: it is gone, or cannot be read any more."""
    with as_tenant(tenant_id):
        row = CheckWanted.objects.filter(tenant_id=tenant_id, id=check_id).first()
    if row is None:
        return None
    try:
        asked = vault.unseal(tenant_id, bytes(row.body), column=COLUMN, row_id=row.id)
    except vault.Corrupt:
        forget(tenant_id, check_id)
        return None
    found = Wanted(
        kind=cast(Kind, row.kind),
        tenant_id=tenant_id,
        project_id=row.project_id,
        call_id=row.id,
        asked=orjson.loads(asked),
        entry_id=row.entry_id,
        similarity=row.similarity,
        probability=row.probability,
        chance=row.chance,
        bought_id=row.bought_id,
    )
    return found, row.attempts


def forget(tenant_id: UUID, check_id: UUID) -> None:
    with as_tenant(tenant_id):
        CheckWanted.objects.filter(tenant_id=tenant_id, id=check_id).delete()


def again(tenant_id: UUID, check_id: UUID, at: datetime) -> None:
    with as_tenant(tenant_id):
        CheckWanted.objects.filter(tenant_id=tenant_id, id=check_id).update(next_at=at)


def spent_usd(tenant_id: UUID, project_id: UUID, since: datetime) -> Decimal:
    """What judges took."""
    with as_tenant(tenant_id), connection.cursor() as cursor:
        cursor.execute(_SPENT, [UNPRICED_CHECK_USD, tenant_id, project_id, since])
        spent: Decimal = cursor.fetchone()[0]
    return spent


def verdict_put(found: Wanted, *, right: bool, asked: bytes, vector: Vector | None, now: datetime) -> None:
    """Into the books, once.

    A right doubt makes the bought entry an alias, whose own answer goes on matching, too; a wrong pair never matches
    again.
    """
    tenant_id = found.tenant_id
    with as_tenant(tenant_id):
        heard = Said("judge", found.entry_id, found.similarity, found.probability, right, None, found.call_id)
        _check_put(tenant_id, found.project_id, heard, now, kind=found.kind, chance=found.chance)
        if right and found.bought_id is not None:
            mine = Entry.objects.filter(tenant_id=tenant_id)
            original = mine.filter(id=found.entry_id).values_list("alias_of", flat=True).first()
            mine.filter(id=found.bought_id).exclude(id=found.entry_id).update(alias_of=original or found.entry_id)
        if not right:
            _block(found, asked, vector, now)
        CheckWanted.objects.filter(tenant_id=tenant_id, id=found.call_id).delete()


def _block(found: Wanted, asked: bytes, vector: Vector | None, now: datetime) -> None:
    entry = Entry.objects.filter(tenant_id=found.tenant_id, id=found.entry_id).only("fingerprint").first()
    if entry is None:
        return
    feedback_put(
        found.tenant_id,
        found.project_id,
        None,
        right=False,
        asked=asked,
        vector=vector,
        cached=bytes(entry.fingerprint),
        now=now,
    )


def feedback_put(
    tenant_id: UUID,
    project_id: UUID,
    key_id: UUID | None,
    *,
    right: bool,
    asked: bytes | None,
    vector: Vector | None,
    cached: bytes,
    now: datetime,
) -> None:
    """Inside `as_tenant`. By the vector, rewordings of what was asked are known, too."""
    near, embedder = (None, None) if vector is None or right else (vector_literal(vector), vector.embedder)
    said = ["right" if right else "wrong", asked, near, embedder, cached, now]
    with connection.cursor() as cursor:
        cursor.execute(_FEEDBACK, [tenant_id, new_id(now), project_id, key_id, *said])


@dataclass(frozen=True, slots=True)
class Said:
    """What a caller, member or judge says of an entry's answer to a question."""

    source: str
    entry_id: UUID
    similarity: float
    probability: float
    right: bool
    key_id: UUID | None
    call_id: UUID | None = None


def said_put(tenant_id: UUID, project_id: UUID, heard: Said, now: datetime) -> None:
    """Inside `as_tenant`. Not where this key said enough of this entry."""
    mine = AnswerCheck.objects.filter(tenant_id=tenant_id, entry_id=heard.entry_id, source=heard.source)
    if heard.source == "caller" and mine.filter(key_id=heard.key_id).count() >= CHECKS_OF_ONE_KEY:
        return
    _check_put(tenant_id, project_id, heard, now, kind="feedback", chance=1.0)


def _check_put(tenant_id: UUID, project_id: UUID, heard: Said, now: datetime, *, kind: str, chance: float) -> None:
    check = AnswerCheck(
        tenant_id=tenant_id,
        id=uuid4(),
        project_id=project_id,
        checked_at=now,
        kind=kind,
        source=heard.source,
        entry_id=heard.entry_id,
        similarity=heard.similarity,
        probability=heard.probability,
        chance=chance,
        correct=heard.right,
        trust=TRUST[heard.source],
        key_id=heard.key_id,
        call_id=heard.call_id,
    )
    AnswerCheck.objects.bulk_create([check], ignore_conflicts=True)


# -- the books


def projects_checked_since(since: datetime) -> list[tuple[UUID, UUID]]:
    with as_owner():
        rows = AnswerCheck.objects.filter(checked_at__gte=since).values_list("tenant_id", "project_id").distinct()
        return list(rows)


def checks_of(tenant_id: UUID, project_id: UUID, kinds: Sequence[str], now: datetime) -> Iterator[Checked]:
    """A judge's, of the last 30 days, in order of time."""
    with as_tenant(tenant_id):
        rows = AnswerCheck.objects.filter(
            tenant_id=tenant_id,
            project_id=project_id,
            source="judge",
            kind__in=kinds,
            checked_at__gte=now - MEASURED,
        )
        told = list(rows.order_by("checked_at").values_list("probability", "correct", "chance"))
    return (Checked(probability, not correct, 1 / chance) for probability, correct, chance in told)


def judge_against_members(tenant_id: UUID, project_id: UUID) -> tuple[int, int]:
    """How often a member looked at what the judge had looked at, and how often they differed."""
    with as_tenant(tenant_id):
        rows = AnswerCheck.objects.filter(
            tenant_id=tenant_id, project_id=project_id, source="member", call_id__isnull=False
        ).values_list("call_id", "correct")
        by_member = dict(rows)
        by_judge = AnswerCheck.objects.filter(
            tenant_id=tenant_id, project_id=project_id, source="judge", call_id__in=by_member
        ).values_list("call_id", "correct")
        both = [(correct, by_member[call_id]) for call_id, correct in by_judge]
    return len(both), sum(judged != said for judged, said in both)


def calibration_of(tenant_id: UUID, project_id: UUID) -> Calibration | None:
    with as_tenant(tenant_id):
        return Calibration.objects.filter(tenant_id=tenant_id, project_id=project_id).first()


def calibration_put(
    tenant_id: UUID,
    project_id: UUID,
    *,
    cut: float | None,
    state: str,
    promise: float,
    checked: int,
    wrong: int,
    foretold: float,
    fitted_at: datetime,
    alarmed_at: datetime | None,
) -> None:
    with as_tenant(tenant_id):
        Calibration.objects.update_or_create(
            tenant_id=tenant_id,
            project_id=project_id,
            defaults={
                "cut": cut,
                "state": state,
                "promise": promise,
                "checked": checked,
                "wrong": wrong,
                "foretold": foretold,
                "fitted_at": fitted_at,
                "alarmed_at": alarmed_at,
            },
        )
