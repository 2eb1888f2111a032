"""Banner files to an encoder's pixels, in batches, by threads: Pillow decodes and resizes without Python's lock."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO

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


@dataclass(frozen=True)
class Batch:
    """`pixels`: uint8 (B, H, W, 3), B as asked for whatever the number of `banners`; row i is that of `banners[i]`, or
    zeros where `results[i]` is the reason why it has none."""

    banners: Sequence[Banner]
    results: Sequence[Decoded | str]
    pixels: Pixels


def content_hash(data: bytes) -> bytes:
    """16 bytes that name the content of a file."""
    return blake2b(data, digest_size=16).digest()


def decode_batches(
    banners: Sequence[Banner],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int | None = None,
    draw: Draw | None = None,
) -> Iterator[Batch]:
    """Decode `banners` in their order by `workers` threads, some batches ahead of the one that is used; `draw` changes
    an image before it is fitted to the encoder. What is held does not depend on how many there are."""

    def decode_into(pixels: Pixels, row: int, banner: Banner) -> Decoded | str:
        # JPEG's own scaling while decoding (Pillow's `draft`) would be faster for large banners, and is no better than
        # a cosine of 0.9997 to this even where it leaves twice the encoder's size; 0.9999 is what counts as the same.
        try:
            data = read(banner.path)
            image = decode(BytesIO(data))
        except UnusableImage as error:
            return str(error)
        digest = blake2b(image.tobytes(), digest_size=16, key=b"%dx%d" % image.size).digest()
        pixels[row] = preprocessing.pixels(draw(banner, image) if draw else image)
        return Decoded(content_hash(data), digest, image.size)

    pending: deque[tuple[Sequence[Banner], Iterator[Decoded | str], Pixels]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for start in range(0, len(banners), batch_size):
            batch = banners[start : start + batch_size]
            pixels = np.zeros((batch_size, preprocessing.height, preprocessing.width, 3), np.uint8)
            pending.append((batch, pool.map(decode_into, [pixels] * len(batch), range(len(batch)), batch), pixels))
            if len(pending) > _AHEAD:
                batch, results, pixels = pending.popleft()
                yield Batch(batch, list(results), pixels)
        for batch, results, pixels in pending:
            yield Batch(batch, list(results), pixels)
    finally:
        pool.shutdown(cancel_futures=True)  # who interrupts does not wait for what nobody will use
