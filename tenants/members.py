"""Who is in a tenant, as what, and who decides that?

Each change is made under a lock on the tenant, by somebody whose role is read there: of two owners who take each
other's role at once, one stays.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID, uuid4

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Exists, OuterRef

from tenants import audit, isolation, names
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.mailing import mail_send
from tenants.models import AuditEvent, Invitation, Member, Project, SsoConnection, Tenant, User
from tenants.refusals import BadValue, Conflict, LimitReached, NotAllowed, NotFound
from tenants.roles import ROLES, may
from tenants.services import Limits, tenant_insert

TOKEN_BYTES = 32
INVITATION_LASTS = timedelta(days=7)
# Anybody's address can be named, and a withdrawn invitation was a mail all the same.
SAME_ADDRESS_AGAIN = timedelta(minutes=10)
INVITATIONS_PER_DAY = 50
READ_DEADLINE_SECONDS = 2.0
INVITATION_PATH = "/account/invitations/"  # the page that takes what follows for a token
FIRST_PROJECT = "Default"
INVITED = "member.invite"  # in the audit trail

INVITATION = """\
{inviter} invites you to join {tenant} on CacheAI as {role}.

Accept within seven days, signed in with this address:

{link}

If you did not expect this, you need not do anything.
"""


class AlreadyMember(Conflict):
    """This person is a member already."""


class LastOwner(Conflict):
    """A tenant keeps at least one owner."""


class ExemptOwner(Conflict):
    """This owner alone may still come in by password: let another one require single sign-on first."""


class BadInvitation(NotFound):
    """This invitation was used or withdrawn, or it has expired."""


class AnothersInvitation(NotAllowed):
    """This invitation is for another address: sign in with the one it was sent to."""


@dataclass(frozen=True, slots=True)
class InvitationFacts:
    """What whoever holds a token may know."""

    tenant_id: UUID
    tenant_name: str
    email: str
    role: str


def tenant_start(*, name: str, owner_id: UUID, actor: Actor) -> UUID:
    """A tenant on the free plan, with its owner and a first project, all or nothing. Raises BadValue."""
    tenant_id, name = uuid4(), names.checked(name)
    with as_tenant(tenant_id):
        tenant_insert(tenant_id, name, Limits())
        Member.objects.create(tenant_id=tenant_id, user_id=owner_id, role="owner")
        Project.objects.create(tenant_id=tenant_id, name=FIRST_PROJECT)
        audit.record(tenant_id=tenant_id, actor=actor, action="tenant.create", diff={"name": name})
    return tenant_id


def tenant_rename(*, tenant_id: UUID, name: str, actor: Actor) -> None:
    """Raises BadValue or NotAllowed."""
    name = names.checked(name)
    with as_tenant(tenant_id):
        tenant = _locked(tenant_id)
        _demand("tenant", _role_of(tenant_id, actor))
        if name == tenant.name:
            return
        Tenant.objects.filter(id=tenant_id).update(name=name)
        audit.record(tenant_id=tenant_id, actor=actor, action="tenant.rename", diff={"name": [tenant.name, name]})


def invitation_send(*, tenant_id: UUID, email: str, role: str, actor: Actor) -> UUID:
    """Again for the same address: the earlier token ends. Raises BadValue, NotAllowed, AlreadyMember, LimitReached."""
    email = _address(email)
    token, now = token_urlsafe(TOKEN_BYTES), datetime.now(UTC)
    with as_tenant(tenant_id):
        tenant = _locked(tenant_id)
        _demand_over(_role_of(tenant_id, actor), _known(role))
        if Member.objects.filter(tenant_id=tenant_id, user__in=_people_of(email)).exists():
            raise AlreadyMember(field="email")
        _refuse_many_mails(tenant_id, email, now)
        Invitation.objects.filter(tenant_id=tenant_id, email=email).delete()
        open_invitations = Invitation.objects.filter(tenant_id=tenant_id, expires_at__gt=now).count()
        _demand_room(tenant, more=open_invitations)
        made = Invitation.objects.create(
            tenant_id=tenant_id,
            email=email,
            role=role,
            digest=_digest(token),
            invited_by=actor.id if actor.kind == "person" else None,
            expires_at=now + INVITATION_LASTS,
        )
        mail_send(
            to=[email],
            subject=f"Join {tenant.name} on CacheAI",
            text=INVITATION.format(
                inviter=_name_of(actor),
                tenant=tenant.name,
                role=role,
                link=settings.PUBLIC_URL + INVITATION_PATH + token,
            ),
        )
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action=INVITED,
            target=str(made.id),
            diff={"email": email, "role": role},
        )
    return made.id


def _refuse_many_mails(tenant_id: UUID, email: str, now: datetime) -> None:
    """By the trail, which nobody shortens; under the tenant's lock."""
    sent = AuditEvent.objects.filter(tenant_id=tenant_id, action=INVITED)
    if sent.filter(at__gt=now - SAME_ADDRESS_AGAIN, diff__email=email).exists():
        raise LimitReached("This address was invited less than ten minutes ago.", field="email")
    if sent.filter(at__gt=now - timedelta(days=1)).count() >= INVITATIONS_PER_DAY:
        raise LimitReached(f"A tenant invites at most {INVITATIONS_PER_DAY} times a day.", field="email")


