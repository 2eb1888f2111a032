"""Export the image and text encoders as ONNX files for the web app, as small as their quality allows.

An export is checked before anybody relies on it: unquantised it must agree with the torch model, and on banners of the
catalogue itself it must find the neighbours that the torch model finds.
"""

import logging
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import structs

from banners.arrays import Indices, Matrix
from banners.build.plan import Part
from banners.build.titles import random_title
from banners.catalogue.manifest import MODEL_PRECISIONS, ImageModel, ModelPrecision, QueryModels, TextModel
from banners.catalogue.query_encoder import IMAGE_MODEL, TEXT_MODEL, TOKENIZER, Session, tokenise, tokenizer_of
from banners.encoders import open_text_tower
from banners.encoders.encoder import Encoder, TextTower
from banners.encoders.exported import ExportFailed, export
from banners.errors import BadInput, UnusableImage
from banners.games_csv import Banner
from banners.images import decode, read
from banners.vectors.labels import Term, embed_terms, label

if TYPE_CHECKING:
    from torch import Tensor

LEAST_COSINE = 0.999  # of an unquantised export to the torch model
LEAST_RECALL = 0.95  # of the ten nearest banners
NEAREST = 10
_BATCH = 32  # texts
_NOISE = 64  # random words
SAMPLE = 100  # banners, and texts, that an export is tried on
WORTH_QUANTISING = 0.7  # of the size; convolutions stay as they are, 8 bits cost them time and recall
_BLOCK = 64  # weights that share a scale


