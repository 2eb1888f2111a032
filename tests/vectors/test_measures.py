import numpy as np
import pytest

from banners.vectors.measures import (
    random_similarity,
    rare_similarities,
    unique_first,
    weak_below,
)


def test_the_most_unique_is_the_least_similar_to_its_first_neighbour_and_ties_keep_their_order():
    assert unique_first(np.array([0.9, 0.2, 0.9, 0.5], np.float32)).tolist() == [1, 3, 0, 2]


def test_random_pairs_never_pair_a_row_with_itself():
    opposites = np.array([[1, 0], [-1, 0]], np.float32)
    assert random_similarity(opposites) == -1


def test_random_pairs_measure_the_level_of_unrelated_banners():
    assert random_similarity(np.array([[1, 0], [0.6, 0.8]], np.float32)) == pytest.approx(0.6)


def test_one_row_has_no_pairs():
    assert random_similarity(np.ones((1, 1), np.float32)) is None


def test_a_match_is_weak_where_nine_games_in_ten_have_a_nearer_neighbour():
    first = np.arange(11, dtype=np.float32)[:, None] / 10
    assert weak_below(first) == pytest.approx(0.1)


def test_rare_similarities_are_reached_by_one_in_so_many_pairs():
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(500, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rare = rare_similarities(embeddings)
    products = (embeddings @ embeddings.T)[np.triu_indices(500, 1)]
    for rarity, similarity in zip((10, 100, 1000, 10_000), rare, strict=True):
        assert (products >= similarity).mean() == pytest.approx(1 / rarity, rel=0.2)
    assert len(rare_similarities(embeddings[:10])) == 1  # 45 pairs
    assert rare_similarities(embeddings[:1]) == []
