"""Does each page of a tenant do what its service can, for those whose role allows it and for nobody else?"""

import html
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, reverse

from billing.plans import PLANS, Plan
from tenants import erasure, features, selectors
from tenants.isolation import as_tenant
from tenants.models import Member, Tenant, User
from tenants.roles import ROLES, may
from tests.api.conftest import Api
from tests.api.people import signed_in
from tests.conftest import Cast

# The act that opens each page, or lets each form be sent.
ACTS = {
    "overview": "figures",
    "overview-start": "keys",
    "overview-export": "figures",
    "calls": "figures",
    "calls-export": "figures",
    "calls-call": "figures",
    "calls-verdict": "feedback",
    "playground": "texts",
    "usage": "figures",
    "usage-export": "figures",
    "budgets": "figures",
    "budgets-new": "budgets",
    "budgets-delete": "budgets",
    "cache": "texts",
    "cache-entry": "texts",
    "cache-change": "purge",
    "cache-delete": "purge",
    "cache-purge": "purge",
    "cache-blocklist": "policy",
    "cache-unblock": "policy",
    "cache-duplicates": "texts",
    "cache-duplicates-seek": "texts",
    "cache-duplicates-progress": "texts",
    "cache-duplicates-delete": "purge",
    "cache-transfers": "texts",
    "cache-transfers-progress": "texts",
    "cache-transfers-take": "purge",
    "cache-transfers-give": "export",
    "cache-transfers-file": "export",
    "cache-transfers-stop": "purge",
    "policy": "figures",
    "policy-change": "policy",
    "policy-try": "policy",
    "policy-trial": "figures",
    "keys": "keys",
    "keys-new": "keys",
    "keys-change": "keys",
    "keys-rotate": "keys",
    "keys-revoke": "keys",
    "providers": "provider_keys",
    "providers-put": "provider_keys",
    "providers-test": "provider_keys",
    "providers-delete": "provider_keys",
    "projects": "figures",
    "projects-new": "keys",
    "projects-change": "keys",
    "projects-delete": "keys",
    "prices": "figures",
    "prices-put": "keys",
    "prices-delete": "keys",
    "webhooks": "webhooks",
    "webhooks-new": "webhooks",
    "webhooks-endpoint": "webhooks",
    "webhooks-change": "webhooks",
    "webhooks-test": "webhooks",
    "webhooks-enable": "webhooks",
    "webhooks-delete": "webhooks",
    "webhooks-again": "webhooks",
    "members": "figures",
    "members-invite": "members",
    "members-withdraw": "members",
    "members-role": "members",
    "members-remove": "members",
    "members-leave": "figures",
    "members-transfer": "tenant",
    "sso-connection": "sso",
    "sso-prove": "sso",
    "sso-require": "sso",
    "sso-remove": "sso",
    "billing": "plan",
    "billing-checkout": "plan",
    "billing-upgrade": "plan",
    "billing-downgrade": "plan",
    "billing-portal": "plan",
    "billing-cancel": "plan",
    "billing-undo": "plan",
    "billing-resume": "plan",
    "billing-cap": "plan",
    "audit": "audit",
    "audit-export": "audit",
    "settings": "figures",
    "settings-rename": "tenant",
    "settings-leaked": "provider_keys",
    "settings-export": "export",
    "settings-exports": "export",
    "settings-export-file": "export",
    "settings-delete": "tenant",
    "settings-undelete": "tenant",
}

Post = Callable[..., Any]


def _patterns() -> list[URLPattern]:
    from dashboard import tenant_urls

    return tenant_urls.urlpatterns


def _address(pattern: URLPattern, tenant_id: UUID) -> str:
    made_up = {"plan": "pro", "provider": "openai", "number": 1}
    named = {name: made_up.get(name, uuid4()) for name in pattern.pattern.converters}
    return reverse(pattern.name, kwargs={"tenant_id": tenant_id, **named})


