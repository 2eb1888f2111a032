"""Embeddings of a sample of banners with a random title drawn on each."""

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
from PIL import Image

from banners.embedding import Embedded, embed, encode_with
from banners.embedding.store import Rows
from banners.encoders import Encoder
from banners.games_csv import Banner
from banners.titles import draw_title, random_title

SAMPLE = 300  # banners, or a sixth of them if that is fewer
LEAST = 16  # fewer show nothing, and it is a quarter at most


def sample(banners: Sequence[Banner]) -> list[Banner]:
    """The banners that get a title: the same ones when others are added, as far as possible."""
    count = min(SAMPLE, max(LEAST, len(banners) // 6)) if len(banners) >= 4 * LEAST else 0
    by_chance = sorted(banners, key=lambda banner: crc32(b"%d" % banner.appid))[:count]
    return sorted(by_chance, key=lambda banner: banner.appid)


def embed_titled(
    banners: Sequence[Banner],
    encoder: Encoder,
    rows: Rows,
    batch_size: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """Draw a title on each of `banners`, which are sorted by appid and have plain `rows`, and embed the results, except
    those that `rows` has already. The embeddings are those of the view "titled"."""
    return embed(encode_with(encoder, batch_size, draw=_with_title), banners, rows, ("titled",), on_progress)


def _with_title(banner: Banner, image: Image.Image) -> Image.Image:
    random = np.random.default_rng(banner.appid)
    return draw_title(image, random_title(random), random, is_large=True)
