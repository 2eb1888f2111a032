"""Vectors on a grid, so that those beside each other are alike: FLAS (K. U. Barthel et al., "Improved Evaluation and
Generation of Grid Layouts", 2022).

The cell at column x and row y has the number `y * columns + x`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from scipy.optimize import linear_sum_assignment

from banners.arrays import Indices, Matrix
from banners.vectors.neighbours import Neighbours

COMPONENTS = 64  # more dimensions change nothing that one can see
_CLOSEST = 3  # neighbours that a row is drawn to, so far
_DRAWN = 0.7
_SPARE = 0.02  # of the cells: the next games find a place without moving others
_SHRINK = 0.93  # the radius, from pass to pass
_SHRINK_OF_FEW = 0.985  # four times as many passes, which bring more of a series together
_FEW = 5_000  # rows
_GROUP = 9  # cells a side that are assigned at once
_MENDED = 0.03  # of the longer side: the first radius for a layout that exists
_SAMPLE = 1000  # rows, to measure the order
_BLOCK = 2048
_AT_ONCE = 20_000_000  # distances, 80 MB


@dataclass(frozen=True)
class Grid:
    columns: int
    rows: int

    def __len__(self) -> int:
        return self.columns * self.rows

    @classmethod
    def of(cls, count: int, aspect: float) -> "Grid":
        """A grid for `count` pictures, each `aspect` times as wide as high. As a picture it is about 3:2."""
        cells = max(1, round(count * (1 + _SPARE)))
        rows = max(1, round((cells * aspect / 1.5) ** 0.5))
        return cls(-(-cells // rows), rows)


def principal_components(embeddings: Matrix) -> Matrix:
    """float32 (n, d) to float32 (n, 64), or (n, d) where d is less."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    covariance = np.asarray(embeddings.T @ embeddings, np.float64) / len(embeddings) - np.outer(mean, mean)
    directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :COMPONENTS].astype(np.float32)
    return np.asarray(embeddings @ directions - mean.astype(np.float32) @ directions, np.float32)


def gathered(features: Matrix, neighbours: Neighbours) -> Matrix:
    """Draw rows that are among each other's three nearest together, the more alike the more: editions and series
    stay together on the grid."""
    near = neighbours.rows[:, :_CLOSEST]
    is_mutual = (near[near] == np.arange(len(near))[:, None, None]).any(axis=2)
    weights = is_mutual if neighbours.similarities is None else is_mutual * neighbours.similarities[:, :_CLOSEST] ** 8
    whole = weights.sum(axis=1)[:, None]
    for _ in range(2):
        sums = np.zeros_like(features)
        for column, weight in zip(near.T, weights.T, strict=True):
            sums += features[column] * weight[:, None]
        drawn = (1 - _DRAWN) * features + _DRAWN * sums / np.maximum(whole, 1e-9)
        features = np.where(whole > 0, drawn, features).astype(np.float32)
    return features


def arrange(
    features: Matrix, grid: Grid, start: Indices | None = None, on_progress: Callable[[float], None] = lambda _: None
) -> Indices:
    """The cell of each row of `features`, float32 (n, d): intp (n,), no two the same. n is at most `len(grid)`.

    `start` is a layout to begin with; only its details change. The same arguments give the same cells. In each pass
    groups of cells exchange their rows, so that each is close to the mean of its surroundings. These shrink from pass
    to pass. `on_progress` is called with the finished share.
    """
    random = np.random.default_rng(0)
    cells = random.permutation(len(grid))[: len(features)] if start is None else start
    occupants = _occupants(cells, grid)
    longest = max(grid.columns, grid.rows)
    radius = first = max(1.0, longest * (0.5 if start is None else _MENDED))
    shrink = _SHRINK_OF_FEW if len(features) <= _FEW else _SHRINK
    while radius >= 1:
        means = _means_around(features, occupants, grid, int(radius))
        for group in _groups(grid, int(radius), random):
            rows = occupants[group]
            rows = rows[rows >= 0]
            if len(rows):
                occupants[group] = -1
                occupants[group[_assigned(features[rows], means[group])]] = rows
        radius *= shrink
        on_progress(float(1 - np.log(max(radius, 1.0)) / np.log(first)) if first > 1 else 1.0)
    return _cells(occupants, len(features))


def _occupants(cells: Indices, grid: Grid) -> Indices:
    """The row in each cell, -1 in free cells."""
    occupants = np.full(len(grid), -1, np.intp)
    occupants[cells] = np.arange(len(cells))
    return occupants


def _cells(occupants: Indices, count: int) -> Indices:
    cells = np.empty(count, np.intp)
    taken = np.flatnonzero(occupants >= 0)
    cells[occupants[taken]] = taken
    return cells


def _means_around(features: Matrix, occupants: Indices, grid: Grid, radius: int) -> Matrix:
    """For each cell the mean of the features in a square around it: float32 (cells, d)."""
    taken = occupants >= 0
    plane = np.zeros((len(grid), features.shape[1] + 1), np.float32)
    plane[taken, :-1] = features[occupants[taken]]
    plane[taken, -1] = 1
    plane = plane.reshape(grid.rows, grid.columns, -1)
    for axis in (0, 1):
        plane = uniform_filter1d(plane, 2 * radius + 1, axis=axis, mode="constant")
    sums = plane.reshape(len(grid), -1)
    return np.asarray(sums[:, :-1] / np.maximum(sums[:, -1:], 1e-6))


