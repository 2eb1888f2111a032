"""Embeddings of a sample of banners with a random title drawn on each."""

from collections.abc import Callable, Sequence
from io import BytesIO
from zlib import crc32

import numpy as np
import numpy.typing as npt

from banners.embedding.decoding import Decoded, content_hash
from banners.embedding.store import TITLED, Rows
from banners.encoders import Encoder
from banners.errors import UnusableImage
from banners.games_csv import Banner
from banners.images import decode, read
from banners.titles import draw_title, random_title

SAMPLE = 300  # banners, or a quarter of them if there are fewer
LEAST = 16  # fewer show nothing


def sample(banners: Sequence[Banner]) -> list[Banner]:
    """The banners that get a title: the same ones when others are added, as far as possible."""
    count = min(SAMPLE, len(banners) // 4)
    by_chance = sorted(banners, key=lambda banner: crc32(b"%d" % banner.appid))[:count]
    return sorted(by_chance, key=lambda banner: banner.appid) if count >= LEAST else []


def embed_titled(
    banners: Sequence[Banner],
    encoder: Encoder,
    rows: Rows,
    batch_size: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[int], npt.NDArray[np.float32]]:
    """Draw a title on each of `banners`, which are sorted by appid, and embed the results, except those that `rows` has
    already. Returns the appids of the usable ones and their embeddings: float32 (m, d), L2-normalised."""
    known = rows.contents(TITLED)
    done: list[int] = []
    waiting: list[tuple[int, Decoded, npt.NDArray[np.uint8]]] = []

    def embed_waiting() -> None:
        if waiting:
            appids, sources, pixels = zip(*waiting, strict=True)
            rows.add(TITLED, appids, sources, encoder.embed(np.stack(pixels)))
            waiting.clear()

    for banner in banners:
        try:
            data = read(banner.path)
            content = content_hash(data)
            if known.get(banner.appid) != content:
                image = decode(BytesIO(data))
                random = np.random.default_rng(banner.appid)
                drawn = draw_title(image, random_title(random), random, is_large=True)
                waiting.append((banner.appid, Decoded(content, b"", image.size), encoder.preprocessing.pixels(drawn)))
        except UnusableImage:  # it was usable a moment ago; the others will do
            continue
        done.append(banner.appid)
        on_progress(1)
        if len(waiting) == batch_size:
            embed_waiting()
    embed_waiting()
    return done, rows.assemble(TITLED, done)
