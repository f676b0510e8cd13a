"""Errors of providers, by the hour."""

from dataclasses import replace

from cache_api.adapters.error_counts import ErrorCounts
from cache_api.models import ErrorHour
from tenants.isolation import as_tenant
from tests.conftest import Cast
from tests.unit.builders import request_of


def test_errors_add_up_in_their_hour(cast: Cast) -> None:
    owner = cast.owner
    request = request_of()
    request = replace(request, caller=replace(request.caller, tenant_id=owner.tenant_id, project_id=owner.project_id))
    counts = ErrorCounts()

    for _ in range(2):
        counts.note(request, 429)
        counts.note(request, 429)
        counts.note(request, 500)
        counts.report()

    with as_tenant(owner.tenant_id):
        assert dict(ErrorHour.objects.values_list("status", "errors")) == {429: 4, 500: 2}
