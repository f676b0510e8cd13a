"""Can a team script its projects, keys and provider keys, and touch nobody else's?"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings

from cacheai.demo_provider import DemoProvider
from tenants import authentication, selectors
from tenants.isolation import as_tenant
from tenants.keys import SCOPES
from tenants.models import AuditEvent, Tenant
from tests.api.conftest import Answer, Api
from tests.conftest import Cast

KeyWith = Callable[..., Api]
SOMEWHERE = str(uuid4())

# Each call of the management side, and the scope that opens it; `{key}`, `{project}` and `{provider}` are filled in.
CALLS = [
    ("GET", "/v1/tenant", None, "tenant:manage"),
    ("GET", "/v1/projects", None, "tenant:manage"),
    ("POST", "/v1/projects", {"name": "New"}, "tenant:manage"),
    ("GET", "/v1/projects/{project}", None, "tenant:manage"),
    ("PATCH", "/v1/projects/{project}", {"name": "Renamed"}, "tenant:manage"),
    ("DELETE", "/v1/projects/{project}", None, "tenant:manage"),
    ("GET", "/v1/keys", None, "keys:manage"),
    ("POST", "/v1/keys", {"name": "New", "scopes": ["keys:manage"]}, "keys:manage"),
    ("GET", "/v1/keys/{key}", None, "keys:manage"),
    ("PATCH", "/v1/keys/{key}", {"name": "Renamed"}, "keys:manage"),
    ("POST", "/v1/keys/{key}/rotate", {}, "keys:manage"),
    ("DELETE", "/v1/keys/{key}", None, "keys:manage"),
    ("GET", "/v1/provider_keys", None, "tenant:manage"),
    ("PUT", "/v1/provider_keys/demo", {"secret": "sk-demo"}, "tenant:manage"),
    ("POST", "/v1/provider_keys/demo/test", None, "tenant:manage"),
    ("DELETE", "/v1/provider_keys/demo", None, "tenant:manage"),
    ("GET", "/v1/audit", None, "tenant:manage"),
]


@pytest.fixture(autouse=True)
def _no_bad_neighbours() -> Iterator[None]:
    authentication._bad_keys.counts.clear()
    yield
    authentication._bad_keys.counts.clear()


@pytest.fixture
def admin(key_with: KeyWith) -> Api:
    return key_with(*SCOPES)


@pytest.fixture
def manager(key_with: KeyWith) -> Api:
    """Manages its own project's keys alone."""
    return key_with("proxy", "keys:manage")


def made(api: Api, **rules: Any) -> Any:
    answer = api.post("/v1/keys", rules)
    assert answer.status == 201, answer.body
    return answer.json


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]["code"]


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
def test_each_call_takes_its_scope_and_no_other(
    method: str, path: str, body: Any, scope: str, cast: Cast, key_with: KeyWith
) -> None:
    where = path.format(key=cast.owner.key_id, project=cast.owner.project_id)
    others = SCOPES - {scope, "tenant:manage"}  # which brings keys:manage along

    refused = key_with(*others)(method, where, body)
    admitted = key_with(scope)(method, where, body)

    assert code(refused) == (403, "insufficient_scope")
    # A call of ours may still find nothing to do: a provider key that is not there, a key wider than this one.
    assert admitted.status < 300 or code(admitted) in [
        (404, "not_found"),
        (409, "conflict"),
        (403, "insufficient_scope"),
    ]
    if admitted.status == 403:
        assert "Nobody gives" in admitted.json["error"]["message"]
    assert Api("")(method, where, body).status == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [call[:3] for call in CALLS if "{key}" in call[1] or "{project}" in call[1]],
)
def test_what_is_another_tenants_is_like_what_is_not_there(
    method: str, path: str, body: Any, cast: Cast, admin: Api
) -> None:
    theirs = admin(method, path.format(key=cast.outsider.key_id, project=cast.outsider.project_id), body)
    missing = admin(method, path.format(key=SOMEWHERE, project=SOMEWHERE), body)

    assert (theirs.status, theirs.json) == (missing.status, missing.json)
    assert theirs.status == 404
    changing = {"content-length", "x-cacheai-request-id", "x-request-id", "x-ratelimit-remaining"}
    changing |= {"x-ratelimit-reset", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}
    assert theirs.headers.keys() == missing.headers.keys()
    assert {n: v for n, v in theirs.headers.items() if n not in changing} == {
        n: v for n, v in missing.headers.items() if n not in changing
    }
    kept = selectors.key_of(tenant_id=cast.outsider.tenant_id, key_id=cast.outsider.key_id)
    assert (kept.revoked_at, kept.replaced_by, kept.name) == (None, None, "outsider@example.test")


