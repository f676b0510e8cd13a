"""What does the environment say about the mail server, networks, and Stripe?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cacheai.env import BadSetting, Smtp, networks, smtp


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("", Smtp()),
        ("smtp://mail.test", Smtp("mail.test", 25)),
        ("smtp://me:p%40ss@mail.test:2525", Smtp("mail.test", 2525, "me", "p@ss")),
        ("smtp://me:secret@mail.test?starttls", Smtp("mail.test", 587, "me", "secret", starttls=True)),
        ("smtps://me:secret@mail.test", Smtp("mail.test", 465, "me", "secret", tls=True)),
    ],
)
def test_a_mail_server_is_an_address(url: str, server: Smtp) -> None:
    assert smtp(url) == server


@pytest.mark.parametrize(
    "url", ["mail.test:25", "http://a:hidden@mail.test", "smtp://", "smtp://a:hidden@b:port", "smtp://b?tls"]
)
def test_what_is_none_stops_the_start_and_shows_no_password(url: str) -> None:
    with pytest.raises(BadSetting) as refused:
        smtp(url)

    assert "hidden" not in str(refused.value)


def test_networks_are_a_comma_list_and_an_address_is_one_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORKS", " 10.0.0.0/8 , ::1,")
    assert [str(network) for network in networks("NETWORKS")] == ["10.0.0.0/8", "::1/128"]
    assert networks("NOT_SET") == []
    monkeypatch.setenv("NETWORKS", "10.0.0.1/8")
    with pytest.raises(BadSetting, match="NETWORKS must be networks"):
        networks("NETWORKS")


@pytest.mark.parametrize(
    ("runs", "set_", "meant"),
    [
        ({}, {}, ["", ""]),
        ({"stripe_url": ""}, {}, ["", ""]),
        ({"stripe_url": "http://127.0.0.1:9"}, {}, ["sk_test_emulated", "http://127.0.0.1:9"]),
        ({"stripe_url": "http://127.0.0.1:9"}, {"STRIPE_SECRET_KEY": "sk_of_mine"}, ["sk_of_mine", ""]),
    ],
)
def test_beside_a_stack_its_stripe_is_meant_unless_a_key_is_set(
    tmp_path: Path, runs: dict[str, str], set_: dict[str, str], meant: list[str]
) -> None:
    if runs:
        (tmp_path / "ready.json").write_text(json.dumps(runs))
    others = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
    told = subprocess.run(
        [sys.executable, "-c", "from cacheai.settings import *; print(STRIPE_SECRET_KEY, STRIPE_API_BASE, sep='|')"],
        env={**others, "CACHEAI_HOME": str(tmp_path), **set_},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip().split("|") == meant
