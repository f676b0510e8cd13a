"""What happens to a key that was found in public?"""

from collections.abc import Iterator

import pytest

from tenants import keys
from tenants.api_keys import key_revoke
from tenants.audit import SYSTEM
from tenants.authentication import InvalidKey, authenticate
from tenants.isolation import as_tenant
from tenants.leaks import Leak, leak_report, revoke_leaked_set
from tenants.models import AuditEvent
from tenants.webhooks import deliveries_of, endpoint_create
from tests.conftest import Cast
from tests.db.outbox import empty_outbox, outbox

pytestmark = pytest.mark.usefixtures("patient")

HERE = "192.0.2.1"
PLACE = "https://example.test/gist/1"


@pytest.fixture(autouse=True)
def _outbox(live: None) -> Iterator[None]:
    empty_outbox()
    yield
    empty_outbox()


def found(key: str, url: str = PLACE) -> Leak:
    return Leak(key, url, "commit")


def test_people_hear_once_of_each_place_and_the_key_works_on(cast: Cast) -> None:
    assert [leak_report(found(cast.owner.api_key, url)) for url in (PLACE, PLACE, PLACE + "/2")] == [True] * 3

    assert [to for to, _, _ in outbox()] == ["owner@example.test"] * 2
    text = " ".join(text for _, _, text in outbox())
    assert PLACE in text and "It still works" in text and cast.owner.api_key[:7] in text
    assert cast.owner.api_key not in text
    authenticate(cast.owner.api_key, address=HERE)


def test_it_ends_at_once_where_the_tenant_chose_so(cast: Cast) -> None:
    revoke_leaked_set(tenant_id=cast.owner.tenant_id, on=True)
    authenticate(cast.owner.api_key, address=HERE)

    assert leak_report(found(cast.owner.api_key))

    with pytest.raises(InvalidKey):
        authenticate(cast.owner.api_key, address=HERE)
    assert "It is revoked." in outbox()[0][2]
    with as_tenant(cast.owner.tenant_id):
        trail = list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))
    assert trail[-3:] == ["tenant.revoke_leaked", "key.leaked", "key.revoke"]
    assert not leak_report(found(cast.owner.api_key))


def test_endpoints_hear_of_it_too(cast: Cast) -> None:
    endpoint = endpoint_create(tenant_id=cast.owner.tenant_id, actor=SYSTEM, url="https://example.test/hook")

    leak_report(found(cast.owner.api_key))

    (delivery,) = deliveries_of(tenant_id=cast.owner.tenant_id, endpoint_id=endpoint.id)
    assert delivery.event == "key.leaked"


def test_nobody_hears_of_what_opens_nothing(cast: Cast) -> None:
    key_revoke(tenant_id=cast.owner.tenant_id, key_id=cast.owner.key_id)

    for key in ("", "sk-x", "ca-" + "0" * 39, keys.make(b"\7" * 24), cast.owner.api_key):
        assert not leak_report(found(key))
    assert outbox() == []
