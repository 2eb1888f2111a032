"""Exact nearest neighbours by cosine similarity, each row against all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)

_TIE = 1e-6  # float32 noise of a product of two unit vectors, whatever library or block it is computed in
_BLOCK = 4096  # rows and columns of a block of similarities: 64 MB
_SMALL = 4096  # up to so many rows selecting row by row costs less than thresholds
_SAMPLED = 16  # one in so many columns is looked at for the thresholds
_CROWD = 512  # similarities that may reach a row's threshold in any case
_EXTRA = 24  # more candidates than asked for on a GPU, so that a run of ties at the end can be put in order
_GPU_CELLS = 2**28  # similarities at a time on a GPU: 1 GB, and as much again to select from them


@dataclass(frozen=True)
class Neighbours:
    """`rows`: int32 (n, k), best first, never the row itself. `similarities`: float32 (n, k), cosines in [-1, 1],
    descending; None where they are not known, as in an imported catalogue."""

    rows: Rows
    similarities: Matrix | None


@dataclass(frozen=True)
class _Found:
    """Where the result is written to."""

    rows: Rows
    similarities: Matrix


def nearest(
    embeddings: Matrix,
    k: int = 100,
    queries: Matrix | None = None,
    device: str = "cpu",
    on_progress: Callable[[int], None] = lambda _: None,
) -> Neighbours:
    """The k nearest rows of `embeddings` (float32 (n, d), L2-normalised) to each row of `queries`.

    `queries` are other views of the same n rows; by default the rows themselves. Row i never has itself among its
    neighbours, by number, so that a row identical to it does. k is lowered to n - 1 where there are fewer. Equal
    similarities (within 1e-6) are in the order of the rows. Beside the matrix and the result this needs a sixteenth of
    the matrix, about as much as the result again, and a few blocks of fixed size. On "cuda" torch computes, in
    float32, on a copy of the matrix; where the GPU has too little memory for that the CPU does, with the same result.
    `on_progress` is called with numbers of finished rows.
    """
    n = len(embeddings)
    k = min(k, n - 1)
    if k < 1:
        return Neighbours(np.empty((n, 0), np.int32), np.empty((n, 0), np.float32))
    found = _Found(np.empty((n, k), np.int32), np.empty((n, k), np.float32))
    if device == "cuda" and _by_torch(embeddings, queries, found, on_progress):
        return Neighbours(found.rows, found.similarities)
    if n <= _SMALL or 8 * k > n:
        everybody = np.arange(n)
        _row_by_row(embeddings, embeddings if queries is None else queries, everybody, found, on_progress)
    else:
        _by_threshold(embeddings, queries, found, on_progress)
    return Neighbours(found.rows, found.similarities)


# -- on a CPU -------------------------------------------------------------------------------------------------------


def _by_threshold(
    embeddings: Matrix, queries: Matrix | None, found: _Found, on_progress: Callable[[int], None]
) -> None:
    """Few similarities can be among a row's k best, so most are left after one comparison with the row's threshold.

    The threshold is taken from a sample of the columns, low enough that nearly always more than k similarities reach
    it. A row for which that fails, or which too many reach, is done again by itself: the result is exact either way.
    Where the queries are the rows themselves the product is symmetric, and half of its blocks are computed.
    """
    n, k = found.rows.shape
    is_symmetric = queries is None
    asked = embeddings if queries is None else queries
    expected, thresholds = _thresholds(embeddings, asked, k + 1)
    crowded = np.zeros(n, bool)
    counts = np.zeros(n, np.int64)
    starts = range(0, n, _BLOCK)
    waiting: list[list[tuple[Rows, Rows, Matrix]]] = [[] for _ in starts]  # by block of rows: row in it, column, cosine
    buffer, mask = np.empty((_BLOCK, _BLOCK), np.float32), np.empty((_BLOCK, _BLOCK), bool)

    def keep(at: int, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], values: Matrix) -> None:
        here = slice(starts[at], min(starts[at] + _BLOCK, n))
        counts[here] += np.bincount(rows, minlength=here.stop - here.start)
        too_many = counts[here] > max(3 * expected, _CROWD)
        if too_many.any():
            crowded[here] |= too_many
            thresholds[here][too_many] = np.inf  # nothing more is kept for them
            few = ~too_many[rows]
            rows, columns, values = rows[few], columns[few], values[few]
        waiting[at].append((rows.astype(np.int32), columns.astype(np.int32), values))

    for at, start in enumerate(starts):
        stop = min(start + _BLOCK, n)
        for other, begin in enumerate(starts):
            if is_symmetric and begin < start:
                continue
            end = min(begin + _BLOCK, n)
            shape = (stop - start, end - begin)
            block = np.matmul(asked[start:stop], embeddings[begin:end].T, out=_part(buffer, shape))
            reached = np.greater_equal(block, thresholds[start:stop, None], out=_part(mask, shape))
            rows, columns = _where(reached)
            keep(at, rows, columns + begin, block[rows, columns])
            if is_symmetric and begin > start:
                reached = np.greater_equal(block, thresholds[None, begin:end], out=_part(mask, shape))
                rows, columns = _where(reached)
                keep(other, columns, rows + start, block[rows, columns])
        _settle(np.arange(start, stop, dtype=np.int32), waiting[at], found, crowded)
        waiting[at].clear()
        on_progress(int((~crowded[start:stop]).sum()))
    _row_by_row(embeddings, asked, np.flatnonzero(crowded), found, on_progress)


def _part(buffer: npt.NDArray[Scalar], shape: tuple[int, int]) -> npt.NDArray[Scalar]:
    """A contiguous matrix of `shape` in `buffer`."""
    return buffer.ravel()[: shape[0] * shape[1]].reshape(shape)


def _where(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """`mask.nonzero()` for a contiguous matrix of which little is set: several times as fast."""
    rows, columns = np.divmod(np.flatnonzero(mask.ravel()), mask.shape[1])
    return rows, columns


def _thresholds(embeddings: Matrix, asked: Matrix, k: int) -> tuple[int, Matrix]:
    """A similarity for each asked row (float32 (n,)) that about the returned number of rows reach, rarely fewer than k.

    Of the `k` best, the sample holds k / 16 on average and three standard deviations more in one row of some hundreds.
    """
    n = len(embeddings)
    sample = np.ascontiguousarray(embeddings[np.random.default_rng(0).choice(n, n // _SAMPLED, replace=False)])
    mean = k / _SAMPLED
    rank = min(len(sample), int(mean + 3 * mean**0.5) + 2)  # counted from the best
    thresholds = np.empty(n, np.float32)
    step = max(1, _BLOCK * _BLOCK // len(sample))
    for start in range(0, n, step):
        similarities = asked[start : start + step] @ sample.T
        similarities.partition(len(sample) - rank, axis=1)
        thresholds[start : start + step] = similarities[:, len(sample) - rank]
    # A sampled value within float32's noise of the one in its block must count as equal to it.
    return rank * _SAMPLED, thresholds - np.float32(_TIE)


def _settle(
    rows: Rows, candidates: list[tuple[Rows, Rows, Matrix]], found: _Found, crowded: npt.NDArray[np.bool_]
) -> None:
    """Write the best of its candidates for each of `rows`, which follow each other, or mark it as one to do again."""
    count, k = len(rows), found.rows.shape[1]
    local, columns, values = (np.concatenate(arrays) for arrays in zip(*candidates, strict=True))
    is_other = columns != rows[local]
    local, columns, values = local[is_other], columns[is_other], values[is_other]
    counts = np.bincount(local, minlength=count)
    crowded[rows[counts < k]] = True
    order = np.argsort(local.astype(np.uint16), kind="stable")  # by radix: the rows of a block fit 16 bits
    local, columns, values = local[order], columns[order], values[order]
    place = np.arange(len(local)) - (np.cumsum(counts) - counts)[local]
    width = max(int(counts.max(initial=0)), k)
    table = np.full((count, width), -np.inf, np.float32)
    names = np.zeros((count, width), np.int32)
    table[local, place], names[local, place] = values, columns
    best, similarities = _best(names, table, k)
    found.rows[rows] = best
    found.similarities[rows] = similarities


def _row_by_row(
    embeddings: Matrix,
    asked: Matrix,
    rows: npt.NDArray[np.intp],
    found: _Found,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the neighbours of `rows` from all their similarities."""
    n, k = len(embeddings), found.rows.shape[1]
    step = max(1, _BLOCK * _BLOCK // n)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        similarities = asked[chosen] @ embeddings.T  # (step, n)
        similarities[np.arange(len(chosen)), chosen] = -np.inf
        for row, cosines in zip(chosen, similarities, strict=True):
            last = np.partition(cosines, n - k)[n - k]
            candidates = np.flatnonzero(cosines >= last - np.float32(_TIE)).astype(np.int32)
            if len(candidates) > 2 * k:
                candidates = _without_late(candidates, cosines[candidates], k)
            best, values = _best(candidates[None], cosines[None, candidates], k)
            found.rows[row] = best[0]
            found.similarities[row] = values[0]
        on_progress(len(chosen))


def _best(names: Rows, similarities: Matrix, k: int) -> tuple[Rows, Matrix]:
    """The k best of each row of candidates (m, c), both (m, k): by similarity, and runs of equal ones by name."""
    order = np.argsort(-similarities, axis=1)
    names = np.take_along_axis(names, order, axis=1)
    similarities = np.take_along_axis(similarities, order, axis=1)
    with np.errstate(invalid="ignore"):  # of the -inf that stand for no candidate
        tied = np.flatnonzero((-np.diff(similarities[:, : k + 1], axis=1) <= _TIE).any(axis=1))
    if len(tied):
        runs = _runs(similarities[tied], k)
        by_name = np.argsort((runs << 32) + names[tied, : runs.shape[1]], axis=1)
        names[tied, : runs.shape[1]] = np.take_along_axis(names[tied], by_name, axis=1)
    return names[:, :k], np.clip(similarities[:, :k], -1, 1)


def _without_late(names: Rows, similarities: Matrix, k: int) -> Rows:
    """`names`, increasing, without those of the run of equal similarities at the k-th place that come too late in it:
    a game may have ten thousand equals, and sorting them all for each would take minutes."""
    descending = -np.sort(-similarities)
    runs = _runs(descending[None], k)[0]
    first = descending[np.flatnonzero(runs == runs[k - 1])[0]]
    is_last = (similarities <= first) & (first - similarities <= _TIE)
    return np.sort(np.concatenate([names[similarities > first], names[is_last][:k]]))


def _runs(similarities: Matrix, k: int) -> npt.NDArray[np.int64]:
    """The number of the run of equal similarities (descending along axis 1) that each belongs to, up to where the runs
    that begin among the first k have ended.

    A run ends where a similarity is lower than its first, so that small steps do not add up.
    """
    is_lower = np.zeros((len(similarities), k), bool)
    with np.errstate(invalid="ignore"):  # of the -inf that stand for no candidate
        is_lower[:, 1:] = -np.diff(similarities[:, :k], axis=1) > _TIE
        for row in np.flatnonzero(_has_long_run(similarities[:, :k], is_lower)):
            is_lower[row] = _begins_run(similarities[row, :k])
        runs = np.cumsum(is_lower, axis=1, dtype=np.int64)
        begins = k - 1 - np.argmax(is_lower[:, ::-1], axis=1)  # the last run; the first place where there is but one
        begins[~is_lower.any(axis=1)] = 0
        first = np.take_along_axis(similarities, begins[:, None], axis=1)
        is_after = first - similarities[:, k:] > _TIE  # the run that may go on, however long it is
    width = int((~is_after).sum(axis=1).max(initial=0))
    return np.hstack([runs, runs[:, -1:] + is_after[:, :width]])


def _has_long_run(similarities: Matrix, is_lower: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether small steps add up to more than a tie in a row (bool (m,)), between the steps that are `is_lower`."""
    places = np.where(is_lower, np.arange(is_lower.shape[1]), 0)
    begins = np.maximum.accumulate(places, axis=1)
    spans = np.take_along_axis(similarities, begins, axis=1) - similarities
    return np.asarray(spans.max(axis=1) > _TIE)


def _begins_run(similarities: Matrix) -> npt.NDArray[np.bool_]:
    """Whether a run begins at each of the similarities (k,), descending."""
    begins = np.zeros(len(similarities) + 1, bool)
    ascending = -similarities.astype(np.float64)
    place = 0
    while place < len(similarities):
        begins[place] = place > 0
        place = int(np.searchsorted(ascending, ascending[place] + np.float32(_TIE), side="right"))
    return begins[:-1]


# -- on a GPU -------------------------------------------------------------------------------------------------------


def _by_torch(
    embeddings: Matrix,
    queries: Matrix | None,
    found: _Found,
    on_progress: Callable[[int], None],
    device: str = "cuda",
) -> bool:
    """All similarities in blocks, in float32: half precision makes false ties, TF32 would too and is off by default.

    False where the GPU has too little memory even for small blocks.
    """
    import torch

    n, k = found.rows.shape
    try:
        every = torch.from_numpy(np.require(embeddings, requirements="W")).to(device)
        asked = every if queries is None else torch.from_numpy(np.require(queries, requirements="W")).to(device)
    except torch.OutOfMemoryError:
        return False
    crowded: list[npt.NDArray[np.intp]] = []
    candidates = min(n, k + 1 + _EXTRA)
    start, step = 0, max(1, _GPU_CELLS // n)
    while start < n:
        try:
            similarities = asked[start : start + step] @ every.T  # (step, n)
            here = torch.arange(len(similarities), device=device)
            similarities[here, start + here] = -torch.inf
            values, names = similarities.topk(candidates, dim=1)
        except torch.OutOfMemoryError:
            if step == 1:
                return False
            step //= 2
            continue
        cosines = values.cpu().numpy()
        best, nearest_cosines = _best(names.to(torch.int32).cpu().numpy(), cosines, k)
        found.rows[start : start + step] = best
        found.similarities[start : start + step] = nearest_cosines
        if candidates < n - 1:
            # Where the run at the k-th place may go on beyond the candidates, topk has chosen any of it.
            with np.errstate(invalid="ignore"):
                goes_on = np.flatnonzero(cosines[:, k - 1] - cosines[:, -1] <= 2 * _TIE)
            crowded.append(start + goes_on)
        on_progress(len(similarities))
        start += step
    again = np.concatenate([np.empty(0, np.intp), *crowded])
    _row_by_row(embeddings, embeddings if queries is None else queries, again, found)
    return True
