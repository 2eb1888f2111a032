import time
from functools import cache

import numpy as np
import pytest

from banners.vectors.neighbours import approximate, nearest, search_by


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_identical_banners_are_each_others_neighbour_and_never_their_own():
    embeddings = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert nearest(embeddings, k=1).rows[:2].tolist() == [[1], [0]]


def test_neighbours_are_those_of_a_plain_sort_of_all_similarities():
    embeddings = unit(np.random.default_rng(0).normal(size=(200, 16)))
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    found = nearest(embeddings, k=7)
    assert np.array_equal(found.rows, np.argsort(-similarities, axis=1)[:, :7])
    np.testing.assert_allclose(
        found.similarities, np.take_along_axis(similarities, found.rows.astype(int), axis=1), atol=1e-6
    )
    assert found.rows.dtype == np.int32
    assert found.similarities.dtype == np.float32


def test_ties_are_in_the_order_of_the_rows():
    embeddings = unit(np.random.default_rng(0).normal(size=(3, 64)))[[2, 0, 1, 0, 0, 1, 0]]
    rows = nearest(embeddings, k=6).rows
    assert rows[3, :3].tolist() == [1, 4, 6]
    assert rows[2, 0] == 5
    assert [row for row in rows[0].tolist() if row in (1, 3, 4, 6)] == [1, 3, 4, 6]


def test_more_identical_banners_than_neighbours_still_leave_the_row_itself_out():
    found = nearest(np.ones((50, 1), np.float32), k=5)
    assert not (found.rows == np.arange(50)[:, None]).any()
    assert (found.similarities == 1).all()


def test_queries_of_another_view_search_the_plain_rows_and_leave_out_their_own():
    plain = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    mirrored = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    assert nearest(plain, k=1, queries=mirrored).rows.tolist() == [[1], [0], [1]]


def test_an_approximate_search_tells_its_recall_and_leaves_no_row_short():
    rows = clustered()
    search, recall = approximate(rows)
    exact, found = nearest(rows, 20), nearest(rows, 20, search=search)
    assert recall >= 0.98
    shared = [len(np.intersect1d(*pair)) for pair in zip(exact.rows[:, :10], found.rows[:, :10], strict=True)]
    assert np.mean(shared) / 10 >= 0.95
    assert (found.rows >= 0).all()
    assert not (found.rows == np.arange(len(rows))[:, None]).any()
    most = 3000  # more than the lists that are looked into have
    for ours, theirs in zip(search(rows, most), search_by(rows, "cpu")(rows, most), strict=True):
        assert np.array_equal(ours, theirs)


def test_where_many_lists_would_be_needed_there_is_no_approximate_search():
    rows = np.random.default_rng(0).standard_normal((4000, 64), dtype=np.float32)
    assert approximate(rows / np.linalg.norm(rows, axis=1, keepdims=True)) is None


def test_k_is_lowered_to_what_there_is():
    assert nearest(np.ones((3, 2), np.float32) / np.float32(2**0.5), k=100).rows.shape == (3, 2)
    assert nearest(np.ones((1, 2), np.float32), k=100).rows.shape == (1, 0)


@cache
def clustered(n: int = 9000, d: int = 24) -> np.ndarray:
    """Rows in groups, some of them identical."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, d))
    rows = unit(centres[random.integers(0, 40, n)] + 0.4 * random.normal(size=(n, d)))
    rows[random.integers(0, n, 300)] = rows[7]
    rows[[10, 5000, 8999]] = rows[4200]
    return rows


def by_definition(rows: np.ndarray, asked: np.ndarray, number: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    similarities = asked[number].astype(np.float64) @ rows.T.astype(np.float64)
    similarities[number] = -np.inf
    order = np.argsort(-similarities, kind="stable")[:k]
    return order, similarities[order]


@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_many_rows_have_exactly_the_neighbours_that_all_similarities_give(view, k):
    rows = clustered()
    asked = unit(rows + 0.05 * np.random.default_rng(1).normal(size=rows.shape)) if view else rows
    found = nearest(rows, k, asked if view else None)
    assert found.rows.shape == found.similarities.shape == (9000, k)
    for number in [0, 7, 10, 4095, 4096, 4200, 5000, 8191, 8192, 8999, *range(100, 9000, 301)]:
        order, similarities = by_definition(rows, asked, number, k)
        np.testing.assert_allclose(found.similarities[number], similarities, atol=1e-6)
        # Names may differ from those of float64 only where similarities are equal but for noise.
        differing = found.rows[number] != order
        own = asked[number].astype(np.float64) @ rows[found.rows[number][differing]].T.astype(np.float64)
        np.testing.assert_allclose(own, similarities[differing], atol=2e-6)
        assert len(set(found.rows[number].tolist()) - {number}) == k


def test_progress_counts_every_row_once():
    for rows in (clustered(), clustered()[:500]):
        seen = []
        nearest(rows, 5, on_progress=seen.append)
        assert sum(seen) == len(rows)


def test_a_gpu_finds_what_a_cpu_finds():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rows = clustered()
    for asked in (None, unit(rows + 0.05)):
        ours, theirs = nearest(rows, 50, asked), nearest(rows, 50, asked, device="cuda")
        np.testing.assert_allclose(ours.similarities, theirs.similarities, atol=1e-5)
        assert (ours.rows == theirs.rows).mean() > 0.99


def test_identical_rows_among_many_are_in_the_order_of_their_numbers():
    found = nearest(clustered(), k=100)
    assert found.rows[4200, :3].tolist() == [10, 5000, 8999]


def test_a_row_with_more_identical_ones_than_neighbours_has_only_such():
    rows = clustered()
    same = np.flatnonzero((rows == rows[7]).all(axis=1))
    assert len(same) > 250
    found = nearest(rows, k=100).rows[same]
    assert np.isin(found, same).all()
    assert not (found == same[:, None]).any()


def test_all_neighbours_of_all_are_found_in_seconds():
    rows = clustered()[:2000]
    for asked in (rows, np.ones((2000, 1), np.float32)):
        started = time.process_time()
        found = nearest(asked, 1999)
        assert time.process_time() - started < 6
        assert (np.sort(found.rows[5]) == np.delete(np.arange(2000), 5)).all()
    assert (nearest(asked, 1999).rows[5] == np.delete(np.arange(2000), 5)).all()
