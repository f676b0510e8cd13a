"""How much CPU and memory does a process take, with all it started? Read from /proc."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time so far; `pids` names the first process of each tree."""
    children = _children()
    return {name: sum(map(_cpu, _tree(pid, children))) for name, pid in pids.items()}


def rss_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """The largest process of each tree: of a gunicorn that is a worker, of a Celery pool a child."""
    children = _children()
    return {name: max(map(_rss, _tree(pid, children)), default=0.0) for name, pid in pids.items()}


def private_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """What each whole tree would give back: shared pages counted by their share."""
    children = _children()
    return {name: sum(map(_pss, _tree(pid, children))) for name, pid in pids.items()}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after if name in before}


def _tree(root: int, children: Mapping[int, list[int]]) -> Iterable[int]:
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            fields = _stat(int(folder.name))
            if fields:
                found.setdefault(int(fields[1]), []).append(int(folder.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may hold blanks; none for a process that has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    # Also of children that have ended and been waited for: PostgreSQL's backends come and go.
    return sum(map(int, fields[11:15])) / TICKS if fields else 0.0


def _rss(pid: int) -> float:
    return _kib(pid, "status", "VmRSS:") / 1024


def _pss(pid: int) -> float:
    return _kib(pid, "smaps_rollup", "Pss:") / 1024


def _kib(pid: int, file: str, name: str) -> float:
    try:
        lines = (PROC / str(pid) / file).read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)
