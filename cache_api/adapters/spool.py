"""Where do ledger rows wait while Postgres is away?

One file per process, `call-<boot>-<pid>-<n>.ndjson`, with a line per row: eight hex digits of CRC-32, a blank, JSON
without a line feed. Its process holds a lock on it for life, so a file that can be locked is an orphan, and whoever
finds it replays it. A row may be replayed twice; the ledger takes it once.
"""

import fcntl
import logging
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

ROWS_PER_PUT = 64
READ_BYTES = 1 << 20  # Above any row's length: a row is some 1,200 bytes.

Put = Callable[[list[bytes]], object]

log = logging.getLogger(__name__)


class Spool:
    """Rows on disk, kept until `replay` has put them where they belong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._replayed = 0

    @property
    def is_empty(self) -> bool:
        return self._replayed == self._size

    def append(self, rows: Sequence[bytes]) -> None:
        """Return when the rows are on disk. Raises OSError when they cannot be, and then none of them is."""
        lines = b"".join(b"%08x %b\n" % (zlib.crc32(row), row) for row in rows)
        with self._lock:
            file = self._file if self._file is not None else self._create()
            try:
                _write(file, lines)
                os.fdatasync(file)
            except OSError:
                os.ftruncate(file, self._size)
                raise
            self._size += len(lines)

    def replay(self, put: Put) -> int:
        """Hand every waiting row, and those dead processes left, to `put`; what it raises ends the replay."""
        replayed = self._replay_own(put)
        for path in self.files_of_others():
            replayed += _replay_orphan(path, put)
        return replayed

    def files_of_others(self) -> list[Path]:
        """Rows of processes alive or dead, the lock tells: a file lives no longer than its rows."""
        return [path for path in sorted(self._folder.glob("call-*.ndjson")) if path != self._path]

    def close(self) -> None:
        """Let the file go. Where rows still wait in it, others will find it."""
        with self._lock:
            self._let_go()

    def forget(self) -> None:
        """In a forked child: the file is the parent's. Closing our descriptor leaves the parent's lock as it is."""
        self._lock = threading.Lock()
        self._path = None
        self._let_go()

    def _create(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in count():  # Process ids repeat, and do so at once in containers that share the folder.
            path = self._folder / f"call-{_boot_id()}-{os.getpid()}-{number}.ndjson"
            try:
                file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            if _lock(file):
                self._file, self._path = file, path
                break
            os.close(file)  # Another process took the new, still empty file for an orphan.
        return file

    def _let_go(self) -> None:
        if self._path is not None and self.is_empty:
            self._path.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
        self._file = self._path = None
        self._size = self._replayed = 0

    def _replay_own(self, put: Put) -> int:
        replayed = 0
        while self._file is not None and not self.is_empty:
            found = os.pread(self._file, min(READ_BYTES, self._size - self._replayed), self._replayed)
            whole = found[: found.rfind(b"\n") + 1] or found  # A line without an end must not be read for ever.
            replayed += _put_in_parts(whole.splitlines(keepends=True), put)
            with self._lock:
                self._replayed += len(whole)
                if self.is_empty:
                    self._let_go()
        return replayed


def _replay_orphan(path: Path, put: Put) -> int:
    try:
        lines = path.open("rb")
    except FileNotFoundError:
        return 0  # Another process was faster.
    with lines:
        if not _lock(lines.fileno()):
            return 0
        replayed = _put_in_parts(lines, put)
        path.unlink()
    log.info("spool_adopted", extra={"file": path.name, "rows": replayed})
    return replayed


def _put_in_parts(lines: Iterable[bytes], put: Put) -> int:
    replayed = 0
    part: list[bytes] = []
    for row in _rows(lines):
        part.append(row)
        if len(part) == ROWS_PER_PUT:
            put(part)
            replayed += len(part)
            part = []
    if part:
        put(part)
    return replayed + len(part)


def _rows(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The rows that were written whole: a process may have died within its last line."""
    for line in lines:
        checksum, _, row = line.removesuffix(b"\n").partition(b" ")
        if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(row):
            yield row
        else:
            log.warning("spool_line_torn", extra={"bytes": len(line)})


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _lock(file: int) -> bool:
    """Take the file for this process. False: its own process lives, or its rows are already replayed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
