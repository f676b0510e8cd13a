"""Does what was sealed stay readable through every change of keys, and come under the newest?"""

import base64
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management import CommandError, call_command

from cache_api import sealed
from cache_api.models import BlocklistEntry, Entry
from cache_api.sealed import SEALED
from tenants import provider_keys, second_factors, selfcheck, vault
from tenants.isolation import as_owner, as_tenant
from tenants.keys import read_versions
from tenants.models import DataKey, ProviderKey
from tests.conftest import Cast
from tests.db.entries import put_sealed

ROOT = Path(__file__).parents[2]
NEW_MASTER = "9:" + base64.b64encode(b"m" * 32).decode()
NOW = datetime.now(UTC)

pytestmark = pytest.mark.usefixtures("keys_unopened")


def store(cast: Cast, question: str) -> UUID:
    return put_sealed(cast.owner.tenant_id, cast.owner.project_id, {"question": question})


def read(cast: Cast, entry_id: UUID) -> tuple[int, str]:
    """Which key sealed it, and the question."""
    with as_tenant(cast.owner.tenant_id):
        body = bytes(Entry.objects.get(id=entry_id).body)
    plain = vault.unseal(cast.owner.tenant_id, body, column="entry.body", row_id=entry_id)
    return vault.key_version(body), json.loads(plain)["question"]


def age_keys(days: int) -> None:
    with as_owner():
        for key in DataKey.objects.all():
            key.created_at -= timedelta(days=days)
            DataKey.objects.filter(tenant_id=key.tenant_id, purpose=key.purpose, version=key.version).update(
                created_at=key.created_at
            )


def versions(cast: Cast) -> list[int]:
    with as_tenant(cast.owner.tenant_id):
        found = DataKey.objects.filter(purpose=vault.TEXT).order_by("version")
        return list(found.values_list("version", flat=True))


def test_a_new_key_seals_from_now_on_and_the_old_one_goes_on_opening(cast: Cast) -> None:
    before = store(cast, "before")
    fingerprints = vault.digest_key(cast.owner.tenant_id)

    assert vault.text_key_rotate(tenant_id=cast.owner.tenant_id) == 2
    after = store(cast, "after")

    assert (read(cast, before), read(cast, after)) == ((1, "before"), (2, "after"))
    assert vault.digest_key(cast.owner.tenant_id) == fingerprints  # or nothing would be found again


def test_a_process_that_does_not_know_the_new_key_yet_reads_what_it_sealed(cast: Cast) -> None:
    """It must not take it for corrupt: that would set the entry aside."""
    vault.digest_key(cast.owner.tenant_id)
    known = vault._tenant_keys._items[cast.owner.tenant_id]
    vault.text_key_rotate(tenant_id=cast.owner.tenant_id)
    after = store(cast, "after")
    vault._tenant_keys._items[cast.owner.tenant_id] = known  # as another process has it

    assert read(cast, after) == (2, "after")


def test_what_older_keys_sealed_comes_under_the_newest_and_the_older_go(cast: Cast) -> None:
    owner = cast.owner
    entries = [store(cast, f"{number}") for number in range(5)]
    digest = bytes(range(32))
    said = vault.seal(
        owner.tenant_id, b'{"query": "no"}', column="blocklist_entry.body", row_id=UUID(bytes=digest[:16])
    )
    with as_tenant(owner.tenant_id):
        BlocklistEntry.objects.create(
            tenant_id=owner.tenant_id, project_id=owner.project_id, id=1, digest=digest, body=said,
            category="general", severity=1, expires_at=NOW + timedelta(days=1),
        )  # fmt: skip
    provider_keys.provider_key_put(tenant_id=owner.tenant_id, provider="openai", secret="sk-1234")
    vault.text_key_rotate(tenant_id=owner.tenant_id)

    assert sealed.reseal(NOW) == 7
    assert versions(cast) == [1, 2]  # another process may still seal with the first
    assert sealed.reseal(NOW + sealed.KEY_KEPT + timedelta(hours=1)) == 0
    assert versions(cast) == [2]

    vault._tenant_keys.clear()
    assert [read(cast, entry) for entry in entries] == [(2, f"{number}") for number in range(5)]
    with as_tenant(owner.tenant_id):
        listed, key = BlocklistEntry.objects.get(), ProviderKey.objects.get()
    assert (vault.key_version(bytes(listed.body)), vault.key_version(bytes(key.sealed))) == (2, 2)
    found = vault.provider_key_of(owner.tenant_id, "openai")
    assert found is not None and found.secret == "sk-1234"


def test_a_key_stays_while_anything_needs_it(cast: Cast) -> None:
    store(cast, "readable")
    broken = store(cast, "broken")
    with as_tenant(cast.owner.tenant_id):
        body = bytes(Entry.objects.get(id=broken).body)
        Entry.objects.filter(id=broken).update(body=body[:-1] + bytes([body[-1] ^ 1]))
    vault.text_key_rotate(tenant_id=cast.owner.tenant_id)

    assert sealed.reseal(NOW + timedelta(days=2)) == 1
    assert versions(cast) == [1, 2]


def test_a_year_old_key_is_renewed_by_itself(cast: Cast) -> None:
    assert sealed.rotate_old_keys(NOW) == 0
    age_keys(366)
    vault.text_key_rotate(tenant_id=cast.outsider.tenant_id)

    assert sealed.rotate_old_keys(NOW) == 1  # the outsider's newest is of today
    assert versions(cast) == [1, 2]
    assert sealed.rotate_old_keys(NOW) == 0


def test_an_operator_rotates_by_command(cast: Cast) -> None:
    entry = store(cast, "before")
    out = io.StringIO()
    call_command("rotate_keys", "--tenant", str(cast.owner.tenant_id), stdout=out)

    assert out.getvalue() == "rotated 1, resealed 1\n"
    assert read(cast, entry) == (2, "before")


def test_under_a_new_master_key_the_old_one_can_be_taken_out(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, old = store(cast, "kept"), settings.CACHEAI_MASTER_KEYS
    factor = Authenticator.objects.create(
        user_id=cast.owner.user_id, type=Authenticator.Type.TOTP, data={"secret": second_factors.seal("JBSWY3DP")}
    )
    monkeypatch.setattr(vault, "_masters", vault._Masters(read_versions(f"{NEW_MASTER},{old}")))
    out = io.StringIO()
    call_command("rotate_master", stdout=out)
    assert out.getvalue() == "rewrapped 5\n"
    call_command("rotate_master", stdout=io.StringIO())  # again, without harm

    monkeypatch.setattr(vault, "_masters", vault._Masters(read_versions(NEW_MASTER)))
    vault._tenant_keys.clear()
    assert read(cast, entry) == (1, "kept")
    factor.refresh_from_db()
    assert second_factors.unseal(factor.data["secret"]) == "JBSWY3DP"
    assert selfcheck.problems() == []


def test_a_rotation_without_the_old_master_key_changes_nothing(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "_masters", vault._Masters(read_versions(NEW_MASTER)))

    with pytest.raises(CommandError):
        call_command("rotate_master")
    monkeypatch.undo()
    assert selfcheck.problems() == []


def test_every_column_that_is_sealed_is_known_here() -> None:
    """Whoever seals a new column adds it: else its texts would be lost with the key they were sealed with."""
    said = re.compile(r"""column=["'](\w+\.\w+)["']|COLUMN = ["'](\w+\.\w+)["']""")
    found = {
        one or other
        for app in ("tenants", "cache_api", "billing", "dashboard")
        for path in (ROOT / app).rglob("*.py")
        for one, other in said.findall(path.read_text())
    }

    assert found == {column.name for column in SEALED}
