"""The measures of an evaluation."""

import numpy as np
import pytest

from banners.audit import Examination, near_duplicates
from banners.evaluation import (
    figure,
    hubness,
    identical_first,
    lift,
    overlap,
    ranks,
    series_scores,
    title_words,
)


def alone(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


def test_a_series_is_found_by_its_first_neighbour_and_among_ten():
    neighbours = np.array([[1, 2, 3], [2, 3, 0], [3, 0, 1], [0, 1, 2]], np.int32)
    found = series_scores(neighbours, ["a", "a", "a", None], alone(4))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.first.tolist() == [1, 1, 0]
    assert found.recall.tolist() == [1, 1, 1]
    assert found.precision.tolist() == pytest.approx([1, (1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])


def test_near_duplicates_neither_count_nor_stand_in_the_way():
    neighbours = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]], np.int32)
    groups = np.array([0, 0, 2, 3], np.int32)
    found = series_scores(neighbours, ["a", "a", "a", None], groups)
    assert found.first.tolist() == [1, 1, 1]
    assert series_scores(neighbours, ["a", "a", None, None], groups).rows.tolist() == []


def test_an_interval_is_by_whole_clusters():
    values = np.repeat([0.0, 1.0], 50)
    single, whole = figure("x", values), figure("x", values, np.repeat([0, 1], 50).astype(np.intp))
    assert (single["x"], whole["x"]) == (0.5, 0.5)
    assert np.ptp(single["x_interval"]) < 0.3
    assert whole["x_interval"] == [0, 1]
    assert figure("x", np.empty(0)) == {"x": None, "x_interval": None}


def test_hubs_and_orphans():
    assert hubness(np.array([[1], [0], [0], [0]], np.int32)) == {"largest": 3, "orphans": 0.5}


def test_a_lift_is_against_chance():
    words = [frozenset("a"), frozenset("a"), frozenset("b"), frozenset("b"), frozenset()]
    found = lift(np.array([[1], [0], [3], [2], [0]], np.int32), words)
    assert found["share"] == 1
    assert found["chance"] == pytest.approx(1 / 3, abs=0.01)
    assert found["times"] == pytest.approx(3, abs=0.1)
    assert lift(np.array([[1], [0]], np.int32), [frozenset(), frozenset("a")]) is None


def test_title_words_are_no_numbers_and_not_short():
    assert title_words("The Witcher® 3: Wild Hunt and a 1942") == {"witcher", "wild", "hunt"}


def test_overlap_is_of_the_first_ten():
    one = np.arange(1, 21, dtype=np.int32)[None]
    assert overlap(one, np.r_[1:6, 30:35][None]) == 0.5
    assert overlap(one[:, :0], one) == 0


def test_ranks_count_those_that_are_nearer():
    embeddings = np.eye(3, dtype=np.float32)
    asked = np.array([[0.1, 0.9, 0.2], [0.9, 0.1, 0.2]], np.float32)
    found = ranks(lambda vector: embeddings @ vector, asked, [1, 1], [0, -1], alone(3))
    assert found.own.tolist() == [1, 3]
    assert found.foreign.tolist() == [3, 0]
    assert found.intruded == 0.5
    identical = np.array([0, 0, 2], np.int32)
    assert ranks(lambda vector: embeddings @ vector, asked, [1, 1], [-1, -1], identical).own.tolist() == [1, 1]


def test_near_duplicates_are_joined_by_their_perceptual_hashes():
    hashes = [0b0, 0b11, 0b1111111, 0b0, 0b0]
    images = [Examination(row, "", b"", perceptual_hash=value) for row, value in enumerate(hashes)]
    images[3] = Examination(3, "", b"", "unreadable")
    images[4] = Examination(4, "", b"", blank_level=7)
    assert near_duplicates(images).tolist() == [0, 0, 2, 3, 4]


def test_identical_banners_should_be_each_others_first_match():
    images = [Examination(appid, "", content) for appid, content in enumerate([b"x", b"y", b"x", b"x", b"", b""])]
    neighbours = np.array([[2, 1], [0, 2], [1, 0], [0, 2], [5, 0], [4, 0]], np.int32)
    found = identical_first(neighbours, images)
    assert found["identical_banner_first"] == 2 / 3
