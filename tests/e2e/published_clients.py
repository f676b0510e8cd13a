"""How does a client that users already have, under our own import name, run beside the repository's?"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_SECONDS = 600
RUN_TIMEOUT_SECONDS = 300  # Some take half a minute to be imported on a busy machine.


def published(version: str, package: str = "cacheai") -> Path:
    """The folder that holds a package of that version, installed from the package index once."""
    cache = Path(os.environ.get("CACHEAI_TEST_CACHE") or ROOT / ".cacheai-test")
    home = cache / f"{package}-{version}"
    if home.is_dir():
        return home

    cache.mkdir(parents=True, exist_ok=True)
    # Installed aside, then moved: a run that was cut off leaves no half of it.
    half = Path(tempfile.mkdtemp(dir=cache))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    # What ours needs, requests and pydantic, is here already. Another's may not get along with what is here.
    alone = ["--no-deps"] if package == "cacheai" else []
    try:
        subprocess.run(
            [*pip, *alone, "--target", str(half), f"{package}=={version}"],
            check=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
        )
        half.replace(home)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return home


def run_with(
    version: str, script: str, env: Mapping[str, str], package: str = "cacheai"
) -> subprocess.CompletedProcess[str]:
    """Run a program that imports that version: no working tree on its path, no proxy, no key of ours."""
    home = published(version, package)
    return subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(home), **env},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_SECONDS,
    )
