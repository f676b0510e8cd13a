"""Can a person sign up, prove who they are, and come into a team?"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from cache_api import wiring
from tenants import members, selectors, services, sso
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import Invitation, Tenant, User
from tests.api.conftest import Api
from tests.api.people import PASSWORD, Person, client, letters
from tests.conftest import Cast
from tests.oidc_emulator import CLIENT_ID, CLIENT_SECRET, OidcEmulator

DOMAIN = "example.test"


@pytest.fixture(autouse=True)
def _outbox(live: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in life: the tests' own backend would keep mails from the outbox."""
    monkeypatch.setattr(settings, "EMAIL_BACKEND", "tenants.mailing.Outbox")


@pytest.fixture
def person() -> Person:
    """Signed up, verified and signed in."""
    made = Person()
    made.sign_up()
    made.verify()
    made.at.post("/sign-out")
    assert made.sign_in() == "/"
    return made


def _owner(cast: Cast) -> Actor:
    return Actor("person", cast.owner.user_id, "192.0.2.1")


def _memberships(person: Person) -> list[tuple[str, str]]:
    found = selectors.memberships_of(user_id=User.objects.get(email=person.email).id)
    return [(one.tenant_name, one.role) for one in found]


# -- Signing up and in


def test_signing_up_makes_a_person_with_a_tenant_of_their_own() -> None:
    person = Person()
    person.sign_up(name="Ada")
    assert not person.is_in

    assert person.verify() == "/"
    assert person.is_in
    assert _memberships(person) == [("Ada's team", "owner")]
    assert person.at.get("/", follow=True).status_code == 200


def test_without_the_link_nobody_comes_in() -> None:
    person = Person()
    person.sign_up()

    assert person.sign_in() == "/account/confirm-email/"
    assert not person.is_in
    assert _memberships(person) == []


def test_a_link_leads_to_us_whatever_host_the_caller_named() -> None:
    person = Person()
    form = {"email": person.email, "first_name": "Ada", "password1": PASSWORD}
    person.at.post("/account/signup/", form, headers={"host": "evil.test"})
    person.at.post("/account/password/reset/", {"email": person.email}, headers={"host": "evil.test"})

    texts = [letter.subject + letter.text for letter in letters(person.email)]
    assert texts
    assert not any("evil" in text for text in texts)


def test_signing_up_twice_reveals_nothing_to_a_stranger(person: Person) -> None:
    stranger = Person(email=person.email)
    stranger.sign_up(name="Mallory")  # The same answer as for a new address.

    assert not stranger.is_in
    assert User.objects.get(email=person.email).first_name == "Ada"


def test_a_password_that_is_guessed_often_is_refused_for_a_while(person: Person) -> None:
    guesser = Person(email=person.email)
    for _ in range(5):
        assert guesser.sign_in(password="wrong") == ""
    answer = guesser.at.post(
        "/sign-in", {"login": person.email, "password": PASSWORD}, headers={"host": "another.test"}
    )

    assert b"Too many failed login attempts" in answer.content
    assert Person(email=person.email).sign_in() == ""  # From another address, too.


def test_the_tries_are_counted_in_redis() -> None:
    cache.set("shared", [1.5], 60)

    assert cache.get("shared") == [1.5]
    assert wiring.redis_client().get("cacheai:people:1:shared") == b"[1.5]"


def test_without_redis_tries_are_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from tenants.counting import SharedCache

    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1")
    alone = SharedCache("", {})

    assert alone.add("tries", [1.0], 60)
    assert (alone.add("tries", [2.0], 60), alone.get("tries")) == (False, [1.0])


def test_signing_out_ends_it(person: Person) -> None:
    assert person.at.post("/sign-out")["Location"] == "/sign-in"
    assert not person.is_in
    assert person.sign_in() == "/"


def test_a_forgotten_password_is_set_anew_and_the_old_one_ends(person: Person) -> None:
    stranger = Person(email=person.email)
    stranger.at.post("/account/password/reset/", {"email": person.email})
    page = stranger.at.get(letters(person.email)[-1].link, follow=True)
    form = {"password1": "another long enough one", "password2": "another long enough one"}
    stranger.at.post(page.request["PATH_INFO"], form)

    assert Person(email=person.email).sign_in() == ""
    assert Person(email=person.email).sign_in(password="another long enough one") == "/"
    assert "changed" in letters(person.email)[-1].text or "reset" in letters(person.email)[-1].text


