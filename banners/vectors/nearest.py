"""Search over all embeddings for those nearest to a vector, in little memory.

The matrix is kept a second time in 8 bits. All rows are scored on that, in a quarter of the memory and half of the
time. The best of them, the shortlist, are scored again on the exact matrix, of which only these rows are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from banners.arrays import Indices, Mask, Matrix, Vector
from banners.vectors.artwork import Artwork

_BLOCK = 2048  # rows that are turned to floats at a time: as many as stay in a core's cache
_RESCORED, _SHORTEST = 20, 200  # a shortlist has 20 times as many rows as are wanted, and 200 at least
_SAMPLED = 20_000  # rows that tell a standard deviation within 1 %
_LONGER = 8  # the next shortlist is sized for so many times the rows


@dataclass(frozen=True)
class Quantised:
    """`codes`: int8 (n, d), `scales`: float32 (n,); row i of the matrix is about `codes[i] * scales[i]`, each number
    within half a step, which is 1/254 of the row's largest."""

    codes: npt.NDArray[np.int8]
    scales: Vector

    def __matmul__(self, vector: Vector) -> Vector:
        """The products of all rows with `vector` (float32 (d,)): float32 (n,)."""
        products = np.empty(len(self.codes), np.float32)
        floats = np.empty((_BLOCK, self.codes.shape[1]), np.float32)
        for start in range(0, len(products), _BLOCK):
            codes = self.codes[start : start + _BLOCK]
            block = floats[: len(codes)]
            np.copyto(block, codes)
            np.dot(block, vector, out=products[start : start + len(codes)])
        return np.asarray(products * self.scales)


def quantise(matrix: Matrix) -> Quantised:
    """`matrix`: float32 (n, d), no row of zeros."""
    codes, scales = np.empty(matrix.shape, np.int8), np.empty(len(matrix), np.float32)
    for start in range(0, len(matrix), _BLOCK):
        here = slice(start, start + _BLOCK)
        scales[here] = np.abs(matrix[here]).max(axis=1) / np.float32(127)
        codes[here] = np.rint(matrix[here] / scales[here, None])
    return Quantised(codes, scales)


class Searchable(Protocol):
    """The embeddings of a catalogue in one view, to be searched: an `Index`, or a database as one."""

    @property
    def mean(self) -> Vector: ...
    def query(self, vector: Vector, mean: Vector | None = None) -> Vector: ...
    def embedding(self, row: int) -> Vector: ...
    def view(self, rows: Indices | Sequence[int]) -> Matrix: ...
    def cosine(self, query: Vector, row: int) -> float: ...
    def deviation(self, query: Vector) -> float: ...
    def nearest(self, query: Vector, count: int, passes: Mask | None = None) -> Iterator[tuple[int, float]]: ...


@dataclass(frozen=True)
class Index:
    """The embeddings of a catalogue in one view, plain or by artwork, to be searched.

    `matrix` is float32 (n, d), rows L2-normalised, `quantised` the same in 8 bits. In the view by artwork there are
    `artwork` and `lengths`: float32 (n,), those of the rows after its map. A query q is made by `query`; the cosine of
    a row x is `x @ q` in the plain view and `(x @ q - mean @ q) / length` in the view by artwork.
    """

    matrix: Matrix
    quantised: Quantised
    artwork: Artwork | None = None
    lengths: Vector | None = None

    def query(self, vector: Vector, mean: Vector | None = None) -> Vector:
        """The query float32 (d,) for an embedding float32 (d,), L2-normalised. `mean` is the mean of its kind, by
        default that of the catalogue's images."""
        if self.artwork is None:
            return vector
        return self.artwork.query(vector, self.artwork.mean if mean is None else mean)

    @property
    def mean(self) -> Vector:
        """The mean embedding: float32 (d,)."""
        return np.asarray(self.matrix.mean(axis=0, dtype=np.float64), np.float32)

    def embedding(self, row: int) -> Vector:
        """float32 (d,), L2-normalised."""
        return np.array(self.matrix[row])

    def view(self, rows: Indices | Sequence[int]) -> Matrix:
        """Some rows in this view: float32 (m, d), L2-normalised."""
        chosen = self.matrix[np.asarray(rows)]
        return chosen if self.artwork is None else self.artwork.view(chosen)

    def cosine(self, query: Vector, row: int) -> float:
        """The exact cosine of one row, in [-1, 1]."""
        cosine = self._cosines(self.matrix[row : row + 1] @ query, query, slice(row, row + 1))
        return min(1.0, max(-1.0, float(cosine[0])))

    def deviation(self, query: Vector) -> float:
        """The standard deviation of the cosines of all rows; of many, a sample tells."""
        sample = slice(None, None, max(1, len(self.quantised.codes) // _SAMPLED))
        some = Quantised(self.quantised.codes[sample], self.quantised.scales[sample])
        return float(self._cosines(some @ query, query, sample).std())

    def nearest(self, query: Vector, count: int, passes: Mask | None = None) -> Iterator[tuple[int, float]]:
        """Rows, of those that pass, and their exact cosines in [-1, 1], the nearest first, equal ones in the order of
        the rows. The first shortlist is sized for `count` rows. It grows if the caller iterates further."""
        scores = self._scores(query)
        if passes is not None:
            scores[~passes] = -np.inf
        candidates = int(np.count_nonzero(np.isfinite(scores)))
        done: set[int] = set()
        while len(done) < candidates:
            length = min(candidates, max(_SHORTEST, _RESCORED * count))
            shortlist = np.sort(np.argpartition(-scores, length - 1)[:length])
            cosines = self._cosines(self.matrix[shortlist] @ query, query, shortlist)
            order = np.argsort(-cosines, kind="stable")
            for place in order if length == candidates else order[:count]:
                row = int(shortlist[place])
                if row not in done:
                    done.add(row)
                    yield row, min(1.0, max(-1.0, float(cosines[place])))
            count *= _LONGER

    def _scores(self, query: Vector) -> Vector:
        """The cosines of all rows, computed in 8 bits: float32 (n,)."""
        return self._cosines(self.quantised @ query, query, slice(None))

    def _cosines(self, products: Vector, query: Vector, rows: Indices | slice) -> Vector:
        """The cosines of `rows` by their products with `query`."""
        if self.artwork is None or self.lengths is None:
            return products
        return np.asarray((products - self.artwork.mean @ query) / self.lengths[rows])
