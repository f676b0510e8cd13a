"""How does the `cacheai` command end where nothing of its own went wrong: interrupted, or with nobody reading on?"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._client import Client

UNREAD: Final = 1
INTERRUPTED: Final = 130


def main(line: Sequence[str] | None = None, *, connect: "Callable[..., Client] | None" = None) -> int:
    line = sys.argv[1:] if line is None else line
    try:
        try:
            # These take a second to load: time enough to be interrupted in.
            from .._client import Client
            from .command import run

            code = run(line, connect or Client)
        except KeyboardInterrupt:
            _tell_interrupted(as_json="--json" in line)
            code = INTERRUPTED
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has enough of it. Without this, the interpreter would complain while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _tell_interrupted(*, as_json: bool) -> None:
    """Without the terminal's module, which may be what was being loaded."""
    if as_json:
        sys.stdout.write(json.dumps({"error": {"message": "Interrupted.", "code": "interrupted"}}, indent=2) + "\n")
    sys.stderr.write("cacheai: Interrupted.\n")