@pytest.mark.parametrize(("method", "path", "body"), [call[:3] for call in CALLS if "{key}" in call[1]])
def test_a_key_of_another_project_is_like_none_without_tenant_manage(
    method: str, path: str, body: Any, sibling: Api, manager: Api, admin: Api
) -> None:
    theirs = str(authentication.find(sibling.key)["key_id"])  # type: ignore[index]

    refused, missing = (manager(method, path.format(key=key), body) for key in (theirs, SOMEWHERE))

    assert (refused.status, refused.json) == (missing.status, missing.json)
    assert refused.status == 404
    assert admin(method, path.format(key=theirs), body).status < 300


def test_a_key_is_made_used_rotated_and_ended(admin: Api) -> None:
    made_key = made(admin, name="Batch", scopes=["proxy", "cache:*"], rpm=90, models_allowed=["demo-*"])
    batch = Api(made_key.pop("key"))
    assert batch.chat("Does it work?").status == 200
    assert admin.get(f"/v1/keys/{made_key['id']}").json == made_key
    assert made_key | {"id": 0, "project_id": 0, "hint": 0, "created_at": 0} == {
        "id": 0,
        "project_id": 0,
        "name": "Batch",
        "hint": 0,
        "status": "live",
        "scopes": ["cache:purge", "cache:read", "cache:write", "proxy"],
        "networks": [],
        "models_allowed": ["demo-*"],
        "rpm": 90,
        "tpm": None,
        "ttl_max_seconds": None,
        "provider": "",
        "created_at": 0,
        "expires_at": None,
        "revoked_at": None,
        "replaced_by": None,
        "last_used_at": None,
    }

    rotated = admin.post(f"/v1/keys/{made_key['id']}/rotate", {"grace": "15m"})
    assert rotated.status == 201
    old = admin.get(f"/v1/keys/{made_key['id']}").json
    assert (old["status"], old["replaced_by"]) == ("ending", rotated.json["id"])
    for key in (batch.key, rotated.json["key"]):
        assert Api(key).chat("Does it still work?").status == 200
    assert code(admin.post(f"/v1/keys/{made_key['id']}/rotate", {})) == (409, "conflict")

    ended = admin.delete(f"/v1/keys/{made_key['id']}")
    assert (ended.status, ended.json) == (200, {"id": made_key["id"], "revoked": True})
    assert batch.chat("And now?").status == 401
    renamed = admin("PATCH", f"/v1/keys/{rotated.json['id']}", {"name": "Nightly"})
    assert (renamed.status, renamed.json["name"]) == (200, "Nightly")


def test_what_a_key_may_is_changed_and_holds_for_its_next_call(admin: Api) -> None:
    key = made(admin, name="Batch", scopes=["proxy", "cache:*"], rpm=90, expires_at="2030-01-01T00:00:00Z")
    batch = Api(key.pop("key"))
    assert batch.chat("Does it work?").status == 200
    rules = {
        "scopes": ["cache:read", "proxy"],
        "networks": ["192.0.2.0/24"],
        "models_allowed": ["demo-large"],
        "rpm": None,
        "tpm": 5_000,
        "ttl_max_seconds": 60,
        "provider": "demo",
        "expires_at": None,
    }

    changed = admin("PATCH", f"/v1/keys/{key['id']}", rules)

    assert (changed.status, changed.json) == (200, key | rules)
    assert code(batch.chat("And now?")) == (403, "model_not_allowed")
    assert admin("PATCH", f"/v1/keys/{key['id']}", {"models_allowed": [], "networks": []}).json["networks"] == []
    assert batch.chat("And now?").status == 200
    (newest, *_) = admin.get("/v1/audit").json["data"]
    assert (newest["action"], newest["diff"]["networks"]) == ("key.change", [["192.0.2.0/24"], []])


