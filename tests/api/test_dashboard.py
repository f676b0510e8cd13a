"""What a person sees: their own teams' figures, after signing in."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from tenants import projects, services
from tenants.models import User
from tests.conftest import Cast

PASSWORD = "correct horse battery staple"


def test_a_stranger_is_asked_to_sign_in_and_comes_back(cast: Cast) -> None:
    answer = Client().get("/")

    assert answer.status_code == 302
    assert answer["Location"] == "/sign-in?next=/"


def test_the_right_password_leads_to_the_overview(cast: Cast) -> None:
    services.password_set(user=User.objects.get(id=cast.owner.user_id), password=PASSWORD)

    answer = Client().post("/sign-in", {"login": "owner@example.test", "password": PASSWORD}, follow=True)

    assert b"Overview" in answer.content
    assert answer.redirect_chain[0] == ("/", 302)


def test_a_wrong_password_keeps_what_was_typed(cast: Cast) -> None:
    answer = Client().post("/sign-in", {"login": "owner@example.test", "password": uuid4().hex})

    assert b"are not correct" in answer.content
    assert b'value="owner@example.test"' in answer.content


def test_a_person_sees_the_projects_of_their_own_teams_alone(owner: Client) -> None:
    page = owner.get("/", follow=True).content

    assert b"Cache" in page
    assert b"Others" not in page


def test_a_project_without_calls_shows_how_to_send_one(owner: Client) -> None:
    assert b"Waiting for your first call" in owner.get("/", follow=True).content


def test_signing_out_takes_a_form_of_our_own(owner: Client) -> None:
    assert owner.get("/sign-out").status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = owner.cookies

    assert careful.post("/sign-out").status_code == 403


def test_hostile_names_are_shown_as_text(owner: Client, cast: Cast) -> None:
    projects.project_create(tenant_id=cast.owner.tenant_id, name="<script>alert(1)</script>")

    page: Any = owner.get("/", follow=True).content

    assert b"<script>alert" not in page
    assert b"&lt;script&gt;" in page


def test_what_a_page_needs_is_there_to_be_kept_for_good(owner: Client) -> None:
    page = owner.get("/", follow=True).content.decode()
    needed = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page))
    kept = {path: Client().get(path) for path in needed}

    assert len(needed) > 4
    assert {answer.status_code for answer in kept.values()} == {200}
    assert all("immutable" in answer["Cache-Control"] for answer in kept.values())
    for answer in kept.values():
        answer.close()


@pytest.mark.parametrize("path", ["dashboard.css", "dashboard.0123456789ab.css"])
def test_a_page_of_before_an_upgrade_finds_what_is_there_now(path: str) -> None:
    answer = Client().get(f"/static/dashboard/{path}")

    assert answer.status_code == 200
    assert "immutable" not in answer["Cache-Control"]
    answer.close()
    assert Client().get("/static/dashboard/nothing.0123456789ab.css").status_code == 404
    for nothing in ("dashboard/nothing.css", "nothing", "dashboard/", "", "a/" * 1_000):
        assert Client(raise_request_exception=False).get(f"/static/{nothing}").status_code == 404
