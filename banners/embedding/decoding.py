"""Banner files to an encoder's pixels, in batches, by threads: Pillow decodes and resizes without Python's lock."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from itertools import repeat

import numpy as np
import numpy.typing as npt
from PIL import Image

from banners.errors import UnusableImage
from banners.games_csv import Banner
from banners.images import Preprocessing, decode, read

Pixels = npt.NDArray[np.uint8]
Draw = Callable[[Banner, Image.Image], Image.Image]

_AHEAD = 3  # batches that are decoded while one is encoded


@dataclass(frozen=True)
class Decoded:
    """What an image was: the hash of its file's bytes, the digest of its pixels, which is that of identical pictures in
    files of any format, and its width and height."""

    content: bytes
    digest: bytes
    size: tuple[int, int]


Result = tuple[Banner, Decoded | str]  # a banner, and what it was or why it is not usable


def content_hash(data: bytes) -> bytes:
    """16 bytes that name the content of a file."""
    return blake2b(data, digest_size=16).digest()


def decode_batches(
    banners: Sequence[Banner],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int | None = None,
    draw: Draw | None = None,
) -> Iterator[tuple[list[Result], Pixels]]:
    """Decode `banners` in their order by `workers` threads, some batches ahead of the one that is used; `draw` changes
    an image before it is fitted to the encoder. What is held does not depend on how many there are.

    Yields the results of each batch and uint8 (batch_size, H, W, 3) whatever their number; the row of a banner that is
    not usable is zeros.
    """

    def decode_into(pixels: Pixels, row: int, banner: Banner) -> Result:
        # JPEG's own scaling while decoding (Pillow's `draft`) would be faster for large banners, and is no better than
        # a cosine of 0.9997 to this even where it leaves twice the encoder's size; 0.9999 is what counts as the same.
        try:
            data = read(banner.path)
            image = decode(BytesIO(data))
        except UnusableImage as error:
            return banner, str(error)
        digest = blake2b(image.tobytes(), digest_size=16, key=b"%dx%d" % image.size).digest()
        pixels[row] = preprocessing.pixels(draw(banner, image) if draw else image)
        return banner, Decoded(content_hash(data), digest, image.size)

    pending: deque[tuple[Iterator[Result], Pixels]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for start in range(0, len(banners), batch_size):
            batch = banners[start : start + batch_size]
            pixels = np.zeros((batch_size, preprocessing.height, preprocessing.width, 3), np.uint8)
            pending.append((pool.map(decode_into, repeat(pixels), range(batch_size), batch), pixels))
            if len(pending) > _AHEAD:
                results, pixels = pending.popleft()
                yield list(results), pixels
        for results, pixels in pending:
            yield list(results), pixels
    finally:
        pool.shutdown(cancel_futures=True)  # who interrupts does not wait for what nobody will use
