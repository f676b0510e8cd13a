"""How far does a tenant's own sign-in open?"""

import pytest
from allauth.account.models import EmailAddress

from tenants import services, sso
from tenants.audit import Actor
from tenants.isolation import as_tenant
from tenants.models import Member, User
from tests.api.people import PASSWORD, client
from tests.api.test_people import DOMAIN, _outbox, _set_up, _through, issuer  # noqa: F401
from tests.conftest import Cast
from tests.oidc_emulator import CLIENT_ID, CLIENT_SECRET, OidcEmulator

pytestmark = pytest.mark.usefixtures("_outbox")


def test_a_tenants_own_sign_in_opens_no_other_tenant(cast: Cast, issuer: OidcEmulator) -> None:  # noqa: F811
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


def test_an_admin_does_not_become_an_owner_by_another_issuer(cast: Cast, issuer: OidcEmulator) -> None:  # noqa: F811
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
