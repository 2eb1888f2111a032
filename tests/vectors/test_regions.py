import numpy as np
import pytest

from banners.vectors import regions
from banners.vectors.regions import Basis, CodesInFile, LocalFeatures


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def random_cells(*shape: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(*shape, regions.DIMENSIONS)))


def features(cells: np.ndarray, is_wide: bool = False) -> LocalFeatures:
    basis = Basis(
        np.zeros(regions.CHANNELS, np.float32), np.eye(regions.CHANNELS, regions.DIMENSIONS, dtype=np.float32)
    )
    return LocalFeatures.of(CodesInFile(regions.to_codes(cells)), is_wide, basis)


def test_cells_are_whitened_and_of_length_one():
    random = np.random.default_rng(1)
    outputs = (random.normal(size=(5000, 80)) * np.linspace(1, 9, 80) + 3).astype(np.float32)
    basis = Basis.fit(outputs)
    cells = basis.cells(outputs)
    assert cells.shape == (5000, 32)
    np.testing.assert_allclose(np.linalg.norm(cells, axis=1), 1, atol=1e-5)
    covariance = np.cov(((outputs - basis.mean) @ basis.projection).T)
    np.testing.assert_allclose(covariance, np.eye(32), atol=0.05)


def test_a_catalogue_of_one_look_has_cells_too():
    cells = Basis.fit(np.ones((70, 80), np.float32)).cells(np.ones((70, 80), np.float32))
    assert np.isfinite(cells).all()


def test_eight_bits_keep_the_cosines():
    cells = random_cells(500)
    again = regions.to_cells(regions.to_codes(cells))
    assert (unit(again) * cells).sum(axis=1).min() > 0.999


@pytest.mark.parametrize("is_wide", [False, True])
def test_what_is_pasted_elsewhere_is_the_first_region_on_both(is_wide):
    stored = features(random_cells(40, 70), is_wide)
    rows, columns = stored.rows, stored.columns
    a, b = random_cells(70, seed=1).reshape(rows, columns, -1), random_cells(70, seed=2).reshape(rows, columns, -1)
    b[4:6, 3:5] = a[1:3, 0:2]
    first, *others = regions.shared_regions(stored, a.reshape(70, -1), b.reshape(70, -1), 5)
    assert first.a == (0, round(1 / rows, 4), round(2 / columns, 4), round(2 / rows, 4))
    assert first.b == (round(3 / columns, 4), round(4 / rows, 4), round(2 / columns, 4), round(2 / rows, 4))
    assert first.cosine > 0.99
    assert len(others) == 4
    assert all(other.cosine < 0.7 for other in others)


def test_what_every_cover_has_is_no_first_region():
    ground, sign = random_cells(1), random_cells(4, seed=9)
    cells = random_cells(40, 70)
    cells[:, :50] = ground  # of most covers, most is plain
    stored = features(cells)
    a, b = (np.repeat(ground, 70, axis=0) for _ in range(2))
    for one, corner in ((a, 14), (b, 44)):
        one[[corner, corner + 1, corner + 7, corner + 8]] = sign
    first = regions.shared_regions(stored, a, b, 3)[0]
    assert (first.a[1], first.b[1]) == (0.2, 0.6)


def test_a_part_is_found_where_it_stands():
    cells = random_cells(60, 70)
    grid = random_cells(10, 7, seed=5)
    box = (2 / 7, 0.3, 3 / 7, 0.2)  # rows 3 and 4, columns 2 to 4
    cells[7].reshape(10, 7, -1)[6:8, 1:4] = grid[3:5, 2:5]
    part = regions.part_of(grid, box, 1.0)
    assert part.cells.shape == (6, 32)
    stored = features(cells)
    scores = regions.part_scores(regions.to_codes(cells), [part])
    assert scores.shape == (60, 1)
    assert scores[:, 0].argmax() == 7
    np.testing.assert_allclose(regions.find_part(stored, 7, [part], box), (1 / 7, 0.6, 3 / 7, 0.2), atol=1e-3)


