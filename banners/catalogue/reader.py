"""Opening a catalogue: arrays memory-mapped, records read when they are asked for.

A catalogue stays open while its folder is replaced.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.arrays import Matrix, StoredIndices, Vector
from banners.catalogue.games_db import Games
from banners.catalogue.manifest import TILES, FileInfo, Manifest, OpenedFile, check
from banners.catalogue.tiles import Tiles
from banners.errors import BadCatalogue, NotInCatalogue, UnknownGame
from banners.vectors.artwork import Artwork
from banners.vectors.nearest import Index, Quantised, Searchable
from banners.vectors.neighbours import Neighbours
from banners.vectors.regions import Basis, CodesInFile, LocalFeatures, SameArt
from banners.views import VIEWS, View

LONGEST_LINK = 512  # numbers of an embedding in an address, 683 characters
FINER = 64  # how much finer the second of them is than the first, whose rounding it mends
LARGE = 64_000_000  # bytes; the hashes of such files may be checked later


@dataclass(frozen=True)
class Catalogue:
    """An opened catalogue. Row i of every array and `games[i]` belong to `appids[i]`: uint32 (n,), increasing.

    `indexes` are the views that can be searched: none without embeddings, else the plain one and perhaps that by
    artwork. `matrix` is float32 (n, d), rows L2-normalised. `duplicates` is int32 (n,), see `banners.groups`.
    `term_embeddings` is float32 (L, d), one for each of `games.terms`. `link_basis`: float16 (d, 512), what embeddings
    of pictures are shortened with for addresses. `local_features` are for why two banners match, and for search by a
    part; `basis` is theirs, and there too if they lie in a database. These are None if there is no such file.
    `same_art` are pairs of rows, none if none were compared. `tiles` belong to the map; None without one.
    `read_later` maps names to other files."""

    folder: Path
    manifest: Manifest
    appids: npt.NDArray[np.uint32]
    games: Games
    views: Mapping[View, Neighbours]
    indexes: Mapping[View, Searchable]
    matrix: Matrix | None
    duplicates: StoredIndices | None
    term_embeddings: Matrix | None
    artwork: Artwork | None
    link_basis: Matrix | None
    basis: Basis | None
    local_features: LocalFeatures | None
    same_art: SameArt
    tiles: Tiles | None
    read_later: Mapping[str, OpenedFile]

    def __len__(self) -> int:
        return len(self.appids)

    @property
    def k(self) -> int:
        """How many neighbours each game has."""
        return self.manifest.k

    @property
    def embeddings(self) -> Matrix:
        """The embeddings, as in `matrix`. Raises `NotInCatalogue` if the catalogue has none."""
        if self.matrix is None:
            raise NotInCatalogue("This catalogue was imported without its embeddings.")
        return self.matrix

    @cached_property
    def mean(self) -> Vector:
        """The mean embedding: float32 (d,)."""
        return self.artwork.mean if self.artwork is not None else self.indexes["plain"].mean

    @cached_property
    def text_mean(self) -> Vector:
        """The mean embedding of the terms, float32 (d,); zeros if there are none. Texts lie far from images, so their
        mean is another."""
        if self.term_embeddings is None:
            return np.zeros(self.manifest.d or 0, np.float32)
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
                f"This catalogue has no look-alikes for the {view} view; it was made with {', '.join(self.views)} only."
            ) from None

    def check_large_files(self) -> None:
        """Check the SHA-256 of the files that are larger than `LARGE`. Raises `BadCatalogue`, `OSError`."""
        for name, info in self.manifest.files.items():
            if info.size > LARGE:
                check(self.folder / name, info)


def suffix_of(view: View) -> str:
    """The suffix of a view's file names."""
    return "" if view == "plain" else f"_{view}"


def neighbour_arrays(views: Mapping[View, Neighbours]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of neighbours by the names of their files."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for view, neighbours in views.items():
        arrays[f"neighbours{suffix_of(view)}"] = neighbours.rows
        if neighbours.similarities is not None:
            arrays[f"similarities{suffix_of(view)}"] = neighbours.similarities
    return arrays


def open_catalogue(folder: Path, check_hashes: bool = False, but_large: bool = False) -> Catalogue:
    """Open the catalogue at `folder`. The sizes of all files are checked and, with `check_hashes`, their SHA-256;
    with `but_large`, those of files larger than `LARGE` are left to `check_large_files`.

    Raises `BadCatalogue` with one line that says what is wrong.
    """
    for _ in range(3):
        manifest = Manifest.read(folder)
        try:
            opened = _open(folder, manifest, check_hashes, but_large)
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


def _open(folder: Path, manifest: Manifest, check_hashes: bool, but_large: bool) -> Catalogue:
    def check_file(name: str, info: FileInfo) -> None:
        path = folder / name
        if path.stat().st_size != info.size:
            raise BadCatalogue(f"{path} has {path.stat().st_size} bytes, the manifest says {info.size}")
        if check_hashes and not (but_large and info.size > LARGE):
            check(path, info)

    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        list(pool.map(check_file, manifest.files.keys(), manifest.files.values()))
    load = partial(_load, folder, manifest)
    matrix, codes, scales = load("embeddings"), load("quantised"), load("quantised_scales")
    mean, projection, lengths = load("artwork_mean"), load("artwork_projection"), load("artwork_lengths")
    artwork = None
    if mean is not None and projection is not None:
        artwork = Artwork(mean, projection, manifest.artwork_directions or 0)
    indexes: dict[View, Index] = {}
    if matrix is not None and codes is not None and scales is not None:
        indexes["plain"] = Index(matrix, Quantised(codes, scales))
        if artwork is not None:
            indexes["artwork"] = Index(matrix, Quantised(codes, scales), artwork, lengths)
    codes, mean, projection = load("parts"), load("parts_mean"), load("parts_projection")
    basis = None if mean is None or projection is None else Basis(mean, projection)
    local_features = None
    if manifest.parts is not None and codes is not None and basis is not None:
        local_features = LocalFeatures.of(CodesInFile(codes), manifest.parts.is_wide, basis)
    pairs, nats, share = load("same_art"), load("same_art_nats"), load("same_art_share")
    same_art = SameArt.none()
    if pairs is not None and nats is not None and share is not None:
        same_art = SameArt(pairs, nats, share)
    return Catalogue(
        folder=folder,
        manifest=manifest,
        appids=np.asarray(np.load(folder / "appids.npy", mmap_mode="r")),
        games=Games(folder / "games.db"),
        views={
            view: Neighbours(rows, load(f"similarities{suffix_of(view)}"))
            for view in VIEWS
            if (rows := load(f"neighbours{suffix_of(view)}")) is not None
        },
        indexes=indexes,
        matrix=matrix,
        duplicates=load("duplicates"),
        term_embeddings=load("term_embeddings"),
        artwork=artwork,
        link_basis=load("link_basis"),
        basis=basis,
        local_features=local_features,
        same_art=same_art,
        tiles=Tiles(folder / TILES) if manifest.map is not None and TILES in manifest.files else None,
        read_later={
            name: OpenedFile(folder / name, info)
            for name, info in manifest.files.items()
            if not name.endswith((".npy", ".db", ".mbtiles"))
        },
    )


def _load(folder: Path, manifest: Manifest, name: str) -> npt.NDArray[Any] | None:
    """An array, None if the catalogue has none of that name."""
    path = folder / f"{name}.npy"  # indexing an np.memmap costs ten times as much as an array
    return np.asarray(np.load(path, mmap_mode="r")) if path.name in manifest.files else None
