"""How fast do all entries of a project leave it, and come into another?"""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PIECE_BYTES = 1024 * 1024
POLL_SECONDS = 0.2
WAIT_SECONDS = 900


@dataclass(frozen=True)
class Transfer:
    """Of one file: out, in, and in once more. Vectors are in it; what is said of them is where `in` begins to count."""

    entries: int
    mib: float
    export_per_second: float
    import_per_second: float  # from the first byte sent to the last entry served
    again_per_second: float
    by_meaning_seconds: float  # after the import, until every vector is in the index

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measured(
    base_url: str, source: str, target: str, file: Path, waiting: Callable[[], int], say: Callable[[str], None]
) -> Transfer:
    """From the project of the key `source` into that of `target`; `waiting` tells how many vectors are not in yet."""
    out_seconds = _export(base_url, source, file)
    with file.open("rb") as lines:
        entries = sum(1 for _ in lines)
    say(f"exported {entries:,} entries, {entries / out_seconds:,.0f}/s")
    in_seconds = _import(base_url, target, file, entries)
    say(f"imported {entries:,} entries, {entries / in_seconds:,.0f}/s")
    began = time.monotonic()
    while (left := waiting()) and time.monotonic() - began < WAIT_SECONDS:
        say(f"{left:,} vectors on their way into the index")
        time.sleep(10)
    found_after = time.monotonic() - began
    again_seconds = _import(base_url, target, file, entries)
    return Transfer(
        entries=entries,
        mib=file.stat().st_size / 2**20,
        export_per_second=entries / out_seconds,
        import_per_second=entries / in_seconds,
        again_per_second=entries / again_seconds,
        by_meaning_seconds=found_after,
    )


def _export(base_url: str, key: str, file: Path) -> float:
    began = time.monotonic()
    connection = _connection(base_url)
    connection.request("GET", "/v1/cache/export", headers={"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(f"export: {response.status} {response.read()[:200]!r}")
    with file.open("wb") as out:
        while piece := response.read(PIECE_BYTES):
            out.write(piece)
    connection.close()
    return time.monotonic() - began


def _import(base_url: str, key: str, file: Path, entries: int) -> float:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    began = time.monotonic()
    connection = _connection(base_url)
    with file.open("rb") as lines:
        connection.request("POST", "/v1/cache/entries", lines, {**headers, "Content-Length": str(file.stat().st_size)})
    job = _answer(connection)
    if job.get("job_id") is None:
        raise RuntimeError(f"import: {job}")
    while True:
        connection.request("GET", f"/v1/cache/jobs/{job['job_id']}", headers=headers)
        told = _answer(connection)
        if told["status"] in {"done", "failed"}:
            break
        time.sleep(POLL_SECONDS)
    connection.close()
    if told["done"] != entries:
        raise RuntimeError(f"import: {told}")
    return time.monotonic() - began


def _answer(connection: http.client.HTTPConnection) -> Any:
    return json.loads(connection.getresponse().read())


def _connection(base_url: str) -> http.client.HTTPConnection:
    address = urlsplit(base_url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=WAIT_SECONDS, blocksize=PIECE_BYTES)
