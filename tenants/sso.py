"""By which sign-in of their own do the people of a tenant come in?

A tenant names an OpenID Connect issuer for one domain, and proves by a TXT record that the domain is its own: from
then on the issuer's word about addresses of that domain is believed, and about no others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import dns.exception
import dns.resolver
from django.db import IntegrityError
from django.db.models import Q

from tenants import audit, features, isolation, vault
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import Member, SsoConnection, Tenant
from tenants.refusals import BadValue, Conflict, NotAllowed, NotFound, NotInPlan
from tenants.roles import may

RECORD = "_cacheai"  # before the domain
PROOF = "cacheai-domain-proof="
PROOF_BYTES = 16
LOOK_UP_SECONDS = 5.0
READ_DEADLINE_SECONDS = 2.0
SECRET_COLUMN = "sso_connection.sealed"  # noqa: S105 (where it is, not what)

Resolve = Callable[[str], Sequence[str]]


class NotProved(Conflict):
    """The TXT record was not found yet. A change of records may take hours to be seen."""


class DomainTaken(Conflict):
    """Another tenant has proved this domain."""


@dataclass(frozen=True, slots=True)
class SsoFacts:
    """What is shown of a connection; the client's secret never is."""

    domain: str
    issuer: str
    client_id: str
    record: str  # the name of the TXT record,
    proof: str  # and what it must say
    proved_at: datetime | None
    required: bool
    exempt_id: UUID | None


@dataclass(frozen=True, slots=True)
class SsoClient:
    """What signing in takes."""

    tenant_id: UUID
    domain: str
    issuer: str
    client_id: str
    secret: str = field(repr=False)


def txt_records(name: str) -> list[str]:
    """What DNS says; nothing, if it cannot be asked."""
    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=LOOK_UP_SECONDS)
    except dns.exception.DNSException:
        return []
    return [b"".join(record.strings).decode(errors="replace") for record in answer]


def sso_of(*, tenant_id: UUID) -> SsoFacts | None:
    with as_tenant(tenant_id):
        found = SsoConnection.objects.filter(tenant_id=tenant_id).first()
    if found is None:
        return None
    return SsoFacts(
        domain=found.domain,
        issuer=found.issuer,
        client_id=found.client_id,
        record=f"{RECORD}.{found.domain}",
        proof=PROOF + found.proof,
        proved_at=found.proved_at,
        required=found.required,
        exempt_id=found.exempt_id,
    )


def sso_put(*, tenant_id: UUID, domain: str, issuer: str, client_id: str, secret: str, actor: Actor) -> None:
    """An empty secret leaves the one there is. Another domain has to be proved anew, and so has
    the domain of another issuer: who speaks for it is for those to say who have it.

    Raises BadValue, NotAllowed or NotInPlan.
    """
    domain, issuer, client_id = _domain(domain), _issuer(issuer), client_id.strip()
    if not client_id:
        raise BadValue("Field required: client_id", field="client_id")
    sealed = vault.seal(tenant_id, secret.encode(), column=SECRET_COLUMN, row_id=tenant_id) if secret else b""
    with as_tenant(tenant_id):
        _demand(tenant_id, actor)
        before = SsoConnection.objects.filter(tenant_id=tenant_id).first()
        if before is None and not sealed:
            raise BadValue("Field required: secret", field="secret")
        values: dict[str, Any] = {"issuer": issuer, "client_id": client_id, **({"sealed": sealed} if sealed else {})}
        if before is None or (before.domain, before.issuer) != (domain, issuer):
            values |= {"domain": domain, "proof": token_hex(PROOF_BYTES), "proved_at": None}
            values |= {"required": False, "exempt_id": None}
        SsoConnection.objects.update_or_create(tenant_id=tenant_id, defaults=values)
        diff = {"domain": domain, "issuer": issuer, "client_id": client_id, "secret": bool(secret)}
        audit.record(tenant_id=tenant_id, actor=actor, action="sso.put", diff=diff)


def sso_prove(*, tenant_id: UUID, actor: Actor, resolve: Resolve | None = None) -> None:
    """Look for the record. Raises NotFound, NotAllowed, NotInPlan, NotProved or DomainTaken."""
    facts = sso_of(tenant_id=tenant_id)
    if facts is None:
        raise NotFound
    if facts.proof not in (resolve or txt_records)(facts.record):
        raise NotProved
    try:
        with as_tenant(tenant_id):
            _demand(tenant_id, actor)
            found = SsoConnection.objects.filter(tenant_id=tenant_id, proof=facts.proof.removeprefix(PROOF))
            if found.filter(proved_at=None).update(proved_at=datetime.now(UTC)):
                audit.record(tenant_id=tenant_id, actor=actor, action="sso.prove", diff={"domain": facts.domain})
    except IntegrityError:
        raise DomainTaken from None