@pytest.fixture
def team(cast: Cast) -> Cast:
    """The cast, in a tenant that has every feature and room for more."""
    with as_tenant(cast.owner.tenant_id):
        Tenant.objects.filter(id=cast.owner.tenant_id).update(
            features=list(features.ENTERPRISE), projects_max=5, members_max=5
        )
    return cast


@pytest.fixture
def owner(team: Cast) -> Client:
    return signed_in(team.owner)


@pytest.fixture
def go(team: Cast, owner: Client) -> Post:
    """Sends a form, or opens a page where there is none, as the owner, and follows where it leads."""

    def to(name: str, form: dict[str, Any] | None = None, *args: Any, **query: str) -> HttpResponse:
        address = reverse(name, args=[team.owner.tenant_id, *args])
        if form is None:
            return owner.get(address, query, follow=True)
        return owner.post(address, form, follow=True)

    return to


def test_every_page_is_in_the_table_of_acts() -> None:
    assert {pattern.name for pattern in _patterns()} == set(ACTS)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_what_it_may_and_nothing_else(role: str, team: Cast) -> None:
    with as_tenant(team.teammate.tenant_id):
        Member.objects.filter(user_id=team.teammate.user_id).update(role=role)
    teammate = signed_in(team.teammate)

    # By a method no page takes: whoever may is told so, and nothing is done.
    told = {
        pattern.name: teammate.delete(_address(pattern, team.teammate.tenant_id)).status_code for pattern in _patterns()
    }

    assert told == {name: 405 if may(role, act) else 403 for name, act in ACTS.items()}


def test_a_tenant_does_not_exist_for_members_of_others(team: Cast) -> None:
    outsider = signed_in(team.outsider)
    missing = {_address(pattern, uuid4()): outsider for pattern in _patterns()}
    foreign = {_address(pattern, team.owner.tenant_id): outsider for pattern in _patterns()}

    assert {client.get(address).status_code for address, client in {**missing, **foreign}.items()} == {404}


def test_nobody_is_asked_to_sign_in_and_led_back(team: Cast) -> None:
    for pattern in _patterns():
        address = _address(pattern, team.owner.tenant_id)
        answer = Client().get(address)

        assert (answer.status_code, answer["Location"].endswith(f"?next={address}")) == (302, True)


@pytest.mark.parametrize(
    ("referer", "leads_to"),
    [
        ("http://testserver{page}?tag=x", "{page}?tag=x"),
        ("https://evil.example{page}", "{form}"),
        ("//evil.example", "{form}"),
        ("", "{form}"),
    ],
)
def test_who_sends_a_form_after_their_session_comes_back_to_the_page_it_was_on(
    team: Cast, referer: str, leads_to: str
) -> None:
    places = {name: reverse(f"cache-{name}", args=[team.owner.tenant_id]) for name in ("purge", "transfers-give")}
    said = {"page": places["purge"], "form": places["transfers-give"]}

    answer = Client().post(said["form"], {}, headers={"referer": referer.format(**said)})

    assert (answer.status_code, parse_qsl(urlsplit(answer["Location"]).query)) == (
        302,
        [("next", leads_to.format(**said))],
    )


def test_a_part_of_a_page_that_asks_after_the_session_has_the_whole_page_ask(team: Cast) -> None:
    address = reverse("cache-transfers-progress", args=[team.owner.tenant_id])

    answer = Client().get(address, headers={"HX-Request": "true"})

    assert (answer.status_code, answer["HX-Refresh"], answer.content) == (200, "true", b"")


@pytest.mark.parametrize("name", [name for name in ACTS if "-" not in name])
def test_no_page_is_kept_by_a_browser_or_runs_what_is_not_ours(name: str, go: Post) -> None:
    answer = go(name)

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert (
        re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|<style|\son\w+=|\sstyle=", answer.content.decode())
        == []
    )


