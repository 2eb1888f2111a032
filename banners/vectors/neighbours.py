"""Nearest neighbours by cosine similarity, each row against all: exact ones by faiss on a CPU or torch on CUDA, or
approximate ones by faiss's inverted lists."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banners.arrays import Mask, Matrix, StoredIndices, Vector
from banners.errors import BadInput, Unavailable

Search = Callable[[Matrix, int], tuple[Matrix, npt.NDArray[np.integer]]]

_BLOCK = 4096  # queries at a time, as many as faiss itself takes
_LISTS = 4  # times the root of the number of rows, as faiss's guidelines have it
_TRAINED = 64  # rows to find each list's centre
_TRIED = 500  # rows whose exact neighbours are known, to measure the recall
_RECALL = 0.98  # of the ten nearest, at least
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


@dataclass(frozen=True)
class Block:
    """The neighbours of the rows from `start` on: see `Neighbours`."""

    start: int
    rows: StoredIndices
    similarities: Matrix


# Computes all blocks of (embeddings, queries, k), in any order.
Spread = Callable[[Matrix, Matrix, int], Iterable[Block]]


def nearest(
    embeddings: Matrix,
    k: int = 100,
    queries: Matrix | None = None,
    device: str = "cpu",
    on_progress: Callable[[int], None] = lambda _: None,
    spread: Spread | None = None,
    search: Search | None = None,
) -> Neighbours:
    """The k nearest rows of `embeddings` (float32 (n, d), L2-normalised) to each row of `queries`.

    `queries` are other views of the same n rows; by default the rows themselves. Row i is never among its own
    neighbours; a row identical to it may be. k is lowered to n - 1 if there are fewer. Similarities
    that are equal when rounded to 1e-6 are in the order of the rows. `on_progress` is called with numbers of finished
    rows. With `spread`, others compute the blocks, with the same result; with `search`, that is used instead of an
    exact one. Raises `Unavailable` without faiss, `BadInput` where the GPU has too little memory.
    """
    n = len(embeddings)
    k = min(k, n - 1)
    neighbours, cosines = np.empty((n, max(k, 0)), np.int32), np.empty((n, max(k, 0)), np.float32)
    if k < 1:
        return Neighbours(neighbours, cosines)
    queries = embeddings if queries is None else queries
    if spread is None:
        search = search or search_by(embeddings, device)
        starts = range(0, n, block_size(n, device))
        blocks: Iterable[Block] = (block(search, queries, k, start, device) for start in starts)
    else:
        blocks = spread(embeddings, queries, k)
    for done in blocks:
        here = slice(done.start, done.start + len(done.rows))
        neighbours[here], cosines[here] = done.rows, done.similarities
        on_progress(len(done.rows))
    return Neighbours(neighbours, cosines)


def block_size(n: int, device: str) -> int:
    """How many rows are asked for at once, of n."""
    return _CUDA_CELLS // n + 1 if device == "cuda" else _BLOCK


def search_by(embeddings: Matrix, device: str) -> Search:
    """Raises `Unavailable` without faiss."""
    return _by_torch(embeddings) if device == "cuda" else _by_faiss(embeddings)


def block(search: Search, queries: Matrix, k: int, start: int, device: str) -> Block:
    """The k nearest of one block of `queries`, one for each row that `search` knows."""
    stop = min(start + block_size(len(queries), device), len(queries))
    similarities, rows = search(queries[start:stop], k + 1)
    is_other = others(rows, np.arange(start, stop))
    similarities, rows = similarities[is_other].reshape(-1, k), rows[is_other].reshape(-1, k)
    order = np.lexsort((rows, -np.round(similarities, 6)))
    best = np.take_along_axis(similarities, order, axis=1)
    return Block(start, np.take_along_axis(rows, order, axis=1).astype(np.int32), np.clip(best, -1, 1))


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


def approximate(embeddings: Matrix) -> tuple[Search, float] | None:
    """An approximate search of `embeddings` (float32 (n, d), L2-normalised), and its recall; None where an exact one is
    no slower.

    The rows are divided into 4 sqrt(n) lists. A query is compared with the lists closest to it: with as many as are
    needed to find 98 % of the ten nearest of a sample of rows, at most an eighth. The recall is the share that is
    found.

    Needs as much memory again as the embeddings. Raises `Unavailable` without faiss.
    """
    exact = _by_faiss(embeddings)
    import faiss

    n, d = embeddings.shape
    random = np.random.default_rng(0)
    lists = max(1, round(_LISTS * n**0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(embeddings[np.sort(random.permutation(n)[: _TRAINED * lists])])
    index.add(embeddings)
    tried = embeddings[np.sort(random.permutation(n)[:_TRIED])]
    count = min(11, n)  # themselves and ten
    wanted = exact(tried, count)[1]
    index.nprobe, recall = 4, 0.0
    while recall < _RECALL:
        index.nprobe = 2 * index.nprobe
        if index.nprobe > max(8, lists // 8):
            return None
        found = index.search(tried, count)[1]
        recall = float(np.mean([len(np.intersect1d(*pair)) for pair in zip(wanted, found, strict=True)]) / count)

    def search(queries: Matrix, count: int) -> tuple[Matrix, npt.NDArray[np.integer]]:
        similarities, rows = index.search(queries, count)
        short = (rows < 0).any(axis=1)  # the lists had fewer
        if short.any():
            similarities[short], rows[short] = exact(queries[short], count)
        return similarities, rows

    return search, recall


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
