"""Can people bring entries in and take them along, see how far it is, and stop it, each once and on the record?"""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from cache_api.models import Job
from tenants.isolation import as_tenant
from tests.api.conftest import Api
from tests.api.people import signed_in
from tests.api.test_cache_pages import Go, go, keys_in, told
from tests.api.test_entries import put
from tests.api.test_export_import import work
from tests.conftest import Cast
from tests.fakes import FixedEmbedder

__all__ = ["go"]

LINE = {"question": "What does it cost?", "answer": "Nothing.", "model": "demo-small"}


def file_of(*lines: Any) -> SimpleUploadedFile:
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return SimpleUploadedFile("entries.jsonl", raw)


def sent(file: SimpleUploadedFile, **form: str) -> dict[str, Any]:
    return {"file": file, "once": str(uuid4()), "tags": "", "namespace": "", "lives": "", **form}


def downloaded(go: Go, page: HttpResponse) -> list[dict[str, Any]]:
    (job,) = [one.job for one in page.context["transfers"] if one.job.kind == "export"]
    answer = go("cache-transfers-file", job.id)
    assert answer["Content-Disposition"] == 'attachment; filename="entries.jsonl"'
    return [json.loads(line) for line in b"".join(answer).splitlines()]


@pytest.fixture
def jobs_of(cast: Cast) -> Callable[[], list[Job]]:
    def found() -> list[Job]:
        with as_tenant(cast.owner.tenant_id):
            return list(Job.objects.filter(tenant_id=cast.owner.tenant_id))

    return found


def test_a_file_is_imported_and_its_broken_lines_are_told_by_number(go: Go, api: Api, cast: Cast) -> None:
    page = go("cache-transfers-take", form=sent(file_of(LINE, b"{nonsense", {"question": "?"}), tags="old"))

    assert b"waiting for a worker" in page.content
    assert b"hx-trigger" in page.content
    work()
    page = go("cache-transfers")
    assert b"hx-trigger" not in page.content
    (transfer,) = page.context["transfers"]
    assert (transfer.status, transfer.job.done, transfer.job.rejected) == ("done", 1, 2)
    assert [(one["line"], one["reason"]) for one in transfer.lines] == [
        (2, "this is no JSON"),
        (3, "Field required: model"),
    ]
    assert b"this is no JSON" in page.content
    (entry,) = api.get("/v1/cache/entries", "include=answer").json["data"]
    assert (entry["question"], entry["answer"], entry["tags"], entry["source"]) == (
        "What does it cost?",
        "Nothing.",
        ["old"],
        "import",
    )
    assert [action for action, _ in told(cast)] == ["entry.import"]


def test_what_is_imported_is_served(go: Go, api: Api) -> None:
    go("cache-transfers-take", form=sent(file_of(LINE)))
    work()

    assert api.chat("What does it cost?").headers["x-cacheai-decision"] == "hit"


def test_a_form_sent_twice_is_imported_once(go: Go, jobs_of: Callable[[], list[Job]], cast: Cast) -> None:
    once = str(uuid4())
    for _ in range(2):
        page = go("cache-transfers-take", form=sent(file_of(LINE), once=once))
        assert page.status_code == 200

    assert len(jobs_of()) == 1
    assert [action for action, _ in told(cast)] == ["entry.import"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"file": ""}, "This field is required"),
        ({"file": SimpleUploadedFile("empty.jsonl", b"")}, "The submitted file is empty"),
        ({"file": SimpleUploadedFile("blank.jsonl", b"\n\n")}, "Send at least one entry"),
        ({"tags": "x" * 65}, "tags must be"),
        ({"lives": "soon"}, "Write a number and s, m, h or d"),
        ({"once": "again"}, "Load this page anew"),
    ],
)
def test_what_is_wrong_with_an_import_is_said_and_nothing_is_begun(
    go: Go, jobs_of: Callable[[], list[Job]], form: dict[str, Any], said: str
) -> None:
    page = go("cache-transfers-take", form={**sent(file_of(LINE), namespace="kept"), **form})

    assert said in page.content.decode()
    assert 'value="kept"' in page.content.decode()
    assert jobs_of() == []


