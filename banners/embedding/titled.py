"""Embeddings of a sample of banners with a random title drawn on each."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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

    def drawn(banner: Banner) -> tuple[Decoded, npt.NDArray[np.uint8] | None] | None:
        """A banner with its title; no pixels if `rows` has its embedding. None if the banner cannot be decoded."""
        try:
            data = read(banner.path)
            content = content_hash(data)
            if known.get(banner.appid) == content:
                return Decoded(content, b"", (0, 0)), None
            image = decode(BytesIO(data))
        except UnusableImage:
            return None
        random = np.random.default_rng(banner.appid)
        titled = draw_title(image, random_title(random), random, is_large=True)
        return Decoded(content, b"", image.size), encoder.preprocessing.pixels(titled)

    with ThreadPoolExecutor() as pool:
        for banner, made in zip(banners, pool.map(drawn, banners), strict=True):
            if made is None:  # the others will do
                continue
            done.append(banner.appid)
            source, pixels = made
            if pixels is not None:
                waiting.append((banner.appid, source, pixels))
            on_progress(1)
            if len(waiting) == batch_size:
                embed_waiting()
    embed_waiting()
    return done, rows.assemble(TITLED, done)