@pytest.mark.parametrize("password", ["short1!", "password1234", "people.test"])
def test_a_weak_password_is_refused(password: str) -> None:
    person = Person(email=f"people.test{password[0]}@people.test")
    answer = person.at.post("/account/signup/", {"email": person.email, "first_name": "Ada", "password1": password})

    assert answer.status_code == 200
    assert b"errorlist" in answer.content


def test_other_sessions_can_be_ended(person: Person) -> None:
    elsewhere = Person(email=person.email)
    elsewhere.sign_in()
    page = person.at.get("/account/sessions/").content
    assert page.count(b"<tr>") == 3

    person.at.post("/account/sessions/")

    assert (person.is_in, elsewhere.is_in) == (True, False)


# -- Second factors


def _code(user: User) -> str:
    from dashboard.entrance import SecondFactors

    stored = Authenticator.objects.get(user=user, type="totp").data["secret"]
    return _value(SecondFactors().decrypt(stored))


def _value(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))


def _activate_totp(person: Person) -> User:
    answer = person.at.get("/account/2fa/totp/activate/")
    assert answer.status_code == 200, answer.headers
    page = answer.content.decode()
    found = re.search(r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"', page)
    assert found is not None, page
    answer = person.at.post("/account/2fa/totp/activate/", {"code": _value(found[1])})
    assert answer.status_code == 302, answer.content
    cache.delete(f"allauth.mfa.totp.used?user={User.objects.get(email=person.email).pk}&code={_value(found[1])}")
    return User.objects.get(email=person.email)


def test_a_second_factor_is_asked_for_from_then_on(person: Person) -> None:
    user = _activate_totp(person)
    again = Person(email=person.email)

    assert again.sign_in() == "/account/2fa/authenticate/"
    assert not again.is_in
    again.at.post("/account/2fa/authenticate/", {"code": "000000"})
    assert not again.is_in
    again.at.post("/account/2fa/authenticate/", {"code": _code(user)})
    assert again.is_in


def test_a_recovery_code_works_once(person: Person) -> None:
    _activate_totp(person)
    page = person.at.get("/account/2fa/recovery-codes/").content.decode()
    code = re.findall(r"\b\d{8}\b", page)[0]

    for expected in (True, False):
        again = Person(email=person.email)
        again.sign_in()
        again.at.post("/account/2fa/authenticate/", {"code": code})
        assert again.is_in is expected


def test_secrets_of_second_factors_are_sealed(person: Person) -> None:
    user = _activate_totp(person)

    for authenticator in Authenticator.objects.filter(user=user):
        for sealed in authenticator.data.values():
            if isinstance(sealed, str):
                assert len(sealed) > 64


def test_what_matters_asks_again_after_a_while(person: Person) -> None:
    session = person.at.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 3600
    session.save()

    answer = person.at.get("/account/2fa/totp/activate/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/reauthenticate/")
    person.at.post(answer["Location"], {"password": PASSWORD})
    assert person.at.get("/account/2fa/totp/activate/").status_code == 200


def test_who_just_signed_up_is_not_asked_for_the_password_again(live: None) -> None:
    newcomer = Person()
    newcomer.sign_up()
    newcomer.verify()
    home = newcomer.at.get("/")["Location"]

    assert newcomer.at.get(f"{home}keys/new").status_code == 200
    assert newcomer.at.get("/account/2fa/totp/activate/").status_code == 200


# -- Teams


def test_an_invited_person_signs_up_and_comes_straight_into_the_team(cast: Cast) -> None:
    newcomer = Person()
    members.invitation_send(tenant_id=cast.owner.tenant_id, email=newcomer.email, role="developer", actor=_owner(cast))
    invitation = letters(newcomer.email)[-1].link

    asked = newcomer.at.get(invitation).content.decode()
    assert f"You are invited to Team as developer: sign up or sign in with {newcomer.email}." in asked
    form = newcomer.at.get(re.search(r'href="(/account/signup/\S+)"', asked)[1]).content  # type: ignore[index]
    assert b"a tenant of your own" not in form
    newcomer.sign_up(next_path=invitation)
    assert newcomer.verify() == invitation
    assert b"Join Team" in newcomer.at.get(invitation).content
    assert newcomer.at.post(invitation)["Location"] == f"/t/{cast.owner.tenant_id}/"

    assert _memberships(newcomer) == [("Team", "developer")]
    assert newcomer.at.post(invitation).status_code == 404


def test_of_an_invitation_that_is_no_good_a_stranger_learns_nothing(cast: Cast) -> None:
    members.invitation_send(tenant_id=cast.owner.tenant_id, email="late@people.test", role="viewer", actor=_owner(cast))
    expired, made_up = letters("late@people.test")[-1].link, f"{members.INVITATION_PATH}guess"
    with as_tenant(cast.owner.tenant_id):
        Invitation.objects.update(expires_at=datetime.now(UTC))

    answers = [client().get(path) for path in (expired, made_up)]

    assert [(one.status_code, one["Location"], one.content) for one in answers] == [
        (302, f"/sign-in?next={path}", b"") for path in (expired, made_up)
    ]


def test_another_person_cannot_use_the_invitation(cast: Cast, person: Person) -> None:
    tenant_id = cast.owner.tenant_id
    members.invitation_send(tenant_id=tenant_id, email="friend@people.test", role="admin", actor=_owner(cast))

    answer = person.at.post(letters("friend@people.test")[-1].link)

    assert answer.status_code == 403
    assert b"for another address" in answer.content


def test_a_person_in_two_tenants_sees_each_at_its_own_address(cast: Cast, person: Person) -> None:
    user = User.objects.get(email=person.email)
    services.member_add(tenant_id=cast.owner.tenant_id, user_id=user.id, role="viewer")
    own, team = (one.tenant_id for one in selectors.memberships_of(user_id=user.id))

    assert b"Ada&#x27;s team" in person.at.get(f"/t/{own}/").content
    assert person.at.get(f"/t/{team}/").status_code == 200
    assert person.at.get("/")["Location"] == f"/t/{team}/"  # The one looked at last.
    assert person.at.get(f"/t/{cast.outsider.tenant_id}/").status_code == 404


def test_whoever_is_removed_sees_nothing_more(cast: Cast, person: Person) -> None:
    user = User.objects.get(email=person.email)
    services.member_add(tenant_id=cast.owner.tenant_id, user_id=user.id, role="viewer")
    page = f"/t/{cast.owner.tenant_id}/"
    assert person.at.get(page).status_code == 200

    members.member_remove(tenant_id=cast.owner.tenant_id, user_id=user.id, actor=_owner(cast))

    assert person.at.get(page).status_code == 404


# -- Single sign-on


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
        actor=_owner(cast),
    )
    if prove:
        _prove(tenant_id, _owner(cast))
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
        sso.sso_prove(tenant_id=tenant_id, actor=_owner(cast), resolve=lambda name: ["something else"])


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
    sso.sso_require(tenant_id=tenant_id, required=True, actor=_owner(cast))
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
    sso.sso_put(tenant_id=tenant_id, domain=DOMAIN, issuer=inside, client_id="c", secret="", actor=_owner(cast))
    _prove(tenant_id, _owner(cast))

    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 502


