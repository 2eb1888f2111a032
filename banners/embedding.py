"""A banners folder to vectors: decode in threads, encode in batches, and let nothing lose its appid."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

import numpy as np
import numpy.typing as npt

from banners.encoders import Encoder
from banners.errors import UnusableImage
from banners.images import Preprocessing, decode
from banners.records import Banner
from banners.views import TRANSFORMS, View

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Decoded:
    """`pixels`: the encoder's input, uint8 (H, W, 3). `size` and `digest` are of the whole image it was made from."""

    pixels: npt.NDArray[np.uint8]
    size: Size
    digest: bytes


@dataclass(frozen=True)
class Skipped:
    """A banner that was not embedded, and why."""

    banner: Banner
    reason: str


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a folder.

    `appids`: uint32 (n,), strictly increasing. `embeddings`: for each view float32 (n, d), rows L2-normalised and
    in the order of `appids`. `digests`: n digests of the decoded images; equal ones mean identical
    banners. `size`: the most frequent size of the images.
    """

    appids: npt.NDArray[np.uint32]
    embeddings: dict[View, npt.NDArray[np.float32]]
    digests: tuple[bytes, ...]
    size: Size | None
    skipped: tuple[Skipped, ...]


def embed(
    banners: Sequence[Banner],
    encoder: Encoder,
    views: Sequence[View] = ("plain",),
    batch_size: int = 32,
    workers: int = 2,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """Embed `banners`, which are sorted by appid, each decoded once whatever the number of `views`.

    `on_progress` is called with the number of banners each time some are done. A banner that cannot be decoded, or
    whose embedding is not finite, goes to `skipped` and its appid leaves with it.
    """
    appids: list[int] = []
    digests: list[bytes] = []
    sizes: Counter[Size] = Counter()
    skipped: list[Skipped] = []
    rows: dict[View, list[npt.NDArray[np.float32]]] = {view: [] for view in views}
    decoded = _decode_all(banners, encoder.preprocessing, workers, ahead=2 * batch_size)
    while batch := list(islice(decoded, batch_size)):
        usable: list[tuple[Banner, Decoded]] = []
        for banner, result in batch:
            if isinstance(result, str):
                skipped.append(Skipped(banner, result))
            else:
                usable.append((banner, result))
        if usable:
            pixels = np.stack([image.pixels for _, image in usable])  # (B, H, W, 3)
            by_view = {view: encoder.embed(np.ascontiguousarray(TRANSFORMS[view](pixels))) for view in views}
            finite = np.logical_and.reduce([np.isfinite(e).all(axis=1) for e in by_view.values()])
            for (banner, image), is_finite in zip(usable, finite, strict=True):
                if is_finite:
                    sizes[image.size] += 1
                    appids.append(banner.appid)
                    digests.append(image.digest)
                else:
                    skipped.append(Skipped(banner, "the encoder's output is not finite"))
            for view in views:
                rows[view].append(by_view[view][finite])
        on_progress(len(batch))
    empty = [np.empty((0, encoder.dim), np.float32)]
    embeddings = {view: np.concatenate(empty + rows.pop(view)) for view in views}
    most_frequent = sizes.most_common(1)[0][0] if sizes else None
    return Embedded(np.array(appids, np.uint32), embeddings, tuple(digests), most_frequent, tuple(skipped))


def _decode_all(
    banners: Iterable[Banner], preprocessing: Preprocessing, workers: int, ahead: int
) -> Iterator[tuple[Banner, Decoded | str]]:
    """Each banner in order, decoded, or with the reason why it has none, at most `ahead` decoded in advance.

    Threads suffice: Pillow releases the interpreter while it decodes and resizes.
    """

    def decoded_or_reason(banner: Banner) -> Decoded | str:
        try:
            image = decode(banner.path)
            digest = blake2b(image.tobytes(), digest_size=16, key=b"%dx%d" % image.size).digest()
            return Decoded(preprocessing.pixels(image), image.size, digest)
        except UnusableImage as error:
            return str(error)

    todo = iter(banners)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        pending: deque[tuple[Banner, Future[Decoded | str]]] = deque(
            (banner, pool.submit(decoded_or_reason, banner)) for banner in islice(todo, ahead)
        )
        while pending:
            banner, future = pending.popleft()
            for following in islice(todo, 1):
                pending.append((following, pool.submit(decoded_or_reason, following)))
            yield banner, future.result()
