import numpy as np
import pytest

from banners.catalogue.vectors import nearest_to, quantise


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def test_the_nearest_rows_are_those_of_the_exact_products():
    random = np.random.default_rng(0)
    matrix = unit(random.normal(size=(5000, 64)))
    quantised = quantise(matrix)
    for _ in range(50):
        vector = unit(random.normal(size=64))
        rows, cosines = nearest_to(vector, matrix, quantised @ vector, 10)
        exact = matrix @ vector
        assert rows.tolist() == np.argsort(-exact, kind="stable")[:10].tolist()
        np.testing.assert_allclose(cosines, exact[rows], atol=1e-6)


def test_eight_bits_are_within_half_a_step_of_each_number():
    matrix = unit(np.random.default_rng(0).normal(size=(3000, 32)))
    quantised = quantise(matrix)
    rough = quantised.codes * quantised.scales[:, None]
    assert quantised.codes.dtype == np.int8
    assert (np.abs(rough - matrix) <= quantised.scales[:, None] * 0.501).all()


def test_equal_rows_are_in_their_order_and_those_left_out_do_not_come():
    matrix = unit(np.array([[1, 0], [0, 1], [1, 0], [1, 1], [1, 0]]))
    rows, cosines = nearest_to(matrix[0], matrix, quantise(matrix) @ matrix[0], 3)
    assert rows.tolist() == [0, 2, 4]
    assert cosines.tolist() == [1, 1, 1]
    rows, _ = nearest_to(matrix[0], matrix, quantise(matrix) @ matrix[0], 10, without=np.array([0, 4, 4]))
    assert rows.tolist() == [2, 3, 1]


@pytest.mark.parametrize("count", [1, 5])
def test_a_catalogue_of_one_game_gives_that_one_or_none(count):
    matrix = np.ones((1, 1), np.float32)
    assert nearest_to(matrix[0], matrix, quantise(matrix) @ matrix[0], count)[0].tolist() == [0]
    assert nearest_to(matrix[0], matrix, quantise(matrix) @ matrix[0], count, without=np.array([0]))[0].tolist() == []
