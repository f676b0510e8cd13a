"""What is an ApiKey, and what only looks like one?"""

import base64

import pytest

from tenants import keys

KEY = "ca-000A7dl5PEW67zZCpFU9uKaHnGgOvQKAR2D5xqf"  # no-real-key


def test_bytes_give_the_key_of_the_documentation() -> None:
    assert keys.make(bytes(range(24))) == KEY
    assert keys.is_well_formed(KEY)


@pytest.mark.parametrize("chance", [bytes(24), b"\xff" * 24, bytes(23) + b"\1"])
def test_every_key_has_42_characters(chance: bytes) -> None:
    key = keys.make(chance)

    assert len(key) == 42
    assert keys.is_well_formed(key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (KEY[:-1], "too short"),
        (KEY + "0", "too long"),
        (KEY + "\n", "a line end"),
        (" " + KEY, "a blank"),
        ("sk-" + KEY[3:], "another's prefix"),
        ("CA-" + KEY[3:], "prefix in capitals"),
        (KEY[:10] + "x" + KEY[11:], "one character changed"),
        (KEY[:5] + KEY[6] + KEY[5] + KEY[7:], "two characters swapped"),
        (KEY[:-1] + "-", "no base62"),
        (KEY[:-1] + "\u0661", "a digit that is not ASCII"),
        ("ca-" + "0" * 39, "no checksum"),
    ],
)
def test_junk_is_no_key(text: str, why: str) -> None:
    assert not keys.is_well_formed(text), why


def test_a_digest_depends_on_key_and_pepper() -> None:
    digests = {keys.digest(key, pepper) for key in (KEY, KEY[:-1]) for pepper in (b"one", b"two")}

    assert len(digests) == 4
    assert all(len(digest) == 32 for digest in digests)


def test_aliases_become_scopes() -> None:
    scopes = keys.expand_scopes(["cache:*", "analytics:read"])

    assert scopes == {"cache:read", "cache:write", "cache:purge", "stats:read"}


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(keys.UnknownScope, match="cache:admin"):
        keys.expand_scopes(["proxy", "cache:admin"])


def test_a_new_key_may_all_but_manage() -> None:
    assert {"keys:manage", "tenant:manage"} == keys.SCOPES - keys.DEFAULT_SCOPES


def test_who_manages_the_tenant_manages_its_keys() -> None:
    assert keys.expand_scopes(["tenant:manage"]) == {"keys:manage", "tenant:manage"}


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("gpt-5", "gpt-5", True),
        ("gpt-5", "gpt-5-mini", False),
        ("gpt-5", "gpt-5*", False),
        ("gpt-5*", "gpt-5-mini", True),
        ("gpt-5*", "gpt-5", True),
        ("gpt-5*", "gpt-4", False),
        ("gpt-5*", "gpt-*", False),
        ("*", "gpt-*", True),
    ],
)
def test_a_pattern_covers_names_and_narrower_patterns(pattern: str, name: str, covered: bool) -> None:
    assert keys.covers(pattern, name) == covered


def test_keys_are_found_in_a_text_by_their_checksum() -> None:
    text = f"export KEY={KEY}; other='{KEY[:-1]}x' xx{KEY} {KEY}0 {KEY}"

    assert keys.find_in(text) == [KEY, KEY]


def test_secrets_are_read_in_order() -> None:
    one, two = base64.b64encode(b"1" * 32).decode(), base64.b64encode(b"2" * 32).decode()

    assert [found.version for found in keys.read_versions(f"2:{two}, 1:{one}")] == [2, 1]


@pytest.mark.parametrize(
    "text",
    ["", "1", "1:", "1:short", "x:" + "A" * 43 + "=", "0:" + "A" * 43 + "=", ",".join(["1:" + "A" * 43 + "="] * 2)],
)
def test_bad_secrets_stop_the_start(text: str) -> None:
    with pytest.raises(keys.BadSecrets):
        keys.read_versions(text)


def test_a_secret_is_not_printed() -> None:
    assert "A" * 8 not in repr(keys.read_versions("1:" + "A" * 43 + "="))
