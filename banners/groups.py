"""Groups of rows, as int32 (n,): for each row the first row of its group. A row that is alone names itself."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from banners.arrays import StoredIndices


def group_identical(keys: Sequence[Hashable]) -> StoredIndices:
    """The groups of rows with the same key."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], np.int32)


def connected(n: int, pairs: Iterable[tuple[int, int]]) -> StoredIndices:
    """The connected components that `pairs` of n rows form."""
    first = list(range(n))

    def root(row: int) -> int:
        while first[row] != row:
            first[row] = first[first[row]]
            row = first[row]
        return row

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        first[high] = low
    return np.array([root(row) for row in range(n)], np.int32)


def members(groups: StoredIndices) -> list[list[int]]:
    """The groups of two or more rows, each sorted, in the order of their first rows."""
    by_first: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1).tolist():
        by_first.setdefault(int(groups[row]), []).append(row)
    return list(by_first.values())
