"""Do people hear in time of a key that ends, once each time?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tenants.api_keys import key_create, key_revoke, key_rotate
from tenants.audit import SYSTEM
from tenants.isolation import as_tenant
from tenants.key_expiry import expiry_mails
from tenants.models import ApiKey
from tenants.webhooks import deliveries_of, endpoint_create
from tests.conftest import Cast
from tests.db.outbox import empty_outbox, outbox

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
EVERYBODY = ["owner@example.test", "teammate@example.test"]  # The maker is no owner, but hears of it.


@pytest.fixture(autouse=True)
def _outbox(live: None) -> Iterator[None]:
    empty_outbox()
    yield
    empty_outbox()


def ending(cast: Cast, *, lives: timedelta, name: str = "Nightly") -> UUID:
    made = key_create(
        tenant_id=cast.owner.tenant_id,
        project_id=cast.owner.project_id,
        name=name,
        expires_at=NOW + lives,
        created_by=cast.teammate.user_id,
    )
    return made.id


def test_people_hear_at_fourteen_three_and_one_days_once_each(cast: Cast) -> None:
    ending(cast, lives=30 * DAY)
    heard = []
    for hours in range(0, 31 * 24, 6):
        written = expiry_mails(NOW + timedelta(hours=hours))
        assert expiry_mails(NOW + timedelta(hours=hours)) == 0
        heard += [hours / 24] * written

    assert heard == [16, 27, 29]
    assert [to for to, _, _ in outbox()] == [one for one in EVERYBODY for _ in heard]
    assert {subject for _, subject, _ in outbox()} == {
        f"A key of Team ends in {days} or less" for days in ("14 days", "3 days", "1 day")
    }
    text = outbox()[0][2]
    assert "Nightly" in text and "Cache" in text and f"{NOW + 30 * DAY:%Y-%m-%d %H:%M} UTC" in text


def test_a_job_that_was_away_tells_what_is_true_now(cast: Cast) -> None:
    ending(cast, lives=30 * DAY)

    assert [expiry_mails(NOW + days * DAY) for days in (28, 29.5, 31)] == [1, 1, 0]
    assert {subject for _, subject, _ in outbox()} == {
        "A key of Team ends in 3 days or less",
        "A key of Team ends in 1 day or less",
    }


def test_a_short_life_is_no_news(cast: Cast) -> None:
    ending(cast, lives=2 * DAY)

    assert [expiry_mails(NOW + hours * DAY / 24) for hours in (0, 12, 30, 40)] == [0, 0, 1, 0]


def test_nobody_hears_of_keys_that_were_ended_on_purpose(cast: Cast) -> None:
    rotated, revoked = (ending(cast, lives=10 * DAY, name=name) for name in ("rotated", "revoked"))
    key_rotate(tenant_id=cast.owner.tenant_id, key_id=rotated, grace=7 * DAY, expires_at=NOW + 300 * DAY)
    key_revoke(tenant_id=cast.owner.tenant_id, key_id=revoked)

    assert expiry_mails(NOW + 9 * DAY) == 0


def test_endpoints_hear_of_it_too(cast: Cast) -> None:
    endpoint = endpoint_create(tenant_id=cast.owner.tenant_id, actor=SYSTEM, url="https://example.test/hook")
    ending(cast, lives=20 * DAY)

    expiry_mails(NOW + 10 * DAY)

    (delivery,) = deliveries_of(tenant_id=cast.owner.tenant_id, endpoint_id=endpoint.id)
    assert delivery.event == "key.expiring"


def test_a_maker_who_left_hears_nothing(cast: Cast) -> None:
    key_id = ending(cast, lives=20 * DAY)
    with as_tenant(cast.owner.tenant_id):
        ApiKey.objects.filter(id=key_id).update(created_by=cast.outsider.user_id)

    expiry_mails(NOW + 19.5 * DAY)

    assert [to for to, _, _ in outbox()] == ["owner@example.test"]
