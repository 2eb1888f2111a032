"""Altered copies of banners, and their embeddings as queries of the catalogue have them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from banners.build.titles import draw_title
from banners.catalogue.query_encoder import QueryEncoder
from banners.errors import UnusableImage
from banners.games_csv import Banner
from banners.images import decode

KINDS = ("altered", "foreign_title", "large_foreign_title")


@dataclass(frozen=True)
class Sample:
    """Copies of the banners `rows`. `foreign` are the rows of the games whose titles are drawn, -1 if it is the same.
    `vectors`: float32 (m, d) for each of `KINDS`."""

    rows: tuple[int, ...]
    foreign: tuple[int, ...]
    vectors: dict[str, npt.NDArray[np.float32]]


def embed_copies(encoder: QueryEncoder, banners: Iterable[tuple[int, Banner]], names: Sequence[str]) -> Sample:
    """Embed three copies of each of `banners`, which are given with their rows. `names` are those of all rows; titles
    are drawn from those that Latin, Greek or Cyrillic typefaces can show."""
    random = np.random.default_rng(2026)
    showable = [row for row, name in enumerate(names) if name and all(ord(letter) < 0x500 for letter in name)]
    rows, foreign, vectors = [], [], []
    for row, banner in banners:
        try:
            image = decode(banner.path)
        except UnusableImage:
            continue
        other = int(random.choice(showable)) if showable else row
        copies = (
            altered(image, random),
            draw_title(image, names[other] or "Untitled", random),
            draw_title(image, names[other] or "Untitled", random, is_large=True),
        )
        vectors.append([encoder.picture(copy) for copy in copies])
        rows.append(row)
        foreign.append(other if other != row else -1)
    stacked = np.array(vectors, np.float32).reshape(len(rows), len(KINDS), encoder.dim)
    return Sample(tuple(rows), tuple(foreign), {kind: stacked[:, place] for place, kind in enumerate(KINDS)})


def altered(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A copy that lost up to 6 % at each side, is lighter or darker, and was saved as a poor JPEG."""
    left, top, right, bottom = random.uniform(0, 0.06, 4)
    box = (
        round(left * image.width),
        round(top * image.height),
        max(round((1 - right) * image.width), 1),
        max(round((1 - bottom) * image.height), 1),
    )
    copy = ImageEnhance.Brightness(image.crop(box)).enhance(random.uniform(0.75, 1.3))
    file = BytesIO()
    copy.save(file, "JPEG", quality=40)
    return decode(file)
