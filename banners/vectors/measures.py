"""Measures of embeddings and neighbours: unusual and typical banners, weak matches, the scale of similarities."""

import numpy as np

from banners.arrays import Indices, Matrix, StoredIndices, Vector

NEAREST = 10  # neighbours that count
RARITIES = (10, 100, 1_000, 10_000)  # one in so many random pairs
_SAMPLE = 2_000  # rows, whose two million pairs stand for all


def neighbour_of(rows: StoredIndices) -> StoredIndices:
    """The number of games that have each game among their first `NEAREST` neighbours: int32 (n,).

    `rows` is int32 (n, k), best first.
    """
    first = rows[:, :NEAREST]
    own = first == np.arange(len(rows))[:, None]  # see `Neighbours`
    return np.bincount(first[~own], minlength=len(rows)).astype(np.int32)


def unique_first(first_similarities: Vector) -> Indices:
    """Rows in order of the similarity to their nearest neighbour, float32 (n,): the most unusual first, ties by row."""
    return np.argsort(first_similarities, kind="stable")


def weak_below(first_similarities: Vector) -> float:
    """The similarity below which a match is weak in its catalogue: nine games in ten have a nearer first neighbour.

    `first_similarities` are those to the nearest neighbours: float32 (n,), n at least 1. The rule does not depend on
    the encoder or the number of games, which both shift all similarities.
    """
    return float(np.quantile(first_similarities, 0.1))


def random_similarity(embeddings: Matrix) -> float | None:
    """The median similarity of random pairs of different rows (float32 (n, d), L2-normalised), None where n < 2."""
    return round(float(np.median(_of_random_pairs(embeddings))), 4) if len(embeddings) > 1 else None


def rare_similarities(embeddings: Matrix) -> list[float]:
    """The similarities that one in `RARITIES` random pairs of different rows (float32 (n, d), L2-normalised) reaches;
    rarities above the number of pairs are left out."""
    similarities = _of_random_pairs(embeddings)
    told = [rarity for rarity in RARITIES if rarity <= len(similarities)]
    return [round(float(np.quantile(similarities, 1 - 1 / rarity)), 4) for rarity in told]


def _of_random_pairs(embeddings: Matrix) -> Vector:
    """The similarities of all pairs of some rows chosen at random: float32 (pairs,)."""
    sample = embeddings[np.random.default_rng(0).permutation(len(embeddings))[:_SAMPLE]]
    return np.asarray((sample @ sample.T)[np.triu_indices(len(sample), 1)])