def export_queries(
    name: str,
    encoder: Encoder,
    banners: Sequence[Banner],
    embeddings: Matrix,
    vocabulary: Sequence[Term],
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Part:
    """Export an encoder to `folder`, and label `banners`. `encoder` is the one called `name`, on the CPU in float32.
    Row i of `embeddings` (float32 (n, d), L2-normalised) belongs to `banners[i]`. `say` is told why there are no words.

    Raises `Unavailable` without a library, `ExportFailed` when the images' side cannot be exported.
    """
    pixels, rows = _sample(encoder, banners)
    image = export_images(encoder, pixels, embeddings, rows, folder)
    prompts = [prompt for term in vocabulary for prompt in term.prompts]
    try:
        tower = open_text_tower(name)
        text = export_texts(tower, prompts[:: -(-len(prompts) // SAMPLE)], embeddings, folder)
    except (BadInput, ExportFailed) as error:
        say(f"no search by words and no labels: {error}")
        return Part(files={IMAGE_MODEL: folder / IMAGE_MODEL}, about={"queries": QueryModels(image)})
    terms = embed_terms(vocabulary, lambda texts: _embed_texts(tower, texts))
    return Part(
        arrays={"term_embeddings": terms},
        files={name: folder / name for name in (IMAGE_MODEL, TEXT_MODEL, TOKENIZER)},
        about={"queries": QueryModels(image, text)},
        labels=label(embeddings, vocabulary, terms, tower.scale),
    )


def _sample(encoder: Encoder, banners: Sequence[Banner]) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """The pixels of some banners, uint8 (m, H, W, 3), and their rows. Raises `ExportFailed` if there are none."""
    pixels, rows = [], []
    for row in range(0, len(banners), -(-len(banners) // SAMPLE)):
        try:
            pixels.append(encoder.preprocessing.pixels(decode(BytesIO(read(banners[row].path)))))
            rows.append(row)
        except UnusableImage:
            pass  # it was usable a moment ago; the others will do
    if not rows:
        raise ExportFailed("not one banner can be read again to try the exported encoder on")
    return np.stack(pixels), rows


def _noise_margin(tower: TextTower, embeddings: Matrix) -> float:
    """The margin of a text is its best similarity to a banner minus its mean similarity to all banners. Returns the
    0.9 quantile of the margins of random words."""
    random = np.random.default_rng(0)
    scores = embeddings @ _embed_texts(tower, [random_title(random) for _ in range(_NOISE)]).T  # (n, 64)
    return round(float(np.quantile(scores.max(axis=0) - scores.mean(axis=0), 0.9)), 4)


def _embed_texts(tower: TextTower, texts: Sequence[str]) -> Matrix:
    """float32 (m, d), L2-normalised. Texts of as many tokens share a batch: nothing is filled up."""
    import torch

    tokenizer = tokenizer_of(tower.tokenizer, tower.length, tower.padding)
    tokens = [tokenise(tokenizer, text) for text in texts]
    order = sorted(range(len(texts)), key=lambda place: tokens[place].shape[1])
    embedded = []
    for _, places in groupby(order, key=lambda place: tokens[place].shape[1]):
        alike = torch.from_numpy(np.concatenate([tokens[place] for place in places]))
        with torch.inference_mode():
            embedded += [_unit(tower.forward(batch)).numpy() for batch in torch.split(alike, _BATCH)]
    return np.concatenate(embedded)[np.argsort(order)]


def export_images(
    encoder: Encoder,
    pixels: npt.NDArray[np.uint8],
    embeddings: Matrix,
    rows: Sequence[int],
    folder: Path,
) -> ImageModel:
    """Export the images' side of `encoder`, which is on the CPU in float32, to `folder`.

    It is tried on `pixels`: uint8 (m, H, W, 3), which are those of `rows` of the catalogue's `embeddings`: float32
    (n, d). Raises `Unavailable` without a library, `ExportFailed`.
    """

    reference = np.concatenate([encoder.embed(pixels[start : start + 16]) for start in range(0, len(pixels), 16)])

    def forward(tensor: "Tensor") -> "Tensor":
        return _unit(encoder.forward(encoder.normalise(tensor)))

    def embed(session: Session) -> Matrix:
        return np.concatenate([session(one[None]) for one in pixels])

    path = folder / IMAGE_MODEL
    export(forward, encoder.module, pixels[:1], path, "pixels")
    return _smallest(path, embed, reference, embeddings, np.asarray(rows, np.intp))


def export_texts(tower: TextTower, texts: Sequence[str], embeddings: Matrix, folder: Path) -> TextModel:
    """Export the texts' side to `folder`, with its tokenizer; tried on `texts`. Raises as `export_images` does."""
    (folder / TOKENIZER).write_text(tower.tokenizer, encoding="utf-8")
    tokenizer = tokenizer_of(tower.tokenizer, tower.length, tower.padding)
    tokens = [tokenise(tokenizer, text) for text in texts]

    def forward(tensor: "Tensor") -> "Tensor":
        return _unit(tower.forward(tensor))

    def embed(session: Session) -> Matrix:
        return np.concatenate([session(one) for one in tokens])

    path = folder / TEXT_MODEL
    export(forward, tower.module, tokens[0], path, "tokens", {1: "length"} if tower.padding is None else None)
    model = _smallest(path, embed, _embed_texts(tower, texts), embeddings, None)
    return TextModel(
        **structs.asdict(model),
        length=tower.length,
        padding=tower.padding,
        scale=tower.scale,
        noise_margin=_noise_margin(tower, embeddings),
    )


def _unit(features: "Tensor") -> "Tensor":
    normalised: Tensor = features.float() / features.float().norm(dim=1, keepdim=True)
    return normalised


def _smallest(
    path: Path,
    embed: Callable[[Session], Matrix],
    reference: Matrix,
    embeddings: Matrix,
    rows: Indices | None,
) -> ImageModel:
    """Leave at `path` the smallest form of the exported model that is good enough."""
    exported = embed(Session(path, "float32"))
    cosine = float((exported * reference).sum(axis=1).min())
    if not cosine >= LEAST_COSINE:
        raise ExportFailed(f"the exported model gives other embeddings, of a cosine of {cosine:.4f} to the right ones")
    unquantised, smaller = path.stat().st_size, path.with_suffix(".smaller.onnx")
    for precision in MODEL_PRECISIONS[:-1]:
        _quantise(path, smaller, precision)
        if smaller.stat().st_size < WORTH_QUANTISING * unquantised:
            recall = recall_at(embed(Session(smaller, precision)), reference, embeddings, rows)
            if recall >= LEAST_RECALL:
                smaller.replace(path)
                return ImageModel(precision, round(cosine, 6), round(recall, 4))
        smaller.unlink()
    return ImageModel("float32", round(cosine, 6), round(recall_at(exported, reference, embeddings, rows), 4))


def _quantise(path: Path, smaller: Path, precision: ModelPrecision) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    root = logging.getLogger()
    level, root.level = root.level, logging.ERROR  # it recommends a step that changes nothing here
    try:
        if precision == "int8":
            quantize_dynamic(
                path,
                smaller,
                op_types_to_quantize=["MatMul", "Gemm", "Gather"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,  # without it processors without VNNI instructions saturate
            )
        else:
            # The table of a text side's tokens too: it is the largest of its weights.
            quantize_dynamic(path, smaller, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)
            quantizer = MatMulNBitsQuantizer(
                onnx.load(smaller), bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=4
            )
            quantizer.process()
            quantizer.model.save_model_to_file(str(smaller))
    finally:
        root.level = level


def recall_at(exported: Matrix, reference: Matrix, embeddings: Matrix, rows: Indices | None) -> float:
    """recall@10: the share of the ten rows of `embeddings` nearest to `exported` that are also nearest to `reference`.
    Both are float32 (m, d). `rows` are the queries' own rows, which do not count. Ties count as found."""
    right, ours = reference @ embeddings.T, exported @ embeddings.T  # (m, n)
    if rows is not None:
        every = np.arange(len(rows))
        right[every, rows] = ours[every, rows] = -np.inf
    k = min(NEAREST, embeddings.shape[0] - (rows is not None))
    if k < 1:
        return 1.0
    last = -np.sort(-right, axis=1)[:, k - 1 : k]
    chosen = np.argpartition(-ours, k - 1, axis=1)[:, :k]
    return float((np.take_along_axis(right, chosen, axis=1) >= last - 1e-6).mean())
