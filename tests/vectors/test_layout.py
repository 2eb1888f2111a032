"""Vectors on a grid: like beside like, the same each time, and most of it where it was."""

import numpy as np
import pytest

from banners.vectors import layout
from banners.vectors.layout import Grid
from banners.vectors.neighbours import Neighbours


def clusters(count: int, seed: int = 0) -> np.ndarray:
    """Rows around 12 centres: float32 (count, 32)."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (12, 32))
    return (centres[np.arange(count) % 12] + random.normal(0, 0.2, (count, 32))).astype(np.float32)


def test_a_grid_has_room_to_spare_and_is_about_three_to_two_as_a_picture():
    for count, aspect in ((1, 2 / 3), (741, 2 / 3), (29_982, 2 / 3), (5_000, 460 / 215)):
        grid = Grid.of(count, aspect)
        assert count <= len(grid) <= 1.1 * count + 2
        if count > 100:
            assert grid.columns * aspect / grid.rows == pytest.approx(1.5, rel=0.1)


def test_every_row_has_a_cell_of_its_own_and_like_is_beside_like():
    features = clusters(500)
    grid = Grid.of(500, 2 / 3)
    cells = layout.arrange(features, grid)
    assert len(set(cells.tolist())) == 500
    assert cells.min() >= 0
    assert cells.max() < len(grid)
    assert layout.order(features, cells, grid) > 0.6
    assert layout.order(features, np.random.default_rng(1).permutation(len(grid))[:500], grid) < 0.1
    np.testing.assert_array_equal(layout.arrange(features, grid), cells)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_a_few_rows_are_laid_out_too(count):
    features, grid = clusters(count), Grid.of(count, 2 / 3)
    cells = layout.arrange(features, grid)
    assert len(set(cells.tolist())) == count
    assert np.isfinite(layout.order(features, cells, grid))


def test_rows_that_are_each_others_nearest_are_drawn_together():
    features = np.array([[0], [2], [9]], np.float32)
    near = Neighbours(np.array([[1], [0], [1]], np.int32), np.array([[0.9], [0.9], [0.5]], np.float32))
    drawn = layout.gathered(features, near)
    assert abs(drawn[0, 0] - drawn[1, 0]) < 1
    assert drawn[2, 0] == 9
    alone = Neighbours(np.empty((3, 0), np.int32), np.empty((3, 0), np.float32))
    assert layout.gathered(features, alone).tolist() == features.tolist()


def test_new_rows_take_free_cells_beside_their_like_and_no_other_moves():
    features, grid = clusters(500), Grid.of(520, 2 / 3)
    before = layout.arrange(features[:490], grid)
    cells = layout.extend(features, np.concatenate([before, np.full(10, -1)]), grid)
    np.testing.assert_array_equal(cells[:490], before)
    assert len(set(cells.tolist())) == 500


def test_on_a_larger_grid_most_rows_stay_near_their_place():
    features, old, new = clusters(600), Grid.of(500, 2 / 3), Grid.of(600, 2 / 3)
    before = layout.arrange(features[:500], old)
    places = np.full((600, 2), np.nan, np.float32)
    places[:500] = (np.stack([before % old.columns, before // old.columns], 1) + 0.5) / (old.columns, old.rows)
    start = layout.transfer(features, places, new)
    assert len(set(start.tolist())) == 600
    cells = layout.arrange(features, new, start)
    after = (np.stack([cells % new.columns, cells // new.columns], 1) + 0.5) / (new.columns, new.rows)
    moved = (np.abs(after[:500] - places[:500]).max(axis=1) > 0.1).mean()
    assert moved < 0.35
    assert layout.order(features, cells, new) > 0.6


def test_identical_pictures_are_side_by_side():
    grid = Grid(8, 6)
    cells = np.random.default_rng(3).permutation(48)[:45]
    together = layout.side_by_side(cells, [[0, 17], [3, 9, 30, 41]], grid)
    assert len(set(together.tolist())) == 45
    for group in ([0, 17], [3, 9, 30, 41]):
        y, x = np.divmod(together[group], grid.columns)
        assert max(np.ptp(x), np.ptp(y)) <= 2


def test_components_keep_the_distances_that_matter():
    random = np.random.default_rng(0)
    embeddings = (random.normal(0, 1, (300, 80)) * np.r_[np.ones(8), np.full(72, 0.01)]).astype(np.float32)
    features = layout.principal_components(embeddings)
    assert features.shape == (300, 64)
    far = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(features[:, None] - features[None], axis=2), far, atol=0.1)
