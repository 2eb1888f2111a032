"""Opening a catalogue: arrays memory-mapped, records read when they are asked for.

A catalogue stays open while its folder is replaced.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.catalogue.artwork import Artwork
from banners.catalogue.games_db import Games
from banners.catalogue.manifest import Manifest, OpenedFile, check
from banners.catalogue.neighbours import Neighbours
from banners.catalogue.vectors import Quantised
from banners.encoders.views import VIEWS, View
from banners.errors import BadCatalogue, NotInCatalogue, UnknownGame


@dataclass(frozen=True)
class Catalogue:
    """An opened catalogue. Row i of every array and `games[i]` belong to `appids[i]`: uint32 (n,), increasing.

    `matrix` is float32 (n, d), rows L2-normalised. `duplicates` is int32 (n,), see `measures.group_identical`.
    `term_embeddings` is float32 (L, d), one for each of `games.terms`. `artwork_lengths` is float32 (n,),
    `artwork.lengths(matrix)`. All of these are None if there is no such file. `read_later` maps names to other files.
    """

    folder: Path
    manifest: Manifest
    appids: npt.NDArray[np.uint32]
    games: Games
    views: Mapping[View, Neighbours]
    matrix: npt.NDArray[np.float32] | None
    quantised: Quantised | None
    duplicates: npt.NDArray[np.int32] | None
    term_embeddings: npt.NDArray[np.float32] | None
    artwork: Artwork | None
    artwork_lengths: npt.NDArray[np.float32] | None
    read_later: Mapping[str, OpenedFile]

    def __len__(self) -> int:
        return len(self.appids)

    @property
    def k(self) -> int:
        """How many neighbours each game has."""
        return self.manifest.k

    @property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """The embeddings, as in `matrix`. Raises `NotInCatalogue` if the catalogue has none."""
        if self.matrix is None:
            raise NotInCatalogue("This catalogue was imported without its embeddings.")
        return self.matrix

    @cached_property
    def mean(self) -> npt.NDArray[np.float32]:
        """The mean embedding: float32 (d,)."""
        known = None if self.artwork is None else self.artwork.mean
        return np.asarray(self.embeddings.mean(axis=0, dtype=np.float64) if known is None else known, np.float32)

    @cached_property
    def text_mean(self) -> npt.NDArray[np.float32]:
        """The mean embedding of the terms, float32 (d,); zeros if there are none. Texts lie far from images, so their
        mean is another."""
        if self.term_embeddings is None:
            return np.zeros(self.embeddings.shape[1], np.float32)
        return np.asarray(self.term_embeddings.mean(axis=0), np.float32)

    def row_of(self, appid: int) -> int:
        """The row of `appid`. Raises `UnknownGame`."""
        if 0 <= appid < 2**32:  # outside, NumPy would raise or wrap around
            row = int(self.appids.searchsorted(np.uint32(appid)))
            if row < len(self.appids) and int(self.appids[row]) == appid:
                return row
        raise UnknownGame(appid)

    def view(self, view: View) -> Neighbours:
        """The neighbours of a view. Raises `NotInCatalogue`."""
        try:
            return self.views[view]
        except KeyError:
            raise NotInCatalogue(
                f"This catalogue has no neighbours for the {view} view; it was made with {', '.join(self.views)} only."
            ) from None


def suffix_of(view: View) -> str:
    """The suffix of a view's file names."""
    return "" if view == "plain" else f"_{view}"


def open_catalogue(folder: Path, check_hashes: bool = False) -> Catalogue:
    """Open the catalogue at `folder`. The sizes of all files are checked and, with `check_hashes`, their SHA-256.

    Raises `BadCatalogue` with one line that says what is wrong.
    """
    for _ in range(3):
        manifest = Manifest.read(folder)
        try:
            opened = _open(folder, manifest, check_hashes)
            if Manifest.read(folder) == manifest:
                return opened
        except BadCatalogue:
            if Manifest.read(folder) == manifest:
                raise
        except OSError as error:
            if Manifest.read(folder) == manifest:
                raise BadCatalogue(f"cannot read {error.filename}: {error.strerror}") from None
        # It was replaced while it was opened: what was read may be of both.
    raise BadCatalogue(f"{folder} is replaced again and again while it is opened")


def _open(folder: Path, manifest: Manifest, check_hashes: bool) -> Catalogue:
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        names, expected = zip(*manifest.files.items(), strict=True)
        list(pool.map(_check_file, (folder / name for name in names), expected, repeat(check_hashes)))

    def load(name: str) -> npt.NDArray[Any] | None:
        path = folder / f"{name}.npy"  # indexing an np.memmap costs ten times as much as an array
        return np.asarray(np.load(path, mmap_mode="r")) if path.name in manifest.files else None

    views: dict[View, Neighbours] = {}
    for view in VIEWS:
        rows = load(f"neighbours{suffix_of(view)}")
        if rows is not None:
            views[view] = Neighbours(rows, load(f"similarities{suffix_of(view)}"))
    codes, scales = load("quantised"), load("quantised_scales")
    mean, projection = load("artwork_mean"), load("artwork_projection")
    return Catalogue(
        folder=folder,
        manifest=manifest,
        appids=np.asarray(np.load(folder / "appids.npy", mmap_mode="r")),
        games=Games(folder / "games.db"),
        views=views,
        matrix=load("embeddings"),
        quantised=None if codes is None or scales is None else Quantised(codes, scales),
        duplicates=load("duplicates"),
        term_embeddings=load("term_embeddings"),
        artwork=None if mean is None or projection is None else Artwork(mean, projection),
        artwork_lengths=load("artwork_lengths"),
        read_later={
            name: OpenedFile(folder / name, expected)
            for name, expected in manifest.files.items()
            if not name.endswith((".npy", ".db"))
        },
    )


def _check_file(path: Path, expected: tuple[int, str], check_hash: bool) -> None:
    size = path.stat().st_size
    if size != expected[0]:
        raise BadCatalogue(f"{path} has {size} bytes, the manifest says {expected[0]}")
    if check_hash:
        check(path, expected)
