"""How does a tenant, or a person, leave for good?

An owner asks, and the tenant is suspended at once: its keys stop within seconds. For seven days it can be taken back.
Then its data keys go first, which makes noise of all it stored, in every copy; then what Redis holds, then each row of
each table that has tenants, as the catalogue names them, so that a new table cannot be forgotten; then its files. What
stays is how many rows of which table there were.

Everything is done in steps that can be cut off and done again: a step and its count are one transaction.
"""

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

import redis
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import IntegrityError
from django.db.models import QuerySet
from psycopg import sql

from tenants import audit, authentication, revocation, selectors, vault
from tenants.audit import Actor
from tenants.isolation import as_owner, as_person, as_tenant, primary_key_of, tenant_tables
from tenants.models import ApiKey, Erasure, Member, Tenant, User

HOLD = timedelta(days=7)
ROWS_AT_A_TIME = 2_000
RUN_SECONDS = 120.0  # then upkeep comes in between
# A ledger row may come late from the spool of a web process: what is gone is looked through again for so long.
LATE_ROWS = timedelta(days=2)
REDIS_TIMEOUT_SECONDS = 5.0
REDIS_KEYS_AT_A_TIME = 1_000

Farewell = Callable[[UUID], None]

# Each table's foreign keys: rows that point go before what they point at, so that each is counted where it was.
_POINTERS = """
    SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND conrelid <> confrelid
"""
log = logging.getLogger(__name__)

_farewells: list[Farewell] = []


class ErasureError(Exception):
    """It cannot be erased, or not be taken back."""


class NoTenant(ErasureError):
    """There is no such tenant."""


class AlreadyAsked(ErasureError):
    """Its erasure was asked for already."""


class NotAsked(ErasureError):
    """Nobody asked to erase it, or it is too late: its keys are destroyed."""


class NotReady(ErasureError):
    """Something elsewhere has to end first, and did not: it is tried again."""


class LastOwner(ErasureError):
    """A team has no other owner: hand it over, or delete it first."""


def before_erasing(farewell: Farewell) -> None:
    """What another app has to end elsewhere, as a subscription. If it raises, the erasure waits for its next turn."""
    if farewell not in _farewells:
        _farewells.append(farewell)


def erasure_ask(*, tenant_id: UUID, actor: Actor, now: datetime, hold: timedelta = HOLD) -> Erasure:
    """Suspend the tenant, and erase it when the hold is over. Raises NoTenant or AlreadyAsked."""
    try:
        with as_tenant(tenant_id):
            if not Tenant.objects.filter(id=tenant_id).exists():
                raise NoTenant(NoTenant.__doc__)
            suspended = Tenant.objects.filter(id=tenant_id, suspended_at=None).update(suspended_at=now) > 0
            erasure = Erasure.objects.create(
                kind="tenant",
                subject_id=tenant_id,
                asked_by=actor.id,
                asked_at=now,
                due_at=now + hold,
                suspended=suspended,
            )
            audit.record(
                tenant_id=tenant_id,
                actor=actor,
                action="tenant.erasure_asked",
                target=str(tenant_id),
                diff={"due_at": erasure.due_at.isoformat()},
            )
    except IntegrityError as error:
        raise AlreadyAsked(AlreadyAsked.__doc__) from error
    stop_keys(tenant_id)
    return erasure


def erasure_withdraw(*, tenant_id: UUID, actor: Actor, now: datetime) -> None:
    """The tenant goes on as it was. Raises NotAsked."""
    with as_tenant(tenant_id):
        found = _open().filter(subject_id=tenant_id, keys_destroyed_at=None).select_for_update().first()
        if found is None:
            raise NotAsked(NotAsked.__doc__)
        Erasure.objects.filter(id=found.id).update(withdrawn_at=now)
        if found.suspended:
            Tenant.objects.filter(id=tenant_id).update(suspended_at=None)
        audit.record(tenant_id=tenant_id, actor=actor, action="tenant.erasure_withdrawn", target=str(tenant_id))
    stop_keys(tenant_id)  # those who were refused a moment ago are asked for anew


def erasure_of(*, tenant_id: UUID) -> Erasure | None:
    """The one that is waiting or under way."""
    with as_tenant(tenant_id):
        return _open().filter(subject_id=tenant_id).first()


def erasure_known(*, tenant_id: UUID) -> Erasure | None:
    """The same, or what stayed of one that is done."""
    with as_tenant(tenant_id):
        return Erasure.objects.filter(subject_id=tenant_id, withdrawn_at=None).first()