@pytest.mark.parametrize(
    ("name", "form", "typed", "said"),
    [
        ("keys-new", {"name": "bot", "project_id": str(uuid4())}, b'value="bot"', b"Select a valid choice"),
        ("keys-new", {"name": "bot", "networks": "not-one"}, b'value="bot"', b"does not appear to be"),
        ("keys-new", {"name": "bot", "models_allowed": "a*b"}, b"a*b", b"may only be the last character"),
        ("projects-new", {"name": "Cache"}, b'value="Cache"', b"already"),
        ("projects-new", {"name": ""}, b"Default model", b"This field is required"),
        ("members-invite", {"email": "who?", "role": "viewer"}, b'value="who?"', b"valid email"),
        ("members-invite", {"email": "teammate@example.test", "role": "viewer"}, b"teammate@", b"is a member already"),
        ("budgets-new", {"amount_usd": "-1", "period": "day", "action": "alert"}, b'value="-1"', b"greater than"),
        ("webhooks-new", {"url": "http://127.0.0.1/"}, b"127.0.0.1", b"errorlist"),
        ("sso-connection", {"domain": "example"}, b'value="example"', b"This field is required"),
        ("settings-delete", {"confirmation": "Teem"}, b'value="Teem"', b"This is not Team"),
        ("billing-cap", {"usd": "-3"}, b'value="-3"', b"greater than"),
    ],
)
def test_a_form_keeps_what_was_typed_and_says_what_is_wrong_beside_it(
    name: str, form: dict[str, str], typed: bytes, said: bytes, go: Post, team: Cast
) -> None:
    with as_tenant(team.owner.tenant_id):
        Tenant.objects.filter(id=team.owner.tenant_id).update(plan="pro")
    plain = {"project_id": str(team.owner.project_id), "scopes": "proxy"} if name == "keys-new" else {}

    page = go(name, {**plain, **form}).content

    assert typed in page
    assert said in page


def test_a_key_is_shown_once_and_works(go: Post, team: Cast) -> None:
    form = {"name": "bot", "project_id": str(team.owner.project_id), "scopes": ["proxy", "cache:read"]}

    page = go("keys-new", form).content.decode()
    secret = re.search(r"\bca-[0-9A-Za-z]{39}\b", page)[0]

    assert Api(secret).chat("Does it work?").status == 200
    assert secret not in go("keys").content.decode()


def test_a_developer_is_not_offered_what_the_whole_tenant_is_managed_with(team: Cast) -> None:
    address = reverse("keys-new", args=[team.owner.tenant_id])

    assert b"tenant:manage" not in signed_in(team.teammate).get(address).content
    assert b"tenant:manage" in signed_in(team.owner).get(address).content


def test_a_rotated_key_has_a_successor_and_ends_after_its_grace(go: Post, team: Cast) -> None:
    page = go("keys-rotate", {"grace": "3600"}, team.owner.key_id).content.decode()

    assert Api(re.search(r"\bca-[0-9A-Za-z]{39}\b", page)[0]).chat("And now?").status == 200
    assert b"replaced" in go("keys").content


def test_a_revoked_key_is_refused(go: Post, team: Cast, api: Api) -> None:
    assert b"is revoked" in go("keys-revoke", {}, team.owner.key_id).content

    assert api.chat("Is it over?").status == 401


def test_a_project_is_made_renamed_and_deleted(go: Post, team: Cast) -> None:
    go("projects-new", {"name": "Second"})
    (second,) = [one for one in selectors.projects_of(tenant_id=team.owner.tenant_id) if one.name == "Second"]
    go("projects-change", {"name": "Third", "default_model": "demo-small"}, second.id)
    assert b"Third" in go("projects").content

    assert b"are gone" in go("projects-delete", {}, second.id).content
    assert b"Third" not in go("projects").content


