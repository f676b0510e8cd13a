"""Who waits for whom at a tenant's own sign-in?"""

import pytest

from tenants import selectors
from tenants.models import User
from tests.api.people import Person, client
from tests.api.test_people import DOMAIN, _outbox, _set_up, _through, issuer, person  # noqa: F401
from tests.conftest import Cast
from tests.oidc_emulator import OidcEmulator

pytestmark = pytest.mark.usefixtures("_outbox")


def test_an_address_that_a_stranger_added_and_never_proved_leads_nobody_to_the_stranger(
    cast: Cast,
    issuer: OidcEmulator,  # noqa: F811
    person: Person,  # noqa: F811
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
