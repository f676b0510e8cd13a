"""How is text turned into bytes that only its tenant's key opens?

    version 1 byte (1) | key version 4 bytes, big-endian | nonce 12 bytes | AES-256-GCM(zstd(text)), tag 16 bytes last

The tag also covers what is not stored here, the associated data: `1|tenant|table.column|row id`. Sealed bytes copied to
another row, column or tenant do not open. A wrapped key has the same layout without zstd.
"""

import os
import struct
from collections.abc import Callable

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LAYOUT_VERSION = 1
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
ZSTD_LEVEL = 1  # the next two find hardly more in texts of this size, and take up to twice as long
# Above any body that is taken in (32 MiB), so that a forged size cannot fill the memory.
PLAIN_MAX_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct(">BI")
_OVERHEAD_BYTES = _HEADER.size + NONCE_BYTES + TAG_BYTES

# A (de)compressor serves one thread at a time and keeps up to a megabyte: threads share them, none owns one.
_compressors: list[zstandard.ZstdCompressor] = []
_decompressors: list[zstandard.ZstdDecompressor] = []


class Corrupt(Exception):
    """Sealed bytes were changed, cut, moved to another row, or sealed under another key."""


def encrypt(plain: bytes, key: bytes, *, key_version: int, context: str) -> bytes:
    return _encrypt(AESGCM(key), header(key_version), plain, context.encode())


def decrypt(sealed: bytes, key_of: Callable[[int], bytes], *, context: str) -> bytes:
    """`key_of` finds the key of a version."""
    key = key_of(key_version(sealed))
    nonce = sealed[_HEADER.size : _HEADER.size + NONCE_BYTES]
    try:
        return AESGCM(key).decrypt(nonce, sealed[_HEADER.size + NONCE_BYTES :], context.encode())
    except InvalidTag:
        raise Corrupt(Corrupt.__doc__) from None


def header(key_version: int) -> bytes:
    """How everything begins that was sealed with a key of this version."""
    return _HEADER.pack(LAYOUT_VERSION, key_version)


def key_version(sealed: bytes) -> int:
    if len(sealed) < _OVERHEAD_BYTES or sealed[0] != LAYOUT_VERSION:
        raise Corrupt(Corrupt.__doc__)
    version: int = _HEADER.unpack_from(sealed)[1]
    return version


def seal(plain: bytes, key: bytes, *, key_version: int, context: str) -> bytes:
    return sealer(key, key_version=key_version)(plain, context.encode())


def unseal(sealed: bytes, key_of: Callable[[int], bytes], *, context: str) -> bytes:
    return _decompress(decrypt(sealed, key_of, context=context))


def sealer(key: bytes, *, key_version: int) -> Callable[[bytes, bytes], bytes]:
    """`seal` for many, of text and context."""
    cipher, head = AESGCM(key), header(key_version)
    return lambda plain, context: _encrypt(cipher, head, _compress(plain), context)


def row_context(tenant_id: object, column: str, row_id: object) -> str:
    return f"{LAYOUT_VERSION}|{tenant_id}|{column}|{row_id}"


def derive(secret: bytes, purpose: str) -> bytes:
    """A key for one purpose, from a secret that has several."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(secret)


def _encrypt(cipher: AESGCM, head: bytes, plain: bytes, context: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return head + nonce + cipher.encrypt(nonce, plain, context)


def _compress(plain: bytes) -> bytes:
    try:
        compressor = _compressors.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    packed: bytes = compressor.compress(plain)
    _compressors.append(compressor)
    return packed


def _decompress(packed: bytes) -> bytes:
    try:
        decompressor = _decompressors.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor()
    try:
        if zstandard.frame_content_size(packed) > PLAIN_MAX_BYTES:
            raise Corrupt(Corrupt.__doc__)
        plain: bytes = decompressor.decompress(packed, max_output_size=PLAIN_MAX_BYTES)
        return plain
    except zstandard.ZstdError:
        raise Corrupt(Corrupt.__doc__) from None
    finally:
        _decompressors.append(decompressor)
