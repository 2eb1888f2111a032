"""The local features of a catalogue, and the banners that have the same art."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners import embedding
from banners.arrays import Matrix
from banners.build.engine import open_engine
from banners.build.plan import Options, Part, Progress
from banners.catalogue.manifest import Parts
from banners.catalogue.query_encoder import PART_MODEL
from banners.embedding.store import EmbeddingStore
from banners.encoders import LOCAL_FEATURES
from banners.encoders.exported import export_network
from banners.errors import SteamClipError
from banners.games_csv import Banner
from banners.vectors import regions
from banners.vectors.regions import CELLS, CHANNELS, DIMENSIONS, Basis, Codes, SameArt

_BLOCK = 2048  # banners at a time, 46 MB
_FITTED = 2000  # banners that the basis is fitted to


def local_features(
    banners: Sequence[Banner], digests: Sequence[bytes], scratch: Path, options: Options, progress: Progress
) -> tuple[Part, EmbeddingStore | None]:
    """The part of a catalogue, and the store of what it was made of; nothing, with a warning, if its network cannot be
    had. Row i belongs to `banners[i]`, sorted by appid, whose image has `digests[i]`. A banner that cannot be read
    again has cells of zeros, which are like no other. The exported network goes to `scratch`."""
    choice = replace(options.choice, name=LOCAL_FEATURES, precision="float32")
    options = replace(options, choice=choice, fallback=None)
    try:
        with open_engine(options, banners, progress.say) as engine:
            encoder, encode = engine.encoder, engine.encode_with(None)
            export_network(replace(engine.choice, device="cpu").open(), scratch / PART_MODEL)
            store = EmbeddingStore(scratch.parent, encoder.identity(engine.batch_size), encoder.dim, np.float16)
            with progress.bar("local features", len(banners), "img") as bar:
                embedded = embedding.embed(encode, banners, store, on_progress=bar.update, is_assembled=False)
    except SteamClipError as error:  # the vectors are there, and worth a catalogue
        progress.say(f"warning: no local features: {error}")
        return Part(), None
    appids = embedded.appids.tolist()
    if not appids:
        progress.say("warning: no local features: not one banner can be read again")
        return Part(), None
    basis = _fit(store, appids)
    rows = np.searchsorted([banner.appid for banner in banners], appids)
    # In a file: with many banners it is the largest part of a catalogue.
    codes = np.lib.format.open_memmap(scratch / "codes.npy", "w+", np.int8, (len(banners), CELLS, DIMENSIONS))
    for start in range(0, len(appids), _BLOCK):
        cells = basis.cells(_outputs(store, appids[start : start + _BLOCK]))
        codes[rows[start : start + _BLOCK]] = regions.to_codes(cells)
    same, tried = _same_art(codes, digests, engine.device, progress)
    about = Parts(encoder.preprocessing, regions.same_art_evidence(len(codes)), tried, len(same.pairs))
    arrays: dict[str, npt.NDArray[Any]] = {
        "parts": codes,
        "parts_mean": basis.mean,
        "parts_projection": basis.projection,
        "same_art": same.pairs,
        "same_art_nats": same.nats,
        "same_art_share": same.share,
    }
    return Part(arrays, {PART_MODEL: scratch / PART_MODEL}, {"parts": about}), store


def _outputs(store: EmbeddingStore, appids: Sequence[int]) -> Matrix:
    """float32 (m, 70, 80)."""
    return store.assemble("plain", appids).reshape(-1, CELLS, CHANNELS)


def _fit(store: EmbeddingStore, appids: Sequence[int]) -> Basis:
    step = max(1, len(appids) // _FITTED)
    return Basis.fit(_outputs(store, appids[::step]).reshape(-1, CHANNELS))


def _same_art(codes: Codes, digests: Sequence[bytes], device: str, progress: Progress) -> tuple[SameArt, int]:
    """The pairs with the same art whose banners are not identical, and how many pairs were compared."""
    n = len(codes)
    if n > regions.PAIRED_AT_MOST:
        progress.say(f"no search for art used twice: above {regions.PAIRED_AT_MOST} banners it takes too long")
        return SameArt.none(), 0
    with progress.bar("same art", n, "game") as bar:
        same = regions.same_art(codes, device, bar.update)
    return same.where([digests[one] != digests[two] for one, two in same.pairs.tolist()]), n * (n - 1) // 2