def test_a_key_changes_none_to_more_than_itself(manager: Api, admin: Api) -> None:
    """Not even itself."""
    own = str(authentication.find(manager.key)["key_id"])  # type: ignore[index]
    other = made(admin, scopes=["proxy"])["id"]
    for key_id in (own, other):
        refused = manager("PATCH", f"/v1/keys/{key_id}", {"scopes": ["proxy", "keys:manage", "cache:read"]})
        assert (code(refused), refused.json["error"]["param"]) == ((403, "insufficient_scope"), "scopes")
    wide = made(admin, scopes=["tenant:manage"])["id"]
    assert code(manager("PATCH", f"/v1/keys/{wide}", {"rpm": 7})) == (403, "insufficient_scope")
    assert manager("PATCH", f"/v1/keys/{other}", {"rpm": 7}).json["rpm"] == 7

    narrow = Api(made(admin, scopes=["proxy", "keys:manage"], models_allowed=["demo-*"])["key"])
    assert code(narrow("PATCH", f"/v1/keys/{other}", {"rpm": 8})) == (403, "insufficient_scope")
    assert narrow("PATCH", f"/v1/keys/{other}", {"rpm": 8, "models_allowed": ["demo-small"]}).status == 200


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({}, None),
        ({"scopes": []}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"rpm": 0}, "rpm"),
        ({"provider": "nobody"}, "provider"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ],
)
def test_what_is_no_change_is_refused_by_name(cast: Cast, admin: Api, changes: Any, param: str | None) -> None:
    refused = admin("PATCH", f"/v1/keys/{cast.owner.key_id}", changes)

    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_keys_are_listed_page_by_page_and_never_shown_again(admin: Api, sibling: Api, manager: Api) -> None:
    secrets = [made(admin, name=f"key {number}")["key"] for number in range(5)]
    names: list[str] = []
    cursor = ""
    while True:
        page = admin.get("/v1/keys", f"limit=2{cursor}")
        assert page.status == 200
        assert not any(secret[7:] in page.body.decode() for secret in (*secrets, admin.key))
        names += [key["name"] for key in page.json["data"]]
        if not page.json["has_more"]:
            break
        cursor = f"&cursor={page.json['next_cursor']}"

    assert names[:5] == [f"key {number}" for number in reversed(range(5))]
    assert len(names) == len(set(names)) + 1  # the fixtures' two narrow keys have one name
    assert "sibling" in names
    assert "sibling" not in [key["name"] for key in manager.get("/v1/keys").json["data"]]


def test_a_key_makes_none_wider_than_itself(cast: Cast, manager: Api, admin: Api) -> None:
    refused = manager.post("/v1/keys", {"scopes": ["proxy", "cache:read"]})
    assert (code(refused), refused.json["error"]["param"]) == ((403, "insufficient_scope"), "scopes")
    assert code(manager.post("/v1/keys", {"scopes": ["tenant:manage"]})) == (403, "insufficient_scope")
    # The owner's key may read the cache, so its successor could.
    assert code(manager.post(f"/v1/keys/{cast.owner.key_id}/rotate", {})) == (403, "insufficient_scope")
    assert made(manager, scopes=["proxy"])["scopes"] == ["proxy"]

    for rules in ({"models_allowed": ["demo-*"]}, {"networks": ["192.0.2.0/24"]}):
        narrow = Api(made(admin, scopes=["proxy", "keys:manage"], **rules)["key"])
        assert code(narrow.post("/v1/keys", {"scopes": ["proxy"]})) == (403, "insufficient_scope")
        assert made(narrow, scopes=["proxy"], **rules)


def test_a_key_lives_no_longer_and_calls_no_faster_by_its_own_leave(admin: Api) -> None:
    soon, later = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (5, 60))
    rules = {"rpm": 500, "tpm": 5_000, "expires_at": soon.isoformat()}
    mine = made(admin, scopes=["proxy", "keys:manage"], **rules)
    narrow = Api(mine["key"])

    for name, wide in (
        ("rpm", None),
        ("rpm", 501),
        ("tpm", None),
        ("expires_at", None),
        ("expires_at", later.isoformat()),
    ):
        refused = narrow("PATCH", f"/v1/keys/{mine['id']}", {name: wide})
        assert (code(refused), refused.json["error"]["param"]) == ((403, "insufficient_scope"), name)
        assert code(narrow.post("/v1/keys", {"scopes": ["proxy"], **rules, name: wide})) == (403, "insufficient_scope")
    assert made(narrow, scopes=["proxy"], **rules)
    assert narrow.post(f"/v1/keys/{mine['id']}/rotate", {}).status == 201


