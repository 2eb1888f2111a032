import time
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest

from banners.catalogue import neighbours
from banners.catalogue.neighbours import nearest


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


def test_small_steps_do_not_add_up_to_a_tie():
    angles = np.arccos(1 - np.arange(1, 8) * 0.7e-6)
    embeddings = np.stack([np.cos([0, *angles[::-1]]), np.sin([0, *angles[::-1]])], axis=1).astype(np.float32)
    found = nearest(embeddings, k=7)
    own = embeddings[0] @ embeddings[found.rows[0]].T
    assert (np.diff(own) < 1.2e-6).all()
    assert found.rows[0, 0] in (6, 7)


def test_more_identical_banners_than_neighbours_still_leave_the_row_itself_out():
    found = nearest(np.ones((50, 1), np.float32), k=5)
    assert not (found.rows == np.arange(50)[:, None]).any()
    assert (found.similarities == 1).all()


def test_queries_of_another_view_search_the_plain_rows_and_leave_out_their_own():
    plain = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    mirrored = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    assert nearest(plain, k=1, queries=mirrored).rows.tolist() == [[1], [0], [1]]


def test_k_is_lowered_to_what_there_is():
    assert nearest(np.ones((3, 2), np.float32) / np.float32(2**0.5), k=100).rows.shape == (3, 2)
    assert nearest(np.ones((1, 2), np.float32), k=100).rows.shape == (1, 0)


@cache
def clustered(n: int = 9000, d: int = 24) -> np.ndarray:
    """Rows in groups, some of them identical, more than are done row by row."""
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


def test_identical_rows_among_many_are_in_the_order_of_their_numbers():
    rows = clustered()
    found = nearest(rows, k=100)
    same = np.flatnonzero((rows == rows[7]).all(axis=1))
    assert len(same) > 250
    for number in same[[0, 5, -1]]:
        assert found.rows[number].tolist() == [row for row in same.tolist() if row != number][:100]
    assert found.rows[4200, :3].tolist() == [10, 5000, 8999]


def test_a_crowd_of_identical_rows_is_found_exactly_too():
    rows = clustered().copy()
    rows[2000:7000] = rows[0]  # far more than a threshold would let through
    found = nearest(rows, k=20)
    assert found.rows[0].tolist() == list(range(2000, 2020))
    assert found.rows[3000].tolist() == [0, *range(2000, 2019)]
    _, similarities = by_definition(rows, rows, 8000, 20)
    np.testing.assert_allclose(found.similarities[8000], similarities, atol=1e-6)


def test_progress_counts_every_row_once():
    for rows in (clustered(), clustered()[:500]):
        seen = []
        nearest(rows, 5, on_progress=seen.append)
        assert sum(seen) == len(rows)


def test_similarities_are_those_of_faiss():
    import faiss

    rows = clustered()
    theirs, _ = faiss.knn(rows, rows, 51, metric=faiss.METRIC_INNER_PRODUCT)
    np.testing.assert_allclose(nearest(rows, 50).similarities, theirs[:, 1:], atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_finds_what_a_cpu_finds(monkeypatch, device):
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    monkeypatch.setattr(neighbours, "_by_torch", partial(neighbours._by_torch, device=device))
    rows = clustered()
    for asked in (None, unit(rows + 0.05)):
        ours, theirs = nearest(rows, 50, asked), nearest(rows, 50, asked, device="cuda")
        np.testing.assert_allclose(ours.similarities, theirs.similarities, atol=1e-5)
        assert (ours.rows == theirs.rows).mean() > 0.99
    same = np.flatnonzero((rows == rows[7]).all(axis=1))  # more than topk gives
    assert nearest(rows, 50, device="cuda").rows[7].tolist() == [row for row in same.tolist() if row != 7][:50]


class _Crowded:
    """A tensor on a GPU that has room for so many cells of a product and no more."""

    def __init__(self, tensor, room):
        self.tensor, self.room = tensor, room

    @property
    def T(self):
        return self.tensor.T

    def __getitem__(self, rows):
        return _Crowded(self.tensor[rows], self.room)

    def __matmul__(self, other):
        import torch

        if len(self.tensor) * other.shape[1] > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return self.tensor @ other


@pytest.mark.parametrize(("room", "by_gpu"), [(10**9, True), (10_000, True), (100, False)])
def test_a_gpu_with_little_memory_takes_smaller_blocks_or_leaves_it_to_the_cpu(monkeypatch, room, by_gpu):
    import torch

    from_numpy = torch.from_numpy
    monkeypatch.setattr(
        torch, "from_numpy", lambda array: SimpleNamespace(to=lambda _: _Crowded(from_numpy(array), room))
    )
    used = []
    by_torch = partial(neighbours._by_torch, device="cpu")
    monkeypatch.setattr(neighbours, "_by_torch", lambda *given: used.append(by_torch(*given)) or used[-1])
    rows = clustered()[:1000]
    found, expected = nearest(rows, 20, device="cuda"), nearest(rows, 20)
    assert used == [by_gpu]
    assert (found.rows == expected.rows).mean() > 0.99
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-5)


def test_all_neighbours_of_all_are_found_in_seconds():
    rows = clustered()[:2000]
    for asked in (rows, np.ones((2000, 1), np.float32)):
        started = time.process_time()
        found = nearest(asked, 1999)
        assert time.process_time() - started < 6
        assert (np.sort(found.rows[5]) == np.delete(np.arange(2000), 5)).all()
    assert (nearest(asked, 1999).rows[5] == np.delete(np.arange(2000), 5)).all()


def test_chains_of_small_steps_are_cut_where_they_exceed_a_tie():
    cosines = np.sort(np.random.default_rng(3).uniform(0.5, 0.5 + 2e-5, (50, 60)).astype(np.float32))[:, ::-1]
    for k in (1, 7, 59, 60):
        for row, runs in zip(cosines, neighbours._runs(cosines, k), strict=True):
            first, expected = row[0], [0]
            for value in row[1:k]:
                is_lower = first - value > np.float32(1e-6)
                first = value if is_lower else first
                expected.append(expected[-1] + is_lower)
            assert runs[:k].tolist() == expected