def test_a_file_that_is_too_large_is_refused_in_a_sentence(
    go: Go, jobs_of: Callable[[], list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard import entry_forms, uploads

    for module in (uploads, entry_forms):
        monkeypatch.setattr(module, "UPLOAD_MAX_BYTES", 2**20)
    page = go("cache-transfers-take", form=sent(file_of(b" " * 2**20 + b"{}")))

    assert "a page takes at most 1 MiB" in page.content.decode()
    assert jobs_of() == []


def test_more_entries_than_an_import_takes_are_refused_in_a_sentence(
    go: Go, jobs_of: Callable[[], list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache_api import jobs

    monkeypatch.setattr(jobs, "ENTRIES_MAX", 1)
    page = go("cache-transfers-take", form=sent(file_of(LINE, LINE)))

    assert "An import takes at most 1 entries" in page.content.decode()
    assert jobs_of() == []


def test_of_a_strangers_file_nothing_is_kept(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import uploads

    written: list[int] = []
    kept = uploads.Upload.file_complete

    def note(self: Any, size: int) -> Any:
        file = kept(self, size)
        written.append(len(file.read()))
        return file

    monkeypatch.setattr(uploads.Upload, "file_complete", note)
    address = reverse("cache-transfers-take", args=[cast.owner.tenant_id])
    stranger = Client(enforce_csrf_checks=True)
    stranger.get("/sign-in")  # for the cookie without which nothing is read at all

    assert stranger.post(address, sent(file_of(LINE))).status_code == 403
    assert signed_in(cast.owner).post(address, sent(file_of(LINE))).status_code == 302
    assert written == [0, len(json.dumps(LINE))]


def test_an_import_without_the_forms_token_is_refused(cast: Cast, jobs_of: Callable[[], list[Job]]) -> None:
    from tenants.models import User

    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(id=cast.owner.user_id))

    answer = client.post(reverse("cache-transfers-take", args=[cast.owner.tenant_id]), sent(file_of(LINE)))

    assert answer.status_code == 403
    assert jobs_of() == []


def test_entries_are_exported_and_can_be_imported_again(go: Go, api: Api, cast: Cast) -> None:
    for question in ("One?", "Two?", "Three?"):
        put(api, question, tags=["x"] if question == "Two?" else [])
    before = api.get("/v1/cache/export").body

    page = go("cache-transfers-give", form={})
    assert b"Download" not in page.content
    work()
    page = go("cache-transfers")
    assert b"Download" in page.content
    lines = downloaded(go, page)

    assert [line["question"] for line in lines] == ["One?", "Two?", "Three?"]
    assert [line["signature"] for line in lines] == [json.loads(line)["signature"] for line in before.splitlines()]
    assert [action for action, _ in told(cast)] == ["entry.export", "entry.export_opened"]
    go("cache-purge", form={})
    go("cache-transfers-take", form=sent(file_of(*lines)))
    work()
    assert api.chat("Two?").headers["x-cacheai-decision"] == "hit"


def test_a_key_sees_the_imports_of_people_and_not_their_exports(go: Go, api: Api) -> None:
    go("cache-transfers-take", form=sent(file_of(LINE)))
    go("cache-transfers-give", form={})
    found = {one.job.kind: one.job.id for one in go("cache-transfers").context["transfers"]}

    assert api.get(f"/v1/cache/jobs/{found['import']}").json["status"] == "queued"
    assert api.get(f"/v1/cache/jobs/{found['export']}").status == 404


def test_an_export_takes_the_filters_of_the_list(go: Go, api: Api) -> None:
    put(api, "One?")
    put(api, "Two?", tags=["x"])

    assert 'value="x"' in go("cache-transfers", tag="x").content.decode()
    go("cache-transfers-give", form={"tag": "x"})
    work()

    assert [line["question"] for line in downloaded(go, go("cache-transfers"))] == ["Two?"]


def test_an_export_goes_on_part_by_part_where_another_worker_left_it(
    go: Go, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache_api import jobs

    monkeypatch.setattr(jobs, "PART_BYTES", 1)
    monkeypatch.setattr(jobs, "RUN_SECONDS", 0.0)
    asked = [f"Question {number}?" for number in range(4)]
    for question in asked:
        put(api, question)
    go("cache-transfers-give", form={})
    work()

    (transfer,) = go("cache-transfers").context["transfers"]
    assert (transfer.status, transfer.job.done) == ("done", 4)
    assert [line["question"] for line in downloaded(go, go("cache-transfers"))] == asked


def test_asked_twice_there_is_one_export_and_a_new_one_takes_its_place(go: Go, api: Api) -> None:
    put(api, "One?")
    for _ in range(2):
        go("cache-transfers-give", form={})
    (first,) = go("cache-transfers").context["transfers"]
    work()
    go("cache-transfers-give", form={})
    (second,) = go("cache-transfers").context["transfers"]

    assert first.job.id != second.job.id
    assert go("cache-transfers-file", first.job.id).status_code == 404
    assert go("cache-transfers-file", second.job.id).status_code == 404  # It is not written yet.


@pytest.mark.parametrize("name", ["take", "give"])
def test_what_is_stopped_is_over(go: Go, api: Api, cast: Cast, name: str) -> None:
    put(api, "One?")
    go(f"cache-transfers-{name}", form=sent(file_of(LINE)) if name == "take" else {})
    (transfer,) = go("cache-transfers").context["transfers"]

    assert b"It is stopped" in go("cache-transfers-stop", transfer.job.id, form={}).content
    assert b"over already" in go("cache-transfers-stop", transfer.job.id, form={}).content
    work()
    (transfer,) = go("cache-transfers").context["transfers"]
    assert (transfer.status, transfer.job.done) == ("stopped", 0)
    assert len(keys_in(go("cache"))) == 1
    assert [action for action, _ in told(cast)][-1] == "job.stop"


def test_a_worker_that_is_at_it_finds_nothing_more_to_do(go: Go, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache_api import jobs
    from cache_api.adapters import jobs as kept

    monkeypatch.setattr(jobs, "PART_BYTES", 1)
    for number in range(3):
        put(api, f"Question {number}?")
    go("cache-transfers-give", form={})
    (transfer,) = go("cache-transfers").context["transfers"]
    write = kept.part_written

    def stopped_after_the_first(job: Job, part: Any, **how: Any) -> bool:
        written = write(job, part, **how)
        if part.number == 0:
            go("cache-transfers-stop", transfer.job.id, form={})
        return written

    monkeypatch.setattr(kept, "part_written", stopped_after_the_first)
    work()

    (transfer,) = go("cache-transfers").context["transfers"]
    assert (transfer.status, transfer.job.done) == ("stopped", 1)


def test_a_developer_imports_and_does_not_export(cast: Cast) -> None:
    page = signed_in(cast.teammate).get(reverse("cache-transfers", args=[cast.owner.tenant_id])).content.decode()

    assert reverse("cache-transfers-take", args=[cast.owner.tenant_id]) in page
    assert reverse("cache-transfers-give", args=[cast.owner.tenant_id]) not in page


def test_another_projects_and_another_tenants_work_is_not_there(
    go: Go, cast: Cast, api: Api, sibling: Api, outsider: Api
) -> None:
    from tests.api.test_export_import import send

    theirs = [send(caller, LINE).json["job_id"] for caller in (sibling, outsider)]
    here = str(cast.owner.project_id)

    assert go("cache-transfers", project=here).context["transfers"] == []
    for job_id in theirs:
        address = reverse("cache-transfers-stop", args=[cast.owner.tenant_id, job_id])
        assert b"over already" in signed_in(cast.owner).post(f"{address}?project={here}", follow=True).content
        assert go("cache-transfers-file", job_id, project=here).status_code == 404


def test_hostile_lines_are_told_as_text(go: Go, embedder: FixedEmbedder) -> None:
    hostile = {"question": "q", "answer": "a", "model": "m", "provider": "<script>alert(1)</script>\u202e"}
    go("cache-transfers-take", form=sent(file_of(hostile)))
    work()

    page = go("cache-transfers").content
    assert b"<script>alert" not in page
    assert b"&lt;script&gt;" in page