def erasures_asked_by(*, user_id: UUID) -> list[Erasure]:
    """For whoever asked, when the tenant is gone and its pages with it."""
    with as_person(user_id):
        return list(Erasure.objects.filter(asked_by=user_id).order_by("-asked_at"))


def report(erasure: Erasure) -> dict[str, Any]:
    """What was removed, as plain JSON."""
    return {
        "id": str(erasure.id),
        "kind": erasure.kind,
        "subject_id": str(erasure.subject_id),
        "asked_by": None if erasure.asked_by is None else str(erasure.asked_by),
        "asked_at": erasure.asked_at.isoformat(),
        "due_at": erasure.due_at.isoformat(),
        "withdrawn_at": _iso(erasure.withdrawn_at),
        "keys_destroyed_at": _iso(erasure.keys_destroyed_at),
        "finished_at": _iso(erasure.finished_at),
        "removed": dict(sorted(erasure.counts.items())),
        "rows": sum(count for name, count in erasure.counts.items() if name not in ("files", "redis_keys")),
    }


def stop_keys(tenant_id: UUID) -> None:
    """Each of its ApiKeys is verified anew at its next call, everywhere."""
    with as_tenant(tenant_id):
        key_ids = list(ApiKey.objects.filter(tenant_id=tenant_id, revoked_at=None).values_list("id", flat=True))
    for key_id in key_ids:
        authentication.forget(key_id)
        revocation.publish(key_id)


def run_due(now: datetime) -> int:
    """Go on with what is due, and look again through what was erased lately; how many were finished."""
    ends = time.monotonic() + RUN_SECONDS
    with as_owner():
        due = list(_open().filter(kind="tenant", due_at__lte=now, finished_at=None).order_by("due_at"))
        lately = list(Erasure.objects.filter(kind="tenant", finished_at__gt=now - LATE_ROWS))
    finished = 0
    for one in due:
        try:
            finished += erase(one, now=now, ends=ends)
        except ErasureError as error:  # Taken back meanwhile, or not ready: the others go on.
            log.warning("erasure_waits", extra={"error": type(error.__cause__ or error).__name__})
    for one in lately:
        _remove_rows(one, ends)
        _remove_files(one)
    return finished


def erase(erasure: Erasure, *, now: datetime, ends: float) -> bool:
    """Go on where the last one stopped; True if nothing is left. `ends` is of `time.monotonic`.

    Raises NotReady or NotAsked, and nothing is destroyed yet.
    """
    tenant_id = erasure.subject_id
    if erasure.keys_destroyed_at is None:
        try:
            for farewell in _farewells:
                farewell(tenant_id)
        except Exception as error:  # Whatever it is, nothing is destroyed before it is mended.
            raise NotReady(NotReady.__doc__) from error
        _destroy_keys(erasure, now)
        vault.forget(tenant_id)
        _forget_in_redis(erasure)
    if not _remove_rows(erasure, ends):
        return False
    _remove_files(erasure)
    with as_owner():
        Erasure.objects.filter(id=erasure.id, finished_at=None).update(finished_at=now)
    log.info("tenant_erased", extra={"rows": sum(_counts_of(erasure).values())})
    return True


def person_erase(*, user_id: UUID, now: datetime, address: str = "") -> Erasure:
    """A person's account, with all that hangs on it, at once. What they did stays in their teams' audit, as a number.

    Raises LastOwner, with the names of the teams that would have none.
    """
    mine = selectors.memberships_of(user_id=user_id)
    alone = [one.tenant_name for one in mine if one.role == "owner" and _is_last_owner(one.tenant_id, user_id)]
    if alone:
        raise LastOwner(f"{LastOwner.__doc__} {', '.join(alone)}")

    for one in mine:
        with as_tenant(one.tenant_id):
            Member.objects.filter(tenant_id=one.tenant_id, user_id=user_id).delete()
            actor = Actor("person", user_id, address)
            audit.record(tenant_id=one.tenant_id, actor=actor, action="member.left", target=str(user_id))
    with as_owner():  # An operator's own history hangs on the account, too, and is not the app's to reach.
        sessions = UserSession.objects.filter(user_id=user_id).values_list("session_key", flat=True)
        Session.objects.filter(session_key__in=list(sessions)).delete()
        _, by_model = User.objects.filter(id=user_id).delete()
        counts = {**by_model, "tenants.Member": len(mine)}
        return Erasure.objects.create(
            kind="person",
            subject_id=user_id,
            asked_by=user_id,
            asked_at=now,
            due_at=now,
            finished_at=now,
            counts=counts,
        )


