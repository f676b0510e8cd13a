"""Which model is meant, what is sent to it, and does quantising keep its products?"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cache_api.adapters.embedding_model import (
    MAX_CHARACTERS,
    About,
    EmbeddingFailed,
    EmbeddingModel,
    Vector,
    find,
    quantise,
)


class Letters:
    """An encoder that can be read: how long the text is, and whether it asks for a bad vector."""

    about = About(pooling="mean", dimensions=2, max_tokens=256, prompt="", precision="fp32")
    backend = "letters"
    max_batch = 1

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> Iterable[Vector]:
        self.seen += texts
        bad = {"nan": math.nan, "infinite": math.inf, "nothing": 0.0}
        return [np.full(2, bad.get(text, len(text) + 1), dtype=np.float32) for text in texts]


def test_vectors_are_unit_length_little_endian_floats() -> None:
    model = EmbeddingModel("letters", Letters())
    assert (model.version, model.dimensions) == ("letters/mean/1", 2)
    for vector in model.embed(["", "a", "a longer text"]):
        assert np.frombuffer(vector, "<f4") == pytest.approx([math.sqrt(0.5)] * 2)


@pytest.mark.parametrize("text", ["nan", "infinite", "nothing"])
def test_a_vector_without_a_direction_is_an_error(text: str) -> None:
    with pytest.raises(EmbeddingFailed):
        EmbeddingModel("letters", Letters()).embed(["good", text])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("half a pair: \ud83d", "half a pair: ?"),
        ("whole: \U0001f642", "whole: \U0001f642"),
        ("nul \0", "nul \0"),
        ("x" * 100_000, "x" * MAX_CHARACTERS),
    ],
)
def test_what_a_tokenizer_cannot_read_is_replaced(text: str, read: str) -> None:
    encoder = Letters()
    EmbeddingModel("letters", encoder).embed([text])
    assert encoder.seen == [read]


def test_the_default_model_is_the_packaged_one_by_either_name() -> None:
    assert find("") == find("sentence-transformers/all-MiniLM-L6-v2")
    assert find("").name == "all-MiniLM-L6-v2"
    assert Path(find("").address).is_dir()


def test_another_model_at_the_same_path_has_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    first = find(str(folder))
    (folder / "model.safetensors").write_bytes(b"two")
    assert first.name.startswith("ours-")
    assert find(str(folder)).name != first.name


def test_a_name_on_the_hub_keeps_its_owner() -> None:
    assert find("intfloat/e5-small").name == "intfloat/e5-small"
    assert find("sentence-transformers/all-mpnet-base-v2").name == "all-mpnet-base-v2"


@pytest.mark.parametrize("opset", [17, 18])
def test_one_tokens_outlier_does_not_blur_the_others(tmp_path: Path, opset: int) -> None:
    chance = np.random.default_rng(0)
    weights = chance.normal(size=(32, 64)).astype(np.float32)
    tokens = chance.normal(size=(1, 4, 32)).astype(np.float32)
    tokens[0, 3] *= 1000
    tokens[0, 2] = 0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="dense")],
        "feed_forward",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, None, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None, 64])],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "plain.onnx")

    quantise(tmp_path / "plain.onnx", tmp_path / "small.onnx", fuse=False)

    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    rows, wanted = session.run(["y"], {"x": tokens})[0][0], (tokens @ weights)[0]
    for row in (0, 1, 3):
        cosine = rows[row] @ wanted[row] / np.linalg.norm(rows[row]) / np.linalg.norm(wanted[row])
        assert cosine > 0.999
    assert np.abs(rows[2]).max() < 1e-6
