"""Groups of identical banners."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt


def group_identical(keys: Sequence[Hashable]) -> npt.NDArray[np.int32]:
    """For each row the first row with the same key: int32 (n,). A row that is alone, or first, names itself."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], np.int32)


def group_pairs(n: int, pairs: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """The groups that identical `pairs` (m, 2) of n rows form together, in the form of `group_identical`."""
    first = np.arange(n, dtype=np.int32)

    def root(row: int) -> int:
        while first[row] != row:
            first[row] = first[first[row]]
            row = int(first[row])
        return row

    for left, right in pairs.tolist():
        low, high = sorted((root(left), root(right)))
        first[high] = low
    return np.array([root(row) for row in range(n)], np.int32)


def members(groups: npt.NDArray[np.int32]) -> list[list[int]]:
    """The groups of two or more rows, each sorted, in the order of their first rows."""
    by_first: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1).tolist():
        by_first.setdefault(int(groups[row]), []).append(row)
    return list(by_first.values())
