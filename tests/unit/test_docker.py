"""Does what docker/ names exist, and does it run what `make run` runs?"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from cacheai.management.commands import runstack
from tests.unit.test_docs import settings_read

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "cacheai"}


def test_there_is_a_service_for_every_process(tmp_path: Path) -> None:
    stack = runstack.stack(tmp_path, "http://127.0.0.1:1", bind="127.0.0.1:1", demo_port=1, reload=False)
    own = {process.name for process in stack} - {"initdb", "selfcheck", "createdemo", "demo"}

    assert own | {"postgres", "redis"} <= SERVICES.keys()


@pytest.mark.parametrize("queue", ["embed", "accounting", "default"])
def test_a_worker_is_started_as_at_home(tmp_path: Path, queue: str) -> None:
    stack = runstack.stack(tmp_path, "http://127.0.0.1:1", bind="127.0.0.1:1", demo_port=1, reload=False)
    (at_home,) = [process.command for process in stack if process.name == queue]

    assert SERVICES[queue]["command"][1:] == list(at_home[1:])


def test_every_command_of_the_manager_exists() -> None:
    said = (DOCKER / "Dockerfile").read_text() + repr([service.get("command") for service in SERVICES.values()])

    assert set(re.findall(r"manage\.py (\w+)", said)) <= set(get_commands())


def test_every_path_that_is_copied_or_mounted_exists() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    mounted = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]

    assert [path for line in copied for path in line.split() if not (ROOT / path).exists()] == []
    assert [path for path in mounted if not (DOCKER / path).exists()] == []


def test_every_setting_is_one_we_read() -> None:
    named = {name for service in OURS.values() for name in (*service["environment"], *service["secrets"])}

    assert named <= settings_read()


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_processes_may_do_nothing_they_need_not(name: str) -> None:
    service = OURS[name]

    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["tmpfs"] == ["/tmp"]
    assert service["user"] == "10001:10001" and service["security_opt"] == ["no-new-privileges:true"]
    assert name == "migrate" or service.get("healthcheck") is not None


def test_secrets_are_files_and_made_once(tmp_path: Path) -> None:
    script = tmp_path / "docker" / "make_secrets.sh"
    script.parent.mkdir()
    script.write_text((DOCKER / "make_secrets.sh").read_text())
    subprocess.run(["sh", str(script)], check=True)
    made = {path.name for path in (script.parent / "secrets").iterdir()}

    assert made == COMPOSE["secrets"].keys() - {"TLS_CERTIFICATE", "TLS_KEY"}
    again = subprocess.run(["sh", str(script)], capture_output=True, check=False)
    assert again.returncode == 1 and b"nothing was changed" in again.stderr


def test_a_secret_file_becomes_a_setting(tmp_path: Path) -> None:
    (tmp_path / "CACHEAI_SECRET_KEY").write_text("from a file\n")
    script = (DOCKER / "entrypoint.sh").read_text().replace("/run/secrets", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", script, "entrypoint", "sh", "-c", 'printf %s "$CACHEAI_SECRET_KEY"'],
        capture_output=True, check=True, env=dict(os.environ),
    )  # fmt: skip

    assert done.stdout == b"from a file"
