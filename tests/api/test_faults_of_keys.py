"""What becomes of a call when a master key is wrong, or stored bytes are not what was sealed?"""

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from cache_api.models import Entry, EntryDependency, EntryTag
from tenants import authentication, erasure, vault
from tenants.audit import Actor
from tenants.isolation import as_owner, as_tenant
from tenants.keys import read_versions
from tests.api.conftest import Answer, Api
from tests.conftest import Cast
from tests.rows import rows_of

QUESTION = "How do I reset my password?"
WRONG = "9:" + base64.b64encode(b"w" * 32).decode()

pytestmark = pytest.mark.usefixtures("keys_unopened")


def decision(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.headers["x-cacheai-decision"], answer.headers["x-cacheai-reason"]


def test_with_a_wrong_master_key_calls_pass_uncached_and_come_back(
    api: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start is refused (tests/db/test_selfcheck.py); what runs goes on."""
    assert decision(api.chat(QUESTION)) == (200, "miss", "no_candidate")
    with monkeypatch.context() as wrong:
        wrong.setattr(vault, "_masters", vault._Masters(read_versions(WRONG)))
        vault._tenant_keys.clear()
        assert decision(api.chat(QUESTION)) == (200, "bypass", "cache_unavailable")
        assert api.get("/v1/cache/entries").status == 503
    vault._tenant_keys.clear()

    assert decision(api.chat(QUESTION)) == (200, "hit", "exact")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1] + bytes([body[-1] ^ 1]),  # the tag
        lambda body: body[:20],
        lambda body: b"",
        lambda body: body + b"more",
        lambda body: b"\x02" + body[1:],  # another layout
        lambda body: body[:1] + (77).to_bytes(4, "big") + body[5:],  # a key that never was
    ],
)
def test_bytes_that_are_not_what_was_sealed_are_a_miss_and_set_aside(
    api: Api, cast: Cast, change: Callable[[bytes], bytes]
) -> None:
    assert decision(api.chat(QUESTION))[1] == "miss"
    with as_tenant(cast.owner.tenant_id):
        entry = Entry.objects.get()
        Entry.objects.update(body=change(bytes(entry.body)))

    status, decided, _ = decision(api.chat(QUESTION, cache={"no-store": True}))
    assert (status, decided) == (200, "miss")
    with as_tenant(cast.owner.tenant_id):
        assert Entry.objects.get().quarantined
    assert api.get("/v1/cache/entries", "status=quarantined").json["data"] != []
    assert decision(api.chat(QUESTION))[1] == "miss"  # which stores it anew
    assert decision(api.chat(QUESTION)) == (200, "hit", "exact")


def test_an_entry_moved_to_another_row_does_not_open(api: Api, cast: Cast) -> None:
    api.chat(QUESTION)
    api.chat("What is the capital of France?")
    with as_tenant(cast.owner.tenant_id):
        one, other = Entry.objects.order_by("created_at")
        Entry.objects.filter(id=one.id).update(body=bytes(other.body))

    assert decision(api.chat(QUESTION, cache={"no-store": True}))[1] == "miss"


@pytest.mark.parametrize("by", ["namespace", "tag"])
def test_what_an_end_user_left_goes_by_namespace_or_tag(api: Api, cast: Cast, by: str) -> None:
    """So that a tenant can answer a person who wants to be forgotten."""
    for person in ("ann", "bob"):
        cache = {"namespace": person, "tags": [f"user:{person}"], "depends_on": [f"profile:{person}"]}
        for question in (QUESTION, f"I am {person}"):
            assert api.chat(question, cache=cache).status == 200
    assert rows_of(cast.owner.tenant_id)["entry"] == 4

    told = api.post("/v1/cache/purge", {by: "ann" if by == "namespace" else "user:ann"})

    assert told.json["deleted"] == 2
    with as_owner():
        left = {one.namespace for one in Entry.objects.filter(tenant_id=cast.owner.tenant_id)}
        assert left == {"bob"}
        assert {one.tag for one in EntryTag.objects.filter(tenant_id=cast.owner.tenant_id)} == {"user:bob"}
        names = {one.name for one in EntryDependency.objects.filter(tenant_id=cast.owner.tenant_id)}
        assert names == {"profile:bob"}


def test_a_destroyed_tenants_calls_are_refused_not_broken(api: Api, cast: Cast) -> None:
    assert api.chat(QUESTION).status == 200
    asked = timezone.now() - erasure.HOLD
    erasure.erasure_ask(tenant_id=cast.owner.tenant_id, actor=Actor("operator"), now=asked)
    erasure.run_due(timezone.now() + timedelta(seconds=1))
    authentication._verified.clear()

    assert api.chat(QUESTION).status == 401
    assert rows_of(cast.owner.tenant_id) == {}
