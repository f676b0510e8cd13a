"""How does a client that users already have, under our own import name, run beside the repository's?"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_SECONDS = 300
RUN_TIMEOUT_SECONDS = 60


def published(version: str) -> Path:
    """The folder that holds `cacheai` of that version, installed from the package index once."""
    cache = Path(os.environ.get("CACHEAI_TEST_CACHE") or ROOT / ".cacheai-test")
    home = cache / f"cacheai-{version}"
    if home.is_dir():
        return home

    cache.mkdir(parents=True, exist_ok=True)
    # Installed aside, then moved: a run that was cut off leaves no half of it.
    half = Path(tempfile.mkdtemp(dir=cache))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        # Without dependencies: requests and pydantic are here already.
        subprocess.run(
            [*pip, "--no-deps", "--target", str(half), f"cacheai=={version}"],
            check=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
        )
        half.replace(home)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return home


def run_with(version: str, script: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program whose `import cacheai` is that version: no working tree on its path, no proxy, no key of ours."""
    home = published(version)
    return subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(home), **env},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_SECONDS,
    )
