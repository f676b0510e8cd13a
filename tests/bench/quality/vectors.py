"""What is the product's vector of each text? Kept on disk, as embedding a test's texts takes minutes.

    from tests.bench.quality.vectors import vectors_of
    vectors_of(["Where is the moon?", ...])  # (n, 384) float32, unit length

Two processes may share the file: SQLite's write-ahead log lets one write while others read, and both would write the
same vector.
"""

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache_api.adapters.embedding_model import EmbeddingModel, load

ROOT = Path(__file__).parents[3]
HOME = ROOT / ".cacheai-bench"
FILE = HOME / "quality" / "vectors.sqlite3"
BACKENDS = ("int8", "fp32")
READ_AT_ONCE = 500  # SQLite takes 999 parameters on old builds
EMBED_AT_ONCE = 512  # what is lost when the process is stopped: seconds
PROGRESS_SECONDS = 5.0

Vectors = NDArray[np.float32]


def vectors_of(texts: Sequence[str], *, backend: str = "int8") -> Vectors:
    """One unit vector a text, in the order of the texts."""
    return Kept(FILE, lambda: _model(backend)).vectors_of(texts)


def model_version() -> str:
    """As entries have it: whichever way the model is run."""
    return _model("int8").version


def embedder_version(backend: str = "int8") -> str:
    return _key_of(_model(backend))


@lru_cache(maxsize=len(BACKENDS))
def _model(backend: str) -> EmbeddingModel:
    return load("", folder=HOME / "models", threads=os.cpu_count() or 1, backend=backend)


def _key_of(model: EmbeddingModel) -> str:
    return f"{model.version}/{model.backend}"


class Kept:
    """Vectors in a file, made by the model where the file has none."""

    def __init__(self, file: Path, model: Callable[[], EmbeddingModel]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file
        self._model = model

    def vectors_of(self, texts: Sequence[str]) -> Vectors:
        model = self._model()
        key = _key_of(model)
        digests = [_digest(key, text) for text in texts]
        rows = np.zeros((len(texts), model.dimensions), dtype=np.float32)

        with closing(sqlite3.connect(self._file, timeout=120, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("CREATE TABLE IF NOT EXISTS vector (digest BLOB PRIMARY KEY, packed BLOB) WITHOUT ROWID")

            known = _read(connection, digests)
            missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
            for batch in _embedded(model, missing):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR IGNORE INTO vector VALUES (?, ?)", batch.items())
                connection.execute("COMMIT")
                known.update(batch)

        for row, digest in zip(rows, digests, strict=True):
            row[:] = np.frombuffer(known[digest], dtype="<f4")
        return rows


def _digest(key: str, text: str) -> bytes:
    return hashlib.sha256(f"{key}\0{text}".encode("utf-8", "surrogatepass")).digest()[:16]


def _read(connection: sqlite3.Connection, digests: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    wanted = sorted(set(digests))
    for start in range(0, len(wanted), READ_AT_ONCE):
        some = wanted[start : start + READ_AT_ONCE]
        marks = ",".join("?" * len(some))
        found.update(connection.execute(f"SELECT digest, packed FROM vector WHERE digest IN ({marks})", some))
    return found


def _embedded(model: EmbeddingModel, missing: dict[bytes, str]) -> Iterator[dict[bytes, bytes]]:
    waiting = list(missing.items())
    started = said = time.monotonic()
    for start in range(0, len(waiting), EMBED_AT_ONCE):
        some = waiting[start : start + EMBED_AT_ONCE]
        packed = model.embed([text for _, text in some])
        yield {digest: vector for (digest, _), vector in zip(some, packed, strict=True)}

        done, now = start + len(some), time.monotonic()
        if now - said >= PROGRESS_SECONDS or done == len(waiting):
            said = now
            left = (now - started) / done * (len(waiting) - done)
            print(f"embedding {done:,} of {len(waiting):,} texts, {left:.0f} s left", file=sys.stderr, flush=True)
