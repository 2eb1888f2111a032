"""A banners folder to vectors: decoded by threads, encoded in batches, kept so that no kill loses them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banners.arrays import Matrix
from banners.embedding.decoding import Decoded, Draw, Result, content_hash, decode_batches
from banners.embedding.store import EmbeddingStore
from banners.encoders.encoder import Encoder
from banners.errors import UnusableImage
from banners.games_csv import Banner
from banners.images import read
from banners.views import EmbeddedView

_HASHED_AT_ONCE = 1000

# The results of a batch, and for each view float32 (B, d), B at least their number, in their order.
Encoded = tuple[Sequence[Result], Mapping[EmbeddedView, Matrix]]
Encode = Callable[[Sequence[Banner], Sequence[EmbeddedView]], Iterable[Encoded]]


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
    banners. `size`: the most frequent size of the images. `reused` rows were embedded by an earlier run.
    """

    appids: npt.NDArray[np.uint32]
    embeddings: dict[EmbeddedView, Matrix]
    digests: tuple[bytes, ...]
    size: tuple[int, int] | None
    skipped: tuple[Skipped, ...]
    reused: int


def missing_views(
    content: bytes | None, embedded: Mapping[EmbeddedView, bytes | None], views: Sequence[EmbeddedView]
) -> tuple[EmbeddedView, ...]:
    """Which of `views` a banner whose file has this hash must be embedded in, by the hashes of what was embedded."""
    return tuple(view for view in views if content is None or embedded.get(view) != content)


def encode_with(encoder: Encoder, batch_size: int = 32, workers: int | None = None, draw: Draw | None = None) -> Encode:
    """The `encode` of `embed` on this machine; `draw` changes each image first.

    Batches always have `batch_size` rows, padded if there are fewer banners. So an embedding does not depend on the
    other images of its batch, and a resumed run gives the same bits as an uninterrupted one. `encode` raises
    `BadInput` when the device cannot hold a batch.
    """

    def encode(banners: Sequence[Banner], views: Sequence[EmbeddedView]) -> Iterator[Encoded]:
        for results, pixels in decode_batches(banners, encoder.preprocessing, batch_size, workers, draw):
            yield results, encoder.embed_views(pixels, views)

    return encode


def embed(
    encode: Encode,
    banners: Sequence[Banner],
    store: EmbeddingStore,
    views: Sequence[EmbeddedView] = ("plain",),
    on_progress: Callable[[int], None] = lambda _: None,
    is_assembled: bool = True,
) -> Embedded:
    """Embed those of `banners` that `store` does not have yet. They are sorted by appid; each is decoded once, whatever
    the number of `views`.

    `on_progress` is called with the number of banners each time some are done. Without `is_assembled` the embeddings
    stay in the store. A banner that cannot be decoded, or
    whose embedding is not finite, goes to `skipped` and its appid leaves with it. Raises `BadInput` where the store
    cannot be written.
    """
    wanted = _plan(banners, store, views)
    reused = [banner.appid for banner in banners if banner.appid not in wanted]
    on_progress(len(reused))
    usable = set(reused)
    skipped: list[Skipped] = []
    for group in sorted(set(wanted.values()), key=len):
        todo = [banner for banner in banners if wanted.get(banner.appid) == group]
        for results, vectors in encode(todo, group):
            done, failed = _store(results, vectors, store)
            usable.update(done)
            skipped.extend(failed)
            on_progress(len(results))
    appids = sorted(usable)
    sources = store.sources(appids)
    sizes = Counter(source.size for source in sources)
    return Embedded(
        np.array(appids, np.uint32),
        {view: store.assemble(view, appids) for view in views} if is_assembled else {},
        tuple(source.digest for source in sources),
        # The larger of two that are as frequent.
        max(sizes, key=lambda size: (sizes[size], size)) if sizes else None,
        tuple(sorted(skipped, key=lambda entry: entry.banner.appid)),
        len(reused),
    )


def _plan(
    banners: Sequence[Banner], store: EmbeddingStore, views: Sequence[EmbeddedView]
) -> dict[int, tuple[EmbeddedView, ...]]:
    """The views that each banner must be embedded in, without those that need none."""
    embedded = {view: store.contents(view) for view in views}
    stored = [banner for banner in banners if any(banner.appid in contents for contents in embedded.values())]
    hashes: dict[int, bytes | None] = {}
    with ThreadPoolExecutor(4, thread_name_prefix="hash") as pool:  # reading and hashing release Python's lock
        for start in range(0, len(stored), _HASHED_AT_ONCE):  # a task of all would take 2 KB a banner
            block = stored[start : start + _HASHED_AT_ONCE]
            hashes.update(zip((banner.appid for banner in block), pool.map(_hash, block), strict=True))
    planned = {
        banner.appid: missing_views(
            hashes.get(banner.appid), {view: embedded[view].get(banner.appid) for view in views}, views
        )
        for banner in banners
    }
    return {appid: missing for appid, missing in planned.items() if missing}


def _hash(banner: Banner) -> bytes | None:
    """The hash of a banner's file, None if it cannot be read."""
    try:
        return content_hash(read(banner.path))
    except UnusableImage:
        return None


def _store(
    results: Sequence[Result], vectors: Mapping[EmbeddedView, Matrix], store: EmbeddingStore
) -> tuple[list[int], list[Skipped]]:
    """Add the usable rows of a batch to `store`; their appids, and the banners that are not usable."""
    finite = np.logical_and.reduce([np.isfinite(matrix).all(axis=1) for matrix in vectors.values()])
    places, appids, sources, skipped = [], [], [], []
    for place, (banner, result) in enumerate(results):
        if not isinstance(result, Decoded):
            skipped.append(Skipped(banner, result))
        elif not finite[place]:
            skipped.append(Skipped(banner, "the encoder's output is not finite"))
        else:
            places.append(place)
            appids.append(banner.appid)
            sources.append(result)
    for view, matrix in vectors.items():
        store.add(view, appids, sources, matrix[places])
    return appids, skipped