def _groups(grid: Grid, stride: int, random: np.random.Generator) -> Iterator[Indices]:
    """All cells in groups of about 9 x 9, each spread over the grid by a stride."""
    down, across = _group_numbers(grid.rows, stride, random), _group_numbers(grid.columns, stride, random)
    numbers = (down[:, None] * (across.max() + 1) + across).ravel()
    order = np.argsort(numbers, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _group_numbers(side: int, stride: int, random: np.random.Generator) -> Indices:
    """Of each place along a side: every `stride`-th place belongs to one group, nine of them."""
    stride = min(stride, -(-side // _GROUP))
    shifted = np.arange(side) + random.integers(_GROUP * stride)
    return np.asarray(shifted // (_GROUP * stride) * stride + shifted % stride, np.intp)


def _assigned(features: Matrix, targets: Matrix) -> Indices:
    """A target for each feature, so that the sum of squared distances is least: float32 (m, d) and (c, d), c >= m, to
    intp (m,)."""
    costs = (targets**2).sum(axis=1) - 2 * features @ targets.T  # and the feature's own length, wherever it goes
    return np.asarray(linear_sum_assignment(costs)[1], np.intp)


# -- from an earlier layout -----------------------------------------------------------------------------------------


def extend(features: Matrix, cells: Indices, grid: Grid) -> Indices:
    """Give rows whose cell is -1 those free cells whose surroundings are most like them. The others stay."""
    is_new = cells < 0
    if not is_new.any():
        return cells
    occupants = np.full(len(grid), -1, np.intp)
    occupants[cells[~is_new]] = np.flatnonzero(~is_new)
    free = np.flatnonzero(occupants < 0)
    extended = cells.copy()
    extended[is_new] = free[_assigned(features[is_new], _means_around(features, occupants, grid, 2)[free])]
    return extended


def transfer(features: Matrix, places: Matrix, grid: Grid) -> Indices:
    """A layout on another grid. `places`: float32 (n, 2), x and y as fractions of the earlier one, NaN for new rows:
    these begin beside the row that is most like them."""
    places = places.copy()
    is_new = np.isnan(places[:, 0])
    old = np.flatnonzero(~is_new)
    lengths = (features[old] ** 2).sum(axis=1)
    for start in range(0, int(is_new.sum()), _BLOCK):
        rows = np.flatnonzero(is_new)[start : start + _BLOCK]
        places[rows] = places[old[(lengths - 2 * features[rows] @ features[old].T).argmin(axis=1)]]
    cells = np.empty(len(places), np.intp)
    for y, rows in enumerate(np.array_split(np.argsort(places[:, 1], kind="stable"), grid.rows)):
        rows = rows[np.argsort(places[rows, 0], kind="stable")]
        cells[rows] = y * grid.columns + np.arange(len(rows)) * grid.columns // max(1, len(rows))
    return cells


def side_by_side(cells: Indices, groups: Sequence[Sequence[int]], grid: Grid) -> Indices:
    """Put the rows of each group beside each other, around its first one; what is there changes places with them."""
    cells, occupants = cells.copy(), _occupants(cells, grid)
    is_settled = np.zeros((grid.rows, grid.columns), np.bool_)
    for rows in groups:
        block = _around(int(cells[rows[0]]), len(rows), is_settled, grid)
        if len(block) < len(rows):
            continue
        outside = [row for row in rows if int(cells[row]) not in block]
        for row, cell in zip(outside, [one for one in block if int(occupants[one]) not in rows], strict=True):
            other, left = int(occupants[cell]), int(cells[row])
            cells[row], occupants[cell], occupants[left] = cell, row, other
            if other >= 0:
                cells[other] = left
        is_settled.ravel()[block] = True
    return cells


def _around(cell: int, count: int, is_settled: npt.NDArray[np.bool_], grid: Grid) -> list[int]:
    """The `count` cells nearest to a cell that are not settled."""
    y, x = divmod(cell, grid.columns)
    for radius in (2 + round(count**0.5), max(grid.columns, grid.rows)):
        top, left = max(0, y - radius), max(0, x - radius)
        ys, xs = np.nonzero(~is_settled[top : y + radius + 1, left : x + radius + 1])
        if len(ys) >= count:
            nearest = np.argsort((ys + top - y) ** 2 + (xs + left - x) ** 2, kind="stable")[:count]
            return [int(one) for one in (ys[nearest] + top) * grid.columns + xs[nearest] + left]
    return []


# -- measures -------------------------------------------------------------------------------------------------------


def order(features: Matrix, cells: Indices, grid: Grid) -> float:
    """How well a layout is ordered, by mean distances: 0 if neighbours on the grid are as far apart as random rows, 1
    if they are as close as each row's four nearest. A sample of rows is measured."""
    plane = _occupants(cells, grid).reshape(grid.rows, grid.columns)
    beside = [(plane[:, :-1], plane[:, 1:]), (plane[:-1], plane[1:])]
    one, other = (np.concatenate([pair[side].ravel() for pair in beside]) for side in (0, 1))
    both = (one >= 0) & (other >= 0)
    if not both.any():
        return 1.0
    sample = np.random.default_rng(0).permutation(len(features))[:_SAMPLE]
    lengths, randoms, nearests = (features**2).sum(axis=1), [], []
    for rows in np.array_split(sample, -(-len(sample) * len(features) // _AT_ONCE)):
        squares = np.maximum(lengths[rows, None] + lengths - 2 * features[rows] @ features.T, 0)
        randoms.append(np.sqrt(squares).mean(axis=1))
        squares[np.arange(len(rows)), rows] = np.inf
        fourth = min(4, len(features) - 1)
        nearests.append(np.sqrt(np.partition(squares, fourth - 1, axis=1)[:, :fourth]).mean(axis=1))
    random, nearest = (float(np.concatenate(means).mean()) for means in (randoms, nearests))
    found = float(np.linalg.norm(features[one[both]] - features[other[both]], axis=1).mean())
    return min(1.0, max(0.0, (random - found) / max(random - nearest, 1e-9)))
