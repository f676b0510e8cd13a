"""Is a revoked key forgotten at once, in other processes too?"""

import subprocess
import sys
import time
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings

from tenants import api_keys, authentication, refusals, revocation
from tests.conftest import Cast

HERE = "192.0.2.1"
PATIENCE_SECONDS = 10
ELSEWHERE = """
import sys, uuid, django
from django.conf import settings
settings.configure(REDIS_URL=sys.argv[1])
from tenants import revocation
revocation.publish(uuid.UUID(sys.argv[2]))
"""


def _until_heard() -> None:
    """Wait for this process to be subscribed."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with client:
        while not dict(client.pubsub_numsub(revocation.CHANNEL))[revocation.CHANNEL.encode()]:
            assert time.monotonic() < deadline, "never subscribed"
            time.sleep(0.01)


def test_a_key_revoked_here_ends_here(cast: Cast) -> None:
    authentication.authenticate(cast.owner.api_key, address=HERE)

    api_keys.key_revoke(tenant_id=cast.owner.tenant_id, key_id=cast.owner.key_id)

    with pytest.raises(authentication.InvalidKey):
        authentication.authenticate(cast.owner.api_key, address=HERE)
    authentication.authenticate(cast.teammate.api_key, address=HERE)


def test_a_key_revoked_in_another_process_is_dropped_at_once(cast: Cast) -> None:
    authentication.authenticate(cast.owner.api_key, address=HERE)
    (digest,) = (
        digest for digest, item in authentication._verified._items.items() if item.value.key_id == cast.owner.key_id
    )
    _until_heard()

    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, settings.REDIS_URL, str(cast.owner.key_id)], check=True, timeout=30
    )

    deadline = time.monotonic() + 2
    while digest in authentication._verified and time.monotonic() < deadline:
        time.sleep(0.01)
    assert digest not in authentication._verified


def test_revoking_tells_the_other_processes(cast: Cast) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as messages:
        messages.subscribe(revocation.CHANNEL)
        assert messages.get_message(timeout=PATIENCE_SECONDS)["type"] == "subscribe"

        api_keys.key_revoke(tenant_id=cast.owner.tenant_id, key_id=cast.owner.key_id)

        told = messages.get_message(timeout=PATIENCE_SECONDS)
    assert told["data"].decode() == str(cast.owner.key_id)


def test_without_redis_revoking_still_works_here(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    authentication.authenticate(cast.owner.api_key, address=HERE)
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")

    api_keys.key_revoke(tenant_id=cast.owner.tenant_id, key_id=cast.owner.key_id)

    with pytest.raises(authentication.InvalidKey):
        authentication.authenticate(cast.owner.api_key, address=HERE)


def test_a_key_of_another_tenant_cannot_be_revoked(cast: Cast) -> None:
    with pytest.raises(refusals.NotFound) as foreign:
        api_keys.key_revoke(tenant_id=cast.outsider.tenant_id, key_id=cast.owner.key_id)
    with pytest.raises(refusals.NotFound) as missing:
        api_keys.key_revoke(tenant_id=cast.outsider.tenant_id, key_id=uuid4())

    assert str(foreign.value) == str(missing.value)
    assert isinstance(cast.owner.key_id, UUID)
    authentication.authenticate(cast.owner.api_key, address=HERE)
