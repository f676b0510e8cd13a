"""Can an operator do it from the command line?"""

import io
import json
import stat
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib.auth import authenticate as sign_in
from django.core.management import CommandError, call_command

from tenants import selectors, vault
from tenants.authentication import InvalidKey, authenticate
from tests.conftest import Cast

pytestmark = pytest.mark.usefixtures("patient")

HERE = "192.0.2.1"


def _call(*arguments: str) -> dict[str, str]:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return dict(line.split(" ", 1) for line in out.getvalue().splitlines())


@pytest.mark.parametrize("by", ["id", "key", "hint"])
def test_a_tenant_a_key_and_its_end(live: None, by: str) -> None:
    tenant = _call("create_tenant", "--name", "Acme", "--email", "boss@acme.test", "--plan", "team")
    key = _call("create_key", "--tenant", tenant["tenant"], "--scopes", "proxy, cache:*", "--rpm", "9")

    access = authenticate(key["key"], address=HERE)
    assert (str(access.tenant_id), str(access.project_id)) == (tenant["tenant"], tenant["project"])
    assert (access.key_rpm, "cache:purge" in access.scopes, "stats:read" in access.scopes) == (9, True, False)

    named = {"id": key["id"], "key": key["key"], "hint": key["key"][:7]}[by]
    assert _call("revoke_key", named) == {"revoked": key["id"]}
    with pytest.raises(InvalidKey):
        authenticate(key["key"], address=HERE)
    with pytest.raises(CommandError):
        _call("revoke_key", named)


@pytest.mark.parametrize("options", [["--scopes", "root"], ["--project", "Nowhere"], ["--project", str(uuid4())]])
def test_a_key_that_cannot_be_made_says_why(cast: Cast, options: list[str]) -> None:
    with pytest.raises(CommandError, match=r"root|Cache"):
        _call("create_key", "--tenant", str(cast.owner.tenant_id), *options)


def test_a_credential_is_read_from_a_pipe(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-secret99\n"))
    _call("set_provider_key", "--tenant", str(cast.owner.tenant_id), "--provider", "openai")

    found = vault.provider_key_of(cast.owner.tenant_id, "openai")
    assert found is not None
    assert found.secret == "sk-secret99"
    assert [key.hint for key in selectors.provider_keys_of(tenant_id=cast.owner.tenant_id)] == ["et99"]


def _demo(home: Path, base_url: str) -> dict[str, str]:
    call_command("createdemo", "--base-url", base_url, "--dashboard-url", base_url)
    written: dict[str, str] = json.loads((home / "demo.json").read_text())
    return written


def test_the_demo_is_made_once_and_keeps_its_key(live: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "HOME", tmp_path)

    first, second = _demo(tmp_path, "http://one/v1"), _demo(tmp_path, "http://two/v1")

    assert set(first) == {"api_key", "base_url", "dashboard_url", "email", "password", "model", "project_id"}
    assert second == first | {"base_url": "http://two/v1", "dashboard_url": "http://two/v1"}
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    access = authenticate(first["api_key"], address=HERE)
    assert str(access.project_id) == first["project_id"]
    assert (access.rpm, access.entries_max, access.requests_included) == (100_000, 1_000_000, 10_000_000)
    user = sign_in(username=first["email"], password=first["password"])
    assert user is not None
    assert isinstance(user.pk, UUID)
    assert [one.role for one in selectors.memberships_of(user_id=user.pk)] == ["owner"]


def test_a_demo_whose_file_or_key_is_lost_gets_new_ones_in_the_same_tenant(
    live: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "HOME", tmp_path)
    first = _demo(tmp_path, "http://one/v1")
    (tmp_path / "demo.json").unlink()
    second = _demo(tmp_path, "http://one/v1")
    call_command("revoke_key", second["api_key"], stdout=io.StringIO())
    third = _demo(tmp_path, "http://one/v1")

    assert len({demo["api_key"] for demo in (first, second, third)}) == 3
    assert len(selectors.tenant_ids()) == 1
    authenticate(third["api_key"], address=HERE)