def invitation_withdraw(*, tenant_id: UUID, invitation_id: UUID, actor: Actor) -> None:
    """Raises NotFound or NotAllowed."""
    with as_tenant(tenant_id):
        _locked(tenant_id)
        role = _role_of(tenant_id, actor)
        _demand("members", role)
        found = Invitation.objects.filter(tenant_id=tenant_id, id=invitation_id).first()
        if found is None:
            raise NotFound
        _demand_over(role, found.role)
        Invitation.objects.filter(tenant_id=tenant_id, id=invitation_id).delete()
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action="member.uninvite",
            target=str(invitation_id),
            diff={"email": found.email},
        )


def is_invitation(path: str | None) -> bool:
    """Whether somebody on the way there joins another's tenant, rather than having one of their own made."""
    return (path or "").startswith(INVITATION_PATH)


def invitation_of(*, token: str) -> InvitationFacts:
    """Raises BadInvitation."""
    tenant_id, invitation_id = _found(token)
    with as_tenant(tenant_id):
        invitation = _usable(tenant_id, invitation_id)
        name = Tenant.objects.get(id=tenant_id).name
    return InvitationFacts(tenant_id, name, invitation.email, invitation.role)


def invitation_accept(*, token: str, actor: Actor) -> UUID:
    """The actor becomes a member of the tenant that is answered.

    Raises BadInvitation, AnothersInvitation, AlreadyMember or LimitReached.
    """
    tenant_id, invitation_id = _found(token)
    user_id = _person(actor)
    verified = {
        address.lower()
        for address in EmailAddress.objects.filter(user_id=user_id, verified=True).values_list("email", flat=True)
    }
    with as_tenant(tenant_id):
        tenant = _locked(tenant_id)
        invitation = _usable(tenant_id, invitation_id)
        if invitation.email not in verified:
            raise AnothersInvitation
        if Member.objects.filter(tenant_id=tenant_id, user_id=user_id).exists():
            raise AlreadyMember
        _demand_room(tenant)
        Invitation.objects.filter(tenant_id=tenant_id, id=invitation_id).delete()
        Member.objects.create(tenant_id=tenant_id, user_id=user_id, role=invitation.role)
        audit.record(
            tenant_id=tenant_id,
            actor=actor,
            action="member.join",
            target=str(user_id),
            diff={"role": invitation.role, "invitation": str(invitation_id)},
        )
    return tenant_id


def member_join_by_sso(*, tenant_id: UUID, actor: Actor) -> None:
    """Whoever comes in by the tenant's own sign-in for the first time is a viewer. Raises LimitReached."""
    user_id = _person(actor)
    with as_tenant(tenant_id):
        tenant = _locked(tenant_id)
        if Member.objects.filter(tenant_id=tenant_id, user_id=user_id).exists():
            return
        _demand_room(tenant)
        Member.objects.create(tenant_id=tenant_id, user_id=user_id, role="viewer")
        diff = {"role": "viewer", "by": "sso"}
        audit.record(tenant_id=tenant_id, actor=actor, action="member.join", target=str(user_id), diff=diff)


def claim_drop(*, email: str) -> None:
    """Take an address that was never proved from people who have another one that was.

    A person without any proved address never came in: there is nobody else behind it.
    """
    others = EmailAddress.objects.filter(user_id=OuterRef("user_id"), verified=True)
    EmailAddress.objects.filter(Exists(others), email=email.lower(), verified=False).delete()


def role_change(*, tenant_id: UUID, user_id: UUID, role: str, actor: Actor) -> None:
    """Raises BadValue, NotFound, NotAllowed or LastOwner."""
    with as_tenant(tenant_id):
        _locked(tenant_id)
        member = _member(tenant_id, user_id)
        own = _role_of(tenant_id, actor)
        _demand_over(own, member.role)
        _demand_over(own, _known(role))
        if role == member.role:
            return
        if member.role == "owner":
            _demand_another_owner(tenant_id, user_id)
        _set_role(tenant_id, user_id, member.role, role, actor)


def member_remove(*, tenant_id: UUID, user_id: UUID, actor: Actor) -> None:
    """Anybody may leave; the others are taken out. Raises NotFound, NotAllowed or LastOwner."""
    with as_tenant(tenant_id):
        _locked(tenant_id)
        member = _member(tenant_id, user_id)
        leaves = actor.kind == "person" and actor.id == user_id
        if not leaves:
            _demand_over(_role_of(tenant_id, actor), member.role)
        if member.role == "owner":
            _demand_another_owner(tenant_id, user_id)
        Member.objects.filter(tenant_id=tenant_id, user_id=user_id).delete()
        action = "member.leave" if leaves else "member.remove"
        diff = {"role": member.role}
        audit.record(tenant_id=tenant_id, actor=actor, action=action, target=str(user_id), diff=diff)