def test_the_score_of_a_part_is_the_mean_of_the_largest_cosines():
    cells, grid = random_cells(5, 70), random_cells(10, 7, seed=5)
    parts = [regions.part_of(grid, box, 1.0) for box in ((0, 0, 0.3, 0.3), (0.5, 0.5, 0.5, 0.5))]
    codes = regions.to_codes(cells)
    for number, part in enumerate(parts):
        exact = (regions.to_cells(codes) @ part.cells.T).max(axis=1).mean(axis=1)
        np.testing.assert_allclose(regions.part_scores(codes, parts)[:, number], exact, atol=1e-5)


def test_covers_with_a_part_come_in_the_order_of_all_its_cells_and_only_those_that_pass():
    cells, grid = random_cells(60, 70), random_cells(10, 7, seed=5)
    parts = [regions.part_of(grid, (0, 0, 1, 1), 1.0), regions.part_of(grid, (0.5, 0.5, 0.3, 0.3), 1.0)]
    codes = regions.to_codes(cells)
    passes = np.arange(60) % 2 == 0
    rows, scores = regions.ranked_by_part(CodesInFile(codes), parts, passes, 30)
    exact = regions.part_scores(codes, parts).max(axis=1)
    assert rows.tolist() == sorted(np.flatnonzero(passes).tolist(), key=lambda row: -exact[row])
    np.testing.assert_allclose(scores, exact[rows], atol=1e-6)
    assert len(regions.ranked_by_part(CodesInFile(codes), parts, passes, 5)[0]) == 5
    assert len(regions.ranked_by_part(CodesInFile(codes), parts, np.zeros(60, bool), 5)[0]) == 0


def test_the_smallest_box_has_a_cell_and_the_largest_not_too_many():
    grid = random_cells(10, 7)
    assert len(regions.part_of(grid, (0.01, 0.01, 0.03, 0.03), 1.0).cells) == 1
    assert len(regions.part_of(grid, (0.0, 0.0, 1.0, 1.0), 1.0).cells) == 16


def test_evidence_counts_what_few_others_have():
    cells = random_cells(100, 70)
    cells[:, 60:] = random_cells(1)  # the same on all
    told = CodesInFile(regions.to_codes(cells)).evidence(cells[3])
    assert told.nats.argmax() == 3
    assert told.nats[3] == pytest.approx(60 * np.log(100), rel=1e-4)
    assert told.share[3] == 1
    assert told.share[4] == pytest.approx(1 / 7)
    assert told.nats[4] == 0
    assert told.most == pytest.approx(told.nats[3])


def test_pairs_with_the_same_art_are_those_with_enough_evidence_both_ways():
    cells = random_cells(90, 70)
    cells[50, :55] = cells[10, :55]
    cells[20, :45] = cells[80, :45]
    cells[30, :20] = cells[40, :20]  # not enough
    codes, done = regions.to_codes(cells), []
    same = regions.same_art(codes, on_progress=done.append)
    assert same.pairs.tolist() == [[10, 50], [20, 80]]
    np.testing.assert_allclose(same.share, [55 / 70, 45 / 70], atol=1e-4)
    assert sum(done) == 90
    for (one, other), nats in zip(same.pairs, same.nats, strict=True):
        both = [
            CodesInFile(codes).evidence(regions.to_cells(codes[a])).nats[b] for a, b in ((one, other), (other, one))
        ]
        assert nats == pytest.approx(min(both), rel=1e-4)
        assert nats >= regions.same_art_evidence(90)


@pytest.mark.parametrize("count", [1, 2, 130])
def test_no_pairs_among_covers_that_differ(count):
    assert not len(regions.same_art(regions.to_codes(random_cells(count, 70))).pairs)


def test_a_banner_without_cells_is_like_no_other():
    codes = np.concatenate([np.zeros((2, 70, 32), np.int8), regions.to_codes(random_cells(10, 70))])
    assert not len(regions.same_art(codes).pairs)
    assert not CodesInFile(codes).evidence(random_cells(70, seed=3)).nats[:2].any()


def test_detail_is_what_differs_from_place_to_place():
    assert regions.has_detail(random_cells(70))
    assert not regions.has_detail(unit(random_cells(1) + 0.05 * random_cells(70, seed=1)))
