"""Where do ledger rows wait while Postgres is away?"""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cache_api.adapters import spool as spool_module
from cache_api.adapters.spool import Spool


class Table:
    """Takes rows; refuses when told to."""

    def __init__(self, *, refuse_after: int | None = None) -> None:
        self.rows: list[bytes] = []
        self._left = refuse_after

    def put(self, rows: list[bytes]) -> None:
        if self._left is not None:
            if self._left < len(rows):
                raise ConnectionError
            self._left -= len(rows)
        self.rows += rows


def rows_of(count: int) -> list[bytes]:
    return [b'{"n":%d}' % number for number in range(count)]


def left_behind(folder: Path, rows: list[bytes], *, tail: bytes = b"") -> Path:
    """The file of a process that died."""
    dead = Spool(folder)
    dead.append(rows)
    dead.close()
    (path,) = folder.iterdir()
    with path.open("ab") as file:
        file.write(tail)
    return path


def test_rows_come_back_in_order_and_the_file_goes(tmp_path: Path) -> None:
    spool, table = Spool(tmp_path), Table()
    spool.append(rows_of(3))
    spool.append([b'{"n":3}'])
    assert not spool.is_empty

    assert spool.replay(table.put) == 4

    assert table.rows == rows_of(4)
    assert spool.is_empty
    assert list(tmp_path.iterdir()) == []
    spool.append([b"{}"])
    assert spool.replay(table.put) == 1


def test_nothing_is_made_before_the_first_row(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")

    assert spool.replay(Table().put) == 0
    assert not (tmp_path / "spool").exists()


def test_a_replay_that_is_cut_off_begins_again(tmp_path: Path) -> None:
    """What was put twice the table takes once; nothing is left out."""
    spool, table = Spool(tmp_path), Table(refuse_after=100)
    spool.append(rows_of(200))
    with pytest.raises(ConnectionError):
        spool.replay(table.put)
    table._left = None

    spool.replay(table.put)

    assert set(table.rows) == set(rows_of(200))


def test_rows_are_put_in_parts(tmp_path: Path) -> None:
    sizes: list[int] = []
    spool = Spool(tmp_path)
    spool.append(rows_of(150))

    spool.replay(lambda rows: sizes.append(len(rows)))

    assert sizes == [64, 64, 22]


def test_a_file_longer_than_one_read_comes_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "READ_BYTES", 100)
    spool, table = Spool(tmp_path), Table()
    spool.append(rows_of(50))

    assert spool.replay(table.put) == 50
    assert table.rows == rows_of(50)


def test_an_orphan_is_adopted(tmp_path: Path) -> None:
    left_behind(tmp_path, rows_of(5))
    table = Table()

    assert Spool(tmp_path).replay(table.put) == 5

    assert table.rows == rows_of(5)
    assert list(tmp_path.iterdir()) == []


def test_an_orphan_stays_until_its_rows_are_taken(tmp_path: Path) -> None:
    path = left_behind(tmp_path, rows_of(5))

    with pytest.raises(ConnectionError):
        Spool(tmp_path).replay(Table(refuse_after=0).put)

    assert path.exists()


def test_the_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    living, other, table = Spool(tmp_path), Spool(tmp_path), Table()
    living.append(rows_of(2))

    assert other.replay(table.put) == 0
    assert other.files_of_others() != []
    assert living.replay(table.put) == 2


@pytest.mark.parametrize(
    "tail",
    [
        b"1234",
        b"8a0f",
        b'00000000 {"n":9}\n',
        b'{"n":9}\n',
        b"\n",
        b"\x00\x00\x00",
        b"%08x " % 0 + b"\xff\n",
    ],
)
def test_a_torn_line_is_skipped_and_said(tmp_path: Path, tail: bytes, caplog: pytest.LogCaptureFixture) -> None:
    left_behind(tmp_path, rows_of(3), tail=tail)
    table = Table()

    Spool(tmp_path).replay(table.put)

    assert table.rows == rows_of(3)
    assert "spool_line_torn" in [record.message for record in caplog.records]


def test_each_cut_of_the_last_line_keeps_the_rows_before_it(tmp_path: Path) -> None:
    path = left_behind(tmp_path, rows_of(3))
    whole = path.read_bytes()
    line = len(whole) // 3
    for length in range(2 * line, len(whole)):
        path.write_bytes(whole[:length])
        table = Table()
        Spool(tmp_path).replay(table.put)
        assert table.rows == rows_of(2)


def test_a_full_disk_takes_all_rows_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, table = Spool(tmp_path), Table()
    spool.append(rows_of(2))
    write = os.write

    def half_then_full(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", full)
        return write(file, data[: len(data) // 2])

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(OSError, match="No space"):
        spool.append([b'{"lost":1}', b'{"lost":2}'])
    monkeypatch.undo()
    spool.append([b'{"n":2}'])

    spool.replay(table.put)

    assert table.rows == rows_of(3)


def test_threads_append_while_another_replays(tmp_path: Path) -> None:
    spool, table = Spool(tmp_path), Table()

    def append(first: int) -> Callable[[], None]:
        return lambda: [spool.append([b'{"n":%d}' % (first + n)]) for n in range(50)] and None

    threads = [threading.Thread(target=append(first)) for first in (0, 50, 100)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        spool.replay(table.put)
    spool.replay(table.put)

    assert sorted(table.rows) == sorted(rows_of(150))


def test_a_forked_child_leaves_its_parents_rows_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(rows_of(2))
    child = os.fork()
    if child == 0:
        spool.forget()
        adopted = spool.replay(Table().put)
        os._exit(adopted)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert spool.replay(Table().put) == 2
