from itertools import islice

import numpy as np
import pytest

from banners.vectors.artwork import Artwork
from banners.vectors.nearest import Index, quantise


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def plain(matrix: np.ndarray) -> Index:
    return Index(matrix, quantise(matrix))


def ranked(index: Index, vector: np.ndarray, count: int, without: list[int] | None = None) -> tuple[list, list]:
    """The rows and the cosines of the first `count`."""
    query = index.query(vector)
    passes = np.ones(len(index.matrix), np.bool_)
    passes[without or []] = False
    nearest = list(islice(index.nearest(query, count, passes), count))
    return [row for row, _ in nearest], [cosine for _, cosine in nearest]


def test_the_nearest_rows_are_those_of_the_exact_products():
    random = np.random.default_rng(0)
    matrix = unit(random.normal(size=(5000, 64)))
    for _ in range(50):
        vector = unit(random.normal(size=64))
        rows, cosines = ranked(plain(matrix), vector, 10)
        exact = matrix @ vector
        assert rows == np.argsort(-exact, kind="stable")[:10].tolist()
        np.testing.assert_allclose(cosines, exact[rows], atol=1e-6)


def test_eight_bits_are_within_half_a_step_of_each_number():
    matrix = unit(np.random.default_rng(0).normal(size=(3000, 32)))
    quantised = quantise(matrix)
    rough = quantised.codes * quantised.scales[:, None]
    assert quantised.codes.dtype == np.int8
    assert (np.abs(rough - matrix) <= quantised.scales[:, None] * 0.501).all()


@pytest.mark.parametrize(("rows", "within"), [(3000, 1e-3), (50_000, 0.01)])
def test_the_deviation_is_that_of_all_cosines(rows, within):
    random = np.random.default_rng(0)
    matrix, query = unit(random.normal(size=(rows, 16))), unit(random.normal(size=16))
    assert plain(matrix).deviation(query) == pytest.approx(float((matrix @ query).std()), rel=within)


def test_equal_rows_are_in_their_order_and_those_left_out_do_not_come():
    matrix = unit(np.array([[1, 0], [0, 1], [1, 0], [1, 1], [1, 0]]))
    assert ranked(plain(matrix), matrix[0], 3) == ([0, 2, 4], [1, 1, 1])
    assert ranked(plain(matrix), matrix[0], 10, without=[0, 4])[0] == [2, 3, 1]


def test_whoever_takes_more_than_announced_gets_all_rows_once_in_their_order():
    random = np.random.default_rng(0)
    matrix = unit(random.normal(size=(3000, 16)))
    index, vector = plain(matrix), unit(random.normal(size=16))
    rows = [row for row, _ in index.nearest(vector, 1)]
    assert rows == np.argsort(-(matrix @ vector), kind="stable").tolist()


def test_only_the_shortlist_of_the_exact_matrix_is_read():
    random = np.random.default_rng(0)
    matrix = unit(random.normal(size=(5000, 16)))
    read = []

    class Noted:
        def __getitem__(self, rows):
            read.extend(rows.tolist())
            return matrix[rows]

    index = Index(Noted(), quantise(matrix))
    list(islice(index.nearest(matrix[0], 10), 10))
    assert len(read) == 200


@pytest.mark.parametrize("count", [1, 5])
def test_a_catalogue_of_one_game_gives_that_one_or_none(count):
    index = plain(np.ones((1, 1), np.float32))
    assert ranked(index, index.matrix[0], count)[0] == [0]
    assert ranked(index, index.matrix[0], count, without=[0])[0] == []


def test_in_the_view_by_artwork_cosines_are_those_of_the_mapped_vectors():
    random = np.random.default_rng(0)
    matrix, vector = unit(random.normal(size=(50, 8))), unit(random.normal(size=8))
    artwork = Artwork(matrix.mean(axis=0), random.normal(size=(8, 8)).astype(np.float32), 0)
    rows, cosines = ranked(Index(matrix, quantise(matrix), artwork, artwork.lengths(matrix)), vector, 50)
    exact = artwork.view(matrix) @ artwork.view(vector[None])[0]
    np.testing.assert_allclose(cosines, exact[rows], atol=1e-5)
    assert rows == np.argsort(-exact, kind="stable").tolist()
