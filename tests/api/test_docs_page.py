"""Can a person read what the server offers, from this server alone?"""

import re

import pytest

from tests.api.conftest import Api

NOBODY = Api("")
OUTSIDE = re.compile(r"""(?:src|href)=["']?(?:https?:)?//""")
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=")


def test_the_page_is_for_everyone_and_needs_no_other_host() -> None:
    page = NOBODY.get("/docs")
    text = page.body.decode()

    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (OUTSIDE.findall(text), INLINE.findall(text)) == ([], [])


def test_a_browser_is_told_to_run_and_fetch_nothing_else() -> None:
    policy = dict(
        part.strip().split(" ", 1) for part in NOBODY.get("/docs").headers["content-security-policy"].split(";")
    )

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


@pytest.mark.parametrize("kind", ["script src", 'link rel="stylesheet" href'])
def test_every_file_of_the_page_is_served(kind: str) -> None:
    files = re.findall(rf'<{kind}="([^"]+)"', NOBODY.get("/docs").body.decode())

    assert files
    assert {NOBODY.get(file).status for file in files} == {200}


def test_what_the_page_draws_is_the_servers_own_document() -> None:
    script = NOBODY.get("/static/dashboard/docs.js").body.decode()
    document = NOBODY.get("/v1/schema")

    assert 'url: "/v1/schema"' in script
    assert "validatorUrl: null" in script
    assert (document.status, document.json["openapi"]) == (200, "3.1.0")
    assert document.headers["x-cacheai-request-id"].startswith("req_")


def test_every_page_leads_there() -> None:
    assert '<a href="/docs">' in NOBODY.get("/sign-in").body.decode()
