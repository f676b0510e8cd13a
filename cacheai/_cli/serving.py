"""How does the whole service start from here?"""

import os
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from .terminal import Failed, Terminal

TREE: Final = Path(__file__).resolve().parents[2]


def serve(args: Namespace, terminal: Terminal, connect: Any) -> int:
    """From a source tree this process becomes the stack, so that Ctrl-C reaches it and its end is ours."""
    start = TREE / "cacheai" / "management" / "commands" / "runstack.py"
    if not start.exists():
        raise Failed(
            "This is the client alone. The service starts from its source tree, with `make run`, or from its image, "
            "with `docker compose up` in its folder docker.",
            "no_source_tree",
        )
    if find_spec("django") is None:
        raise Failed(f"The service's packages are not installed: run `make run` in {TREE}.", "not_installed")
    line = [sys.executable, str(TREE / "manage.py"), "runstack", f"--host={args.host}", f"--port={args.port}"]
    os.chdir(TREE)
    os.execv(sys.executable, [*line, "--reload"] if args.reload else line)  # noqa: S606 (no shell is wanted)
