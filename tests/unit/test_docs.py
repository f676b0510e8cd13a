"""Do README and the example environment say what is true?"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READERS = re.compile(r"""env\.(?:text|number|flag|words|networks)\(\s*"([A-Z_]+)\"""")
OUR_OWN = {"CACHEAI_PROCESS"}  # set by one of our processes for another


def settings_read() -> set[str]:
    return set(READERS.findall((ROOT / "cacheai" / "settings.py").read_text())) - OUR_OWN


@pytest.mark.parametrize("document", ["README.md", "docker/.env.example"])
def test_every_setting_is_explained(document: str) -> None:
    text = (ROOT / document).read_text()

    assert {name for name in settings_read() if name not in text} == set()


def test_the_example_names_no_setting_that_nobody_reads() -> None:
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / "docker" / ".env.example").read_text(), re.MULTILINE))
    elsewhere = {"CACHEAI_HOST", "CACHEAI_PORT", "OPENAI_API_KEY"}  # the Makefile's, and one per provider

    assert named - settings_read() == elsewhere


def test_every_room_named_in_the_readme_exists() -> None:
    named = re.findall(r"`((?:tenants|cache_api|cacheai|dashboard|docker)/[\w./]*)`", (ROOT / "README.md").read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []
