import numpy as np

from banners.neighbours import nearest


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
