"""Does the benchmark look at what it says it looks at?"""

from uuid import UUID

import pytest
from django.conf import settings

from tests.bench import ledger
from tests.bench.entries import team_create
from tests.db.entries import put_sealed


def test_the_page_of_an_entry_is_of_the_team_s_own_project(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASE_URL", database)
    stored: dict[UUID, str] = {}
    filled = team_create("filled by an import")
    measured = team_create("measured", beside=filled)
    for team in (filled, measured):
        entry_id = put_sealed(team.tenant_id, team.project_id, {"question": "Whose?"})
        stored[team.project_id] = (entry_id.bytes * 2).hex()

    assert {team.project_id: ledger.an_entry(team) for team in (filled, measured)} == stored
