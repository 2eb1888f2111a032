"""Search over all embeddings for a vector that belongs to no row, in little memory.

The matrix is kept a second time in 8 bits. All rows are scored on that, in a quarter of the memory and half of the
time, and the best of them again on the exact one, of which only these rows are read.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]

_BLOCK = 2048  # rows that are turned to floats at a time: as many as stay in a core's cache
_RESCORED = 20  # times as many as are asked for are scored exactly, 200 at least


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
    scales = np.abs(matrix).max(axis=1) / np.float32(127)
    return Quantised(np.rint(matrix / scales[:, None]).astype(np.int8), scales)


def nearest_to(
    vector: Vector,
    matrix: Matrix,
    rough: Vector,
    count: int,
    without: npt.NDArray[np.intp] | None = None,
    offset: float = 0.0,
    lengths: Vector | None = None,
) -> tuple[npt.NDArray[np.intp], Vector]:
    """The `count` rows of `matrix` (float32 (n, d), L2-normalised) that are nearest to `vector` (float32 (d,),
    L2-normalised), best first, and their cosines, but for the rows `without`. Equal ones are in the order of the rows.

    `rough` is `Quantised @ vector`: float32 (n,). It is changed. In the view by artwork, the cosine of a row is its
    product with `vector`, less `offset`, divided by its element of `lengths`: float32 (n,); `rough` is so too.
    """
    if without is not None:
        rough[without] = -np.inf
    count = min(count, len(rough) - (0 if without is None else len(np.unique(without))))
    if count < 1:
        return np.empty(0, np.intp), np.empty(0, np.float32)
    kept = min(len(rough), max(200, _RESCORED * count))
    rows = np.sort(np.argpartition(-rough, kept - 1)[:kept])
    rows = rows[np.isfinite(rough[rows])]
    exact = matrix[rows] @ vector - np.float32(offset)
    if lengths is not None:
        exact /= lengths[rows]
    order = np.argsort(-exact, kind="stable")[:count]
    return rows[order], np.clip(exact[order], -1, 1)
