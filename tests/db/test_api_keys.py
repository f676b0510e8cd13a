"""How are keys made, rotated and ended, and what may nobody make?"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest

from tenants import api_keys, authentication, features, keys, selectors
from tenants.api_keys import EVERYTHING, GRACES, Reach, key_change, key_create, key_revoke, key_rotate
from tenants.audit import Actor
from tenants.authentication import InvalidKey, authenticate
from tenants.isolation import as_tenant
from tenants.models import ApiKey, AuditEvent, Tenant
from tenants.refusals import BadValue, KeyEnded, LimitReached, NotFound, NotInPlan, TooWide
from tenants.roles import ROLES
from tenants.services import Limits
from tests.conftest import Cast, Person

pytestmark = pytest.mark.usefixtures("patient")

HERE = "192.0.2.1"
RULES: dict[str, Any] = {
    "name": "Batch",
    "scopes": ["proxy", "cache:read"],
    "networks": ["192.0.2.0/24"],
    "models_allowed": ["gpt-5", "demo-*"],
    "rpm": 60,
    "tpm": 9_000,
    "ttl_max_seconds": 3_600,
    "provider": "openai",
}


def make(person: Person, **rules: Any) -> api_keys.NewKey:
    return key_create(tenant_id=person.tenant_id, project_id=person.project_id, **rules)


def stored(person: Person, key_id: Any) -> ApiKey:
    return selectors.key_of(tenant_id=person.tenant_id, key_id=key_id)


def change_tenant(person: Person, **columns: Any) -> None:
    with as_tenant(person.tenant_id):
        Tenant.objects.update(**columns)


def acts(person: Person) -> list[tuple[str, str]]:
    with as_tenant(person.tenant_id):
        return list(AuditEvent.objects.order_by("seq").values_list("action", "target"))


def test_a_key_has_the_rules_it_was_made_with(cast: Cast) -> None:
    made = make(cast.owner, **RULES)

    access = authenticate(made.secret, address=HERE)
    assert access.scopes == {"proxy", "cache:read"}
    assert (access.key_rpm, access.key_tpm, access.ttl_max_seconds, access.provider) == (60, 9_000, 3_600, "openai")
    assert (access.models_allowed, access.networks) == (("gpt-5", "demo-*"), (ip_network("192.0.2.0/24"),))
    with pytest.raises(InvalidKey):
        authenticate(made.secret, address="203.0.113.1")


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"networks": ["192.0.2.1/24"]}, "networks"),
        ({"networks": ["everywhere"]}, "networks"),
        ({"networks": ["10.0.0.0/8"] * 65}, "networks"),
        ({"models_allowed": ["gpt*5"]}, "models_allowed"),
        ({"models_allowed": [""]}, "models_allowed"),
        ({"models_allowed": ["a\x00b"]}, "models_allowed"),
        ({"rpm": 0}, "rpm"),
        ({"tpm": 2**31}, "tpm"),
        ({"ttl_max_seconds": -1}, "ttl_max_seconds"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"expires_at": datetime(9999, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
def test_what_no_key_can_be_is_refused_by_name(cast: Cast, rules: dict[str, Any], field: str) -> None:
    with pytest.raises(BadValue) as refused:
        make(cast.owner, **rules)

    assert refused.value.field == field
    assert len(selectors.keys_of(tenant_id=cast.owner.tenant_id)) == 2


def test_a_key_of_a_project_that_is_not_there_is_not_made(cast: Cast) -> None:
    for project_id in (cast.outsider.project_id, uuid4()):
        with pytest.raises(NotFound):
            key_create(tenant_id=cast.owner.tenant_id, project_id=project_id)


@pytest.mark.parametrize(
    ("reach", "rules", "made"),
    [
        (Reach(scopes=frozenset({"proxy", "keys:manage"})), {"scopes": ["proxy"]}, True),
        (Reach(scopes=frozenset({"proxy", "keys:manage"})), {"scopes": ["proxy", "cache:read"]}, False),
        (Reach(scopes=keys.SCOPES - {"tenant:manage"}), {"scopes": ["tenant:manage"]}, False),
        (Reach(networks=(ip_network("10.0.0.0/8"),)), {"networks": ["10.1.0.0/16"]}, True),
        (Reach(networks=(ip_network("10.0.0.0/8"),)), {"networks": ["10.0.0.0/7"]}, False),
        (Reach(networks=(ip_network("10.0.0.0/8"),)), {"networks": ["10.1.0.0/16", "2001:db8::/32"]}, False),
        (Reach(networks=(ip_network("10.0.0.0/8"),)), {}, False),
        (Reach(models_allowed=("gpt-*",)), {"models_allowed": ["gpt-5", "gpt-5*"]}, True),
        (Reach(models_allowed=("gpt-*",)), {"models_allowed": ["g*"]}, False),
        (Reach(models_allowed=("gpt-5",)), {"models_allowed": ["gpt-5*"]}, False),
        (Reach(models_allowed=("gpt-*",)), {}, False),
        (Reach(ttl_max_seconds=3_600), {"ttl_max_seconds": 3_600}, True),
        (Reach(ttl_max_seconds=3_600), {"ttl_max_seconds": 3_601}, False),
        (Reach(ttl_max_seconds=3_600), {}, False),
        (Reach(ttl_max_seconds=Limits().ttl_max_seconds), {}, True),
        (Reach(ttl_max_seconds=Limits().ttl_max_seconds), {"ttl_max_seconds": 2**31 - 1}, True),  # the plan's holds
    ],
)
def test_nobody_makes_a_key_wider_than_their_own(cast: Cast, reach: Reach, rules: dict[str, Any], made: bool) -> None:
    if made:
        make(cast.owner, reach=reach, **rules)
        return
    with pytest.raises(TooWide):
        make(cast.owner, reach=reach, **rules)
    wide = make(cast.owner, **rules)
    with pytest.raises(TooWide):  # Its successor would be as wide.
        key_rotate(tenant_id=cast.owner.tenant_id, key_id=wide.id, grace=timedelta(0), reach=reach)


def test_a_role_reaches_as_far_as_its_keys() -> None:
    reaches = {role: api_keys.reach_of_role(role) for role in ROLES}

    assert reaches["owner"] == reaches["admin"] == EVERYTHING
    assert reaches["developer"].scopes == keys.SCOPES - {"tenant:manage"}
    assert reaches["billing"].scopes == reaches["viewer"].scopes == frozenset()


def test_a_key_that_manages_the_tenant_manages_keys(cast: Cast) -> None:
    made = make(cast.owner, scopes=["tenant:manage"])

    assert stored(cast.owner, made.id).scopes == ["keys:manage", "tenant:manage"]


def test_networks_are_a_matter_of_the_plan(cast: Cast) -> None:
    change_tenant(cast.owner, features=list(features.PRO))

    with pytest.raises(NotInPlan):
        make(cast.owner, networks=["10.0.0.0/8"])


def test_a_project_has_as_many_keys_as_the_plan_allows(cast: Cast) -> None:
    change_tenant(cast.owner, keys_max=3)  # Two are the cast's.
    third = make(cast.owner)
    with pytest.raises(LimitReached):
        make(cast.owner)

    successor = key_rotate(tenant_id=cast.owner.tenant_id, key_id=third.id, grace=GRACES[-1])
    with pytest.raises(LimitReached):
        make(cast.owner)
    key_revoke(tenant_id=cast.owner.tenant_id, key_id=successor.id)
    make(cast.owner)


@pytest.mark.parametrize("grace", GRACES)
def test_a_successor_works_now_and_the_old_key_until_its_grace_is_over(cast: Cast, grace: timedelta) -> None:
    old = make(cast.owner, **RULES)
    authenticate(old.secret, address=HERE)  # Known to this process: it must learn of its end.
    before = datetime.now(UTC)

    new = key_rotate(tenant_id=cast.owner.tenant_id, key_id=old.id, grace=grace)

    first, second = stored(cast.owner, old.id), stored(cast.owner, new.id)
    assert {name: getattr(second, name) for name in RULES} == {**RULES, "scopes": sorted(RULES["scopes"])}
    assert first.replaced_by == new.id
    assert first.expires_at is not None
    assert abs(first.expires_at - before - grace) < timedelta(minutes=1)
    assert authenticate(new.secret, address=HERE).key_id == new.id
    if grace:
        access = authenticate(old.secret, address=HERE)
        assert not access.admits(HERE, before + grace + timedelta(minutes=1))
    else:
        with pytest.raises(InvalidKey):
            authenticate(old.secret, address=HERE)


def test_a_grace_never_makes_a_key_live_longer(cast: Cast) -> None:
    ends = datetime.now(UTC) + timedelta(hours=2)
    old = make(cast.owner, expires_at=ends)

    new = key_rotate(tenant_id=cast.owner.tenant_id, key_id=old.id, grace=timedelta(days=7))

    assert stored(cast.owner, old.id).expires_at == ends
    lives = stored(cast.owner, new.id).expires_at
    assert lives is not None and abs(lives - ends) < timedelta(minutes=1)  # As long as the old one was to live.


def test_a_key_s_own_successor_ends_with_it(cast: Cast) -> None:
    ends = datetime.now(UTC) + timedelta(hours=2)
    old = make(cast.owner, expires_at=ends, scopes=["keys:manage"])
    with as_tenant(cast.owner.tenant_id):  # It is half through.
        ApiKey.objects.filter(id=old.id).update(created_at=ends - timedelta(hours=4))
    itself = {"tenant_id": cast.owner.tenant_id, "key_id": old.id, "grace": timedelta(0)}
    reach = api_keys.reach_of_key(authenticate(old.secret, address=HERE))

    with pytest.raises(TooWide):
        key_rotate(**itself, reach=reach, expires_at=ends + timedelta(seconds=1))
    new = key_rotate(**itself, reach=reach)

    assert stored(cast.owner, new.id).expires_at == ends


def test_a_key_takes_nobody_s_limit_of_time_off(cast: Cast) -> None:
    narrow = make(cast.owner, ttl_max_seconds=60, scopes=["keys:manage"])
    reach = api_keys.reach_of_key(authenticate(narrow.secret, address=HERE))

    for wide in (None, 61):
        with pytest.raises(TooWide):
            key_change(tenant_id=cast.owner.tenant_id, key_id=narrow.id, changes={"ttl_max_seconds": wide}, reach=reach)
    key_rotate(tenant_id=cast.owner.tenant_id, key_id=narrow.id, grace=timedelta(0), reach=reach)


def test_only_a_living_key_without_a_successor_is_rotated(cast: Cast) -> None:
    replaced, revoked, expired = make(cast.owner), make(cast.owner), make(cast.owner)
    tenant_id = cast.owner.tenant_id
    key_rotate(tenant_id=tenant_id, key_id=replaced.id, grace=timedelta(hours=1))
    key_revoke(tenant_id=tenant_id, key_id=revoked.id)
    with as_tenant(tenant_id):
        ApiKey.objects.filter(id=expired.id).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    now = datetime.now(UTC)

    found = [api_keys.status_of(stored(cast.owner, key.id), now) for key in (replaced, revoked, expired)]
    assert found == ["ending", "revoked", "expired"]
    for key in (replaced, revoked, expired):
        with pytest.raises(KeyEnded):
            key_rotate(tenant_id=tenant_id, key_id=key.id, grace=timedelta(0))
    with pytest.raises(BadValue):
        key_rotate(tenant_id=tenant_id, key_id=cast.owner.key_id, grace=timedelta(days=8))


def test_another_tenants_key_is_like_none_at_all(cast: Cast) -> None:
    tenant_id = cast.outsider.tenant_id

    def refusals(key_id: Any) -> Sequence[str]:
        said = []
        for act in (
            lambda: key_rotate(tenant_id=tenant_id, key_id=key_id, grace=timedelta(0)),
            lambda: key_revoke(tenant_id=tenant_id, key_id=key_id),
            lambda: key_change(tenant_id=tenant_id, key_id=key_id, changes={"name": "Mine"}),
            lambda: selectors.key_of(tenant_id=tenant_id, key_id=key_id),
        ):
            with pytest.raises(NotFound) as refused:
                act()
            said.append(str(refused.value))
        return said

    assert refusals(cast.owner.key_id) == refusals(uuid4())
    assert stored(cast.owner, cast.owner.key_id).revoked_at is None


def test_every_change_of_a_key_is_in_the_audit_trail_and_no_secret(cast: Cast) -> None:
    actor = Actor("person", cast.owner.user_id, HERE)
    tenant_id = cast.owner.tenant_id
    before = len(acts(cast.owner))
    made = make(cast.owner, actor=actor, **RULES)
    changes = {"name": "Nightly", "rpm": 5}
    key_change(tenant_id=tenant_id, key_id=made.id, changes=changes, actor=actor)
    key_change(tenant_id=tenant_id, key_id=made.id, changes=changes, actor=actor)  # No change, no row.
    new = key_rotate(tenant_id=tenant_id, key_id=made.id, grace=timedelta(hours=1), actor=actor)
    key_revoke(tenant_id=tenant_id, key_id=new.id, actor=actor)
    key_revoke(tenant_id=tenant_id, key_id=new.id, actor=actor)

    assert acts(cast.owner)[before:] == [
        ("key.create", str(made.id)),
        ("key.change", str(made.id)),
        ("key.rotate", str(made.id)),
        ("key.revoke", str(new.id)),
    ]
    with as_tenant(tenant_id):
        rows = [repr(vars(event)) for event in AuditEvent.objects.filter(actor_id=cast.owner.user_id)]
    assert len(rows) == 4
    assert made.secret[7:] not in "".join(rows)
    assert new.secret[7:] not in "".join(rows)


@pytest.mark.parametrize("role", ["owner", "developer"])
def test_a_change_goes_as_far_as_a_new_key_of_theirs_could(cast: Cast, role: str) -> None:
    tenant_id, reach = cast.owner.tenant_id, api_keys.reach_of_role(role)
    made = make(cast.owner, scopes=["proxy"])

    def change(**changes: Any) -> None:
        key_change(tenant_id=tenant_id, key_id=made.id, changes=changes, reach=reach)

    change(scopes=["proxy", "keys:manage"], models_allowed=["gpt-4o*"], networks=["10.0.0.0/8"], tpm=9)
    if role == "owner":
        change(scopes=["tenant:manage"])
    else:
        with pytest.raises(TooWide):
            change(scopes=["tenant:manage"])
        key_change(tenant_id=tenant_id, key_id=made.id, changes={"scopes": ["tenant:manage"]})
        for wider_than_theirs in ({"rpm": 7}, {"networks": []}, {"scopes": ["proxy", "tenant:manage"]}):
            with pytest.raises(TooWide):
                change(**wider_than_theirs)
        change(name="still theirs to name")
        change(scopes=["proxy"])  # Narrower is theirs, too.


def test_nobody_who_may_make_no_keys_changes_one(cast: Cast) -> None:
    for role in ("billing", "viewer"):
        with pytest.raises(TooWide):
            key_change(
                tenant_id=cast.owner.tenant_id,
                key_id=cast.owner.key_id,
                changes={"rpm": 7},
                reach=api_keys.reach_of_role(role),
            )


def test_an_ended_key_is_renamed_and_never_revived(cast: Cast) -> None:
    tenant_id, tomorrow = cast.owner.tenant_id, datetime.now(UTC) + timedelta(days=1)
    replaced, revoked, expired = (make(cast.owner, expires_at=tomorrow) for _ in range(3))
    key_rotate(tenant_id=tenant_id, key_id=replaced.id, grace=timedelta(hours=1))
    key_revoke(tenant_id=tenant_id, key_id=revoked.id)
    with as_tenant(tenant_id):
        ApiKey.objects.filter(id=expired.id).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    for key in (replaced, revoked, expired):
        with pytest.raises(KeyEnded):
            key_change(tenant_id=tenant_id, key_id=key.id, changes={"expires_at": None})
        key_change(tenant_id=tenant_id, key_id=key.id, changes={"name": "gone"})
        assert stored(cast.owner, key.id).name == "gone"


def test_a_changed_end_is_told_of_anew(cast: Cast) -> None:
    tenant_id, now = cast.owner.tenant_id, datetime.now(UTC)
    made = make(cast.owner, expires_at=now + timedelta(days=1))
    with as_tenant(tenant_id):
        ApiKey.objects.filter(id=made.id).update(expiry_told_days=1)

    key_change(tenant_id=tenant_id, key_id=made.id, changes={"expires_at": now + timedelta(days=30)})

    assert stored(cast.owner, made.id).expiry_told_days is None
    with pytest.raises(BadValue):
        key_change(tenant_id=tenant_id, key_id=made.id, changes={"expires_at": now - timedelta(days=1)})


def test_a_changed_key_is_forgotten_at_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("tenants.revocation.publish", told.append)
    assert authenticate(cast.owner.api_key, address=HERE).models_allowed == ()

    key_change(tenant_id=cast.owner.tenant_id, key_id=cast.owner.key_id, changes={"models_allowed": ["demo-*"]})

    assert told == [cast.owner.key_id]
    assert authenticate(cast.owner.api_key, address=HERE).models_allowed == ("demo-*",)


def test_a_key_that_was_rotated_without_grace_is_forgotten_at_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("tenants.revocation.publish", told.append)
    authenticate(cast.owner.api_key, address=HERE)

    key_rotate(tenant_id=cast.owner.tenant_id, key_id=cast.owner.key_id, grace=timedelta(0))

    assert told == [cast.owner.key_id]
    with pytest.raises(InvalidKey):
        authenticate(cast.owner.api_key, address=HERE)


@pytest.fixture(autouse=True)
def _no_bad_neighbours() -> None:
    authentication._bad_keys.counts.clear()
