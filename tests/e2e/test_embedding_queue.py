"""Do vectors come back from the embed worker, and does a call go on when they do not?"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import redis
from celery import Celery
from django.conf import settings

from cache_api.adapters.breaker import Breaker
from cache_api.adapters.embedding_queue import QUEUE, REPLY_PREFIX, TASK, QueueEmbedder, sealed_texts
from cache_api.ports import CacheUnavailable
from cacheai import embedded
from cacheai.celery import broker_url
from tenants import vault
from tests.waiting import wait_until

START_SECONDS = 180  # The first start on a machine exports the model.
DEADLINE_SECONDS = 0.15
SLACK_SECONDS = 0.5  # For a busy machine.
PATIENT_SECONDS = 10.0
QUESTION = "How do I reset my password?"


class Pair:
    """A Redis and an embed worker of this module's own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.redis_url = embedded.addresses(home).redis_url
        self.client = redis.Redis.from_url(self.redis_url)
        self.start_redis()
        self.start_worker()

    def start_redis(self) -> None:
        embedded.prepare(self.home)
        self.redis = subprocess.Popen(embedded.redis_command(self.home), stdout=subprocess.DEVNULL)
        wait_until(lambda: embedded.redis_ready(self.home), seconds=30)

    def start_worker(self) -> None:
        # The home with the master key and the exported model; Redis is ours.
        environment = {**os.environ, "CACHEAI_HOME": str(settings.HOME), "REDIS_URL": self.redis_url}
        command = [sys.executable, "-m", "celery", "-A", "cacheai", "worker", "-Q", QUEUE, "-P", "threads", "-c", "4"]
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
        with (self.home / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)

    def kill_worker(self) -> None:
        self.worker.kill()
        self.worker.wait()

    def stop(self) -> None:
        for process in (self.worker, self.redis):
            process.kill()
            process.wait()

    def embedder(self, *, ahead_seconds: float = 0.0) -> QueueEmbedder:
        """Of a machine whose clocks may be ahead of the worker's."""
        app = Celery("test", broker=broker_url(self.redis_url), set_as_current=False)
        app.now = lambda: datetime.now(UTC) + timedelta(seconds=ahead_seconds)
        return QueueEmbedder(
            app,
            self.redis_url,
            seal=vault.transport_seal,
            breaker=Breaker(),
            now=lambda: time.monotonic() + ahead_seconds,
        )

    def tasks_sent(self) -> int:
        return self.calls_of("lpush")

    def calls_of(self, command: str) -> int:
        stats: dict[str, dict[str, int]] = self.client.info("commandstats")  # type: ignore[assignment]
        return stats.get(f"cmdstat_{command}", {}).get("calls", 0)


def worker_answers(pair: Pair, embedder: QueueEmbedder) -> bool:
    assert pair.worker.poll() is None, (pair.home / "worker.log").read_text()[-2000:]
    return answers(embedder)


def answers(embedder: QueueEmbedder) -> bool:
    try:
        embedder.embed(QUESTION, PATIENT_SECONDS)
    except CacheUnavailable:
        return False
    return True


def refusal(embedder: QueueEmbedder) -> tuple[str, float]:
    """Why a call got no vector, and after how many seconds."""
    started = time.monotonic()
    with pytest.raises(CacheUnavailable) as refused:
        embedder.embed(QUESTION, DEADLINE_SECONDS)
    return refused.value.reason, time.monotonic() - started


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    home = Path(tempfile.mkdtemp(prefix="cacheai-test-"))
    pair = Pair(home)
    try:
        wait_until(lambda: worker_answers(pair, pair.embedder()), seconds=START_SECONDS)
        yield pair
    finally:
        pair.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def embedder(pair: Pair) -> QueueEmbedder:
    embedder = pair.embedder()
    wait_until(lambda: answers(embedder), seconds=30)
    return embedder


def as_array(vector: bytes) -> np.ndarray:
    return np.frombuffer(vector, "<f4")


def test_a_question_becomes_a_unit_vector_near_its_paraphrase(embedder: QueueEmbedder) -> None:
    asked, reworded, other = (
        as_array(embedder.embed(text, PATIENT_SECONDS))
        for text in (QUESTION, "I forgot my password, how can I set a new one?", "What is the capital of France?")
    )
    assert np.linalg.norm(asked) == pytest.approx(1.0, abs=1e-5)
    assert asked @ reworded > 0.7 > 0.3 > asked @ other
    assert (embedder.version, embedder.backend) == ("all-MiniLM-L6-v2/mean/1", "onnx-int8")


@pytest.mark.parametrize("text", ["", " ", "a\0b", "half a pair: \ud83d", "x" * 32_000, "日本語 🙂 עברית"])
def test_any_text_gets_a_vector(embedder: QueueEmbedder, text: str) -> None:
    vector = as_array(embedder.embed(text, PATIENT_SECONDS))
    assert vector.shape == (384,)
    assert np.isfinite(vector).all()