def test_a_plan_without_it_closes_it(cast: Cast, issuer: OidcEmulator) -> None:
    tenant_id = _set_up(cast, issuer)
    sso.sso_require(tenant_id=tenant_id, required=True, actor=_owner(cast))
    with as_tenant(tenant_id):
        Tenant.objects.update(features=[])

    assert client().get(f"/account/sso/{tenant_id}/login/").status_code == 404
    assert not sso.sso_closes(tenant_id=tenant_id, user_id=cast.teammate.user_id, signed_in_by="")


# -- What a browser is told


def test_pages_for_people_may_run_our_own_scripts_alone() -> None:
    answer = Api("").get("/sign-in")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))

    assert policy["default-src"] == policy["style-src"] == "'self'"
    assert policy["script-src"].split()[0] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    told = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }
    assert {name: answer.headers[name] for name in told} == told


@pytest.mark.parametrize("path", ["/sign-in", "/account/signup/", "/account/sso/", "/account/password/reset/"])
def test_no_page_runs_what_is_written_into_it(path: str) -> None:
    page = Api("").get(path).body.decode()
    inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|<style|\son\w+=|\sstyle=", page)

    assert inline == []
    scripts = re.findall(r'<script[^>]+src="([^"]+)"', page)
    assert {Api("").get(script).status for script in scripts} == {200}
