"""How does the `cacheai` command end that is interrupted, or whose output nobody takes?"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._client import Client

NOT_WRITTEN: Final = 1
INTERRUPTED: Final = 130


def main(line: Sequence[str] | None = None, *, connect: "Callable[..., Client] | None" = None) -> int:
    line = sys.argv[1:] if line is None else line
    _open_closed_streams()
    code = 0
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
    except OSError as error:
        # Without this, the interpreter would try again while it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        has_enough = isinstance(error, BrokenPipeError)  # whoever read our output
        if not (code or has_enough):
            sys.stderr.write(f"cacheai: {error.strerror}\n")
        return code or NOT_WRITTEN


def _open_closed_streams() -> None:
    """A job without a terminal may come without any of them: `>&-`."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _tell_interrupted(*, as_json: bool) -> None:
    """Without the terminal's module, which may be what was being loaded."""
    if as_json:
        sys.stdout.write(json.dumps({"error": {"message": "Interrupted.", "code": "interrupted"}}, indent=2) + "\n")
    sys.stderr.write("cacheai: Interrupted.\n")
