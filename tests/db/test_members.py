"""Who may join a tenant, and who decides about whom?"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tenants import audit, members, selectors, services, sso, vault
from tenants.audit import SYSTEM, Actor
from tenants.isolation import as_owner, as_tenant
from tenants.members import (
    AlreadyMember,
    AnothersInvitation,
    BadInvitation,
    ExemptOwner,
    LastOwner,
    invitation_accept,
    invitation_of,
    invitation_send,
    invitation_withdraw,
    member_remove,
    ownership_transfer,
    role_change,
    tenant_rename,
    tenant_start,
)
from tenants.models import AuditEvent, Invitation, Mail, Tenant, User
from tenants.refusals import BadValue, LimitReached, NotAllowed, NotFound
from tenants.roles import ROLES
from tests.conftest import Cast

NEWCOMER = "newcomer@example.test"


@pytest.fixture
def people(cast: Cast) -> dict[str, UUID]:
    """One member of each role, and the outsider of another tenant."""
    found = {"outsider": cast.outsider.user_id}
    for role in ROLES:
        user = services.user_create(email=f"{role}@team.test")
        services.member_add(tenant_id=cast.owner.tenant_id, user_id=user.id, role=role)
        found[role] = user.id
    return found


def _actor(user_id: UUID) -> Actor:
    return Actor("person", user_id, "192.0.2.1")


def _roles(tenant_id: UUID) -> dict[str, str]:
    return {member.email: member.role for member in selectors.members_of(tenant_id=tenant_id)}


def _token() -> str:
    """Of the mail written last."""
    with as_owner():
        mail = Mail.objects.order_by("-created_at").first()
    assert mail is not None
    _, _, text = json.loads(vault.transport_unseal(bytes(mail.sealed)))
    found = re.search(r"/account/invitations/(\S+)", text)
    assert found is not None
    return found[1]


def _actions(tenant_id: UUID) -> list[str]:
    with as_tenant(tenant_id):
        return list(AuditEvent.objects.filter(tenant_id=tenant_id).order_by("seq").values_list("action", flat=True))


def _invited(cast: Cast, *, role: str = "developer", email: str = NEWCOMER) -> str:
    invitation_send(tenant_id=cast.owner.tenant_id, email=email, role=role, actor=_actor(cast.owner.user_id))
    return _token()


def _invite_somebody(tenant_id: UUID, role: str, actor: Actor) -> None:
    invitation_send(tenant_id=tenant_id, email=f"{uuid4().hex}@example.test", role=role, actor=actor)


def test_an_invitation_makes_a_member_once(cast: Cast) -> None:
    token, newcomer = _invited(cast), services.user_create(email=NEWCOMER)

    asked = invitation_of(token=token)
    joined = invitation_accept(token=token, actor=_actor(newcomer.id))

    assert (asked.tenant_name, asked.email, asked.role, joined) == ("Team", NEWCOMER, "developer", asked.tenant_id)
    assert _roles(cast.owner.tenant_id)[NEWCOMER] == "developer"
    assert _actions(cast.owner.tenant_id)[-2:] == ["member.invite", "member.join"]
    with pytest.raises(BadInvitation):
        invitation_accept(token=token, actor=_actor(newcomer.id))


def test_a_stranger_s_address_gets_few_mails_though_each_invitation_is_withdrawn(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id, actor = cast.owner.tenant_id, _actor(cast.owner.user_id)

    def invite(email: str) -> None:
        made = invitation_send(tenant_id=tenant_id, email=email, role="viewer", actor=actor)
        invitation_withdraw(tenant_id=tenant_id, invitation_id=made, actor=actor)

    invite(NEWCOMER)
    with pytest.raises(LimitReached, match="ten minutes ago"):
        invite(NEWCOMER.upper())
    monkeypatch.setattr(members, "SAME_ADDRESS_AGAIN", timedelta(0))
    invite(NEWCOMER)
    monkeypatch.setattr(members, "INVITATIONS_PER_DAY", 3)
    invite("another@example.test")
    with pytest.raises(LimitReached, match="3 times a day"):
        invite("third@example.test")

    assert _actions(tenant_id).count("member.invite") == 3


def test_a_token_is_stored_nowhere(cast: Cast) -> None:
    token = _invited(cast)

    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(i)::text FROM invitation i")
        (row,) = cursor.fetchone()
        cursor.execute("SELECT row_to_json(e)::text FROM audit_event e")
        rows = [row, *(text for (text,) in cursor.fetchall())]
    assert len(token) >= 43
    assert all(token not in text for text in rows)


def test_only_the_address_it_was_sent_to_can_accept(cast: Cast) -> None:
    token, other = _invited(cast), services.user_create(email="other@example.test")

    with pytest.raises(AnothersInvitation):
        invitation_accept(token=token, actor=_actor(other.id))


def test_an_address_that_was_only_claimed_cannot_accept(cast: Cast) -> None:
    from allauth.account.models import EmailAddress

    token, claims = _invited(cast), User.objects.create_user("claims@example.test")
    EmailAddress.objects.create(user=claims, email=NEWCOMER, verified=False)

    with pytest.raises(AnothersInvitation):
        invitation_accept(token=token, actor=_actor(claims.id))


def test_an_invitation_ends_after_seven_days(cast: Cast) -> None:
    token, newcomer = _invited(cast), services.user_create(email=NEWCOMER)
    with as_tenant(cast.owner.tenant_id):
        invitation = Invitation.objects.get(tenant_id=cast.owner.tenant_id)
        assert abs(invitation.expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)
        Invitation.objects.update(expires_at=datetime.now(UTC))

    with pytest.raises(BadInvitation):
        invitation_accept(token=token, actor=_actor(newcomer.id))


def test_another_invitation_to_the_same_address_ends_the_first(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SAME_ADDRESS_AGAIN", timedelta(0))
    first, second = _invited(cast), _invited(cast, role="viewer", email=" Newcomer@Example.test ")

    assert invitation_of(token=second).role == "viewer"
    with pytest.raises(BadInvitation):
        invitation_of(token=first)


def test_a_withdrawn_invitation_is_over(cast: Cast, people: dict[str, UUID]) -> None:
    token, tenant_id = _invited(cast, role="owner"), cast.owner.tenant_id
    (open_one,) = selectors.invitations_of(tenant_id=tenant_id)

    with pytest.raises(NotAllowed):
        invitation_withdraw(tenant_id=tenant_id, invitation_id=open_one.id, actor=_actor(people["admin"]))
    with pytest.raises(NotFound):
        invitation_withdraw(tenant_id=tenant_id, invitation_id=uuid4(), actor=_actor(people["owner"]))
    invitation_withdraw(tenant_id=tenant_id, invitation_id=open_one.id, actor=_actor(people["owner"]))

    with pytest.raises(BadInvitation):
        invitation_of(token=token)


@pytest.mark.parametrize("becomes", ["gone", "developer"])
def test_an_invitation_ends_with_the_right_of_whoever_sent_it(
    cast: Cast, people: dict[str, UUID], becomes: str
) -> None:
    tenant_id = cast.owner.tenant_id
    invitation_send(tenant_id=tenant_id, email=NEWCOMER, role="viewer", actor=_actor(people["admin"]))
    if becomes == "gone":
        member_remove(tenant_id=tenant_id, user_id=people["admin"], actor=_actor(people["owner"]))
    else:
        role_change(tenant_id=tenant_id, user_id=people["admin"], role=becomes, actor=_actor(people["owner"]))

    with pytest.raises(BadInvitation):
        invitation_of(token=_token())


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a b@c.test", "a@c.test\nBcc: d@e.test"])
def test_what_is_no_address_is_not_invited(cast: Cast, email: str) -> None:
    with pytest.raises(BadValue):
        _invited(cast, email=email)


def test_a_member_is_not_invited_again(cast: Cast) -> None:
    with pytest.raises(AlreadyMember):
        _invited(cast, email="TEAMMATE@example.test")


def test_a_full_plan_takes_nobody_more_and_counts_the_invited(cast: Cast) -> None:
    tenant_id = cast.owner.tenant_id
    with as_tenant(tenant_id):
        Tenant.objects.update(members_max=3)
    token, newcomer = _invited(cast), services.user_create(email=NEWCOMER)

    with pytest.raises(LimitReached, match="allows 3 members"):
        _invited(cast, email="second@example.test")
    with as_tenant(tenant_id):
        Tenant.objects.update(members_max=2)
    with pytest.raises(LimitReached):
        invitation_accept(token=token, actor=_actor(newcomer.id))
    with pytest.raises(LimitReached):
        members.member_join_by_sso(tenant_id=tenant_id, actor=_actor(newcomer.id))


Act = Callable[[UUID, dict[str, UUID], Actor], Any]

# What is done, and who may do it.
ACTS: dict[str, tuple[Act, set[str]]] = {
    "invite a viewer": (
        lambda tenant, _, actor: _invite_somebody(tenant, "viewer", actor),
        {"owner", "admin"},
    ),
    "invite an admin": (
        lambda tenant, _, actor: _invite_somebody(tenant, "admin", actor),
        {"owner", "admin"},
    ),
    "invite an owner": (
        lambda tenant, _, actor: _invite_somebody(tenant, "owner", actor),
        {"owner"},
    ),
    "make the viewer a developer": (
        lambda tenant, who, actor: role_change(tenant_id=tenant, user_id=who["target"], role="developer", actor=actor),
        {"owner", "admin"},
    ),
    "make the viewer an owner": (
        lambda tenant, who, actor: role_change(tenant_id=tenant, user_id=who["target"], role="owner", actor=actor),
        {"owner"},
    ),
    "make an owner a viewer": (
        lambda tenant, who, actor: role_change(
            tenant_id=tenant, user_id=who["target owner"], role="viewer", actor=actor
        ),
        {"owner"},
    ),
    "remove the viewer": (
        lambda tenant, who, actor: member_remove(tenant_id=tenant, user_id=who["target"], actor=actor),
        {"owner", "admin"},
    ),
    "remove an owner": (
        lambda tenant, who, actor: member_remove(tenant_id=tenant, user_id=who["target owner"], actor=actor),
        {"owner"},
    ),
    "hand it over": (
        lambda tenant, who, actor: ownership_transfer(tenant_id=tenant, user_id=who["target"], actor=actor),
        {"owner"},
    ),
    "rename it": (
        lambda tenant, _, actor: tenant_rename(tenant_id=tenant, name="Renamed", actor=actor),
        {"owner"},
    ),
    "leave": (
        lambda tenant, _, actor: member_remove(tenant_id=tenant, user_id=actor.id or uuid4(), actor=actor),
        set(ROLES),
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_each_role_may_do_what_the_table_says_and_each_act_is_told(
    cast: Cast, people: dict[str, UUID], act: str
) -> None:
    do, allowed = ACTS[act]
    tenant_id = cast.owner.tenant_id
    for role in ("outsider", *reversed(ROLES)):
        who = dict(people)
        for name, its_role in (("target", "viewer"), ("target owner", "owner")):
            user = services.user_create(email=f"{uuid4().hex}@team.test")
            services.member_add(tenant_id=tenant_id, user_id=user.id, role=its_role)
            who[name] = user.id
        before, told = _roles(tenant_id), len(_actions(tenant_id))
        try:
            do(tenant_id, who, _actor(people[role]))
        except (NotAllowed, NotFound):
            assert role not in allowed, role
            assert (_roles(tenant_id), len(_actions(tenant_id))) == (before, told), role
        else:
            assert role in allowed, role
            assert len(_actions(tenant_id)) > told, role
        with as_tenant(tenant_id):
            Tenant.objects.update(name="Team")
            assert list(audit.faults(tenant_id=tenant_id)) == []
        if role != "outsider":
            services.member_add(tenant_id=tenant_id, user_id=people[role], role=role)


def test_the_last_owner_stays(cast: Cast) -> None:
    tenant_id, own = cast.owner.tenant_id, cast.owner.user_id

    with pytest.raises(LastOwner):
        member_remove(tenant_id=tenant_id, user_id=own, actor=_actor(own))
    with pytest.raises(LastOwner):
        role_change(tenant_id=tenant_id, user_id=own, role="viewer", actor=_actor(own))
    with pytest.raises(LastOwner):
        member_remove(tenant_id=tenant_id, user_id=own, actor=SYSTEM)


def test_after_handing_it_over_one_is_an_admin_and_can_leave(cast: Cast) -> None:
    tenant_id, own = cast.owner.tenant_id, cast.owner.user_id
    ownership_transfer(tenant_id=tenant_id, user_id=cast.teammate.user_id, actor=_actor(own))

    assert _roles(tenant_id) == {"owner@example.test": "admin", "teammate@example.test": "owner"}
    member_remove(tenant_id=tenant_id, user_id=own, actor=_actor(own))
    assert _roles(tenant_id) == {"teammate@example.test": "owner"}


def test_the_owner_who_may_use_a_password_stays_one_while_others_may_not(cast: Cast) -> None:
    tenant_id, actor = cast.owner.tenant_id, _actor(cast.owner.user_id)
    services.member_add(tenant_id=tenant_id, user_id=cast.teammate.user_id, role="owner")
    sso.sso_put(
        tenant_id=tenant_id, domain="example.test", issuer="https://id.test", client_id="c", secret="s", actor=actor
    )
    proof = sso.sso_of(tenant_id=tenant_id)
    assert proof is not None
    sso.sso_prove(tenant_id=tenant_id, actor=actor, resolve=lambda name: [proof.proof])
    sso.sso_require(tenant_id=tenant_id, required=True, actor=actor)

    with pytest.raises(ExemptOwner):
        member_remove(tenant_id=tenant_id, user_id=cast.owner.user_id, actor=_actor(cast.teammate.user_id))
    assert sso.sso_closes(tenant_id=tenant_id, user_id=cast.teammate.user_id, signed_in_by="")
    assert not sso.sso_closes(tenant_id=tenant_id, user_id=cast.owner.user_id, signed_in_by="")


def test_the_outsider_cannot_touch_what_they_can_name(cast: Cast) -> None:
    """A tenant sees nothing of another tenant, by the ORM filter and, under it, by row-level security. (Law 8)"""
    theirs = _actor(cast.outsider.user_id)

    with pytest.raises(NotFound):
        role_change(tenant_id=cast.outsider.tenant_id, user_id=cast.teammate.user_id, role="viewer", actor=theirs)
    with pytest.raises(NotFound):
        member_remove(tenant_id=cast.owner.tenant_id, user_id=cast.teammate.user_id, actor=theirs)


def test_a_started_tenant_is_the_free_plans_and_has_its_owner_and_a_project(cast: Cast) -> None:
    tenant_id = tenant_start(name=" Acme ", owner_id=cast.owner.user_id, actor=_actor(cast.owner.user_id))

    tenant = selectors.tenant_of(tenant_id=tenant_id)
    assert (tenant.name, tenant.plan, tenant.members_max) == ("Acme", "free", 2)
    assert _roles(tenant_id) == {"owner@example.test": "owner"}
    assert len(selectors.projects_of(tenant_id=tenant_id)) == 1
    assert _actions(tenant_id) == ["tenant.create"]


def test_a_person_can_be_in_several_tenants(cast: Cast) -> None:
    token = _invited(cast, email="outsider@example.test", role="billing")
    invitation_accept(token=token, actor=_actor(cast.outsider.user_id))

    found = selectors.memberships_of(user_id=cast.outsider.user_id)
    assert [(one.tenant_name, one.role) for one in found] == [("Others", "owner"), ("Team", "billing")]
