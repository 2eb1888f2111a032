"""The view by artwork: what lettering adds is removed."""

import numpy as np

from banners.vectors.artwork import find_artwork


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def lettered(count: int = 200, dim: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings, and the same with a title, which moves each along three directions, farther than to others."""
    random = np.random.default_rng(1)
    clean = random.normal(size=(count, dim))
    titled = clean + 0.2 * random.normal(size=(count, dim))
    titled[:, -3:] += random.normal(size=(count, 3)) * 20
    return unit(clean), unit(titled)


def failures(asked: np.ndarray, embeddings: np.ndarray) -> int:
    return int(((asked @ embeddings.T).argmax(axis=1) != np.arange(len(asked))).sum())


def test_titled_banners_find_themselves_by_their_artwork():
    embeddings, titled = lettered()
    sample = np.arange(0, 200, 2)
    artwork = find_artwork(embeddings, sample, titled[sample])
    others = np.arange(1, 200, 2)
    plain = (titled[others] @ embeddings.T).argmax(axis=1) != others
    seen = (artwork.view(titled[others]) @ artwork.view(embeddings).T).argmax(axis=1) != others
    assert plain.sum() > 60
    assert seen.sum() < 0.3 * plain.sum()
    assert artwork.directions == 4  # the fewest that are tried


def test_few_banners_of_many_numbers_give_a_view_too():
    embeddings, titled = lettered(20, 64)
    artwork = find_artwork(embeddings, np.arange(16), titled[:16])
    seen = artwork.view(embeddings)
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)


def test_identical_banners_have_a_view():
    embeddings = np.tile(unit(np.ones(8)), (16, 1))
    artwork = find_artwork(embeddings, np.arange(16), embeddings)
    assert np.isfinite(artwork.view(embeddings)).all()
