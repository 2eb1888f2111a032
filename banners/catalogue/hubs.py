"""Banners that are everybody's neighbour."""

import numpy as np
import numpy.typing as npt

NEAREST = 10  # neighbours that count


def times_near(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """How many games have each game among their first `NEAREST` neighbours: int32 (n,).

    `rows` is int32 (n, k), best first.
    """
    return np.bincount(rows[:, :NEAREST].ravel(), minlength=len(rows)).astype(np.int32)
