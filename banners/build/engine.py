"""The encoder that a build uses, on this machine or on a cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO

from banners import embedding
from banners.build.plan import Options
from banners.embedding import Encode, cluster
from banners.embedding.decoding import Draw
from banners.encoders import Choice, why_no_cuda
from banners.encoders.encoder import Encoder
from banners.errors import Unavailable, UnusableImage
from banners.games_csv import Banner
from banners.images import decode, read
from banners.processes import keep_freed_memory
from banners.vectors.neighbours import Spread


@dataclass(frozen=True)
class Engine:
    """`encoder` embeds; with a cluster it is only a description. `choice` is what was opened. `encode_with(draw)` gives
    the `encode` of `embedding.embed`; `draw`, if not None, is applied to each image first. This machine computes on
    `device`; `spread` lets a cluster compute neighbours, while it is connected."""

    encoder: Encoder
    choice: Choice
    batch_size: int
    encode_with: Callable[[Draw | None], Encode]
    device: str
    spread: Spread | None = None


@contextmanager
def open_engine(options: Options, banners: Sequence[Banner], say: Callable[[str], None]) -> Iterator[Engine]:
    """Open the encoder for `banners`. Raises what `Choice.open_for_many` and `cluster.connected` raise."""
    choice = replace(options.choice, is_wide=_is_wide(banners))
    with ExitStack() as until_embedded:
        if options.cluster is None:
            keep_freed_memory()
            encoder, choice = _open(choice, options.fallback, say)
            device, place = encoder.device, "this machine"
        else:
            workers = until_embedded.enter_context(cluster.connected(options.cluster, choice))
            encoder = workers.describe()
            device, place = "cpu", f"a cluster with {len(workers.workers)} workers"
        size = options.batch_size or (256 if encoder.device == "cuda" else 32)
        if options.cluster is None:
            encode_with = partial(embedding.encode_with, encoder, size, options.workers)
        else:
            encode_with = partial(workers.encode_with, size)
        say(f"{encoder.id} on {encoder.device} in {encoder.precision} by {place}, {len(banners)} banners")
        spread = None if options.cluster is None else workers.nearest_blocks
        yield Engine(encoder, choice, size, encode_with, device, spread)


def _open(choice: Choice, fallback: str | None, say: Callable[[str], None]) -> tuple[Encoder, Choice]:
    """The chosen encoder or, with a warning, the fallback; and which it is."""
    try:
        encoder = choice.open_for_many()
    except Unavailable as error:
        if not fallback:
            raise
        say(f"warning: {error}; using the encoder {fallback} instead")
        choice = replace(choice, name=fallback)
        encoder = choice.open_for_many()
    if choice.device == "auto" and (reason := why_no_cuda()):
        say(f"warning: no CUDA: {reason}; the CPU takes a hundred times as long")
    return encoder, choice


def _is_wide(banners: Sequence[Banner]) -> bool:
    """Whether the first banner that can be read is wider than tall; all of a folder are of one kind."""
    for banner in banners:
        try:
            image = decode(BytesIO(read(banner.path)))
        except UnusableImage:
            continue
        return image.width > image.height
    return False