def test_a_key_of_another_project_is_made_with_tenant_manage_alone(
    cast: Cast, manager: Api, admin: Api, sibling: Api
) -> None:
    theirs = str(authentication.find(sibling.key)["project_id"])  # type: ignore[index]

    assert made(admin, project_id=theirs)["project_id"] == theirs
    own = {"scopes": ["proxy"], "project_id": str(cast.owner.project_id)}
    assert made(manager, **own)["project_id"] == str(cast.owner.project_id)
    foreign = [
        code(manager.post("/v1/keys", {"project_id": which}))
        for which in (theirs, str(cast.outsider.project_id), SOMEWHERE, "x")
    ]
    assert foreign == [(403, "project_mismatch")] * 4
    nowhere = [
        admin.post("/v1/keys", {"project_id": which}).json for which in (str(cast.outsider.project_id), SOMEWHERE)
    ]
    assert nowhere[0] == nowhere[1]
    assert nowhere[0]["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("rules", "param"),
    [
        ({"scopes": ["root"]}, "scopes.0"),
        ({"scopes": []}, "scopes"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"networks": "10.0.0.0/8"}, "networks"),
        ({"models_allowed": ["gpt*5"]}, "models_allowed"),
        ({"rpm": 0}, "rpm"),
        ({"rpm": "many"}, "rpm"),
        ({"provider": "nobody"}, "provider"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"name": "a\x00b"}, "name"),
    ],
)
def test_what_is_no_key_is_refused_by_name(admin: Api, rules: Any, param: str) -> None:
    refused = admin.post("/v1/keys", rules)

    assert (refused.status, refused.json["error"]["param"]) == (400, param)


def test_limits_and_features_of_the_plan_are_kept(cast: Cast, admin: Api) -> None:
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(keys_max=3, projects_max=1, features=[])
    authentication._verified.clear()

    assert code(admin.post("/v1/keys", {"name": "one too many"})) == (403, "limit_reached")
    assert code(admin.post("/v1/projects", {"name": "one too many"})) == (403, "limit_reached")
    assert code(admin.post("/v1/keys", {"networks": ["10.0.0.0/8"]})) == (403, "not_in_plan")
    changed = admin("PATCH", f"/v1/keys/{cast.owner.key_id}", {"networks": ["10.0.0.0/8"]})
    assert code(changed) == (403, "not_in_plan")
    assert code(admin.get("/v1/audit")) == (403, "not_in_plan")


def test_a_project_is_made_renamed_and_removed_with_what_it_holds(admin: Api) -> None:
    project = admin.post("/v1/projects", {"name": "Support", "default_model": "demo-small"})
    assert project.status == 201
    where = f"/v1/projects/{project.json['id']}"
    key = made(admin, project_id=project.json["id"])
    there = Api(key["key"])
    there.chat("Who is it?")
    assert there.get("/v1/cache/stats").json["total_entries"] == 1

    assert admin("PATCH", where, {"name": "Help"}).json == {**project.json, "name": "Help"}
    assert code(admin.post("/v1/projects", {"name": "Help"})) == (409, "conflict")
    assert code(admin.post("/v1/projects", {"name": " "})) == (400, "invalid_request")
    assert [one["name"] for one in admin.get("/v1/projects").json["data"]] == ["Cache", "Help"]

    assert admin.delete(where).json == {"id": project.json["id"], "deleted": True}
    assert there.chat("Who is it?").status == 401
    assert code(admin.get(where)) == (404, "not_found")
    assert code(admin.get(f"/v1/keys/{key['id']}")) == (404, "not_found")


def test_the_tenant_says_what_its_plan_allows(admin: Api) -> None:
    told = admin.get("/v1/tenant").json

    assert (told["name"], told["plan"], told["read_only"]) == ("Team", "free", False)
    assert (told["limits"]["projects_max"], told["limits"]["overage_cap_usd"]) == (50, None)


