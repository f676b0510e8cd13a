"""Can a person sign up, prove who they are, and come into a team?"""

import re
from datetime import UTC, datetime

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.conf import settings
from django.core.cache import cache

from cache_api import wiring
from tenants import members, selectors, services
from tenants.isolation import as_tenant
from tenants.models import Invitation, User
from tests.api.conftest import Api
from tests.api.people import PASSWORD, Person, client, letters, owner_of
from tests.conftest import Cast

pytestmark = pytest.mark.usefixtures("outbox")


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
    members.invitation_send(
        tenant_id=cast.owner.tenant_id, email=newcomer.email, role="developer", actor=owner_of(cast)
    )
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
    members.invitation_send(
        tenant_id=cast.owner.tenant_id, email="late@people.test", role="viewer", actor=owner_of(cast)
    )
    expired, made_up = letters("late@people.test")[-1].link, f"{members.INVITATION_PATH}guess"
    with as_tenant(cast.owner.tenant_id):
        Invitation.objects.update(expires_at=datetime.now(UTC))

    answers = [client().get(path) for path in (expired, made_up)]

    assert [(one.status_code, one["Location"], one.content) for one in answers] == [
        (302, f"/sign-in?next={path}", b"") for path in (expired, made_up)
    ]


def test_another_person_cannot_use_the_invitation(cast: Cast, person: Person) -> None:
    tenant_id = cast.owner.tenant_id
    members.invitation_send(tenant_id=tenant_id, email="friend@people.test", role="admin", actor=owner_of(cast))

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

    members.member_remove(tenant_id=cast.owner.tenant_id, user_id=user.id, actor=owner_of(cast))

    assert person.at.get(page).status_code == 404


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
