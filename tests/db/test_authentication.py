"""Whose call is it, and may it be made?"""

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from tenants import api_keys, authentication, keys, services
from tenants.authentication import InvalidKey, TooManyBadKeys, authenticate
from tenants.isolation import as_tenant
from tenants.models import ApiKey, Tenant
from tests.conftest import Cast

HERE = "192.0.2.1"


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Each test begins like a process that has met nobody."""

    def forget() -> None:
        authentication._verified.clear()
        authentication._unknown.clear()
        authentication._bad_keys.counts.clear()
        authentication._used.clear()

    forget()
    yield
    forget()


def _later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    clock = time.monotonic
    monkeypatch.setattr(authentication._verified, "_clock", lambda: clock() + seconds)


def test_a_key_opens_its_project_with_its_tenants_limits(cast: Cast) -> None:
    access = authenticate(cast.owner.api_key, address=HERE)

    assert (access.tenant_id, access.project_id, access.key_id) == (
        cast.owner.tenant_id,
        cast.owner.project_id,
        cast.owner.key_id,
    )
    assert access.scopes == keys.DEFAULT_SCOPES
    assert (access.rpm, access.key_rpm) == (services.Limits().rpm, None)


@pytest.mark.parametrize("junk", ["", "sk-x", "ca-" + "0" * 39, "ca-é", keys.make(b"\7" * 24)])
def test_what_is_no_key_opens_nothing(live: None, junk: str) -> None:
    with pytest.raises(InvalidKey):
        authenticate(junk, address=HERE)


def test_a_verified_key_is_not_asked_for_again(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticate(cast.owner.api_key, address=HERE)
    monkeypatch.setattr(authentication, "_read", None)

    authenticate(cast.owner.api_key, address=HERE)


def test_a_key_revoked_elsewhere_ends_without_redis_within_ten_seconds(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticate(cast.owner.api_key, address=HERE)
    with as_tenant(cast.owner.tenant_id):
        ApiKey.objects.filter(id=cast.owner.key_id).update(revoked_at=datetime.now(UTC))
    _later(monkeypatch, 6)

    with pytest.raises(InvalidKey):
        authenticate(cast.owner.api_key, address=HERE)


def test_a_lower_plan_counts_within_ten_seconds(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticate(cast.owner.api_key, address=HERE)
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(rpm=7)
    _later(monkeypatch, 6)

    assert authenticate(cast.owner.api_key, address=HERE).rpm == 7


def test_a_suspended_tenants_keys_open_nothing(cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(suspended_at=datetime.now(UTC))

    with pytest.raises(InvalidKey):
        authenticate(cast.teammate.api_key, address=HERE)


def test_a_key_ends_in_the_moment_it_expires(cast: Cast) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    key = api_keys.key_create(
        tenant_id=cast.owner.tenant_id, project_id=cast.owner.project_id, name="short", expires_at=soon
    )
    access = authenticate(key.secret, address=HERE)

    assert access.admits(HERE, soon - timedelta(milliseconds=1))
    assert not access.admits(HERE, soon)
    with as_tenant(cast.owner.tenant_id):
        ApiKey.objects.filter(id=key.id).update(expires_at=datetime.now(UTC) - timedelta(hours=1))
    authentication.forget(key.id)
    with pytest.raises(InvalidKey):
        authenticate(key.secret, address=HERE)


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("11.1.2.3", False),
        ("2001:db9::1", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_a_key_is_for_its_networks(cast: Cast, address: str, admitted: bool) -> None:
    key = api_keys.key_create(
        tenant_id=cast.owner.tenant_id,
        project_id=cast.owner.project_id,
        networks=["10.0.0.0/8", "2001:db8::/32"],
    )

    if admitted:
        authenticate(key.secret, address=address)
    else:
        with pytest.raises(InvalidKey):
            authenticate(key.secret, address=address)


def test_an_address_that_guesses_is_refused_and_others_are_not(cast: Cast) -> None:
    authenticate(cast.owner.api_key, address=HERE)
    for _ in range(authentication.BAD_KEYS_PER_MINUTE):
        with pytest.raises(InvalidKey):
            authenticate("ca-guess", address=HERE)

    with pytest.raises(TooManyBadKeys):
        authenticate("ca-guess", address=HERE)
    with pytest.raises(InvalidKey):
        authenticate("ca-guess", address="192.0.2.2")
    authenticate(cast.owner.api_key, address=HERE)  # A key known to be good works on beside a bad neighbour.


def test_an_unknown_key_is_asked_for_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = keys.make(b"\7" * 24)
    with pytest.raises(InvalidKey):
        authenticate(unknown, address=HERE)
    monkeypatch.setattr(authentication, "_read", None)

    with pytest.raises(InvalidKey):
        authenticate(unknown, address=HERE)


def test_a_key_met_under_an_old_pepper_is_digested_anew(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    old = keys.read_versions(settings.CACHEAI_KEY_PEPPERS)
    new = keys.read_versions("9:" + base64.b64encode(b"n" * 32).decode())
    monkeypatch.setattr(authentication, "_peppers", (*new, *old))

    authenticate(cast.owner.api_key, address=HERE)

    with as_tenant(cast.owner.tenant_id):
        stored = ApiKey.objects.get(id=cast.owner.key_id)
    assert stored.pepper_id == 9
    assert bytes(stored.digest) == keys.digest(cast.owner.api_key, b"n" * 32)
    authentication._verified.clear()
    monkeypatch.setattr(authentication, "_peppers", new)
    assert authenticate(cast.owner.api_key, address=HERE).key_id == cast.owner.key_id


def test_uses_are_written_down_together(cast: Cast) -> None:
    authenticate(cast.owner.api_key, address=HERE)
    authenticate(cast.outsider.api_key, address=HERE)

    authentication.note_uses()

    for person, used in ((cast.owner, True), (cast.teammate, False), (cast.outsider, True)):
        with as_tenant(person.tenant_id):
            assert (ApiKey.objects.get(id=person.key_id).last_used_at is not None) == used


def test_the_key_itself_is_stored_nowhere(cast: Cast) -> None:
    from tenants.isolation import as_owner

    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(k)::text FROM api_key k")
        rows = " ".join(row[0] for row in cursor.fetchall())
    assert cast.owner.api_key not in rows
    assert cast.owner.api_key[8:30] not in rows


def test_verifying_holds_no_connection(cast: Cast) -> None:
    authenticate(cast.owner.api_key, address=HERE)
    pool: Any = connections["default"].pool

    assert pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]
