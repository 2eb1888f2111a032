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


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image: the hash of its file, the digest of its pixels, and its width and height. Identical pictures
    have the same digest in any format."""

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
    """Decode `banners` in their order with `workers` threads, `_AHEAD` batches ahead. Memory does not depend on the
    number of banners. `draw` changes an image before it is fitted to the encoder.

    Yields the results of each batch, and its pixels: uint8 (batch_size, H, W, 3), even if it has fewer banners. Rows
    without a usable banner are zeros.
    """

    def decode_into(pixels: Pixels, row: int, banner: Banner) -> Result:
        # Pillow's `draft`, which scales a JPEG while decoding it, would be faster for large banners. But its embeddings
        # have a cosine of at most 0.9997 to these, even at twice the encoder's size; 0.9999 counts as the same.
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
        pool.shutdown(cancel_futures=True)  # an interrupt drops the batches decoded ahead
