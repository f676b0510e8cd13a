"""What does the `cacheai` command do, and how does it fail?

Over HTTP alone, as any caller. Exit: 0 done or declined, 1 an error, 2 not understood, 3 a miss under
`--fail-on-miss`.
"""

from collections.abc import Callable, Sequence
from typing import Final

from openai import APIConnectionError, APIStatusError

from .._client import Client
from .._errors import CacheAIError
from .arguments import read
from .terminal import Failed, Misused, Terminal, in_options, told_by

ERROR: Final = 1
MISUSED: Final = 2


def run(line: Sequence[str], connect: Callable[..., Client]) -> int:
    terminal = Terminal(as_json="--json" in line)
    try:
        args = read(line)
        code: int
        if args.is_local:
            code = args.run(args, terminal, connect)
        else:
            with connect(api_key=args.api_key, base_url=args.base_url) as client:
                code = args.run(client, args, terminal)
        return code
    except Misused as error:
        return _failed(terminal, str(error), "usage", MISUSED)
    except Failed as error:
        return _failed(terminal, str(error), error.code, ERROR)
    except APIStatusError as error:
        return _failed(terminal, *told_by(error), ERROR)
    except APIConnectionError as error:
        where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
        message = f"No answer from {where}: {error.__cause__ or error}. `cacheai doctor` looks for the reason."
        return _failed(terminal, message, "unreachable", ERROR)
    except CacheAIError as error:
        return _failed(terminal, in_options(str(error)), "client", ERROR)
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(terminal, f"{where}{error.strerror or error}", "file", ERROR)
    except SystemExit as asked:  # --help, --version
        return int(asked.code or 0)


def _failed(terminal: Terminal, message: str, code: str, exit_code: int) -> int:
    terminal.fail(message, code)
    return exit_code