def ownership_transfer(*, tenant_id: UUID, user_id: UUID, actor: Actor) -> None:
    """The actor hands it over and is an admin from then on. Raises NotFound, NotAllowed or AlreadyMember."""
    own_id = _person(actor)
    with as_tenant(tenant_id):
        _locked(tenant_id)
        _demand("tenant", _role_of(tenant_id, actor))
        member = _member(tenant_id, user_id)
        if member.role == "owner":
            raise AlreadyMember("This person is an owner already.")
        _set_role(tenant_id, user_id, member.role, "owner", actor)
        _set_role(tenant_id, own_id, "owner", "admin", actor)
        SsoConnection.objects.filter(tenant_id=tenant_id, exempt_id=own_id).update(exempt_id=user_id)


def _set_role(tenant_id: UUID, user_id: UUID, before: str, role: str, actor: Actor) -> None:
    Member.objects.filter(tenant_id=tenant_id, user_id=user_id).update(role=role)
    diff = {"role": [before, role]}
    audit.record(tenant_id=tenant_id, actor=actor, action="member.role", target=str(user_id), diff=diff)


def _locked(tenant_id: UUID) -> Tenant:
    try:
        return Tenant.objects.select_for_update().get(id=tenant_id)
    except Tenant.DoesNotExist:
        raise NotFound from None


def _member(tenant_id: UUID, user_id: UUID) -> Member:
    member = Member.objects.filter(tenant_id=tenant_id, user_id=user_id).first()
    if member is None:
        raise NotFound
    return member


def _role_of(tenant_id: UUID, actor: Actor) -> str:
    """Operators and CacheAI itself stand above the roles."""
    if actor.kind in ("operator", "system"):
        return "owner"
    return _member(tenant_id, _person(actor)).role


def _person(actor: Actor) -> UUID:
    if actor.kind != "person" or actor.id is None:
        raise NotAllowed("Only a person can do this.")
    return actor.id


def _demand(act: str, role: str) -> None:
    if not may(role, act):
        raise NotAllowed(f"This takes another role than {role}.")


def _demand_over(role: str, other: str) -> None:
    """Owners are another owner's matter."""
    _demand("members", role)
    if other == "owner" and role != "owner":
        raise NotAllowed("Only an owner decides about owners.")


def _demand_another_owner(tenant_id: UUID, user_id: UUID) -> None:
    if Member.objects.filter(tenant_id=tenant_id, role="owner").count() == 1:
        raise LastOwner
    if SsoConnection.objects.filter(tenant_id=tenant_id, exempt_id=user_id).exists():
        raise ExemptOwner


def _demand_room(tenant: Tenant, *, more: int = 0) -> None:
    members = Member.objects.filter(tenant_id=tenant.id).count()
    if tenant.members_max is not None and members + more >= tenant.members_max:
        raise LimitReached.of(tenant.plan, tenant.members_max, "member", ", invited ones too")


def _usable(tenant_id: UUID, invitation_id: UUID) -> Invitation:
    """It ends with its time, and with the right of whoever sent it."""
    invitation = Invitation.objects.filter(tenant_id=tenant_id, id=invitation_id).first()
    if invitation is None or invitation.expires_at <= datetime.now(UTC):
        raise BadInvitation
    if invitation.invited_by is not None:
        inviter = Member.objects.filter(tenant_id=tenant_id, user_id=invitation.invited_by).first()
        if inviter is None or not may(inviter.role, "members"):
            raise BadInvitation
        if invitation.role == "owner" and inviter.role != "owner":
            raise BadInvitation
    return invitation


def _found(token: str) -> tuple[UUID, UUID]:
    rows = isolation.read_before_tenant(
        "SELECT tenant_id, id FROM invitation_by_digest(%s)", [_digest(token)], deadline_seconds=READ_DEADLINE_SECONDS
    )
    if not rows:
        raise BadInvitation
    return rows[0][0], rows[0][1]


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _address(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise BadValue("This is no email address.", field="email") from None
    return email


def _known(role: str) -> str:
    if role not in ROLES:
        raise BadValue("A role is owner, admin, developer, billing or viewer.", field="role")
    return role


def _people_of(email: str) -> list[UUID]:
    return list(EmailAddress.objects.filter(email=email, verified=True).values_list("user_id", flat=True))


def _name_of(actor: Actor) -> str:
    if actor.kind != "person" or actor.id is None:
        return "CacheAI"
    return User.objects.get(id=actor.id).email