def test_callers_at_one_moment_share_tasks_and_each_gets_its_own_vector(pair: Pair, embedder: QueueEmbedder) -> None:
    texts = [f"question number {number}" for number in range(16)]
    alone = [embedder.embed(text, PATIENT_SECONDS) for text in texts]
    before, together = pair.tasks_sent(), threading.Barrier(len(texts))

    def ask(text: str) -> bytes:
        together.wait()
        return embedder.embed(text, PATIENT_SECONDS)

    with ThreadPoolExecutor(len(texts)) as callers:
        assert list(callers.map(ask, texts)) == alone
    assert pair.tasks_sent() - before < len(texts) / 2


def test_background_work_goes_in_small_tasks(pair: Pair, embedder: QueueEmbedder) -> None:
    texts = [f"question number {number}" for number in range(10)]
    before = pair.tasks_sent()
    vectors = embedder.embed_many(texts, PATIENT_SECONDS)
    assert pair.tasks_sent() - before == 3
    assert vectors[7] == embedder.embed(texts[7], PATIENT_SECONDS)


def test_a_forked_process_has_its_own_trips(embedder: QueueEmbedder) -> None:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if answers(embedder) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert answers(embedder)


def test_a_hanging_worker_costs_the_deadline_five_times_and_then_nothing(pair: Pair, embedder: QueueEmbedder) -> None:
    pair.worker.send_signal(signal.SIGSTOP)
    try:
        for _ in range(5):
            reason, seconds = refusal(embedder)
            assert reason == "deadline"
            assert seconds < DEADLINE_SECONDS + SLACK_SECONDS
        reason, seconds = refusal(embedder)
        assert reason == "cache_unavailable"
        assert seconds < DEADLINE_SECONDS / 2
    finally:
        pair.worker.send_signal(signal.SIGCONT)
    wait_until(lambda: answers(embedder), seconds=30)


@pytest.mark.parametrize("ahead_seconds", [-3600.0, 3600.0])
def test_a_machine_whose_clock_is_wrong_gets_its_vectors(pair: Pair, ahead_seconds: float) -> None:
    embedder = pair.embedder(ahead_seconds=ahead_seconds)
    wait_until(lambda: answers(embedder), seconds=30)


def test_a_task_whose_caller_waits_no_longer_is_left(pair: Pair, embedder: QueueEmbedder) -> None:
    app = Celery("test", broker=broker_url(pair.redis_url), set_as_current=False)
    seconds: int = pair.client.time()[0]  # type: ignore[index]
    texts = sealed_texts([QUESTION], vault.transport_seal)
    for reply_id, due in (("late", seconds - 1), ("in time", seconds + 600)):
        app.send_task(TASK, (texts, reply_id, due), queue=QUEUE)

    assert pair.client.blpop([REPLY_PREFIX + "in time"], timeout=30)
    assert answers(embedder)
    assert not pair.client.exists(REPLY_PREFIX + "late")


def test_text_lies_in_redis_only_sealed(pair: Pair, embedder: QueueEmbedder) -> None:
    pair.worker.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(CacheUnavailable):
            embedder.embed("canary in the coal mine", DEADLINE_SECONDS)
        with pytest.raises(CacheUnavailable):
            embedder.embed("canary in the coal mine", DEADLINE_SECONDS)
        held = b"".join(pair.client.dump(key) or b"" for key in pair.client.scan_iter())
    finally:
        pair.worker.send_signal(signal.SIGCONT)
    assert b"canary" not in held


def test_after_a_killed_worker_another_one_answers(pair: Pair, embedder: QueueEmbedder) -> None:
    pair.kill_worker()
    assert refusal(embedder)[0] == "deadline"
    pair.start_worker()
    wait_until(lambda: answers(embedder), seconds=START_SECONDS)


def test_a_dead_redis_is_found_out_at_once_and_its_return_too(pair: Pair, embedder: QueueEmbedder) -> None:
    pair.redis.kill()
    pair.redis.wait()
    reason, seconds = refusal(embedder)
    assert reason == "cache_unavailable"
    assert seconds < DEADLINE_SECONDS + SLACK_SECONDS
    pair.start_redis()
    wait_until(lambda: answers(embedder), seconds=30)


def test_no_task_is_acknowledged_on_this_connection_or_the_next(pair: Pair, embedder: QueueEmbedder) -> None:
    """Each would be a trip to Redis, and a word that the worker keeps for ever."""
    for _ in range(2):
        before = pair.calls_of("lpush"), pair.calls_of("zrem")
        for number in range(3):
            embedder.embed(f"question {number}", PATIENT_SECONDS)
        assert (pair.calls_of("lpush") - before[0], pair.calls_of("zrem") - before[1]) == (3, 0)
        pair.client.client_kill_filter(_type="normal", skipme=True)
        wait_until(lambda: answers(embedder), seconds=30)


def test_a_hanging_redis_costs_a_caller_no_more_than_its_deadline(pair: Pair, embedder: QueueEmbedder) -> None:
    pair.redis.send_signal(signal.SIGSTOP)
    try:
        # The second one finds no connection that was made before, and cannot make one.
        assert max(refusal(embedder)[1] for _ in range(3)) < DEADLINE_SECONDS + SLACK_SECONDS
    finally:
        pair.redis.send_signal(signal.SIGCONT)
    wait_until(lambda: answers(embedder), seconds=30)
