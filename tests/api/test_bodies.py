"""What is said where a body does not come whole, or is more than is taken?"""

import io
from typing import Any, ClassVar

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from cacheai.worker import BODY_HELD_BYTES
from dashboard.uploads import FORM_MAX_BYTES
from tests.api.conftest import Api
from tests.api.people import client, signed_in
from tests.conftest import Cast

MULTIPART = "multipart/form-data; boundary=x"


class Late(io.BytesIO):
    """As the server gives a body whose time is over."""

    reads: ClassVar[int] = 0

    def read(self, size: int | None = -1) -> bytes:
        type(self).reads += 1
        raise TimeoutError


def posted(at: Client, path: str, length: int, content_type: str) -> Any:
    Late.reads = 0
    sent: dict[str, Any] = {"wsgi.input": Late(), "CONTENT_LENGTH": str(length), "CONTENT_TYPE": content_type}
    return at.generic("POST", path, **sent)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/chat/completions", b'"code":"request_timeout"'),
        ("/v1/messages", b'"type":"error"'),
        ("/v1/cache/query", b'"error":"request_timeout"'),
        ("/v1/files", b'"code":"request_timeout"'),
    ],
)
def test_a_late_body_is_told_in_the_words_of_its_endpoint(
    api: Api, path: str, told: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.api.conftest.io.BytesIO", Late)

    answer = api.post(path, {})

    assert answer.status == 408
    assert told in answer.body


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", MULTIPART])
def test_a_late_form_is_told_by_a_page(content_type: str) -> None:
    page = posted(client(), "/sign-in", 1_000, content_type)

    assert (page.status_code, b"did not come whole" in page.content) == (408, True)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", MULTIPART])
def test_more_than_a_form_is_refused_unread(content_type: str) -> None:
    page = posted(client(), "/sign-in", FORM_MAX_BYTES + 1, content_type)

    assert (page.status_code, Late.reads) == (413, 0)


def test_who_is_signed_in_may_send_a_file(cast: Cast) -> None:
    file = SimpleUploadedFile("entries.jsonl", b"x" * (FORM_MAX_BYTES + 1))

    assert signed_in(cast.owner).post("/account/email/", {"file": file}).status_code != 413


def test_no_thread_waits_for_a_strangers_form() -> None:
    """The server holds it until it is whole."""
    assert FORM_MAX_BYTES <= BODY_HELD_BYTES