def _is_last_owner(tenant_id: UUID, user_id: UUID) -> bool:
    """Of a team that stays: one that is being erased needs none."""
    with as_tenant(tenant_id):
        if _open().filter(subject_id=tenant_id).exists():
            return False
        return not Member.objects.filter(tenant_id=tenant_id, role="owner").exclude(user_id=user_id).exists()


def _open() -> QuerySet[Erasure]:
    return Erasure.objects.filter(withdrawn_at=None, finished_at=None)


def _destroy_keys(erasure: Erasure, now: datetime) -> None:
    """The one step that cannot be taken back. Raises NotAsked if it was before."""
    with as_owner() as connection, connection.cursor() as cursor:
        if not _open().filter(id=erasure.id).update(keys_destroyed_at=now):
            raise NotAsked(NotAsked.__doc__)
        Tenant.objects.filter(id=erasure.subject_id, suspended_at=None).update(suspended_at=now)
        cursor.execute("DELETE FROM data_key WHERE tenant_id = %s", [erasure.subject_id])
        _count(erasure, {"data_key": cursor.rowcount})


def _forget_in_redis(erasure: Erasure) -> None:
    """Counters and leases: they end by themselves in minutes, so without Redis nothing waits for it."""
    with as_owner():
        keys = ApiKey.objects.filter(tenant_id=erasure.subject_id).values_list("id", flat=True)
        names = [str(name) for name in (erasure.subject_id, *keys)]
    client: Any = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_SECONDS)  # typed as async, too
    try:
        with client:
            found = [
                key
                for key in client.scan_iter(match="cacheai*", count=REDIS_KEYS_AT_A_TIME)
                if any(name in key.decode(errors="replace") for name in names)
            ]
            gone = sum(client.delete(key) for key in found)
    except redis.RedisError as error:
        log.warning("redis_keys_left", extra={"error": type(error).__name__})
        return
    with as_owner():
        _count(erasure, {"redis_keys": gone})


def _remove_rows(erasure: Erasure, ends: float) -> bool:
    """False if time was up before all were gone."""
    for table in _in_order():
        key = primary_key_of(table)
        while _remove_some(erasure, table, key):
            if time.monotonic() > ends:
                return False
    with as_owner():
        gone, _ = Tenant.objects.filter(id=erasure.subject_id).delete()
        _count(erasure, {"tenant": gone})
    return True


def _remove_some(erasure: Erasure, table: str, key: Sequence[str]) -> int:
    """By primary key, which begins with the tenant: what it takes grows with what is removed."""
    statement = sql.SQL(
        "DELETE FROM {table} WHERE tenant_id = {tenant} AND ({key}) IN"
        " (SELECT {key} FROM {table} WHERE tenant_id = {tenant} LIMIT {limit})"
    ).format(
        table=sql.Identifier("public", table),
        key=sql.SQL(", ").join(map(sql.Identifier, key)),
        tenant=sql.Literal(erasure.subject_id),
        limit=sql.Literal(ROWS_AT_A_TIME),
    )
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(statement.as_string())
        gone = int(cursor.rowcount)
        _count(erasure, {table: gone})
    return gone


def _in_order() -> list[str]:
    """Those that point at others first."""
    tables = set(tenant_tables())
    order: TopologicalSorter[str] = TopologicalSorter({table: set() for table in sorted(tables)})
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute(_POINTERS)
        for pointing, target in cursor.fetchall():
            if {pointing, target} <= tables:
                order.add(target, pointing)
    return list(order.static_order())


def _remove_files(erasure: Erasure) -> None:
    """A tenant's files lie in folders named by its id."""
    count = 0
    for folder in settings.HOME.glob(f"*/{erasure.subject_id}"):
        count += sum(path.is_file() for path in folder.rglob("*"))
        shutil.rmtree(folder)
    with as_owner():
        _count(erasure, {"files": count})


def _count(erasure: Erasure, gone: Mapping[str, int]) -> None:
    """In the transaction that removed them."""
    stored = Erasure.objects.select_for_update().get(id=erasure.id)
    for name, count in gone.items():
        if count:
            stored.counts[name] = stored.counts.get(name, 0) + count
    Erasure.objects.filter(id=erasure.id).update(counts=stored.counts)


def _counts_of(erasure: Erasure) -> dict[str, int]:
    with as_owner():
        counts: dict[str, int] = Erasure.objects.get(id=erasure.id).counts
    return counts


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
