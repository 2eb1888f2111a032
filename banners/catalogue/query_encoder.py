"""The encoder of a catalogue as the web has it: ONNX Runtime and a tokenizer, no torch.

Each side is loaded when it is first asked for. One query is computed at a time, by a bounded number of threads, so that
neither memory nor cores depend on how many readers ask at once.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from banners.arrays import Matrix, Vector
from banners.catalogue.manifest import ModelPrecision, OpenedFile, QueryModels, TextModel
from banners.catalogue.reader import Catalogue
from banners.errors import BadCatalogue, BadInput, CannotAnswer, one_line
from banners.images import Preprocessing
from banners.vectors.regions import CELL, CHANNELS, Basis

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IMAGE_MODEL = "image_encoder.onnx"
TEXT_MODEL = "text_encoder.onnx"
TOKENIZER = "tokenizer.json"
PART_MODEL = "part_encoder.onnx"

_one_at_a_time = threading.Lock()


class Session:
    """One exported model: an array in, float32 (B, d) out. Loaded here. Raises `BadCatalogue`."""

    def __init__(self, path: Path, precision: ModelPrecision, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Give memory back after each query: the next one may come an hour later.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        if precision != "float32":
            # Optimising would turn the small weights into float32 again, or keep a second copy of them. It would gain
            # next to nothing for these models.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are for other requests
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no base
            raise BadCatalogue(f"cannot load {path}: {one_line(error)}") from None
        self._input = self._session.get_inputs()[0].name

    def __call__(self, array: npt.NDArray[Any]) -> Matrix:
        """Raises `BadCatalogue` where the model takes no such array."""
        try:
            return np.asarray(self._session.run(None, {self._input: array})[0], np.float32)
        except Exception as error:  # as above
            raise BadCatalogue(f"a query's encoder fails: {one_line(error)}") from None


def tokenizer_of(text: str, length: int, padding: int | None) -> "Tokenizer":
    """The tokenizer of a text side: cut at `length` tokens, filled up to it with `padding` unless that is None."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.enable_truncation(length)
    if padding is None:
        tokenizer.no_padding()
    else:
        token = tokenizer.id_to_token(padding) or ""
        tokenizer.enable_padding(length=length, pad_id=padding, pad_token=token)
    return tokenizer


def tokenise(tokenizer: "Tokenizer", text: str) -> npt.NDArray[np.int64]:
    """int64 (1, T)."""
    return np.array([tokenizer.encode(text).ids], np.int64)


@dataclass(frozen=True)
class PartEncoder:
    """The network of local features; see `banners.vectors.regions`."""

    preprocessing: Preprocessing
    basis: Basis
    files: Mapping[str, OpenedFile]
    threads: int

    @classmethod
    def of(cls, opened: Catalogue, threads: int = 1) -> Self | None:
        """That of a catalogue; None if it has none."""
        about, features = opened.manifest.parts, opened.local_features
        if about is None or features is None:
            return None
        return cls(about.preprocessing, features.basis, opened.read_later, threads)

    def grid(self, image: Image.Image, scale: float = 1.0) -> Matrix:
        """The cells of an RGB image at `scale` times the usual size: float32 (rows, columns, 32)."""
        height, width = (
            max(CELL, round(scale * side / CELL) * CELL)
            for side in (self.preprocessing.height, self.preprocessing.width)
        )
        preprocessing = replace(self.preprocessing, height=height, width=width)
        scales, shifts = (np.array(values, np.float32) for values in preprocessing.scale_and_shift)
        pixels = (preprocessing.pixels(image) * scales - shifts).transpose(2, 0, 1)[None]
        with _one_at_a_time:
            outputs = self._session(np.ascontiguousarray(pixels))
        return self.basis.cells(outputs.reshape(height // CELL, width // CELL, CHANNELS))

    @cached_property
    def _session(self) -> Session:
        return Session(self.files[PART_MODEL].checked(), "float32", self.threads)


@dataclass(frozen=True)
class QueryEncoder:
    """The encoder of a catalogue. It embeds the words and pictures of queries. `models` are its sides in the manifest,
    `files` maps names to its files. `fingerprint` tells encoders apart whose embeddings cannot be compared."""

    preprocessing: Preprocessing
    dim: int
    models: QueryModels
    files: Mapping[str, OpenedFile]
    threads: int
    fingerprint: str

    @classmethod
    def of(cls, opened: Catalogue, threads: int = 1) -> Self | None:
        """The query encoder of a catalogue; None if it has none."""
        about = opened.manifest
        if about.queries is None or about.preprocessing is None or about.d is None:
            return None
        preprocessing = about.preprocessing
        identity = json.dumps([about.encoder.id, about.encoder.revision, preprocessing.to_json()], sort_keys=True)
        fingerprint = hashlib.sha256(identity.encode()).hexdigest()[:8]
        return cls(preprocessing, about.d, about.queries, opened.read_later, threads, fingerprint)

    @property
    def has_text(self) -> bool:
        return self.models.text is not None

    @property
    def _text_model(self) -> TextModel:
        """Raises `CannotAnswer`."""
        if self.models.text is None:
            raise CannotAnswer("This catalogue's encoder knows pictures only, no words.")
        return self.models.text

    def load(self) -> None:
        """Load both sides now instead of when they are first asked for. Raises `BadCatalogue`."""
        with _one_at_a_time:
            _ = self._images
            if self.has_text:
                _ = (self._texts, self._tokenizer)

    def picture(self, image: Image.Image) -> Vector:
        """Embed an RGB image: float32 (d,), L2-normalised."""
        pixels = self.preprocessing.pixels(image)[None]
        with _one_at_a_time:
            return self._checked(self._images(pixels))

    def words(self, text: str) -> Vector:
        """Embed a text: float32 (d,), L2-normalised. Raises `BadInput` where nothing comes out, `CannotAnswer`
        where the encoder knows no texts."""
        with _one_at_a_time:
            return self._checked(self._texts(tokenise(self._tokenizer, text)))

    def _checked(self, embedded: Matrix) -> Vector:
        if embedded.shape != (1, self.dim):
            raise BadCatalogue(f"the query encoder gives no embedding of length {self.dim}")
        if not np.isfinite(embedded).all():
            raise BadInput("The encoder gave no usable result for this.")
        vector: Vector = embedded[0]
        return vector

    @cached_property
    def _images(self) -> Session:
        return Session(self.files[IMAGE_MODEL].checked(), self.models.image.precision, self.threads)

    @cached_property
    def _texts(self) -> Session:
        return Session(self.files[TEXT_MODEL].checked(), self._text_model.precision, self.threads)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        model = self._text_model
        try:
            text = self.files[TOKENIZER].checked().read_text(encoding="utf-8")
            return tokenizer_of(text, model.length, model.padding)
        except BadCatalogue:
            raise
        except Exception as error:  # the library's own have no name
            raise BadCatalogue(f"cannot read {TOKENIZER}: {one_line(error)}") from None
