"""What is left of a stack after one fault of each kind, under load?"""

import random

from tests.e2e.conftest import Stack
from tests.e2e.with_faults.soak import soak

SOAKED_SECONDS = 1  # until each fault has been; `make soak` takes as long as it is told


def test_random_faults_cost_no_answer_no_row_and_nobody_s_secret(own_stack: Stack) -> None:
    soaked = soak(own_stack, seconds=SOAKED_SECONDS, chance=random.Random(7))

    assert soaked.problems() == []
