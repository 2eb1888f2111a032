"""Exact nearest neighbours by cosine similarity, each row against all: faiss on a CPU, torch on CUDA."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banners.arrays import Mask, Matrix, StoredIndices, Vector
from banners.errors import BadInput, Unavailable

Search = Callable[[Matrix, int], tuple[Matrix, npt.NDArray[np.integer]]]

_BLOCK = 4096  # queries at a time, as many as faiss itself takes
_CUDA_CELLS = 2**28  # similarities at a time on a GPU: 1 GB, and as much again to select from them


@dataclass(frozen=True)
class Neighbours:
    """`rows`: int32 (n, k), best first, never the row itself; but in an imported catalogue, a row with one match fewer
    than others ends with its own number. `similarities`: float32 (n, k), cosines in [-1, 1], descending; None if they
    are not known, as in an imported catalogue."""

    rows: StoredIndices
    similarities: Matrix | None

    def of(self, row: int) -> StoredIndices:
        """The neighbours of one row: int32 (k,), or one less."""
        near: StoredIndices = self.rows[row]
        return near[:-1] if len(near) and near[-1] == row else near

    @property
    def first_similarities(self) -> Vector | None:
        """The similarity of each row to its nearest neighbour: float32 (n,); None if they are not known."""
        similarities = self.similarities
        return None if similarities is None or not similarities.size else np.ascontiguousarray(similarities[:, 0])

    def ranked(self, row: int, count: int | None = None) -> list[tuple[int, float | None]]:
        """The first `count` neighbours of one row, or all, and their similarities, None if they are not known."""
        near = self.of(row)[:count].tolist()
        similarities = [None] * len(near) if self.similarities is None else self.similarities[row].tolist()
        return list(zip(near, similarities, strict=False))


def nearest(
    embeddings: Matrix,
    k: int = 100,
    queries: Matrix | None = None,
    device: str = "cpu",
    on_progress: Callable[[int], None] = lambda _: None,
) -> Neighbours:
    """The k nearest rows of `embeddings` (float32 (n, d), L2-normalised) to each row of `queries`.

    `queries` are other views of the same n rows; by default the rows themselves. Row i is never among its own
    neighbours; a row identical to it may be. k is lowered to n - 1 if there are fewer. Similarities
    that are equal when rounded to 1e-6 are in the order of the rows. `on_progress` is called with numbers of finished
    rows. Raises `Unavailable` without faiss, `BadInput` where the GPU has too little memory.
    """
    n = len(embeddings)
    k = min(k, n - 1)
    neighbours, cosines = np.empty((n, max(k, 0)), np.int32), np.empty((n, max(k, 0)), np.float32)
    if k < 1:
        return Neighbours(neighbours, cosines)
    search, step = (
        (_by_torch(embeddings), _CUDA_CELLS // n + 1) if device == "cuda" else (_by_faiss(embeddings), _BLOCK)
    )
    queries = embeddings if queries is None else queries
    for start in range(0, n, step):
        here = slice(start, min(start + step, n))
        similarities, rows = search(queries[here], k + 1)
        is_other = others(rows, np.arange(here.start, here.stop))
        similarities, rows = similarities[is_other].reshape(-1, k), rows[is_other].reshape(-1, k)
        order = np.lexsort((rows, -np.round(similarities, 6)))
        neighbours[here] = np.take_along_axis(rows, order, axis=1)
        cosines[here] = np.clip(np.take_along_axis(similarities, order, axis=1), -1, 1)
        on_progress(len(rows))
    return Neighbours(neighbours, cosines)


def others(rows: npt.NDArray[np.integer], own: npt.NDArray[np.integer]) -> Mask:
    """Which of `rows` (m, k + 1) are not the row's own number (m,): a mask with k in each row. Where a row does not
    name itself, its last one is left out instead."""
    itself = rows == own[:, None]
    itself[~itself.any(axis=1), -1] = True
    return np.asarray(~itself)


def _by_faiss(embeddings: Matrix) -> Search:
    try:
        import faiss
    except ImportError as error:
        raise Unavailable.library(error) from None
    return lambda queries, count: faiss.knn(queries, embeddings, count, metric=faiss.METRIC_INNER_PRODUCT)


def _by_torch(embeddings: Matrix) -> Search:
    """In float32: half precision makes false ties, TF32 would too and is off by default."""
    import torch

    def on_gpu(matrix: Matrix) -> torch.Tensor:
        return torch.from_numpy(np.require(matrix, requirements="W")).to("cuda")

    def search(queries: Matrix, count: int) -> tuple[Matrix, npt.NDArray[np.integer]]:
        try:
            best = (on_gpu(queries) @ matrix.T).topk(count, dim=1)
        except torch.OutOfMemoryError:
            raise BadInput(
                f"the GPU has too little memory for {len(embeddings)} embeddings; use --device cpu"
            ) from None
        return best.values.cpu().numpy(), best.indices.cpu().numpy()

    matrix = on_gpu(embeddings)
    return search
