"""How unusual each banner is, and what a similarity means in its catalogue."""

import numpy as np
import numpy.typing as npt


def unique_first(similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Rows in order of the similarity to their nearest neighbour, the most unusual first; ties by row number.

    `similarities` is float32 (n, k), best first, without the row itself; k may be 0 only where n is 1.
    """
    if similarities.shape[1] == 0:
        return np.arange(len(similarities))
    return np.argsort(similarities[:, 0], kind="stable")


def weak_below(similarities: npt.NDArray[np.float32]) -> float:
    """The similarity below which a match is weak in its catalogue: nine games in ten have a nearer first neighbour.

    `similarities` is float32 (n, k), best first, k at least 1. The rule holds whatever the encoder and the number of
    games, of which both move similarities as a whole.
    """
    return float(np.quantile(similarities[:, 0], 0.1))


def random_similarity(embeddings: npt.NDArray[np.float32], pairs: int = 100_000, seed: int = 0) -> float | None:
    """The median similarity of `pairs` random pairs of different rows (float32 (n, d), L2-normalised): the ground from
    which similarities of this encoder rise. None where n < 2."""
    n = len(embeddings)
    if n < 2:
        return None
    generator = np.random.default_rng(seed)
    left = generator.integers(n, size=pairs)
    right = (left + generator.integers(1, n, size=pairs)) % n  # never the same row
    similarities = np.empty(pairs, np.float32)
    for start in range(0, pairs, 4096):  # bounded memory whatever d
        block = slice(start, start + 4096)
        similarities[block] = np.einsum("id,id->i", embeddings[left[block]], embeddings[right[block]])
    return round(float(np.median(similarities)), 4)
