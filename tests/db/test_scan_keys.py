"""Is a key that lies in a file found, and is none in this repository?"""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tenants.management.commands.scan_keys import MARK
from tests.conftest import Cast

ROOT = Path(__file__).parent.parent.parent
OURS = ("cacheai", "tenants", "cache_api", "billing", "dashboard", "docker", "tests", "README.md", "CHANGELOG.md")


def scan(*paths: Path) -> str:
    out = io.StringIO()
    call_command("scan_keys", *map(str, paths), stdout=out)
    return out.getvalue()


def test_a_key_is_found_and_not_told_again(cast: Cast, tmp_path: Path) -> None:
    key = cast.owner.api_key
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "notes.txt").write_text(f"hello\nthe key is {key}.\n")
    (tmp_path / "link").symlink_to(tmp_path / "deep")

    with pytest.raises(CommandError) as found:
        scan(tmp_path)

    assert str(found.value) == f"{tmp_path / 'deep' / 'notes.txt'}:2: {key[:7]}..."


def test_what_only_looks_like_a_key_or_is_marked_is_passed_over(cast: Cast, tmp_path: Path) -> None:
    key = cast.owner.api_key
    (tmp_path / "marked.py").write_text(f'KEY = "{key}"  # {MARK}\nOTHER = "ca-{"0" * 39}"\n')
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0" + key.encode())

    assert scan(tmp_path) == "No key was found.\n"
    with pytest.raises(CommandError):
        scan(tmp_path / "nowhere")


def test_this_repository_holds_no_key_that_is_not_marked() -> None:
    assert scan(*(ROOT / name for name in OURS)) == "No key was found.\n"
