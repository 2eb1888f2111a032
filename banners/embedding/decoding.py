"""Banner files to an encoder's pixels, by worker processes, in batches that lie in shared memory."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.errors import UnusableImage
from banners.games_csv import Banner
from banners.images import Preprocessing, decode, read
from banners.processes import begin_worker, end_with

Pixels = npt.NDArray[np.uint8]

_AHEAD = 3  # batches that are decoded while one is encoded
_CHUNK = 16  # images that one worker decodes before it reports


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
    anything where `results[i]` is the reason why it has none. It is overwritten when the next batch is taken."""

    banners: Sequence[Banner]
    results: Sequence[Decoded | str]
    pixels: Pixels


def content_hash(data: bytes) -> bytes:
    """16 bytes that name the content of a file."""
    return blake2b(data, digest_size=16).digest()


def decode_bytes(data: bytes, preprocessing: Preprocessing) -> tuple[Decoded, Pixels]:
    """Decode the bytes of a file and fit them to an encoder: uint8 (H, W, 3). Raises `UnusableImage`."""
    # JPEG's own scaling while decoding (Pillow's `draft`) would be faster for large banners, and is no better than a
    # cosine of 0.9997 to this even where it leaves twice the encoder's size; 0.9999 is what counts as the same.
    image = decode(BytesIO(data))
    digest = blake2b(image.tobytes(), digest_size=16, key=b"%dx%d" % image.size).digest()
    return Decoded(content_hash(data), digest, image.size), preprocessing.pixels(image)


def decode_batches(
    banners: Sequence[Banner], preprocessing: Preprocessing, batch_size: int, workers: int
) -> Iterator[Batch]:
    """Decode `banners` in their order, some batches ahead of the one that is used.

    What is held does not depend on how many there are. Raises `concurrent.futures.process.BrokenProcessPool` when a
    worker is killed.
    """
    batches = [banners[start : start + batch_size] for start in range(0, len(banners), batch_size)]
    slots = min(_AHEAD, len(batches)) + 1
    shape = (slots, batch_size, preprocessing.height, preprocessing.width, 3)
    # Not forked from this process: it has threads, torch's among them, and may hold a GPU.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    memory = context.RawArray("B", int(np.prod(shape)))
    pixels = np.frombuffer(memory, np.uint8).reshape(shape)
    chunk = max(1, min(_CHUNK, ceil(batch_size / workers)))
    # No more workers than there are chunks to decode at the same time.
    most = ceil(len(batches[0]) / chunk) * slots if batches else 1
    pool = ProcessPoolExecutor(
        min(workers, most), context, initializer=_begin, initargs=(memory, shape, preprocessing, os.getpid())
    )

    def submit(number: int) -> list[Future[list[Decoded | str]]]:
        paths = [banner.path for banner in batches[number]]
        return [
            pool.submit(_decode_into, number % slots, first, paths[first : first + chunk])
            for first in range(0, len(paths), chunk)
        ]

    try:
        pending = deque(submit(number) for number in range(min(slots - 1, len(batches))))
        for number, batch in enumerate(batches):
            results = [result for future in pending.popleft() for result in future.result()]
            following = number + slots - 1  # its slot is that of the batch before this one, which is used up
            if following < len(batches):
                pending.append(submit(following))
            yield Batch(batch, results, pixels[number % slots])
    finally:
        with suppress(RuntimeError):  # interrupted before its threads were started
            pool.shutdown(cancel_futures=True)


_worker: dict[str, Any] = {}  # of a worker process: where it writes, and how


def _begin(memory: Any, shape: tuple[int, ...], preprocessing: Preprocessing, program: int) -> None:
    begin_worker()
    end_with(program)
    _worker.update(pixels=np.frombuffer(memory, np.uint8).reshape(shape), preprocessing=preprocessing)


def _decode_into(slot: int, first: int, paths: Sequence[Path]) -> list[Decoded | str]:
    results: list[Decoded | str] = []
    for place, path in enumerate(paths, first):
        try:
            decoded, _worker["pixels"][slot, place] = decode_bytes(read(path), _worker["preprocessing"])
            results.append(decoded)
        except UnusableImage as error:
            results.append(str(error))
    return results
