"""How does a test run management commands against a stack, without loading Django for each of them?"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parents[2]


class Commands:
    """A process that has loaded what `manage.py` does, and forks for each command."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.commands"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """What it prints; whatever else it says fails the test."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps(arguments), file=self._process.stdin, flush=True)
        code, printed, complained = json.loads(self._process.stdout.readline())
        assert code == 0, complained
        return str(printed)

    def close(self) -> None:
        self._process.communicate()


def serve() -> None:
    import django
    from django.core.management import call_command

    import manage

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cacheai.settings")
    django.setup()
    call_command("check", stdout=sys.stderr)  # It loads what most commands would load in order to be checked.
    for line in sys.stdin:
        with TemporaryFile("w+") as printed, TemporaryFile("w+") as complained:
            if not (child := os.fork()):
                os.dup2(printed.fileno(), sys.stdout.fileno())
                os.dup2(complained.fileno(), sys.stderr.fileno())
                sys.argv = ["manage.py", *json.loads(line)]
                manage.main()
                sys.exit()
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            printed.seek(0)
            complained.seek(0)
            print(json.dumps([code, printed.read(), complained.read()]), flush=True)


if __name__ == "__main__":
    serve()