def sso_require(*, tenant_id: UUID, required: bool, actor: Actor) -> None:
    """Close passwords here to all but the owner who says so. Raises NotFound, NotAllowed, NotInPlan or NotProved."""
    with as_tenant(tenant_id):
        role = _demand(tenant_id, actor)
        if required and role != "owner":
            raise NotAllowed("Only an owner closes passwords, and is then the one who may still use one.")
        found = SsoConnection.objects.filter(tenant_id=tenant_id).first()
        if found is None:
            raise NotFound
        if required and found.proved_at is None:
            raise NotProved("Prove the domain first.")
        exempt_id = actor.id if required else None
        SsoConnection.objects.filter(tenant_id=tenant_id).update(required=required, exempt_id=exempt_id)
        audit.record(tenant_id=tenant_id, actor=actor, action="sso.require", diff={"required": required})


def sso_remove(*, tenant_id: UUID, actor: Actor) -> None:
    """Raises NotFound or NotAllowed."""
    with as_tenant(tenant_id):
        _demand(tenant_id, actor, in_plan=False)
        gone, _ = SsoConnection.objects.filter(tenant_id=tenant_id).delete()
        if not gone:
            raise NotFound
        audit.record(tenant_id=tenant_id, actor=actor, action="sso.remove")


def sso_tenant_for(*, email: str) -> UUID | None:
    """The tenant that proved the address's domain."""
    rows = isolation.read_before_tenant(
        "SELECT tenant_id FROM sso_by_domain(%s)",
        [email.rpartition("@")[2].strip().lower()],
        deadline_seconds=READ_DEADLINE_SECONDS,
    )
    return rows[0][0] if rows else None


def sso_client(*, tenant_id: UUID) -> SsoClient | None:
    """None where nobody may come in this way: unproved, not in the plan any more, suspended, or no such tenant."""
    with as_tenant(tenant_id):
        found = SsoConnection.objects.filter(tenant_id=tenant_id, proved_at__isnull=False).first()
        tenant = Tenant.objects.filter(id=tenant_id, features__contains=[features.SSO], suspended_at=None).first()
    if found is None or tenant is None:
        return None
    secret = vault.unseal(tenant_id, bytes(found.sealed), column=SECRET_COLUMN, row_id=tenant_id).decode()
    return SsoClient(tenant_id, found.domain, found.issuer, found.client_id, secret)


def sso_closes(*, tenant_id: UUID, user_id: UUID, signed_in_by: str) -> bool:
    """Must this person come in by the tenant's own sign-in? `signed_in_by` is the id of the tenant whose they used."""
    if signed_in_by == str(tenant_id):
        return False
    with as_tenant(tenant_id):
        others = SsoConnection.objects.filter(~Q(exempt_id=user_id), tenant_id=tenant_id, required=True)
        return others.filter(tenant__features__contains=[features.SSO]).exists()


def _demand(tenant_id: UUID, actor: Actor, *, in_plan: bool = True) -> str:
    """The actor's role, read under a lock on the tenant."""
    tenant = Tenant.objects.select_for_update().get(id=tenant_id)
    if in_plan and features.SSO not in tenant.features:
        raise NotInPlan("Single sign-on comes with the plan team.")
    people = Member.objects.filter(tenant_id=tenant_id)
    member = people.filter(user_id=actor.id).first() if actor.id and actor.kind == "person" else None
    if member is None or not may(member.role, "sso"):
        raise NotAllowed("Single sign-on is for owners and admins to set.")
    return member.role


def _domain(text: str) -> str:
    try:
        domain = text.strip().lower().removeprefix("@").encode("idna").decode()
    except UnicodeError:
        domain = ""
    if "." not in domain or not all(part.replace("-", "").isalnum() for part in domain.split(".")):
        raise BadValue("This is no domain, like example.com.", field="domain")
    return domain


def _issuer(text: str) -> str:
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise BadValue("The issuer is an address that begins with https://.", field="issuer")
    return url
