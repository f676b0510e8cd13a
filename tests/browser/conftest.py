"""The dashboard in a real browser: Chromium against the service in process, over HTTP.

A page that reports an error to its console fails its test: a script that broke, a file that is missing, or something
that the Content-Security-Policy refused.
"""

import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.api import people
from tests.api.conftest import _patient, _provider, _service, demo, embedder
from tests.api.people import PASSWORD, letters
from tests.browser.chromium import chromium
from tests.conftest import Cast, Person

__all__ = ["_patient", "_provider", "_service", "demo", "embedder"]

PATIENCE_MS = 30_000  # of a busy test machine
expect.set_options(timeout=PATIENCE_MS)
SCREENSHOTS = Path(__file__).parents[2] / "out" / "screenshots"
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1440, "height": 900}

Scheme = Literal["light", "dark"]
SignedIn = Callable[..., Page]


def signs_up(page: Page, name: str, address: str) -> None:
    """From the form to the confirmed address."""
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Email").fill(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Check your mail")).to_be_visible()
    page.goto(letters(address)[-1].link)
    page.get_by_role("button", name="Confirm").click()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def _queries_beside_a_loop() -> Iterator[None]:
    """Playwright keeps an event loop in this thread, where Django would refuse to ask the database."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    yield
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while it is there a loop runs in this thread, and other tests start their own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(live: None) -> Iterator[str]:
    from cacheai.wsgi import application

    server = make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def context(browser: Browser) -> Callable[..., Any]:
    @contextmanager
    def open_one(
        *, size: dict[str, int] = WIDE, scheme: Scheme = "light", **options: Any
    ) -> Iterator[tuple[BrowserContext, Page]]:
        made = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **options)
        made.set_default_timeout(PATIENCE_MS)
        page, said = made.new_page(), []

        def note(message: ConsoleMessage) -> None:
            if message.type == "error" and message.location["url"].startswith((options["base_url"], "about:")):
                said.append(message.text)

        page.on("console", note)
        page.on("pageerror", lambda error: said.append(str(error)))
        yield made, page
        made.close()
        assert said == []

    return open_one


@pytest.fixture
def visitor(context: Callable[..., Any], site: str) -> Iterator[Page]:
    """Somebody at the front door."""
    with context(base_url=site) as (_, page):
        yield page


@pytest.fixture
def signed_in(context: Callable[..., Any], site: str) -> Callable[..., Any]:
    """A person of the cast with a session, as `with signed_in(cast.owner) as page`."""

    @contextmanager
    def enter(person: Person, **options: Any) -> Iterator[Page]:
        with context(base_url=site, **options) as (made, page):
            made.add_cookies([{"name": "sessionid", "value": session_of(person), "url": site}])
            yield page

    return enter


@pytest.fixture
def owner(signed_in: Callable[..., Any], cast: Cast) -> Iterator[Page]:
    with signed_in(cast.owner) as page:
        yield page


def session_of(person: Person) -> str:
    """Without the sign-in form, which has tests of its own."""
    return people.signed_in(person).cookies["sessionid"].value


def screenshot(page: Page, name: str, size: dict[str, int], scheme: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{size['width']}-{scheme}.png", full_page=True)
