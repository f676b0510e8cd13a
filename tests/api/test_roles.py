"""Does every page open to those it is for, and to nobody else?

A new page needs a row here: `EVERYBODY`, `BUILDERS`, ... say whose it is, and the number what they are answered to a
plain GET; 405 is a page that only takes forms, and says so after it has looked at the role. A page without a row fails
the first test.
"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver

from tenants import services
from tenants.models import User
from tenants.roles import ROLES
from tests.api.people import PASSWORD, Person
from tests.conftest import Cast

EVERYBODY = frozenset(ROLES)
BUILDERS = frozenset({"owner", "admin", "developer"})
MANAGERS = frozenset({"owner", "admin"})
BUDGETS = MANAGERS | {"billing"}
PLAN = frozenset({"owner", "billing"})
OWNER = frozenset({"owner"})

# Pages of a tenant, after `t/<its id>/`: whose they are, and what they are answered.
TENANT_PAGES: dict[str, tuple[frozenset[str], int]] = {
    "": (EVERYBODY, 200),
    "start": (BUILDERS, 405),
    "export": (EVERYBODY, 200),
    "calls": (EVERYBODY, 200),
    "calls/export": (EVERYBODY, 200),
    "calls/<uuid:call_id>": (EVERYBODY, 404),  # There is none.
    "calls/<uuid:call_id>/verdict": (BUILDERS, 405),
    "playground": (BUILDERS, 200),
    "usage": (EVERYBODY, 200),
    "usage/export": (EVERYBODY, 200),
    "budgets": (EVERYBODY, 200),
    "budgets/new": (BUDGETS, 200),
    "budgets/<uuid:budget_id>/delete": (BUDGETS, 405),
    "cache": (BUILDERS, 200),
    "cache/entries/<str:fingerprint>": (BUILDERS, 404),  # There is none.
    "cache/entries/<str:fingerprint>/change": (BUILDERS, 405),
    "cache/entries/<str:fingerprint>/delete": (BUILDERS, 405),
    "cache/purge": (BUILDERS, 200),
    "cache/blocklist": (BUILDERS, 200),
    "cache/blocklist/<int:number>/remove": (BUILDERS, 405),
    "cache/duplicates": (BUILDERS, 200),
    "cache/duplicates/seek": (BUILDERS, 405),
    "cache/duplicates/delete": (BUILDERS, 405),
    "cache/duplicates/<uuid:job_id>": (BUILDERS, 404),  # There is none.
    "cache/transfers": (BUILDERS, 200),
    "cache/transfers/progress": (BUILDERS, 200),
    "cache/transfers/import": (BUILDERS, 405),
    "cache/transfers/export": (MANAGERS, 405),
    "cache/transfers/<uuid:job_id>": (MANAGERS, 404),  # There is none.
    "cache/transfers/<uuid:job_id>/stop": (BUILDERS, 405),
    "policy": (EVERYBODY, 200),
    "policy/change": (BUILDERS, 405),
    "policy/try": (BUILDERS, 405),
    "policy/trials/<uuid:job_id>": (EVERYBODY, 404),  # There is none.
    "keys": (BUILDERS, 200),
    "keys/new": (BUILDERS, 200),
    "keys/<uuid:key_id>": (BUILDERS, 200),
    "keys/<uuid:key_id>/rotate": (BUILDERS, 405),
    "keys/<uuid:key_id>/revoke": (BUILDERS, 405),
    "providers": (MANAGERS, 200),
    "providers/put": (MANAGERS, 200),
    "providers/<str:provider>/test": (MANAGERS, 405),
    "providers/<str:provider>/delete": (MANAGERS, 405),
    "projects": (EVERYBODY, 200),
    "projects/new": (BUILDERS, 200),
    "projects/<uuid:project_id>": (BUILDERS, 200),
    "projects/<uuid:project_id>/delete": (BUILDERS, 405),
    "prices": (EVERYBODY, 200),
    "prices/put": (BUILDERS, 405),
    "prices/delete": (BUILDERS, 405),
    "webhooks": (MANAGERS, 200),
    "webhooks/new": (MANAGERS, 200),
    "webhooks/<uuid:endpoint_id>": (MANAGERS, 404),  # There is none.
    "webhooks/<uuid:endpoint_id>/change": (MANAGERS, 404),  # There is none.
    "webhooks/<uuid:endpoint_id>/test": (MANAGERS, 405),
    "webhooks/<uuid:endpoint_id>/enable": (MANAGERS, 405),
    "webhooks/<uuid:endpoint_id>/delete": (MANAGERS, 405),
    "webhooks/<uuid:endpoint_id>/deliveries/<uuid:delivery_id>": (MANAGERS, 405),
    "members": (EVERYBODY, 200),
    "members/invite": (MANAGERS, 200),
    "members/invitations/<uuid:invitation_id>/withdraw": (MANAGERS, 405),
    "members/<uuid:user_id>/role": (MANAGERS, 405),
    "members/<uuid:user_id>/remove": (MANAGERS, 405),
    "members/leave": (EVERYBODY, 405),
    "members/transfer": (OWNER, 405),
    "sign-on": (MANAGERS, 200),
    "sign-on/prove": (MANAGERS, 405),
    "sign-on/require": (MANAGERS, 405),
    "sign-on/remove": (MANAGERS, 405),
    "billing": (PLAN, 200),
    "billing/checkout/<str:plan>": (PLAN, 405),
    "billing/upgrade/<str:plan>": (PLAN, 302),  # Nothing to upgrade: back to the page.
    "billing/downgrade/<str:plan>": (PLAN, 405),
    "billing/portal": (PLAN, 405),
    "billing/cancel": (PLAN, 405),
    "billing/undo": (PLAN, 405),
    "billing/resume": (PLAN, 405),
    "billing/cap": (PLAN, 405),
    "audit": (MANAGERS, 200),
    "audit/export": (MANAGERS, 200),
    "settings": (EVERYBODY, 200),
    "settings/name": (OWNER, 405),
    "settings/leaked": (MANAGERS, 405),
    "settings/export": (MANAGERS, 405),
    "settings/exports": (MANAGERS, 200),
    "settings/exports/<uuid:export_id>": (MANAGERS, 404),  # There is none.
    "settings/delete": (OWNER, 405),
    "settings/undelete": (OWNER, 405),
}

# Pages of a person, whichever the tenant: what is answered to somebody signed in, and to nobody.
OWN_PAGES: dict[str, tuple[int, int]] = {
    "": (302, 302),
    "t/new": (200, 302),
    "docs": (200, 200),
    "sign-in": (302, 200),
    "sign-out": (405, 405),
    "account/invitations/<str:token>": (404, 302),  # Of nobody's token.
    "account/sso/": (200, 200),
    "account/sso/<uuid:provider_id>/login/": (404, 404),  # Of a tenant that has none.
    "account/sso/<uuid:provider_id>/login/callback/": (404, 404),
    "account/login/": (302, 200),
    "account/logout/": (200, 302),
    "account/inactive/": (200, 200),
    "account/signup/": (302, 200),
    "account/reauthenticate/": (200, 302),
    "account/email/": (200, 302),
    "account/confirm-email/": (200, 200),
    "account/password/change/": (200, 302),
    "account/password/set/": (302, 302),
    "account/password/reset/": (200, 200),
    "account/login/code/confirm/": (302, 302),
    r"account/^confirm-email/(?P<key>[-:\w]+)/$": (200, 200),
    "account/password/reset/key/done/": (200, 200),
    r"account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": (200, 200),
    "account/password/reset/done/": (200, 200),
    "account/2fa/": (200, 302),
    "account/2fa/authenticate/": (302, 302),
    "account/2fa/reauthenticate/": (302, 302),
    "account/2fa/totp/activate/": (200, 302),
    "account/2fa/totp/deactivate/": (404, 302),
    "account/2fa/recovery-codes/": (404, 302),
    "account/2fa/recovery-codes/generate/": (200, 302),
    "account/2fa/recovery-codes/download/": (404, 302),
    "account/2fa/webauthn/": (200, 302),
    "account/2fa/webauthn/add/": (200, 302),
    "account/2fa/webauthn/reauthenticate/": (302, 302),
    "account/2fa/webauthn/keys/<int:pk>/remove/": (404, 302),
    "account/2fa/webauthn/keys/<int:pk>/edit/": (404, 302),
    "account/2fa/webauthn/login/": (302, 302),
    "account/3rdparty/login/cancelled/": (200, 200),
    "account/3rdparty/login/error/": (401, 401),
    "account/3rdparty/signup/": (302, 302),
    "account/3rdparty/": (200, 302),
    "account/social/login/cancelled/": (301, 301),
    "account/social/login/error/": (301, 301),
    "account/social/signup/": (301, 301),
    "account/social/connections/": (301, 301),
    "account/sso/^(?P<provider_id>[^/]+)/login/": (404, 404),
    "account/sso/^(?P<provider_id>[^/]+)/login/callback/": (404, 404),
    "account/sessions/": (200, 302),
}

TENANT = "t/<uuid:tenant_id>/"
# Doors for programs, with tests of their own.
PROGRAMS = {"partners/leaked-keys", "billing/webhook"}
OPERATORS = "operator/"  # likewise


def _routes(patterns: Any, before: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if not isinstance(pattern, URLResolver):
            yield route
        elif getattr(pattern.urlconf_name, "__name__", "") != "cache_api.http.urls":
            yield from _routes(pattern.url_patterns, route)


def _path(route: str, cast: Cast) -> str:
    """An address with ids that are there where a page needs them."""
    known = {
        "tenant_id": cast.owner.tenant_id,
        "project_id": cast.owner.project_id,
        "key_id": cast.owner.key_id,
        "user_id": cast.teammate.user_id,
        "provider": "openai",
        "plan": "team",
        "token": "nobodys",
        "pk": 1,
        "number": 1,
        "uidb36": "1",
        "key": "x",
    }
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route).replace("^", "").replace("$", "")
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(known.get(found[1], UUID(int=7))), plain)


@pytest.fixture
def people(cast: Cast) -> dict[str, Client]:
    """One of each role, signed in a moment ago; the outsider; and nobody."""
    emails = {"owner": "owner@example.test", "developer": "teammate@example.test", "outsider": "outsider@example.test"}
    for role in set(ROLES) - emails.keys():
        user = services.user_create(email=f"{role}@team.test")
        services.member_add(tenant_id=cast.owner.tenant_id, user_id=user.id, role=role)
        emails[role] = user.email
    found = {"nobody": Client()}
    for name, email in emails.items():
        services.password_set(user=User.objects.get(email=email), password=PASSWORD)
        person = Person(email=email)
        assert person.sign_in() == "/"
        found[name] = person.at
    return found


def test_every_page_is_in_the_table() -> None:
    found = {route for route in _routes(get_resolver().url_patterns) if not route.startswith(OPERATORS)} - PROGRAMS
    listed = {TENANT + page for page in TENANT_PAGES} | OWN_PAGES.keys()

    assert (sorted(found - listed), sorted(listed - found)) == ([], [])


def test_every_page_is_behind_the_door_for_people(cast: Cast) -> None:
    from cacheai.wsgi import PEOPLE

    paths = [_path(route, cast) for route in (*OWN_PAGES, *(TENANT + page for page in TENANT_PAGES)) if route]

    assert [path for path in paths if not path.startswith(PEOPLE)] == []


def test_pages_of_a_tenant_open_to_the_roles_they_are_for(cast: Cast, people: dict[str, Client]) -> None:
    wrong = []
    for page, (roles, status) in TENANT_PAGES.items():
        path = _path(TENANT + page, cast)
        expected = {role: status if role in roles else 403 for role in ROLES} | {"outsider": 404, "nobody": 302}
        got = {name: people[name].get(path).status_code for name in expected}
        wrong += [(page, name, got[name]) for name in expected if got[name] != expected[name]]

    assert wrong == []


def test_forms_of_a_tenant_are_refused_just_the_same(cast: Cast, people: dict[str, Client]) -> None:
    wrong = []
    for page, (roles, _) in TENANT_PAGES.items():
        path = _path(TENANT + page, cast)
        expected = dict.fromkeys(set(ROLES) - roles, 403) | {"outsider": 404, "nobody": 302}
        got = {name: people[name].post(path).status_code for name in expected}
        wrong += [(page, name, got[name]) for name in expected if got[name] != expected[name]]

    assert wrong == []


def test_a_tenant_that_is_anothers_is_answered_like_none(cast: Cast, people: dict[str, Client]) -> None:
    """A tenant sees nothing of another tenant, by the ORM filter and, under it, by row-level security. (Law 8)"""
    for page in TENANT_PAGES:
        path = _path(TENANT + page, cast)
        theirs = people["outsider"].get(path)
        nobodys = people["outsider"].get(path.replace(str(cast.owner.tenant_id), str(UUID(int=9))))

        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content), page


def test_pages_of_a_person_open_to_them(cast: Cast, people: dict[str, Client]) -> None:
    wrong = []
    for page, expected in OWN_PAGES.items():
        path = _path(page, cast)
        got = (people["viewer"].get(path).status_code, people["nobody"].get(path).status_code)
        if got != expected:
            wrong.append((page, got))

    assert wrong == []


def test_whoever_is_nobody_is_asked_to_sign_in_and_comes_back(cast: Cast, people: dict[str, Client]) -> None:
    for page in TENANT_PAGES:
        path = _path(TENANT + page, cast)

        assert people["nobody"].get(path)["Location"] == f"/sign-in?next={path}", page
