"""Exact nearest neighbours by cosine similarity, each row against all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banners.errors import Unavailable

_EXTRA = 8  # more candidates than asked for, so that a run of ties at the end can be put in order
_TIE = 1e-6  # float32 noise of a product of two unit vectors, whatever library or block it is computed in


@dataclass(frozen=True)
class Neighbours:
    """`rows`: int32 (n, k), best first, never the row itself. `similarities`: float32 (n, k), cosines in [-1, 1],
    descending; None where they are not known, as in an imported catalogue."""

    rows: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float32] | None


def nearest(
    embeddings: npt.NDArray[np.float32], k: int = 100, queries: npt.NDArray[np.float32] | None = None
) -> Neighbours:
    """The k nearest rows of `embeddings` (float32 (n, d), L2-normalised) to each row of `queries`.

    `queries` are other views of the same n rows; by default the rows themselves. Row i never has itself among its
    neighbours, by number, so that a row identical to it does. k is lowered to n - 1 where there are fewer. Equal
    similarities (within 1e-6) are in the order of the rows.
    """
    n = len(embeddings)
    k = min(k, n - 1)
    if k < 1:
        return Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32))
    try:
        import faiss
    except ImportError as error:
        raise Unavailable.library(error) from None
    queries = embeddings if queries is None else queries
    candidates = min(n, k + 1 + _EXTRA)
    found, indices = faiss.knn(queries, embeddings, candidates, metric=faiss.METRIC_INNER_PRODUCT)
    rows = indices.astype(np.int32)  # (n, candidates)
    similarities = np.clip(found, -1, 1, out=found)
    # The row itself goes to the end by its number; it need not be in front, nor among the candidates at all.
    itself = rows == np.arange(n, dtype=np.int32)[:, None]
    similarities[itself] = -np.inf
    in_order = np.argsort(-similarities, axis=1, kind="stable")
    rows = np.take_along_axis(rows, in_order, axis=1)
    similarities = np.take_along_axis(similarities, in_order, axis=1)
    rows = np.take_along_axis(rows, _ties_by_row(rows, similarities), axis=1)
    return Neighbours(np.ascontiguousarray(rows[:, :k]), np.ascontiguousarray(similarities[:, :k]))


def _ties_by_row(rows: npt.NDArray[np.int32], similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Indices that sort each run of equal similarities (descending along axis 1) by row number.

    A run ends where a similarity is lower than its first, so that small steps do not add up.
    """
    run = np.zeros(rows.shape, np.int64)
    first_of_run = similarities[:, 0].copy()
    for place in range(1, rows.shape[1]):
        is_lower = first_of_run - similarities[:, place] > _TIE
        first_of_run = np.where(is_lower, similarities[:, place], first_of_run)
        run[:, place] = run[:, place - 1] + is_lower
    return np.argsort((run << 32) + rows, axis=1, kind="stable")
