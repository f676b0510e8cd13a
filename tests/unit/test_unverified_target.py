"""How far does a call go whose key nobody could verify?"""

import pytest

from cache_api.adapters.targets import target_of
from cache_api.dialects.errors import Refused
from cache_api.domain.policy import Policy
from cache_api.domain.request import Controls, Target


def _target(**controls: str) -> Target:
    asked = Controls(provider_key="sk-own", **controls)  # type: ignore[arg-type]
    return target_of(None, asked, Policy(), model="gpt-4o", speaks="C", spare_credential="", allowed=())


def test_it_goes_to_a_provider_we_know_with_the_callers_own_credential() -> None:
    assert _target().base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize("provider", ["", "openai"])
def test_it_goes_to_no_address_that_the_caller_names(provider: str) -> None:
    with pytest.raises(Refused) as refused:
        _target(provider=provider, base_url="https://anywhere.example/v1")

    assert (refused.value.status, refused.value.code) == (503, "unavailable")
