"""Does a mail reach a person, and nobody else?"""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connections
from django.db.utils import ProgrammingError
from django.utils import timezone

from tenants import mailing
from tenants.isolation import as_owner, as_tenant
from tenants.mailing import deliver, mail_send
from tenants.models import Mail
from tests.conftest import Cast

SECRET = "token-0123456789"


@pytest.fixture(autouse=True)
def home(live: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "HOME", tmp_path)
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator["MailServer"]:
    with MailServer() as server:
        monkeypatch.setattr(settings, "EMAIL_HOST", "127.0.0.1")
        monkeypatch.setattr(settings, "EMAIL_PORT", server.port)
        yield server


class MailServer:
    """Speaks as much SMTP as it takes to be handed a mail."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.refusing = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "MailServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, line.makefile("rb") as lines:
                self._talk(line, lines)

    def _talk(self, line: socket.socket, lines: Iterator[bytes]) -> None:
        line.sendall(b"220 here\r\n")
        for said in map(bytes.upper, lines):
            if said.startswith(b"RCPT") and self.refusing:
                line.sendall(b"451 later\r\n")
            elif said.startswith(b"DATA"):
                line.sendall(b"354 go on\r\n")
                self.mails.append(b"".join(iter(lines.__next__, b".\r\n")))
                line.sendall(b"250 taken\r\n")
            elif said.startswith(b"QUIT"):
                line.sendall(b"221 bye\r\n")
                return
            else:
                line.sendall(b"250 ok\r\n")


def _files(home: Path) -> list[Path]:
    return sorted((home / "mail").iterdir()) if (home / "mail").exists() else []


def test_without_a_server_each_mail_is_a_file_for_this_user_alone(home: Path) -> None:
    mail_send(to=["one@example.test", "two@example.test"], subject="Grüße", text=f"Here: {SECRET}\n")

    assert deliver() == 2
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in _files(home)]
    assert sorted(mail["To"] for mail in mails) == ["one@example.test", "two@example.test"]
    assert {mail["Subject"] for mail in mails} == {"Grüße"}
    assert all(SECRET in mail.get_content() for mail in mails)
    assert {path.stat().st_mode & 0o777 for path in (*_files(home), home / "mail")} == {0o600, 0o700}


def test_a_mail_is_sent_once(home: Path) -> None:
    mail_send(to=["one@example.test"], subject="Hello", text="Hello")

    assert (deliver(), deliver()) == (1, 0)
    assert len(_files(home)) == 1


def test_what_is_taken_back_is_not_told(cast: Cast, home: Path) -> None:
    with pytest.raises(ZeroDivisionError), as_tenant(cast.owner.tenant_id):
        mail_send(to=["one@example.test"], subject="Hello", text="Hello")
        raise ZeroDivisionError
    with as_tenant(cast.owner.tenant_id):
        mail_send(to=["two@example.test"], subject="Hello", text="Hello")

    assert deliver() == 1


def test_neither_address_nor_text_lie_in_plain() -> None:
    mail_send(to=["one@example.test"], subject="Hello", text=f"Hello {SECRET}")

    with as_owner():
        sealed = bytes(Mail.objects.get().sealed)
    assert b"one@" not in sealed
    assert SECRET.encode() not in sealed


@pytest.mark.parametrize("statement", ["SELECT sealed FROM mail", "DELETE FROM mail", "UPDATE mail SET attempts = 9"])
def test_the_app_can_only_add(statement: str) -> None:
    with pytest.raises(ProgrammingError), connections["default"].cursor() as cursor:
        cursor.execute(statement)


def test_what_django_sends_takes_the_same_way(home: Path) -> None:
    EmailMessage("Hello", "Text", to=["one@example.test"], connection=mailing.Outbox()).send()

    assert deliver() == 1


def test_a_mail_server_is_handed_the_mail(server: MailServer) -> None:
    mail_send(to=["one@example.test"], subject="Hello", text="A text.\n")

    assert deliver() == 1
    mail = message_from_bytes(server.mails[0], policy=policy.default)
    assert (mail["To"], mail["From"], mail.get_content().strip()) == (
        "one@example.test",
        settings.DEFAULT_FROM_EMAIL,
        "A text.",
    )


def test_a_server_that_refuses_is_tried_again_later_and_later_and_then_no_more(server: MailServer) -> None:
    server.refusing = True
    mail_send(to=["one@example.test"], subject="Hello", text="Hello")
    pauses = []
    for _ in range(mailing.ATTEMPTS_MAX):
        began = timezone.now()
        assert deliver() == 0
        with as_owner():
            for mail in Mail.objects.all():
                pauses.append(round((mail.due_at - began) / timedelta(minutes=1)))
                Mail.objects.update(due_at=began)

    with as_owner():
        assert not Mail.objects.exists()
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert server.mails == []


def test_a_server_that_was_away_gets_the_mail_when_it_is_back(server: MailServer) -> None:
    server.refusing = True
    mail_send(to=["one@example.test"], subject="Hello", text="Hello")
    deliver()
    server.refusing = False
    assert deliver() == 0  # Not due yet.
    with as_owner():
        Mail.objects.update(due_at=timezone.now())

    assert deliver() == 1
