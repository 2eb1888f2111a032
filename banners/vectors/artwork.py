"""The artwork view: embeddings without what lettering adds to them, by one affine map.

Three steps, none of them trained:
1. The catalogue's mean is subtracted: what all banners share hides how they differ.
2. Half whitening: each principal direction is divided by the fourth root of its variance, so that the directions in
   which banners differ most count less. Whitening divides by the square root (H. Jégou and O. Chum, Negative Evidences
   and Co-occurrences in Image Retrieval, 2012); measured on covers, that costs recall.
3. The directions in which a drawn title moves banners are removed. They are found from a sample with random titles.
"""

from dataclasses import dataclass

import numpy as np

from banners.arrays import Indices, Matrix, Vector

CHOICES = (4, 8, 16, 32)  # numbers of directions
_BLOCK = 4096  # rows at a time


@dataclass(frozen=True)
class Artwork:
    """Embeddings x, float32 (m, d), become (x - `mean`) @ `projection`: float32 (d,) and (d, d). `directions` is
    the number of lettering directions that the projection removes."""

    mean: Vector
    projection: Matrix
    directions: int

    def lengths(self, vectors: Matrix) -> Vector:
        """The lengths of `vectors` (float32 (m, d)) after the map: float32 (m,), more than 0."""
        lengths = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), _BLOCK):
            here = slice(start, start + _BLOCK)
            lengths[here] = np.linalg.norm((vectors[here] - self.mean) @ self.projection, axis=1)
        return np.maximum(lengths, 1e-6)

    def view(self, vectors: Matrix) -> Matrix:
        """The embeddings `vectors` (float32 (m, d)) in this view: float32 (m, d), L2-normalised."""
        mapped = np.empty(vectors.shape, np.float32)
        for start in range(0, len(vectors), _BLOCK):
            here = slice(start, start + _BLOCK)
            block = (vectors[here] - self.mean) @ self.projection
            mapped[here] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-6)
        return mapped

    def query(self, vector: Vector, mean: Vector) -> Vector:
        """The vector q, float32 (d,), with which embeddings x that were not mapped are compared:
        `cosine = (x @ q - self.mean @ q) / lengths`. `vector` is an embedding, `mean` the mean of its kind."""
        mapped = (vector - mean) @ self.projection
        return np.asarray(self.projection @ (mapped / max(float(np.linalg.norm(mapped)), 1e-6)), np.float32)


def find_artwork(embeddings: Matrix, rows: Indices, titled: Matrix) -> Artwork:
    """The map of a catalogue. `titled` (float32 (m, d), L2-normalised, m at least 16)
    are the banners `rows` (m,) of `embeddings` (float32 (n, d), L2-normalised) with a title drawn on them.

    The number of directions is chosen by cross-validation: with directions from one half of the sample, each titled
    banner of the other half should find its clean one first. The smallest number whose failures are within a standard
    error of the least is taken (L. Breiman et al., Classification and Regression Trees, 1984, section 3.4.3).
    """
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    whitening = _half_whitening(embeddings, mean)
    differences = np.asarray((titled - embeddings[rows]) @ whitening, np.float32)
    choices = [count for count in CHOICES if count <= len(rows) // 4]
    failures = dict.fromkeys(choices, 0)
    for fold in (0, 1):
        is_held_back = np.arange(len(rows)) % 2 == fold
        for count in choices:
            artwork = Artwork(mean, _without(whitening, differences[~is_held_back], count), count)
            failures[count] += _failures(artwork, embeddings, rows[is_held_back], titled[is_held_back])
    least = min(failures.values())
    count = next(count for count in choices if failures[count] <= least + least**0.5)
    return Artwork(mean, _without(whitening, differences, count), count)


def _half_whitening(embeddings: Matrix, mean: Vector) -> Matrix:
    """The inverse fourth root of the covariance matrix, to which the mean variance is added: float32 (d, d)."""
    covariance = np.zeros((embeddings.shape[1],) * 2)
    for start in range(0, len(embeddings), _BLOCK):
        centred = embeddings[start : start + _BLOCK] - mean
        covariance += centred.T @ centred
    variances, directions = np.linalg.eigh(covariance / len(embeddings))
    floor = max(float(variances.mean()), 1e-9)
    scales = (np.maximum(variances, 0) + floor) ** -0.25
    return np.asarray((directions * scales) @ directions.T, np.float32)


def _without(whitening: Matrix, differences: Matrix, count: int) -> Matrix:
    """`whitening`, and then without the `count` directions of the largest differences (their right singular vectors):
    float32 (d, d)."""
    leading = np.linalg.svd(differences, full_matrices=False)[2][:count]
    return np.asarray(whitening - (whitening @ leading.T) @ leading, np.float32)


def _failures(artwork: Artwork, embeddings: Matrix, rows: Indices, titled: Matrix) -> int:
    """How many of `titled` are nearer to another banner than to their own."""
    scores = artwork.view(titled) @ artwork.view(embeddings).T  # (m, n)
    every = np.arange(len(rows))
    own = scores[every, rows]
    scores[every, rows] = -np.inf
    return int(np.count_nonzero(scores.max(axis=1) >= own))
