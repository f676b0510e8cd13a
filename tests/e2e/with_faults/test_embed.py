"""Do calls go on, and exact hits too, without the embed worker or its model?"""

from tests.e2e.conftest import Stack
from tests.e2e.test_data_plane import fresh
from tests.e2e.with_faults.hurting import (
    BUSY_START_SECONDS,
    HEALED_SECONDS,
    KEEP_NOTHING,
    REWORDED,
    Line,
    degraded,
    hits_again,
    kill,
    quantile,
    stopped,
    store_with_vector,
    tree,
)
from tests.waiting import wait_until


def test_misses_go_on_while_the_embed_worker_hangs(own_stack: Stack) -> None:
    with Line(own_stack) as line:
        store_with_vector(line)
        with stopped(tree(own_stack.pids()["embed"])):
            answers = [line.ask(fresh()) for _ in range(12)]
            assert hits_again(line)

        assert {answer.status for answer in answers} == {200}
        assert answers[0].reason == "deadline"
        assert max(answer.seconds for answer in answers) < 0.5  # 0.15 to wait, and what the call itself takes.
        assert quantile(answers[6:], 0.5) < 0.12  # The breaker is open: nothing is waited for.
        wait_until(
            lambda: hits_again(line, REWORDED, reason="similar"), seconds=HEALED_SECONDS, what="a similar hit again"
        )


def test_a_model_file_that_is_missing_leaves_the_exact_hits(own_stack: Stack) -> None:
    weights = next((own_stack.home / "models").glob("*/model.onnx"))
    aside = weights.with_suffix(".aside")
    with Line(own_stack) as line:
        store_with_vector(line)
        weights.rename(aside)
        before = own_stack.pids()["embed"]
        kill(before)
        assert line.ask(fresh()).status == 200
        wait_until(
            lambda: own_stack.pids().get("embed") not in (None, before),
            seconds=BUSY_START_SECONDS,
            what="a new embed worker",
        )
        wait_until(
            lambda: "embedding_model_missing" in own_stack.logs(), seconds=BUSY_START_SECONDS, what="a failed load"
        )

        answer = line.ask(REWORDED, headers=KEEP_NOTHING)
        assert (answer.status, answer.decision) == (200, "bypass")
        assert hits_again(line)
        wait_until(lambda: degraded(own_stack) == ["embedder"], seconds=HEALED_SECONDS, what="degraded")

        aside.rename(weights)
        kill(own_stack.pids()["embed"])
        # Wanted: 10 s, with the worker's own start.
        wait_until(
            lambda: hits_again(line, REWORDED, reason="similar"),
            seconds=HEALED_SECONDS + BUSY_START_SECONDS,
            what="hits",
        )