def test_a_budget_is_set_and_deleted(go: Post, team: Cast) -> None:
    form = {"amount_usd": "25", "period": "month", "action": "block", "whom": f"project:{team.owner.project_id}"}

    page = go("budgets-new", form).content.decode()
    (budget_id,) = re.findall(r"budgets/([0-9a-f-]{36})/delete", page)

    assert "$25.00" in page
    (edit,) = re.findall(r"budgets/new\?([^\"]+)", page)
    filled = go("budgets-new", None, **dict(parse_qsl(unescape(edit)))).context["form"]
    assert {name: filled[name].value() for name in form} == {**form, "amount_usd": "25.00"}
    assert b"$30.00" in go("budgets-new", {**form, "amount_usd": "30"}).content
    assert b"No budgets yet" in go("budgets-delete", {}, budget_id).content


def test_an_endpoint_is_made_tested_and_deleted(go: Post) -> None:
    page = go("webhooks-new", {"url": "https://hooks.example.com/in"}).content.decode()
    (endpoint_id,) = re.findall(r"webhooks/([0-9a-f-]{36})", page)

    assert "whsec_" in page
    assert b"on its way" in go("webhooks-test", {}, endpoint_id).content
    assert b"whsec_" not in go("webhooks-endpoint", None, endpoint_id).content
    refused = go("webhooks-again", {}, endpoint_id, uuid4())
    assert endpoint_id in refused.request["PATH_INFO"]
    assert b"There is no such delivery." in refused.content
    assert b"No endpoints yet" in go("webhooks-delete", {}, endpoint_id).content


def test_a_member_is_invited_promoted_and_removed(go: Post, team: Cast) -> None:
    assert b"new@example.test" in go("members-invite", {"email": "new@example.test", "role": "viewer"}).content
    teammate = team.teammate.user_id
    go("members-role", {"role": "admin"}, teammate)
    assert {one.user_id: one.role for one in selectors.members_of(tenant_id=team.owner.tenant_id)}[teammate] == "admin"

    assert b"no member any more" in go("members-remove", {}, teammate).content


def test_the_last_owner_cannot_leave(go: Post) -> None:
    assert b"at least one owner" in go("members-leave", {}).content


def test_a_tenant_is_handed_over(go: Post, team: Cast) -> None:
    assert b"You are an admin now" in go("members-transfer", {"user_id": str(team.teammate.user_id)}).content


def test_a_tenant_that_is_to_be_erased_can_be_taken_back(go: Post, team: Cast) -> None:
    assert b"will be erased" in go("settings-delete", {"confirmation": "Team"}).content
    assert erasure.erasure_of(tenant_id=team.owner.tenant_id) is not None

    assert b"The tenant stays" in go("settings-undelete", {}).content
    assert erasure.erasure_of(tenant_id=team.owner.tenant_id) is None


def test_an_export_is_asked_for(go: Post) -> None:
    assert b"queued" in go("settings-export", {}).content
    assert go("settings-export-file", None, uuid4()).status_code == 404


def test_the_audit_trail_names_who_and_what_and_holds(go: Post, team: Cast) -> None:
    go("settings-rename", {"name": "Renamed"})

    page = go("audit", None, verify="1").content

    assert b"tenant.rename" in page
    assert b"owner@example.test" in page
    assert b"The chain holds" in page
    assert b"tenant.rename" in b"".join(go("audit-export"))


def test_a_plan_without_a_feature_says_so(go: Post, team: Cast) -> None:
    with as_tenant(team.owner.tenant_id):
        Tenant.objects.filter(id=team.owner.tenant_id).update(features=[])

    for name in ("webhooks", "webhooks-new", "audit", "sso-connection"):
        assert b"Not in the plan" in go(name).content


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_plan_tells_how_long_and_how_much_it_keeps(go: Post, plan: Plan) -> None:
    page = go("billing").content.decode()
    card = page.split(f'aria-label="{plan.title}"')[1].split("</article>")[0]

    assert f"Single calls kept {plan.detail_days} days" in card
    assert f"Answers kept up to {plan.ttl_max_days} days" in card
    assert f"{plan.keys_max} API keys a project" in card


