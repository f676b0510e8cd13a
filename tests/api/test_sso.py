"""Whom does a tenant's own sign-in let in, and how far?"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from cache_api import wiring
from tenants import selectors, services, sso
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import Member, Tenant, User
from tests.api.people import PASSWORD, Person, client, owner_of
from tests.conftest import Cast
from tests.oidc_emulator import CLIENT_ID, CLIENT_SECRET, OidcEmulator

DOMAIN = "example.test"

pytestmark = pytest.mark.usefixtures("outbox")


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[OidcEmulator]:
    with OidcEmulator(person={"sub": "1", "email": f"new@{DOMAIN}", "name": "New Person"}) as emulator:
        allowed = wiring.allowed_addresses() | {("127.0.0.1", emulator.port)}
        monkeypatch.setattr(wiring, "allowed_addresses", lambda: allowed)
        yield emulator


def _set_up(cast: Cast, issuer: OidcEmulator, *, prove: bool = True) -> UUID:
    tenant_id = cast.owner.tenant_id
    sso.sso_put(
        tenant_id=tenant_id,
        domain=DOMAIN,
        issuer=issuer.issuer,
        client_id=CLIENT_ID,
        secret=CLIENT_SECRET,
        actor=owner_of(cast),
    )
    if prove:
        _prove(tenant_id, owner_of(cast))
    return tenant_id


def _prove(tenant_id: UUID, actor: Actor) -> None:
    facts = sso.sso_of(tenant_id=tenant_id)
    assert facts is not None
    records = {facts.record: [facts.proof]}
    sso.sso_prove(tenant_id=tenant_id, actor=actor, resolve=lambda name: records.get(name, []))


def _through(at: Client, issuer: OidcEmulator, email: str = f"new@{DOMAIN}") -> Any:
    """From the page that asks for an address to the issuer and back: the callback's answer."""
    page = at.post("/account/sso/", {"email": email})
    found = re.search(r'url=([^"]+)"', page.content.decode())
    assert found is not None, page.content
    away = at.get(found[1])
    assert away.status_code == 302, away.content
    status, back = issuer.answer("GET", away["Location"], {}, "")
    assert status == 302, back
    return at.get(back.removeprefix("http://testserver"))


