"""Is nothing left of a tenant that leaves, and all of those that stay?"""

import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import CommandError, call_command

from tenants import audit, authentication, erasure, services, vault
from tenants.audit import Actor
from tenants.authentication import InvalidKey, authenticate
from tenants.erasure import AlreadyAsked, LastOwner, NotAsked, NoTenant, NotReady
from tenants.isolation import as_owner, as_tenant, tenant_tables
from tenants.models import DataKey, Erasure, Member, Tenant, User
from tenants.vault import VaultUnavailable
from tests.conftest import Cast
from tests.rows import fill_tables, rows_of

pytestmark = pytest.mark.usefixtures("patient")

HERE = "192.0.2.1"
NOW = datetime.now(UTC)
LATER = NOW + erasure.HOLD


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    monkeypatch.setattr(settings, "HOME", tmp_path)
    _fresh_process()
    yield
    _fresh_process()
    with as_owner():
        Erasure.objects.all().delete()


def _fresh_process() -> None:
    vault._tenant_keys.clear()
    authentication._verified.clear()
    authentication._unknown.clear()
    authentication._bad_keys = authentication._Addresses()


def ask(cast: Cast) -> Erasure:
    return erasure.erasure_ask(tenant_id=cast.owner.tenant_id, actor=Actor("person", cast.owner.user_id, HERE), now=NOW)


def erase(cast: Cast) -> Erasure:
    ask(cast)
    assert erasure.run_due(LATER) == 1
    found = erasure.erasure_known(tenant_id=cast.owner.tenant_id)
    assert found is not None
    return found


def test_asking_stops_the_keys_at_once_and_removes_nothing(cast: Cast) -> None:
    assert authenticate(cast.owner.api_key, address=HERE).tenant_id == cast.owner.tenant_id

    asked = ask(cast)

    with pytest.raises(InvalidKey):
        authenticate(cast.owner.api_key, address=HERE)
    assert asked.due_at == LATER
    assert erasure.run_due(LATER - timedelta(seconds=1)) == 0
    assert rows_of(cast.owner.tenant_id)["data_key"] == 2
    assert authenticate(cast.outsider.api_key, address=HERE)
    with pytest.raises(AlreadyAsked):
        ask(cast)


def test_taken_back_in_time_all_is_as_it_was(cast: Cast) -> None:
    tenant_id, actor = cast.owner.tenant_id, Actor("person", cast.owner.user_id, HERE)
    ask(cast)
    erasure.erasure_withdraw(tenant_id=tenant_id, actor=actor, now=LATER)
    _fresh_process()  # a refused key is remembered for five seconds

    assert authenticate(cast.owner.api_key, address=HERE).tenant_id == tenant_id
    assert erasure.run_due(LATER) == 0
    with pytest.raises(NotAsked):
        erasure.erasure_withdraw(tenant_id=tenant_id, actor=actor, now=LATER)
    ask(cast)  # and it may be asked for again
    with as_tenant(tenant_id):
        assert list(audit.faults(tenant_id=tenant_id)) == []


def test_taking_it_back_does_not_lift_what_an_operator_suspended(cast: Cast) -> None:
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(suspended_at=NOW)
    ask(cast)
    erasure.erasure_withdraw(tenant_id=cast.owner.tenant_id, actor=Actor("operator"), now=NOW)

    with as_tenant(cast.owner.tenant_id):
        assert Tenant.objects.get().suspended_at == NOW


def test_no_table_keeps_a_row_and_each_is_counted(cast: Cast) -> None:
    """Found in the catalogue: a table that is new is in this test, too."""
    for tenant_id in (cast.owner.tenant_id, cast.outsider.tenant_id):
        fill_tables(tenant_id)
    before, others = rows_of(cast.owner.tenant_id), rows_of(cast.outsider.tenant_id)
    assert before.keys() == set(tenant_tables())

    done = erase(cast)

    assert rows_of(cast.owner.tenant_id) == {}
    with as_owner():
        assert not Tenant.objects.filter(id=cast.owner.tenant_id).exists()
        assert Tenant.objects.filter(id=cast.outsider.tenant_id).exists()
    assert rows_of(cast.outsider.tenant_id) == others
    asking = {"audit_event": 1}  # of which the asking was one more
    assert done.counts == {"tenant": 1, **{table: count + asking.get(table, 0) for table, count in before.items()}}


