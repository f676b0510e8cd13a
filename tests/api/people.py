"""A person at a browser, without the browser: what they click, and the mails they get."""

import json
import re
from dataclasses import dataclass, field
from itertools import count
from uuid import uuid4

from django.test import Client

from tenants import vault
from tenants.audit import Actor
from tenants.isolation import as_owner
from tenants.models import Mail, User
from tests import conftest

PASSWORD = "correct horse battery staple"
_addresses = count(1)


@dataclass(frozen=True)
class Letter:
    to: str
    subject: str
    text: str

    @property
    def link(self) -> str:
        """Without the host: a path for the client."""
        found = re.search(r"http://127\.0\.0\.1:8080(/\S+)", self.text)
        assert found is not None, self.text
        return found[1]


def letters(to: str) -> list[Letter]:
    """All that were written to this address, the newest last."""
    with as_owner():
        sealed = [bytes(mail.sealed) for mail in Mail.objects.order_by("created_at")]
    found = [Letter(*json.loads(vault.transport_unseal(one))) for one in sealed]
    return [letter for letter in found if letter.to == to]


def client() -> Client:
    """At an address of its own, so that no test uses up another's tries."""
    number = next(_addresses)
    return Client(REMOTE_ADDR=f"2001:db8:{uuid4().hex[:4]}:{number:x}::1")


def signed_in(person: conftest.Person) -> Client:
    """Without the sign-in form, which has tests of its own."""
    found = client()
    found.force_login(User.objects.get(id=person.user_id))
    return found


@dataclass
class Person:
    email: str = field(default_factory=lambda: f"{uuid4().hex[:12]}@people.test")
    at: Client = field(default_factory=client)

    def sign_up(self, *, name: str = "Ada", next_path: str = "") -> None:
        form = {"email": self.email, "first_name": name, "password1": PASSWORD, "next": next_path}
        answer = self.at.post("/account/signup/", form)
        assert (answer.status_code, answer["Location"]) == (302, "/account/confirm-email/"), answer.content

    def verify(self) -> str:
        """Follow the link in the mail. Where it leads."""
        answer = self.at.post(letters(self.email)[-1].link)
        assert answer.status_code == 302, answer.content
        return answer["Location"]

    def sign_in(self, *, password: str = PASSWORD, next_path: str = "") -> str:
        """Where it leads; nowhere if refused."""
        answer = self.at.post("/sign-in", {"login": self.email, "password": password, "next": next_path})
        return answer["Location"] if answer.status_code == 302 else ""

    @property
    def is_in(self) -> bool:
        return self.at.get("/account/email/").status_code == 200


def owner_of(cast: conftest.Cast) -> Actor:
    return Actor("person", cast.owner.user_id, "192.0.2.1")
