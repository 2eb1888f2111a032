"""Measures of embeddings and neighbours: identical, unusual and typical banners, weak matches."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

NEAREST = 10  # neighbours that count
RARITIES = (10, 100, 1_000, 10_000)  # one in so many random pairs
_SAMPLE = 2_000  # rows, whose two million pairs stand for all


def group_identical(keys: Sequence[Hashable]) -> npt.NDArray[np.int32]:
    """For each row the first row with the same key: int32 (n,). A row that is alone, or first, names itself."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], np.int32)


def connected(n: int, pairs: Iterable[tuple[int, int]]) -> npt.NDArray[np.int32]:
    """The connected components that `pairs` of n rows form, in the form of `group_identical`."""
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


def members(groups: npt.NDArray[np.int32]) -> list[list[int]]:
    """The groups of two or more rows, each sorted, in the order of their first rows."""
    by_first: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1).tolist():
        by_first.setdefault(int(groups[row]), []).append(row)
    return list(by_first.values())


def times_near(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The number of games that have each game among their first `NEAREST` neighbours: int32 (n,).

    `rows` is int32 (n, k), best first.
    """
    first = rows[:, :NEAREST]
    own = first == np.arange(len(rows))[:, None]  # see `Neighbours`
    return np.bincount(first[~own], minlength=len(rows)).astype(np.int32)


def unique_first(first_similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Rows in order of the similarity to their nearest neighbour, float32 (n,): the most unusual first, ties by row."""
    return np.argsort(first_similarities, kind="stable")


def weak_below(similarities: npt.NDArray[np.float32]) -> float:
    """The similarity below which a match is weak in its catalogue: nine games in ten have a nearer first neighbour.

    `similarities` is float32 (n, k), best first, k at least 1. The rule holds whatever the encoder and the number of
    games, of which both move similarities as a whole.
    """
    return float(np.quantile(similarities[:, 0], 0.1))


def random_similarity(embeddings: npt.NDArray[np.float32]) -> float | None:
    """The median similarity of random pairs of different rows (float32 (n, d), L2-normalised), None where n < 2."""
    return round(float(np.median(_of_random_pairs(embeddings))), 4) if len(embeddings) > 1 else None


def rare_similarities(embeddings: npt.NDArray[np.float32]) -> list[float]:
    """The similarities that one in `RARITIES` random pairs of different rows (float32 (n, d), L2-normalised) reaches;
    of few rows only those that enough pairs tell."""
    similarities = _of_random_pairs(embeddings)
    told = [rarity for rarity in RARITIES if rarity <= len(similarities)]
    return [round(float(np.quantile(similarities, 1 - 1 / rarity)), 4) for rarity in told]


def _of_random_pairs(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The similarities of all pairs of some rows chosen at random: float32 (pairs,)."""
    sample = embeddings[np.random.default_rng(0).permutation(len(embeddings))[:_SAMPLE]]
    return np.asarray((sample @ sample.T)[np.triu_indices(len(sample), 1)])
