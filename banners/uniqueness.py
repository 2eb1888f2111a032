"""How unusual each banner is, and what a similarity means in its catalogue."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class RandomPairs:
    """Cosine similarity of banners picked at random: the ground above which a similarity starts to mean something."""

    median: float
    p99: float
    pairs: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def unique_first(similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Rows in order of the similarity to their nearest neighbour, the most unusual first; ties by row number.

    `similarities` is float32 (n, k), best first, without the row itself; k may be 0 only where n is 1.
    """
    if similarities.shape[1] == 0:
        return np.arange(len(similarities))
    return np.argsort(similarities[:, 0], kind="stable")


def random_pairs(embeddings: npt.NDArray[np.float32], pairs: int = 100_000, seed: int = 0) -> RandomPairs | None:
    """Measure `pairs` pairs of different rows of `embeddings` (float32 (n, d), L2-normalised); None where n < 2."""
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
    median, p99 = np.quantile(similarities, (0.5, 0.99))
    return RandomPairs(round(float(median), 4), round(float(p99), 4), pairs)
