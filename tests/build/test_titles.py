"""Titles drawn on banners."""

import numpy as np
import pytest
from PIL import Image

from banners.build.titles import draw_title, random_title


@pytest.mark.parametrize(
    "title", ["Portal", "A much longer title of several words", "é", "Ночной Экспресс", "五十", "x" * 300]
)
@pytest.mark.parametrize("size", [(300, 450), (460, 215), (20, 1000), (1, 1)])
def test_a_title_is_drawn_on_a_copy_of_the_same_size(title, size):
    image = Image.new("RGB", size, (100, 100, 100))
    for is_large in (False, True):
        drawn = draw_title(image, title, np.random.default_rng(0), is_large=is_large)
        assert drawn.size == size
        assert set(image.tobytes()) == {100}
        if size == (300, 450):
            assert drawn.tobytes() != image.tobytes()


def test_titles_are_the_same_for_the_same_random_numbers_and_of_several_scripts():
    titles = [random_title(np.random.default_rng(seed)) for seed in range(100)]
    assert titles == [random_title(np.random.default_rng(seed)) for seed in range(100)]
    assert 10 < sum(not title.isascii() for title in titles) < 60
