"""Is a text from outside a text wherever it is shown: scripts, letters that turn the line, emoji, NUL, a megabyte?"""

from typing import Any

import pytest
from django.http import HttpResponse

from tests.api.conftest import Api
from tests.api.test_cache_pages import Go, go, keys_in
from tests.api.test_entries import put
from tests.api.test_export_import import work
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

__all__ = ["go"]

HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(1)> \u202egnirts\u2066 \U0001f600 {{ visit }} </b>"
PAGE_MAX_BYTES = 150_000


def looks_harmless(page: HttpResponse) -> bool:
    """No tag came of it, no page grew with it, and nothing is there that a browser cannot show."""
    body = page.content if not page.streaming else b"".join(page)
    tags = [tag for tag in (b"<script>alert", b"<img src=x", b"\0", b"Visit(") if tag in body]
    return page.status_code == 200 and tags == [] and len(body) < PAGE_MAX_BYTES


@pytest.fixture
def stored(api: Api, embedder: FixedEmbedder) -> None:
    """Two near questions with answers of nearly a megabyte, beside a NUL and more."""
    embedder.near |= {f"{HOSTILE} \0?": (f"{HOSTILE} \0", 0.99)}
    for question in (f"{HOSTILE} \0", f"{HOSTILE} \0?"):
        put(api, question, answer=f"{HOSTILE} \0 {'long ' * 100_000}", tags=["<b>tag</b>"])


def test_entries_and_their_neighbours(stored: None, go: Go) -> None:
    listed = go("cache")
    assert looks_harmless(listed)
    assert b"&lt;script&gt;alert" in listed.content
    assert looks_harmless(go("cache-entry", keys_in(listed)[0]))
    for by in ("meaning", "words"):
        found = go("cache", q=f"{HOSTILE} gnirts", by=by)
        assert looks_harmless(found)
    assert looks_harmless(go("cache", tag=HOSTILE[:60], model=HOSTILE[:60]))
    assert looks_harmless(go("cache-purge", tag="<b>tag</b>"))
    go("cache-duplicates-seek", form={"at_least": "0.95"})
    work()
    near = go("cache-duplicates")
    assert len(near.context["groups"]) == 1
    assert looks_harmless(near)


def test_the_blocklist(go: Go) -> None:
    form = {"query": HOSTILE, "reason": HOSTILE, "category": HOSTILE[:60], "severity": "1", "kept": "1d"}

    assert looks_harmless(go("cache-blocklist", form=form))
    assert b"&lt;script&gt;alert" in go("cache-blocklist").content
    assert looks_harmless(go("cache-blocklist", asked=HOSTILE))
    assert looks_harmless(go("cache-blocklist", form={**form, "kept": HOSTILE}))


def test_a_trial_of_rules(stored: None, go: Go) -> None:
    go("policy-try", form={})
    work()
    from cache_api.adapters import jobs
    from cache_api.adapters.catalogue import Place

    (project,) = go("policy").context["visit"].projects
    (job,) = jobs.recent(Place(project.tenant_id, project.id), ["backtest"], limit=1)
    page = go("policy", trial=str(job.id))
    assert page.context["borderline"]
    assert looks_harmless(page)
    assert looks_harmless(go("policy", max_wrong_hit_rate=HOSTILE, similarity_floor=HOSTILE, trial=HOSTILE))


def test_the_playground(go: Go, cast: Cast) -> None:
    asked = {"question": HOSTILE, "model": "demo-small", "project_id": str(cast.owner.project_id)}

    page = go("playground", form=asked)
    assert b"&lt;script&gt;alert" in page.content
    assert looks_harmless(page)
    assert looks_harmless(go("playground", form={**asked, "model": HOSTILE}))
    assert looks_harmless(go("playground", form={**asked, "question": "x" * 100_000}))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("keys-new", {"name": HOSTILE, "scopes": ["proxy"]}),
        ("projects-new", {"name": HOSTILE, "default_model": HOSTILE}),
        ("prices-put", {"provider": "openai", "model": HOSTILE, "input": "1", "output": "1"}),
        ("budgets-new", {"amount_usd": HOSTILE, "task": HOSTILE, "period": "day", "action": "alert"}),
        ("members-invite", {"email": HOSTILE, "role": "viewer"}),
        ("webhooks-new", {"url": HOSTILE}),
    ],
)
def test_what_people_type_and_the_trail_of_it(go: Go, cast: Cast, name: str, form: dict[str, Any]) -> None:
    assert looks_harmless(go(name, form={"project_id": str(cast.owner.project_id), **form}))
    for page in ("keys", "projects", "prices", "budgets", "audit"):
        assert looks_harmless(go(page, project=str(cast.owner.project_id)))
    assert looks_harmless(go("audit", target=HOSTILE, actor=HOSTILE, action=HOSTILE))
