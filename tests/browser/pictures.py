"""Make the pictures README shows, of a running stack that has something to show: `make run`, `make demo`, then

python -m tests.browser.pictures [--home .cacheai]
"""

import argparse
import io
import json
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests.browser.chromium import chromium

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images"
SIZE = {"width": 1440, "height": 900}
COLOURS = 256  # a page has few, and a palette is a third of the bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--home", type=Path, default=ROOT / ".cacheai", help="CACHEAI_HOME of the running stack")
    demo = json.loads((parser.parse_args().home / "demo.json").read_text())
    PICTURES.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        page = browser.new_page(
            base_url=demo["dashboard_url"], viewport=SIZE, color_scheme="light", reduced_motion="reduce"
        )
        page.set_default_timeout(60_000)
        page.goto("/sign-in")
        page.get_by_label("Email").fill(demo["email"])
        page.get_by_label("Password").fill(demo["password"])
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url("**/t/**")
        overview = page.url.partition("?")[0]
        _picture(page, f"{overview}?days=7", "overview.png")
        page.emulate_media(color_scheme="dark")
        page.goto(f"{overview}calls?decision=hit&layer=semantic")
        page.locator("table.calls tbody a").first.click()
        _picture(page, page.url, "call.png")


def _picture(page: Page, address: str, name: str) -> None:
    page.goto(address, wait_until="networkidle")
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main()