def test_the_audit_trail_names_the_key_that_did_it(cast: Cast, admin: Api, outsider: Api) -> None:
    mine = str(authentication.find(admin.key)["key_id"])  # type: ignore[index]
    key = made(admin, name="Batch")
    admin.delete(f"/v1/keys/{key['id']}")

    first = admin.get("/v1/audit", "limit=1").json
    second = admin.get("/v1/audit", f"limit=1&cursor={first['next_cursor']}").json

    revoked, created = first["data"][0], second["data"][0]
    assert (revoked["action"], created["action"]) == ("key.revoke", "key.create")
    assert revoked["actor"] == created["actor"] == {"kind": "key", "id": mine, "address": "192.0.2.7"}
    assert created["diff"]["name"] == "Batch"
    assert key["key"][7:] not in json.dumps([first, second])


# -- provider keys


def test_a_provider_key_is_tested_stored_and_used(cast: Cast, admin: Api, demo: DemoProvider) -> None:
    put = admin.put("/v1/provider_keys/demo", {"secret": "sk-demo-secret99"})
    assert (put.status, put.json) == (200, {"provider": "demo", "taken": True, "trouble": ""})
    (asked,) = demo.calls()
    assert (asked["method"], asked["path"]) == ("GET", "/v1/models")
    assert asked["headers"]["authorization"] == "Bearer sk-demo-secret99"

    (listed,) = admin.get("/v1/provider_keys").json["data"]
    assert (listed["provider"], listed["hint"], listed["trouble"]) == ("demo", "et99", "")
    assert datetime.fromisoformat(listed["taken_at"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert admin.post("/v1/provider_keys/demo/test").json["taken"]

    admin.put("/v1/provider_keys/demo", {"secret": "sk-demo-secret77"})
    assert [one["hint"] for one in admin.get("/v1/provider_keys").json["data"]] == ["et77"]
    assert admin.delete("/v1/provider_keys/demo").status == 200
    assert code(admin.delete("/v1/provider_keys/demo")) == (404, "not_found")
    assert code(admin.post("/v1/provider_keys/demo/test")) == (404, "not_found")
    with as_tenant(cast.owner.tenant_id):
        trail = [vars(event) for event in AuditEvent.objects.filter(target="demo").order_by("seq")]
    assert [row["action"].partition(".")[2] for row in trail] == ["create", "rotate", "delete"]
    assert "sk-demo" not in repr(trail)


BAD_KEY = {"error": {"message": "Incorrect API key provided: sk-bad. You can find your API key elsewhere."}}


@pytest.mark.parametrize(
    ("failure", "stored"),
    [
        ({"fail_status": 401, "fail_body": BAD_KEY}, False),
        ({"fail_status": 400, "fail_body": BAD_KEY}, False),
        ({"fail_status": 401, "fail_body": {"error": {"message": "Missing scopes: api.model.read"}}}, True),
        ({"fail_status": 403, "fail_body": {"error": {"message": "You may not list models"}}}, True),
        ({"fail_status": 404}, True),
        ({"fail_status": 500}, True),
        ({"fail_status": 429}, True),
        ({"drop_before_headers": True}, True),
    ],
)
def test_a_credential_its_provider_refuses_is_not_stored_and_one_nobody_could_test_is(
    failure: Any, stored: bool, admin: Api, demo: DemoProvider
) -> None:
    demo.control(**failure)

    put = admin.put("/v1/provider_keys/demo", {"secret": "sk-bad-or-not"})

    listed = admin.get("/v1/provider_keys").json["data"]
    if not stored:
        assert (code(put), put.json["error"]["param"], listed) == ((400, "bad_credential"), "secret", [])
        return
    assert (put.status, put.json["taken"]) == (200, False)
    assert put.json["trouble"]
    assert (listed[0]["taken_at"], listed[0]["trouble"]) == (None, put.json["trouble"])
    demo.reset()
    assert admin.post("/v1/provider_keys/demo/test").json == {"provider": "demo", "taken": True, "trouble": ""}
    assert admin.get("/v1/provider_keys").json["data"][0]["trouble"] == ""


def test_a_stored_credential_that_its_provider_refuses_later_stays_and_says_so(admin: Api, demo: DemoProvider) -> None:
    admin.put("/v1/provider_keys/demo", {"secret": "sk-once-good"})
    demo.control(fail_status=401, fail_body=BAD_KEY)

    tested = admin.post("/v1/provider_keys/demo/test")

    assert (tested.status, tested.json["taken"]) == (200, False)
    assert "does not know" in admin.get("/v1/provider_keys").json["data"][0]["trouble"]


@pytest.mark.parametrize(
    ("provider", "fields", "param"),
    [
        ("nobody", {"secret": "sk-x"}, "provider"),
        ("openai", {"secret": ""}, "secret"),
        ("openai", {}, "secret"),
        ("openai", {"secret": "sk x"}, "secret"),
        ("openai", {"secret": "sk-\u00e9"}, "secret"),
        ("openai", {"secret": "sk-x\r\nx-evil: 1"}, "secret"),
        ("custom", {"secret": "sk-x"}, "base_url"),
        ("azure", {"secret": "sk-x"}, "base_url"),
        *(
            ("custom", {"secret": "sk-x", "base_url": url}, "base_url")
            for url in (
                "http://example.test/v1",
                "https://127.0.0.1/v1",
                "https://localhost/v1",
                "https://[::1]/v1",
                "https://169.254.169.254/latest",
                "https://u@example.test/v1",
                "https://example.test/v1?x=1",
                "https://example.test:22/v1",
                "https://2130706433/v1",
                "ftp://example.test",
                "https://",
                "not a url",
            )
        ),
    ],
)
def test_where_a_credential_may_not_go_it_is_not_stored(
    provider: str, fields: Any, param: str, admin: Api, demo: DemoProvider
) -> None:
    refused = admin.put(f"/v1/provider_keys/{provider}", fields)

    assert (refused.status, refused.json["error"]["param"]) == (400, param), refused.body
    assert (refused.json["error"]["code"] == "base_url_not_allowed") == (param == "base_url")
    assert admin.get("/v1/provider_keys").json["data"] == []
    assert demo.calls() == []


def test_a_credential_goes_to_its_own_address(admin: Api, demo: DemoProvider) -> None:
    put = admin.put("/v1/provider_keys/custom", {"secret": "sk-house-4242", "base_url": demo.base_url + "/"})

    assert put.json["taken"]
    (asked,) = demo.calls()
    assert asked["headers"]["authorization"] == "Bearer sk-house-4242"
    (listed,) = admin.get("/v1/provider_keys").json["data"]
    assert (listed["base_url"], listed["hint"]) == (demo.base_url, "4242")
    assert admin.chat("Who is there?", headers={"x_cacheai_backend_provider": "custom"}).status == 200
    assert demo.calls()[-1]["headers"]["authorization"] == "Bearer sk-house-4242"


def test_no_credential_is_logged_or_stored_plain(
    cast: Cast, admin: Api, demo: DemoProvider, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "sk-canary-0123456789-wxyz"
    admin.put("/v1/provider_keys/demo", {"secret": secret})
    demo.control(fail_status=401, fail_body={"error": {"message": f"Incorrect API key provided: {secret}"}})
    refused = admin.put("/v1/provider_keys/demo", {"secret": secret})
    admin.post("/v1/provider_keys/demo/test")

    from tenants.isolation import as_owner

    with as_owner() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(string_agg(to_jsonb(k)::text, ' '), '') FROM provider_key k")
        (rows,) = cursor.fetchone()
        cursor.execute("SELECT coalesce(string_agg(to_jsonb(e)::text, ' '), '') FROM audit_event e")
        (trail,) = cursor.fetchone()
    out = capsys.readouterr()
    said = " ".join((refused.body.decode(), rows, trail, caplog.text, out.out, out.err))
    assert secret not in said
    assert secret.encode().hex() not in said


# -- what a key is kept from


@pytest.mark.parametrize(
    ("patterns", "model", "admitted"),
    [
        (["demo-small"], "demo-small", True),
        (["demo-small"], "demo/demo-small", True),
        (["demo-small"], "demo-large", False),
        (["demo-*"], "demo-large", True),
        (["demo/*"], "demo-large", True),
        (["openai/*"], "demo-large", False),
        (["gpt-*", "demo-large"], "demo-large", True),
    ],
)
def test_a_key_asks_its_models_alone(admin: Api, demo: DemoProvider, patterns: Any, model: str, admitted: bool) -> None:
    narrow = Api(made(admin, scopes=["proxy", "cache:*"], models_allowed=patterns)["key"])

    answer = narrow.chat("Which one?", model=model)

    if admitted:
        assert answer.status == 200
        return
    assert code(answer) == (403, "model_not_allowed")
    assert demo.calls() == []


def test_each_dialect_says_in_its_own_words_that_a_model_is_not_for_the_key(admin: Api, demo: DemoProvider) -> None:
    admin.chat("Is it stored?", model="demo-large")
    demo.reset()
    narrow = Api(made(admin, scopes=["proxy", "cache:*"], models_allowed=["demo-small"])["key"])
    messages = [{"role": "user", "content": "Is it stored?"}]
    body = {"model": "demo-large", "messages": messages}

    anthropic = narrow.post("/v1/messages", {**body, "max_tokens": 9}).json
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "permission_error")
    query = narrow.post("/v1/cache/query", {"prompt": "Is it stored?", "model": "demo-large"})
    assert (query.status, query.json["error"]) == (403, "model_not_allowed")
    for path, sent in {
        "/v1/chat/completions": body,
        "/v1/responses": {"model": "demo-large", "input": "Is it stored?"},
        "/v1/completions": {"model": "demo-large", "prompt": "Is it stored?"},
        "/v1/embeddings": {"model": "demo-embed", "input": "Is it stored?"},
        "/v1/cache/lookup": {"request": body, "include_answer": True},
        "/v1/cache/entries": {**body, "answer": "No."},
        "/v1/images/generations": {"model": "demo-large", "prompt": "A cache"},
        "/v1/files": {},
    }.items():
        refused = narrow.post(path, sent, x_cacheai_backend_provider="demo")
        assert code(refused) == (403, "model_not_allowed"), path
    headers = {"x_cacheai_baseline_model": "demo-large"}
    assert code(narrow.chat("Is it stored?", headers=headers)) == (403, "model_not_allowed")
    assert demo.calls() == []


def test_in_arrears_hits_are_served_and_nothing_is_stored(cast: Cast, api: Api, demo: DemoProvider) -> None:
    api.chat("Was it there before?")
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(read_only=True)
    authentication._verified.clear()

    assert api.chat("Was it there before?").headers["x-cacheai-decision"] == "hit"
    for _ in range(2):
        assert api.chat("Is it new?").headers["x-cacheai-decision"] == "miss"
    stored = api.post("/v1/cache/entries", {"question": "Is it new?", "model": "demo-small", "answer": "No."})
    assert code(stored) == (403, "insufficient_scope")
    assert api.post("/v1/cache/purge", {"all": True}).status == 200


def test_a_key_for_some_networks_opens_nothing_elsewhere(admin: Api) -> None:
    near = made(admin, scopes=["proxy"], networks=["192.0.2.0/24"])["key"]
    far = made(admin, scopes=["proxy"], networks=["198.51.100.0/24", "2001:db8::/32"])["key"]

    assert Api(near).chat("Where am I?").status == 200
    assert code(Api(far).chat("Where am I?")) == (401, "invalid_api_key")


# -- reports of keys found in public


SECRET = "shared-with-scanners"


def report(body: Any, *, signature: str | None = None) -> Answer:
    raw = json.dumps(body).encode()
    signed = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"x_cacheai_signature": f"sha256={signed}" if signature is None else signature}
    return Api("")("POST", "/partners/leaked-keys", raw=raw, **headers)


def test_nobody_reports_without_a_shared_secret(api: Api) -> None:
    assert report([{"token": api.key}]).status == 404


def test_a_signed_report_is_taken_and_no_other(
    cast: Cast, api: Api, outsider: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LEAK_SECRET", SECRET)
    leak = {"token": api.key, "type": "cacheai_api_key", "url": "https://example.test/gist", "source": "commit"}

    for signature in ("", "sha256=", "sha256=" + "0" * 64, "x" * 300):
        assert code(report([leak], signature=signature)) == (401, "invalid_signature")
    for body in ({}, [{}], [1], "x", [{**leak, "token": 7 * "x" * 256}]):
        assert code(report(body)) == (400, "invalid_request")
    assert Api("").get("/partners/leaked-keys").status == 405

    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.update(revoke_leaked=True)
    taken = report([leak, {**leak, "token": "ca-" + "0" * 39}, {"token": outsider.key}])
    assert (taken.status, taken.json) == (200, {"reports": 3, "known": 2})
    assert api.chat("Am I known?").status == 401
    assert outsider.chat("Am I known?").status == 200
