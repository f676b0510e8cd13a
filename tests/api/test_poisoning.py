"""Can whoever may store answers lay one where others' questions are?

An entry is found by its question's vector, so nobody but our embedder says where a question lies.
"""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_entries import put
from tests.api.test_export_import import exported, fill, imported, purge, send
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

VICTIM = "How do I change my delivery address?"
ASKED = "How can I change my delivery address?"  # as near to the victim's as it gets
LURE = "How do I change my address for the delivery?"  # no guard would refuse it: only its vector is in the way


@pytest.fixture(autouse=True)
def _places(embedder: FixedEmbedder) -> None:
    embedder.near |= {ASKED: (VICTIM, 0.99)}  # the lure stands at right angles to both


def lure(vector_of: Any, **changes: Any) -> dict[str, Any]:
    """The attacker's question with another one's vector."""
    taken = {name: vector_of[name] for name in ("embedder", "vector", "vector_signature")}
    return {"question": LURE, "answer": "Call this number.", "model": "demo-small", **taken, **changes}


FORGERIES: list[tuple[str, Any]] = [
    ("signed for another question", lambda line: lure(line)),
    ("unsigned", lambda line: {k: v for k, v in lure(line).items() if k != "vector_signature"}),
    ("signed by nobody", lambda line: lure(line, vector_signature="0" * 64)),
    ("no text as signature", lambda line: lure(line, vector_signature=["é"])),
    (
        "a request that asks what the line does not say",
        lambda line: {
            **{k: v for k, v in lure(line).items() if k != "answer"},
            "question": VICTIM,
            "request": {"model": "demo-small", "messages": [{"role": "user", "content": LURE}]},
            "response": line["response"],
        },
    ),
]


@pytest.mark.parametrize("forge", [pytest.param(forge, id=name) for name, forge in FORGERIES])
def test_an_imported_vector_is_believed_of_no_other_question(api: Api, embedder: FixedEmbedder, forge: Any) -> None:
    put(api, VICTIM, "In your account.")
    (line,) = exported(api)
    purge(api)

    assert imported(api, forge(line))["done"] == 1
    fill(embedder)

    assert LURE in embedder.asked
    looked = api.post("/v1/cache/lookup", {"question": ASKED, "model": "demo-small"}).json
    assert looked["decision"] == "miss"
    assert [one["question"] for one in looked["candidates"] if one["similarity"] > 0.5] == []


def test_a_vector_of_another_tenant_is_made_anew(api: Api, outsider: Api, embedder: FixedEmbedder) -> None:
    put(api, VICTIM, "In your account.")
    lines = exported(api)
    embedder.asked.clear()

    assert imported(outsider, *lines)["done"] == 1
    fill(embedder)

    assert VICTIM in embedder.asked
    assert outsider.chat(ASKED).headers["x-cacheai-reason"] == "similar"


def test_a_key_without_the_right_to_write_stores_by_no_road(key_with: Any, api: Api) -> None:
    reader = key_with("proxy", "cache:read")
    fields = {"question": VICTIM, "answer": "Call this number.", "model": "demo-small"}

    refused = [
        reader.post("/v1/cache/entries", fields).status,
        reader.post("/v1/cache/entries", {"entries": [fields]}).status,
        send(reader, fields).status,
        reader.put("/v1/cache/mine", {"value": "Call this number."}).status,
    ]
    reader.chat(VICTIM)

    assert refused == [403] * 4
    assert exported(api) == []


def test_what_a_stolen_key_wrote_goes_and_all_else_stays(api: Api, key_with: Any, cast: Cast) -> None:
    from tenants import api_keys

    thief = key_with("proxy", "cache:read", "cache:write")
    put(api, "Where is my parcel?", "On its way.")
    put(thief, VICTIM, "Call this number.")
    thief.put("/v1/cache/mine", {"value": "Call this number."})
    assert imported(thief, {"question": LURE, "answer": "Call this number.", "model": "demo-small"})["done"] == 1
    thief.chat("What does it cost?")
    (stolen,) = api_keys.keys_matching(thief.key)

    gone = api.post("/v1/cache/purge", {"writer": str(stolen.id)})

    assert gone.json["deleted"] == 4
    assert [line["question"] for line in exported(api)] == ["Where is my parcel?"]
