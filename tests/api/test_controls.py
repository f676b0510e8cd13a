"""Do a caller's wishes, a key's and a project's rules hold from the header to the entry?"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cacheai.demo_provider import DemoProvider
from tests.api.conftest import Answer, Api, Rules
from tests.api.test_entries import put
from tests.conftest import Cast

DAY = 86_400
ASKED = "Who made it?"


def told(answer: Answer) -> tuple[str, str]:
    return answer.headers["x-cacheai-decision"], answer.headers["x-cacheai-reason"]


def age(cast: Cast, *, seconds: int) -> None:
    """All entries, as if so much time had gone by."""
    from django.db.models import F

    from cache_api.models import Entry
    from tenants.isolation import as_tenant

    by = timedelta(seconds=seconds)
    with as_tenant(cast.owner.tenant_id):
        mine = Entry.objects.filter(tenant_id=cast.owner.tenant_id)
        mine.update(created_at=F("created_at") - by, expires_at=F("expires_at") - by)


# -- how long an answer is kept


@pytest.mark.parametrize(
    ("request_seconds", "key_seconds", "project_seconds", "kept"),
    [
        (None, None, None, 7 * DAY),
        (300, None, None, 300),
        (None, 200, None, 200),
        (None, None, 100, 100),
        (300, 200, 100, 100),
        (100, 200, 300, 100),
        (300, 100, 200, 100),
        (30 * DAY, None, None, 7 * DAY),
        (None, 30 * DAY, 30 * DAY, 7 * DAY),
    ],
)
def test_an_answer_is_kept_for_the_shortest_of_call_key_project_and_plan(
    cast: Cast,
    rules: Rules,
    request_seconds: int | None,
    key_seconds: int | None,
    project_seconds: int | None,
    kept: int,
) -> None:
    from tenants import api_keys

    owner = cast.owner
    made = api_keys.key_create(
        tenant_id=owner.tenant_id, project_id=owner.project_id, name="short", ttl_max_seconds=key_seconds
    )
    if project_seconds:
        rules(ttl_seconds=project_seconds)
    caller = Api(made.secret)
    headers = {"X_CACHEAI_TTL": str(request_seconds)} if request_seconds else {}
    caller.chat(ASKED, headers=headers)
    assert kept - 5 <= int(caller.chat(ASKED).headers["x-cacheai-ttl"]) <= kept


def test_what_is_put_by_hand_is_kept_as_long(api: Api, rules: Rules) -> None:
    rules(ttl_seconds=100)
    key = put(api, ASKED, ttl="1h")
    api.put("/v1/cache/mine", {"value": 1, "ttl": "30s"})
    ends = {name: api.get(f"/v1/cache/{name}").json["expires_at"] for name in (key, "mine")}
    assert ends["mine"] < ends[key] < (timezone.now() + timedelta(seconds=101)).isoformat()


def test_after_its_time_an_answer_is_bought_and_stored_again(api: Api, cast: Cast, demo: DemoProvider) -> None:
    put(api, ASKED, ttl="60")
    age(cast, seconds=61)
    assert told(api.chat(ASKED)) == ("miss", "expired")
    assert told(api.chat(ASKED)) == ("hit", "exact")
    assert len(demo.calls()) == 1


@pytest.mark.parametrize("headers", [{"CACHE_CONTROL": "max-age=30"}, {}])
def test_a_caller_may_ask_for_a_younger_answer(api: Api, cast: Cast, headers: Any) -> None:
    body = {} if headers else {"cache": {"s-maxage": 30}}
    api.chat(ASKED)
    assert told(api.chat(ASKED, headers=headers, **body)) == ("hit", "exact")
    age(cast, seconds=31)
    assert told(api.chat(ASKED, headers=headers, **body)) == ("miss", "too_old")


# -- refresh, only if cached, not stored


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("headers", "cache"),
    [({"X_CACHEAI_REFRESH": "true"}, None), ({"CACHE_CONTROL": "no-cache"}, None), ({}, {"no-cache": True})],
)
def test_a_refresh_asks_anew_and_stores_what_comes(
    api: Api, demo: DemoProvider, headers: Any, cache: Any, stream: bool
) -> None:
    put(api, ASKED, "Of old.")
    body = {"stream": stream, **({"cache": cache} if cache else {})}
    assert told(api.chat(ASKED, headers=headers, **body)) == ("miss", "refresh")
    assert len(demo.calls()) == 1
    again = api.chat(ASKED)
    assert told(again) == ("hit", "exact")
    assert again.json["choices"][0]["message"]["content"] != "Of old."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("headers", "cache"),
    [
        ({"X_CACHEAI_ONLY_IF_CACHED": "true"}, None),
        ({"CACHE_CONTROL": "only-if-cached"}, None),
        ({}, {"only-if-cached": True}),
    ],
)
def test_only_if_cached_calls_nobody(api: Api, demo: DemoProvider, headers: Any, cache: Any, stream: bool) -> None:
    body = {"stream": stream, **({"cache": cache} if cache else {})}
    refused = api.chat(ASKED, headers=headers, **body)
    assert (refused.status, refused.json["error"]["code"]) == (504, "not_cached")
    assert refused.headers["x-should-retry"] == "false"  # else openai's package asks twice more
    put(api, ASKED)
    assert told(api.chat(ASKED, headers=headers, **body)) == ("hit", "exact")
    assert demo.calls() == []


def test_what_must_not_be_stored_may_be_served(api: Api, demo: DemoProvider) -> None:
    unstored = {"X_CACHEAI_NO_STORE": "true"}
    for _ in range(2):
        assert told(api.chat(ASKED, headers=unstored)) == ("miss", "no_candidate")
    put(api, ASKED)
    assert told(api.chat(ASKED, headers=unstored)) == ("hit", "exact")
    assert len(demo.calls()) == 2


# -- when the provider fails


@pytest.mark.parametrize("failure", [{"fail_status": 500}, {"fail_status": 503}, {"drop_before_headers": True}])
@pytest.mark.parametrize("stream", [False, True])
def test_an_expired_answer_stands_in_for_a_failing_provider(
    api: Api, cast: Cast, demo: DemoProvider, rules: Rules, failure: Any, stream: bool
) -> None:
    rules(stale_on_error_seconds=3600)
    put(api, ASKED, "As before.", ttl="60")
    age(cast, seconds=61)
    demo.control(**failure)
    answer = api.chat(ASKED, stream=stream)
    assert (answer.status, told(answer)) == (200, ("hit", "stale_on_error"))
    assert b"As before." in answer.body


@pytest.mark.parametrize(
    ("allowed_seconds", "late_seconds", "failure", "status"),
    [
        pytest.param(0, 1, {"fail_status": 500}, 500, id="no policy allows it"),
        pytest.param(60, 61, {"fail_status": 500}, 500, id="for longer than the policy allows"),
        pytest.param(3600, 1, {"fail_status": 401}, 401, id="the caller's own fault"),
        pytest.param(3600, 1, {"fail_status": 429}, 429, id="a limit that the caller must hear of"),
    ],
)
def test_the_provider_s_error_is_told_where_none_may_stand_in(
    api: Api,
    cast: Cast,
    demo: DemoProvider,
    rules: Rules,
    allowed_seconds: int,
    late_seconds: int,
    failure: Any,
    status: int,
) -> None:
    rules(stale_on_error_seconds=allowed_seconds)
    put(api, ASKED, ttl="60")
    age(cast, seconds=60 + late_seconds)
    demo.control(**failure)
    assert api.chat(ASKED).status == status


def test_a_refresh_is_no_reason_for_an_old_answer(api: Api, demo: DemoProvider, rules: Rules) -> None:
    rules(stale_on_error_seconds=3600)
    put(api, ASKED, "As before.")
    demo.control(fail_status=500)
    assert api.chat(ASKED, headers={"X_CACHEAI_REFRESH": "true"}).status == 500
