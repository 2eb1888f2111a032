"""A banners folder to vectors: decoded by worker processes, encoded in batches, kept so that no kill loses them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banners.embedding.decoding import Batch, Decoded, content_hash, decode_batches
from banners.embedding.store import Rows
from banners.encoders import Encoder
from banners.encoders.views import View
from banners.errors import UnusableImage
from banners.games_csv import Banner
from banners.images import read

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """A batch of banners: for each what it was or why it is not usable, and for each view float32 (B, d), B at least
    the number of banners, in their order."""

    banners: Sequence[Banner]
    results: Sequence[Decoded | str]
    vectors: Mapping[View, Matrix]


Encode = Callable[[Sequence[Banner], Sequence[View]], Iterable[Encoded]]


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
    embeddings: dict[View, Matrix]
    digests: tuple[bytes, ...]
    size: tuple[int, int] | None
    skipped: tuple[Skipped, ...]
    reused: int


def missing_views(
    content: bytes | None, embedded: Mapping[View, bytes | None], views: Collection[View]
) -> tuple[View, ...]:
    """Which of `views` a banner whose file has this hash must be embedded in, by the hashes of what was embedded."""
    return tuple(view for view in views if content is None or embedded.get(view) != content)


def embed(
    banners: Sequence[Banner],
    encoder: Encoder,
    rows: Rows,
    views: Sequence[View] = ("plain",),
    batch_size: int = 32,
    workers: int = 2,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """`embed_by` this machine.

    Batches always have `batch_size` rows, filled up if there are fewer banners: an image gives the same bits
    whichever others it is encoded with, so that a resumed run ends with what an uninterrupted one gives. Raises
    `BadInput` when the device cannot hold a batch, `concurrent.futures.process.BrokenProcessPool` when one of the
    decoding processes is killed.
    """

    def encode(todo: Sequence[Banner], missing: Sequence[View]) -> Iterator[Encoded]:
        # On a GPU the next batch is under way while one is handed out.
        before: tuple[Batch, Callable[[], dict[View, Matrix]]] | None = None
        for batch in decode_batches(todo, encoder.preprocessing, batch_size, workers):
            finish = encoder.begin(batch.pixels, missing)
            if before is not None:
                yield Encoded(before[0].banners, before[0].results, before[1]())
            before = (batch, finish)
        if before is not None:
            yield Encoded(before[0].banners, before[0].results, before[1]())

    return embed_by(encode, banners, rows, views, on_progress)


def embed_by(
    encode: Encode,
    banners: Sequence[Banner],
    rows: Rows,
    views: Sequence[View] = ("plain",),
    on_progress: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """Embed those of `banners`, which are sorted by appid, that `rows` does not have yet; each is decoded once whatever
    the number of `views`.

    `on_progress` is called with the number of banners each time some are done. A banner that cannot be decoded, or
    whose embedding is not finite, goes to `skipped` and its appid leaves with it. Raises `BadInput` where rows
    cannot be written.
    """
    wanted = _plan(banners, rows, views)
    reused = [banner.appid for banner in banners if banner.appid not in wanted]
    on_progress(len(reused))
    usable = set(reused)
    skipped: list[Skipped] = []
    for group in sorted(set(wanted.values()), key=len):
        todo = [banner for banner in banners if wanted.get(banner.appid) == group]
        for encoded in encode(todo, group):
            done, failed = _keep(encoded, rows)
            usable.update(done)
            skipped.extend(failed)
            on_progress(len(encoded.banners))
    for banner in _changed(banners, usable, rows, views):
        usable.discard(banner.appid)
        skipped.append(Skipped(banner, "it was changed while it was embedded; a rerun embeds it"))
    appids = sorted(usable)
    sources = rows.sources(appids)
    sizes = Counter(source.size for source in sources)
    return Embedded(
        np.array(appids, np.uint32),
        {view: rows.assemble(view, appids) for view in views},
        tuple(source.digest for source in sources),
        # The larger of two that are as frequent.
        max(sizes, key=lambda size: (sizes[size], size)) if sizes else None,
        tuple(sorted(skipped, key=lambda entry: entry.banner.appid)),
        len(reused),
    )


def _changed(banners: Iterable[Banner], usable: Collection[int], rows: Rows, views: Sequence[View]) -> list[Banner]:
    """Those whose views were embedded from different contents of their file."""
    contents = [rows.contents(view) for view in views]
    return [
        banner
        for banner in banners
        if banner.appid in usable and len({content[banner.appid] for content in contents}) > 1
    ]


def _plan(banners: Sequence[Banner], rows: Rows, views: Sequence[View]) -> dict[int, tuple[View, ...]]:
    """The views that each banner must be embedded in, without those that need none."""
    embedded = {view: rows.contents(view) for view in views}
    known = [banner for banner in banners if any(banner.appid in contents for contents in embedded.values())]
    hashes = dict(zip((banner.appid for banner in known), _hashes(known), strict=True))
    planned = {
        banner.appid: missing_views(
            hashes.get(banner.appid), {view: embedded[view].get(banner.appid) for view in views}, views
        )
        for banner in banners
    }
    return {appid: missing for appid, missing in planned.items() if missing}


def _hashes(banners: Iterable[Banner]) -> Iterable[bytes | None]:
    """The hash of each banner's file, None if it cannot be read. Threads suffice: reading and hashing release the
    interpreter."""

    def hashed(banner: Banner) -> bytes | None:
        try:
            return content_hash(read(banner.path))
        except UnusableImage:
            return None

    with ThreadPoolExecutor(4, thread_name_prefix="hash") as pool:
        yield from pool.map(hashed, banners)


def _keep(encoded: Encoded, rows: Rows) -> tuple[list[int], list[Skipped]]:
    """Add the usable rows of a batch to `rows`; their appids, and the banners that are not usable."""
    finite = np.logical_and.reduce([np.isfinite(matrix).all(axis=1) for matrix in encoded.vectors.values()])
    places, appids, sources, skipped = [], [], [], []
    for place, (banner, result) in enumerate(zip(encoded.banners, encoded.results, strict=True)):
        if not isinstance(result, Decoded):
            skipped.append(Skipped(banner, result))
        elif not finite[place]:
            skipped.append(Skipped(banner, "the encoder's output is not finite"))
        else:
            places.append(place)
            appids.append(banner.appid)
            sources.append(result)
    for view, matrix in encoded.vectors.items():
        rows.add(view, appids, sources, matrix[places])
    return appids, skipped
