"""How far is it, and how fast?"""

import time
from collections.abc import Callable
from typing import Any

BAR_CHARACTERS = 30


def bar(out: Any, total: int) -> Callable[[int], None]:
    """A bar that grows in a terminal, a line for every tenth elsewhere. `out` is a command's."""
    began = time.monotonic()
    terminal = out.isatty()
    step = max(1, total // (200 if terminal else 10))

    def show(done: int) -> None:
        if done % step and done != total:
            return
        rate = done / max(0.001, time.monotonic() - began)
        drawn = "#" * (BAR_CHARACTERS * done // total)
        text = f"[{drawn:.<{BAR_CHARACTERS}}] {done:,} of {total:,}, {rate:.0f}/s"
        out.write(f"\r{text}" if terminal else text, ending="" if terminal and done < total else "\n")
        out.flush()

    return show
