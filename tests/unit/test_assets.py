"""Does a static file's name change with its content, and with nothing else?"""

from pathlib import Path

import pytest
from django.templatetags.static import static

from cacheai import assets


def test_a_name_tells_what_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "page.css"
    monkeypatch.setattr(assets.finders, "find", lambda name: str(file))

    def named(content: str) -> str:
        file.write_text(content)
        assets.with_digest.cache_clear()
        return assets.with_digest("dashboard/page.css")

    try:
        first, again, other = named("a {}"), named("a {}"), named("b {}")
    finally:
        assets.with_digest.cache_clear()

    assert first == again != other
    assert (first.startswith("dashboard/page."), first.endswith(".css"), len(first)) == (True, True, 31)


def test_what_is_not_there_keeps_its_name() -> None:
    assert static("dashboard/nothing.css") == "/static/dashboard/nothing.css"
