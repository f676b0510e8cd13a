"""What opens sealed text, and what does not?"""

from secrets import token_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants import sealing
from tenants.sealing import Corrupt

KEY = bytes(range(32))
CONTEXT = sealing.row_context("tenant", "entry.body", "row")


def _seal(plain: bytes) -> bytes:
    return sealing.seal(plain, KEY, key_version=7, context=CONTEXT)


def _unseal(sealed: bytes, *, key: bytes = KEY, context: str = CONTEXT) -> bytes:
    return sealing.unseal(sealed, lambda version: key, context=context)


@given(st.binary(max_size=2_000))
def test_what_was_sealed_comes_back(plain: bytes) -> None:
    assert _unseal(_seal(plain)) == plain


def test_the_layout_is_as_written() -> None:
    sealed = _seal(b"")

    assert sealed[:5] == b"\x01\x00\x00\x00\x07"
    assert sealing.key_version(sealed) == 7
    assert len(_seal(b"a" * 100_000)) < 200


def test_equal_texts_look_different() -> None:
    assert _seal(b"text") != _seal(b"text")


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(Corrupt):
        _unseal(_seal(b"text"), key=token_bytes(32))


@pytest.mark.parametrize(
    "context",
    [
        sealing.row_context("other", "entry.body", "row"),
        sealing.row_context("tenant", "entry.question", "row"),
        sealing.row_context("tenant", "entry.body", "other"),
    ],
)
def test_it_does_not_open_in_another_place(context: str) -> None:
    with pytest.raises(Corrupt):
        _unseal(_seal(b"text"), context=context)


def test_no_changed_byte_goes_unnoticed() -> None:
    sealed = _seal(b"some text")
    for place in range(len(sealed)):
        if 1 <= place < 5:
            continue  # The key's version: another version is another key.
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(Corrupt):
            _unseal(changed)


@pytest.mark.parametrize("length", [0, 1, 16, 32])
def test_a_cut_one_is_corrupt(length: int) -> None:
    with pytest.raises(Corrupt):
        _unseal(_seal(b"some text")[:length])


def test_a_bomb_is_corrupt() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(sealing.PLAIN_MAX_BYTES + 1))

    with pytest.raises(Corrupt):
        _unseal(sealing.encrypt(bomb, KEY, key_version=7, context=CONTEXT))


def test_purposes_have_keys_of_their_own() -> None:
    assert sealing.derive(KEY, "one") != sealing.derive(KEY, "two")
    assert sealing.derive(KEY, "one") == sealing.derive(KEY, "one")
