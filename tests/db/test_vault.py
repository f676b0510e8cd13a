"""Which keys are a tenant's own, and what do they open?"""

import base64
from uuid import uuid4

import pytest

from tenants import provider_keys, vault
from tenants.isolation import as_tenant
from tenants.keys import read_versions
from tenants.models import DataKey, ProviderKey
from tenants.vault import Corrupt, ProviderSecret, VaultUnavailable
from tests.conftest import Cast

ROW = uuid4()
COLUMN = "entry.body"
OTHER_MASTER = "9:" + base64.b64encode(b"m" * 32).decode()

pytestmark = pytest.mark.usefixtures("keys_unopened")


def test_what_a_tenant_sealed_it_opens(cast: Cast) -> None:
    sealed = vault.seal(cast.owner.tenant_id, b"question", column=COLUMN, row_id=ROW)

    assert b"question" not in sealed
    assert vault.unseal(cast.owner.tenant_id, sealed, column=COLUMN, row_id=ROW) == b"question"


def test_another_tenant_does_not_open_it(cast: Cast) -> None:
    sealed = vault.seal(cast.owner.tenant_id, b"question", column=COLUMN, row_id=ROW)

    with pytest.raises(Corrupt):
        vault.unseal(cast.outsider.tenant_id, sealed, column=COLUMN, row_id=ROW)


def test_tenants_fingerprint_differently_and_always_the_same(cast: Cast) -> None:
    first = vault.digest_key(cast.owner.tenant_id)
    vault._tenant_keys.clear()

    assert vault.digest_key(cast.owner.tenant_id) == first
    assert vault.digest_key(cast.outsider.tenant_id) != first


def test_a_tenant_whose_keys_are_gone_opens_nothing(cast: Cast) -> None:
    sealed = vault.seal(cast.owner.tenant_id, b"question", column=COLUMN, row_id=ROW)
    with as_tenant(cast.owner.tenant_id):
        DataKey.objects.all().delete()
    vault.forget(cast.owner.tenant_id)

    with pytest.raises(VaultUnavailable):
        vault.unseal(cast.owner.tenant_id, sealed, column=COLUMN, row_id=ROW)


@pytest.mark.parametrize(("purpose", "version", "own"), [("text", 2, True), ("digest", 1, True), ("text", 1, False)])
def test_a_wrapped_key_opens_in_its_own_place_alone(cast: Cast, purpose: str, version: int, own: bool) -> None:
    wrapped = vault.wrap(cast.owner.tenant_id, "text", 1, bytes(32))

    with pytest.raises(Corrupt):
        vault.unwrap(cast.owner.tenant_id if own else cast.outsider.tenant_id, purpose, version, wrapped)
    assert vault.unwrap(cast.owner.tenant_id, "text", 1, wrapped) == bytes(32)


def test_with_the_wrong_master_key_it_is_unavailable_and_no_crash(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "_masters", vault._Masters(read_versions(OTHER_MASTER)))

    with pytest.raises(VaultUnavailable):
        vault.digest_key(cast.owner.tenant_id)


def test_after_a_rotation_the_old_master_key_still_opens(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    first = vault.digest_key(cast.owner.tenant_id)
    sealed = vault.transport_seal(b"text")
    rotated = f"{OTHER_MASTER},{settings.CACHEAI_MASTER_KEYS}"
    monkeypatch.setattr(vault, "_masters", vault._Masters(read_versions(rotated)))
    vault._tenant_keys.clear()

    assert vault.digest_key(cast.owner.tenant_id) == first
    assert vault.transport_unseal(sealed) == b"text"


def test_text_on_its_way_is_sealed() -> None:
    sealed = vault.transport_seal(b"a question")

    assert b"question" not in sealed
    assert vault.transport_unseal(sealed) == b"a question"
    with pytest.raises(Corrupt):
        vault.transport_unseal(sealed[:-1])
    with pytest.raises(Corrupt):
        vault.transport_unseal(b"\x01\x00\x00\x00\x63" + sealed[5:])


def test_a_providers_credential_comes_back_to_its_tenant_alone(cast: Cast) -> None:
    provider_keys.provider_key_put(
        tenant_id=cast.owner.tenant_id, provider="openai", secret="sk-1234", base_url="https://x.test/v1"
    )

    assert vault.provider_key_of(cast.owner.tenant_id, "openai") == ProviderSecret("sk-1234", "https://x.test/v1")
    assert vault.provider_key_of(cast.outsider.tenant_id, "openai") is None
    assert vault.provider_key_of(cast.owner.tenant_id, "anthropic") is None
    assert "sk-1234" not in repr(vault.provider_key_of(cast.owner.tenant_id, "openai"))


def test_a_changed_credential_is_used_at_once_here(cast: Cast) -> None:
    for secret in ("sk-one1", "sk-two2"):
        provider_keys.provider_key_put(tenant_id=cast.owner.tenant_id, provider="openai", secret=secret)
        found = vault.provider_key_of(cast.owner.tenant_id, "openai")
        assert found is not None and found.secret == secret

    with as_tenant(cast.owner.tenant_id):
        stored = ProviderKey.objects.get()
    assert stored.hint == "two2"
    assert b"sk-" not in bytes(stored.sealed)
    provider_keys.provider_key_delete(tenant_id=cast.owner.tenant_id, provider="openai")
    assert vault.provider_key_of(cast.owner.tenant_id, "openai") is None