def test_the_first_single_sign_on_makes_a_viewer(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id, at = _set_up(cast, issuer), client()

    answer = _through(at, issuer)

    assert (answer.status_code, answer["Location"]) == (302, "/")
    newcomer = User.objects.get(email=f"new@{DOMAIN}")
    assert [(one.tenant_name, one.role) for one in selectors.memberships_of(user_id=newcomer.id)] == [
        ("Team", "viewer")
    ]
    assert at.get(f"/t/{tenant_id}/").status_code == 200


def test_a_member_comes_in_as_who_they_are(cast: Cast, issuer: OidcEmulator) -> None:
    _set_up(cast, issuer)
    issuer.person = {"sub": "2", "email": "teammate@example.test"}
    at = client()
    _through(at, issuer)

    assert at.session["_auth_user_id"] == str(cast.teammate.user_id)
    assert selectors.memberships_of(user_id=cast.teammate.user_id)[0].role == "developer"


@pytest.mark.parametrize(
    "person",
    [
        {"sub": "3", "email": "victim@elsewhere.test", "email_verified": True},
        {"sub": "4", "email": f"victim@sub.{DOMAIN}", "email_verified": True},
        {"sub": "5"},
    ],
)
def test_an_issuer_is_not_believed_about_other_domains(
    cast: Cast, issuer: OidcEmulator, person: dict[str, Any]
) -> None:
    _set_up(cast, issuer)
    issuer.person = person
    at = client()

    assert _through(at, issuer).status_code == 403
    assert "_auth_user_id" not in at.session


def test_an_unproved_domain_leads_nowhere(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id = _set_up(cast, issuer, prove=False)

    assert b"No team has set up" in client().post("/account/sso/", {"email": f"a@{DOMAIN}"}).content
    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 404
    with pytest.raises(sso.NotProved):
        sso.sso_prove(tenant_id=tenant_id, actor=owner_of(cast), resolve=lambda name: ["something else"])


def test_a_domain_is_proved_by_one_tenant_alone(cast: Cast, issuer: OidcEmulator) -> None:
    _set_up(cast, issuer)
    theirs, actor = cast.outsider.tenant_id, Actor("person", cast.outsider.user_id)
    sso.sso_put(tenant_id=theirs, domain=DOMAIN, issuer=issuer.issuer, client_id="x", secret="y", actor=actor)
    facts = sso.sso_of(tenant_id=theirs)
    assert facts is not None

    with pytest.raises(sso.DomainTaken):
        sso.sso_prove(tenant_id=theirs, actor=actor, resolve=lambda name: [facts.proof])


def test_where_single_sign_on_is_required_a_password_opens_nothing_but_for_one_owner(
    cast: Cast, issuer: OidcEmulator
) -> None:
    tenant_id = _set_up(cast, issuer)
    page = f"/t/{tenant_id}/"
    sso.sso_require(tenant_id=tenant_id, required=True, actor=owner_of(cast))
    entrances = {}
    for name, user_id in (("owner", cast.owner.user_id), ("teammate", cast.teammate.user_id)):
        user = User.objects.get(id=user_id)
        services.password_set(user=user, password=PASSWORD)
        entrances[name] = Person(email=user.email)
        assert entrances[name].sign_in() == "/"

    assert entrances["owner"].at.get(page).status_code == 200
    assert entrances["teammate"].at.get(page).status_code == 403
    issuer.person = {"sub": "2", "email": "teammate@example.test"}
    _through(entrances["teammate"].at, issuer, "teammate@example.test")
    assert entrances["teammate"].at.get(page).status_code == 200


def test_an_issuer_that_is_away_or_talks_nonsense_is_told_of(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id = _set_up(cast, issuer)
    issuer.broken = True

    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 502


@pytest.mark.parametrize("inside", ["http://127.0.0.1:1", "http://169.254.169.254", "https://localhost:8443"])
def test_an_issuer_inside_the_network_is_not_asked(cast: Cast, issuer: OidcEmulator, inside: str) -> None:
    tenant_id = _set_up(cast, issuer)
    sso.sso_put(tenant_id=tenant_id, domain=DOMAIN, issuer=inside, client_id="c", secret="", actor=owner_of(cast))
    _prove(tenant_id, owner_of(cast))

    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 502


def test_a_plan_without_it_closes_it(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id = _set_up(cast, issuer)
    sso.sso_require(tenant_id=tenant_id, required=True, actor=owner_of(cast))
    with as_tenant(tenant_id):
        Tenant.objects.update(features=[])

    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 404
    assert not sso.sso_closes(tenant_id=tenant_id, user_id=cast.teammate.user_id, signed_in_by="")


# -- How far it opens


def test_an_address_that_a_stranger_added_and_never_proved_leads_nobody_to_the_stranger(
    cast: Cast,
    issuer: OidcEmulator,
    person: Person,
) -> None:
    tenant_id = _set_up(cast, issuer)
    answer = person.at.post("/account/email/", {"action_add": "", "email": f"new@{DOMAIN}"})
    assert answer.status_code == 302, answer.content

    at = client()
    _through(at, issuer)

    stranger = User.objects.get(email=person.email)
    assert "Team" not in [one.tenant_name for one in selectors.memberships_of(user_id=stranger.id)]
    assert at.session["_auth_user_id"] != str(stranger.id)
    assert at.get(f"/t/{tenant_id}/").status_code == 200


def test_a_tenants_own_sign_in_opens_no_other_tenant(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id = _set_up(cast, issuer)
    victim = User.objects.get(id=cast.outsider.user_id)
    services.password_set(user=victim, password=PASSWORD)
    issuer.person = {"sub": "9", "email": victim.email}
    at = client()
    _through(at, issuer, victim.email)

    assert at.get(f"/t/{tenant_id}/").status_code == 200
    assert at.get(f"/t/{cast.outsider.tenant_id}/").status_code == 403
    answer = at.post("/account/email/", {"action_add": "", "email": "another@elsewhere.test"})
    assert answer["Location"].startswith("/account/reauthenticate/")
    assert not EmailAddress.objects.filter(email="another@elsewhere.test").exists()


def test_an_admin_does_not_become_an_owner_by_another_issuer(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id = _set_up(cast, issuer)
    with as_tenant(tenant_id):
        Member.objects.filter(tenant_id=tenant_id, user_id=cast.teammate.user_id).update(role="admin")
    sso.sso_put(
        tenant_id=tenant_id,
        domain=DOMAIN,
        issuer="https://mine.example",
        client_id=CLIENT_ID,
        secret=CLIENT_SECRET,
        actor=Actor("person", cast.teammate.user_id, ""),
    )

    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 404
    facts = sso.sso_of(tenant_id=tenant_id)
    assert facts is not None
    assert facts.proved_at is None
