"""Does a page look right and read well as it stands, on every screen, in light and dark?"""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import NARROW, WIDE, screenshot

SERIOUS = {"serious", "critical"}


def looked_at(page: Page, name: str) -> None:
    """In each scheme and size: nothing is cut off, nothing serious is found. Its screenshots have the name."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert _findings(page) == []
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)
            page.evaluate("new Promise(requestAnimationFrame)")
            screenshot(page, name, size, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        page.set_viewport_size(WIDE)


def _findings(page: Page) -> list[str]:
    """What axe finds serious."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found if one["impact"] in SERIOUS for node in one["nodes"]]