@pytest.mark.parametrize(
    ("name", "form", "said"),
    [
        ("projects-new", {"name": "Second"}, "The plan free allows 1 project."),
        ("members-invite", {"email": "a@b.test", "role": "viewer"}, "The plan free allows 1 member, invited ones too."),
        ("keys-new", {"scopes": ["proxy"]}, "The plan free allows 1 key in a project."),
    ],
)
def test_a_plan_that_is_full_leads_to_the_plans(
    go: Post, team: Cast, name: str, form: dict[str, Any], said: str
) -> None:
    with as_tenant(team.owner.tenant_id):
        Tenant.objects.filter(id=team.owner.tenant_id).update(plan="free", projects_max=1, members_max=1, keys_max=1)

    page = go(name, {"project_id": str(team.owner.project_id), **form}).content.decode()

    assert said in page
    assert f'href="{reverse("billing", args=[team.owner.tenant_id])}">See plans' in page
    assert "See plans" not in go(name).content.decode()


def test_usage_is_told_by_key_and_as_a_spreadsheet(go: Post, api: Api) -> None:
    api.chat("How much is it?")

    assert b"owner@example.test" in go("usage", None, by="key").content
    assert b"".join(go("usage-export", None, by="model")).startswith(b"start,model,calls,hits")


def test_the_first_calls_arrive_and_the_steps_give_way(go: Post, owner: Client, team: Cast, api: Api) -> None:
    address = reverse("overview", args=[team.owner.tenant_id])
    assert b"Waiting for your first call" in go("overview").content
    assert b"Waiting for your first call" in owner.get(address, {"first": "1"}).content
    api.chat("Is anybody there?")
    api.chat("Is anybody there?")

    part = owner.get(address, {"first": "1"}).content.decode()
    assert part.index(">miss") < part.index(">hit · exact")
    assert b"Hit rate" in go("overview").content


def test_a_newcomers_lines_hold_a_key_of_theirs_that_works(go: Post, owner: Client, team: Cast) -> None:
    page = go("overview-start", {}).content.decode()
    (secret,) = set(re.findall(r"\bca-[0-9A-Za-z]{39}\b", page))

    assert page.count(secret) == 3
    assert f'OpenAI(api_key="{secret}", base_url="http://testserver/v1")' in html.unescape(page)
    assert Api(secret).chat("Does it work?").status == 200
    assert secret not in go("overview").content.decode()


def test_another_tenants_project_narrows_nothing(go: Post, team: Cast) -> None:
    assert go("overview", None, project=str(team.outsider.project_id)).status_code == 404


def test_what_cannot_be_taken_back_asks_who_it_is_again(team: Cast) -> None:
    person = User.objects.get(id=team.owner.user_id)
    person.set_password("correct horse battery staple")
    person.save()
    client = Client()
    client.force_login(person)

    answer = client.post(reverse("keys-revoke", args=[team.owner.tenant_id, team.owner.key_id]))

    assert answer.status_code == 302
    assert "reauthenticate" in answer["Location"]


def test_what_a_key_may_is_changed_and_the_rest_stays(go: Post, team: Cast) -> None:
    form = {"name": "reports", "scopes": ["stats:read"], "expires": "same", "rpm": "5", "models_allowed": "gpt-4o*"}

    page = go("keys-change", None, team.owner.key_id).content.decode()
    assert 'value="owner@example.test"' in page
    assert "As it is: never" in page
    page = go("keys-change", {**form, "ttl_max_seconds": "12h", "provider": "demo"}, team.owner.key_id).content

    assert b"The key is changed" in page
    assert b"answers end after 12h" in page
    key = selectors.key_of(tenant_id=team.owner.tenant_id, key_id=team.owner.key_id)
    assert (key.name, key.scopes, key.rpm, key.models_allowed) == ("reports", ["stats:read"], 5, ["gpt-4o*"])
    assert (key.ttl_max_seconds, key.provider, key.expires_at) == (43_200, "demo", None)
    go("keys-change", {**form, "expires": "7"}, team.owner.key_id)
    ends_at = selectors.key_of(tenant_id=team.owner.tenant_id, key_id=team.owner.key_id).expires_at
    go("keys-change", form, team.owner.key_id)
    assert selectors.key_of(tenant_id=team.owner.tenant_id, key_id=team.owner.key_id).expires_at == ends_at is not None