def test_its_keys_go_first_so_that_what_is_left_is_noise(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = vault.seal(cast.owner.tenant_id, b"question", column="entry.body", row_id=cast.owner.key_id)
    ask(cast)

    class PowerCut(BaseException):
        pass

    def cut(*_: Any) -> None:
        raise PowerCut

    with monkeypatch.context() as broken, pytest.raises(PowerCut):
        broken.setattr(erasure, "_remove_some", cut)
        erasure.run_due(LATER)

    assert "data_key" not in rows_of(cast.owner.tenant_id)
    assert "api_key" in rows_of(cast.owner.tenant_id)
    with pytest.raises(VaultUnavailable):
        vault.unseal(cast.owner.tenant_id, sealed, column="entry.body", row_id=cast.owner.key_id)
    with pytest.raises(NotAsked):  # it is too late
        erasure.erasure_withdraw(tenant_id=cast.owner.tenant_id, actor=Actor("operator"), now=LATER)


def test_another_process_forgets_destroyed_keys_within_ten_seconds(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hears nothing of the erasure: what it keeps is asked for anew in time."""
    clock = time.monotonic()
    monkeypatch.setattr(vault._tenant_keys, "_clock", lambda: clock)
    vault.digest_key(cast.owner.tenant_id)
    with as_tenant(cast.owner.tenant_id):
        DataKey.objects.all().delete()
    vault.digest_key(cast.owner.tenant_id)

    clock += 10
    with pytest.raises(VaultUnavailable):
        vault.digest_key(cast.owner.tenant_id)


def test_cut_off_anywhere_it_goes_on_and_counts_each_row_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_tables(cast.owner.tenant_id)
    monkeypatch.setattr(erasure, "ROWS_AT_A_TIME", 1)
    before = rows_of(cast.owner.tenant_id)
    found = ask(cast)

    steps = 0
    while not erasure.erase(found, now=LATER, ends=time.monotonic()):  # a single step each time
        found = Erasure.objects.using("owner").get(id=found.id)
        steps += 1
    assert steps >= len(before)
    done = erasure.erasure_known(tenant_id=cast.owner.tenant_id)
    assert done is not None
    assert sum(done.counts.values()) == sum(before.values()) + 2  # the tenant, and the asking


def test_a_row_that_comes_late_goes_too(cast: Cast) -> None:
    """A web process that was away writes down the calls it answered before."""
    erase(cast)
    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO usage_dirty (tenant_id, hour) VALUES (%s, now())", [cast.owner.tenant_id])
    erasure.run_due(LATER + timedelta(hours=1))

    assert rows_of(cast.owner.tenant_id) == {}


def test_its_files_and_what_redis_holds_go_and_others_stay(cast: Cast) -> None:
    for tenant_id in (cast.owner.tenant_id, cast.outsider.tenant_id):
        folder = settings.HOME / "exports" / str(tenant_id)
        folder.mkdir(parents=True)
        (folder / "one.zip").write_text("text")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        mine = [f"cacheai:tenant:{cast.owner.tenant_id}", f"cacheai:key:{cast.owner.key_id}"]
        other = f"cacheai:tenant:{cast.outsider.tenant_id}"
        for name in (*mine, other):
            client.set(name, 1, ex=60)

        done = erase(cast)

        assert (client.exists(*mine), client.exists(other)) == (0, 1)
    assert [path.name for path in (settings.HOME / "exports").iterdir()] == [str(cast.outsider.tenant_id)]
    assert (done.counts["files"], done.counts["redis_keys"]) == (1, 2)


def test_without_redis_it_is_erased_all_the_same(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")

    assert "redis_keys" not in erase(cast).counts
    assert rows_of(cast.owner.tenant_id) == {}


def test_what_must_end_elsewhere_ends_before_anything_is_destroyed(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[UUID] = []

    def farewell(tenant_id: UUID) -> None:
        ended.append(tenant_id)
        if len(ended) == 1:
            raise ConnectionError("not now")

    monkeypatch.setattr(erasure, "_farewells", [farewell])
    found = ask(cast)
    with pytest.raises(NotReady):
        erasure.erase(found, now=LATER, ends=time.monotonic() + 60)
    assert rows_of(cast.owner.tenant_id)["data_key"] == 2

    assert erasure.run_due(LATER) == 1
    assert ended == [cast.owner.tenant_id] * 2


def test_whoever_asked_can_read_what_was_removed_and_nobody_else(cast: Cast) -> None:
    done = erase(cast)

    (seen,) = erasure.erasures_asked_by(user_id=cast.owner.user_id)
    told = erasure.report(seen)
    assert told["rows"] == sum(done.counts.values())
    assert told["removed"]["api_key"] == 2
    assert told["finished_at"] is not None
    assert json.dumps(told)
    assert erasure.erasures_asked_by(user_id=cast.outsider.user_id) == []
    assert erasure.erasure_known(tenant_id=cast.outsider.tenant_id) is None


def test_an_operator_erases_at_once_and_again_without_harm(cast: Cast) -> None:
    def run(*arguments: str) -> Any:
        out = io.StringIO()
        call_command("erase_tenant", str(cast.owner.tenant_id), *arguments, stdout=out)
        return json.loads(out.getvalue())

    waiting = run()
    assert waiting["finished_at"] is None
    assert rows_of(cast.owner.tenant_id)["api_key"] == 2
    first = run("--now")
    assert first["finished_at"] is not None
    assert rows_of(cast.owner.tenant_id) == {}
    assert run("--now") == first == run()
    with pytest.raises(CommandError):
        call_command("erase_tenant", str(cast.owner.tenant_id), "--withdraw")
    with pytest.raises(CommandError):
        call_command("erase_tenant", str(uuid4()))


def test_a_tenant_that_is_not_there_cannot_be_erased(live: None) -> None:
    with pytest.raises(NoTenant):
        erasure.erasure_ask(tenant_id=uuid4(), actor=Actor("operator"), now=NOW)


def test_a_persons_account_goes_with_their_memberships(cast: Cast) -> None:
    services.member_add(tenant_id=cast.outsider.tenant_id, user_id=cast.teammate.user_id, role="viewer")

    done = erasure.person_erase(user_id=cast.teammate.user_id, now=NOW)

    assert not User.objects.filter(id=cast.teammate.user_id).exists()
    with as_owner():
        assert not Member.objects.filter(user_id=cast.teammate.user_id).exists()
        assert Member.objects.count() == 2
    assert done.counts["tenants.Member"] == 2
    assert "teammate@" not in json.dumps(erasure.report(done))
    assert authenticate(cast.teammate.api_key, address=HERE)  # a key is the team's, not a person's


def test_whoever_left_is_signed_out_everywhere(cast: Cast) -> None:
    session = SessionStore()
    session.create()
    UserSession.objects.create(
        user_id=cast.teammate.user_id, session_key=session.session_key, ip=HERE, user_agent="", last_seen_at=NOW
    )

    erasure.person_erase(user_id=cast.teammate.user_id, now=NOW)

    assert not SessionStore().exists(session.session_key)
    assert not EmailAddress.objects.filter(user_id=cast.teammate.user_id).exists()


def test_the_last_owner_hands_over_first(cast: Cast) -> None:
    with pytest.raises(LastOwner, match="Team"):
        erasure.person_erase(user_id=cast.owner.user_id, now=NOW)
    assert User.objects.filter(id=cast.owner.user_id).exists()

    services.member_add(tenant_id=cast.owner.tenant_id, user_id=cast.teammate.user_id, role="owner")
    erasure.person_erase(user_id=cast.owner.user_id, now=NOW)
    assert not User.objects.filter(id=cast.owner.user_id).exists()


def test_a_team_that_is_being_erased_holds_its_last_owner_no_longer(cast: Cast) -> None:
    ask(cast)
    erasure.person_erase(user_id=cast.owner.user_id, now=NOW)
    assert erasure.run_due(LATER) == 1