@pytest.mark.parametrize(
    ("form", "typed", "said"),
    [
        ({"networks": "not-one"}, b"not-one", b"does not appear to be"),
        ({"models_allowed": "a*b"}, b"a*b", b"may only be the last character"),
        ({"ttl_max_seconds": "soon"}, b'value="soon"', b"Write a number and s, m, h or d"),
        ({"scopes": []}, b'value="bot"', b"This field is required"),
    ],
)
def test_a_bad_change_of_a_key_is_said_beside_its_field(
    go: Post, team: Cast, form: dict[str, Any], typed: bytes, said: bytes
) -> None:
    page = go("keys-change", {"name": "bot", "scopes": ["proxy"], "expires": "same", **form}, team.owner.key_id).content

    assert typed in page
    assert said in page


def test_a_key_that_may_more_than_a_role_gives_is_not_changed_by_it(team: Cast) -> None:
    from tenants import api_keys, keys

    wide = api_keys.key_create(
        tenant_id=team.owner.tenant_id, project_id=team.owner.project_id, name="all", scopes=[keys.TENANT_MANAGE]
    )
    address = reverse("keys-change", args=[team.owner.tenant_id, wide.id])

    assert b"It may more than your role can give" in signed_in(team.teammate).get(address, follow=True).content
    assert signed_in(team.owner).get(address).status_code == 200


def test_another_tenants_key_is_not_there_to_change(go: Post, team: Cast) -> None:
    assert go("keys-change", None, team.outsider.key_id).status_code == 404


def test_an_endpoint_is_changed(go: Post) -> None:
    page = go("webhooks-new", {"url": "https://hooks.example.com/in"}).content.decode()
    (endpoint_id,) = re.findall(r"webhooks/([0-9a-f-]{36})", page)

    assert b'value="https://hooks.example.com/in"' in go("webhooks-change", None, endpoint_id).content
    page = go("webhooks-change", {"url": "https://hooks.example.com/2", "events": ["key.leaked"]}, endpoint_id).content
    assert b"The endpoint is changed" in page
    assert b"https://hooks.example.com/2" in page
    assert b"errorlist" in go("webhooks-change", {"url": "http://127.0.0.1/"}, endpoint_id).content


def test_a_price_is_set_and_taken_back(go: Post, team: Cast) -> None:
    form = {"provider": "openai", "model": "gpt-own*", "input": "1.5", "output": "3", "cached": "", "write_5m": ""}

    page = go("prices-put", form).content.decode()
    assert "The price is set" in page
    assert "gpt-own*" in page
    assert "$1.50" in page
    assert b"* may only be the last" in go("prices-put", {**form, "model": "a*b"}).content
    assert b"greater than or equal to 0" in go("prices-put", {**form, "input": "-1"}).content
    assert b"The built-in list holds again" in go("prices-delete", {"provider": "openai", "model": "gpt-own*"}).content
    assert b"There is no such price" in go("prices-delete", {"provider": "openai", "model": "gpt-own*"}).content


def test_a_plan_without_prices_of_ones_own_says_so(go: Post, team: Cast) -> None:
    with as_tenant(team.owner.tenant_id):
        Tenant.objects.filter(id=team.owner.tenant_id).update(features=[])
    form = {"provider": "openai", "model": "gpt-own", "input": "1", "output": "1"}

    assert b"not in the plan" in go("prices").content
    go("prices-put", form)
    assert b"gpt-own" not in go("prices").content


def test_the_address_of_a_form_says_so_to_who_opens_it(owner: Any, cast: Cast) -> None:
    answer = owner.get(f"/t/{cast.owner.tenant_id}/policy/change")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert b"There is nothing to see at this address" in answer.content
