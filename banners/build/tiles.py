"""The map as tiles: a pyramid of pictures of 512 pixels a side in an MBTiles file (a SQLite format with tools,
https://github.com/mapbox/mbtiles-spec). Zoom 0 is one tile for everything.

A tile is named by what it shows. Finished tiles are kept in `tiles.db` beside the catalogue: a rerun draws those whose
names are new, and nothing else.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from banners.arrays import Indices
from banners.catalogue.tiles import TILE
from banners.embedding.store import connection
from banners.errors import UnusableImage
from banners.images import decode, read
from banners.vectors.layout import Grid

_AREA = 120 * 180  # pixels of a cell at the largest zoom
_QUALITY = 22  # of WebP; 40 needs a third more room, and looks the same at this size
_VERSION = b"3"  # of how tiles are drawn; another one draws all again
_MISSING = (128, 128, 128, 40)
LACKING = "-"  # ends the name of a tile that lacks a cover
_AT_ONCE = 64  # tiles on disk at once
_PIXELS_OF_A_CELL = 6  # at least, to see its colour
_CELLS_KEPT = 4096  # decoded, 65 KB each; a row of the grid is drawn for two rows of tiles

Place = tuple[int, int, int]  # zoom, x and y of a tile, from the top left


@dataclass(frozen=True)
class Picture:
    """A cover in a cell: its file and the digest of its pixels. Explicit ones are blurred."""

    path: Path
    digest: bytes
    is_adult: bool

    @property
    def name(self) -> bytes:
        return self.digest + bytes([self.is_adult])


@dataclass(frozen=True)
class Pyramid:
    """The tiles of a grid. `cell`: width and height of a cell in pixels at the largest zoom."""

    grid: Grid
    cell: tuple[int, int]

    @classmethod
    def of(cls, grid: Grid, aspect: float) -> "Pyramid":
        return cls(grid, (round((_AREA * aspect) ** 0.5), round((_AREA / aspect) ** 0.5)))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height at the largest zoom, in pixels."""
        return self.grid.columns * self.cell[0], self.grid.rows * self.cell[1]

    @property
    def zoom(self) -> int:
        """The largest."""
        return (-(-max(self.size) // TILE) - 1).bit_length()

    def names(self, pictures: Sequence[Picture], cells: Indices) -> dict[Place, str]:
        """The tiles that show anything, the largest zoom first."""
        occupants = {int(cell): picture for picture, cell in zip(pictures, cells, strict=True)}
        across, down = (-(-side // TILE) for side in self.size)
        names: dict[Place, str] = {}
        for y, x in product(range(down), range(across)):
            shown = [(at, occupants[cell].name) for cell, at in self.cells_of(x, y) if cell in occupants]
            if shown:
                names[self.zoom, x, y] = _name(repr((self.cell, shown)).encode())
        for zoom in range(self.zoom - 1, -1, -1):
            across, down = -(-across // 2), -(-down // 2)
            for y, x in product(range(down), range(across)):
                below = [names.get(place, "") for place in children((zoom, x, y))]
                if any(below):
                    names[zoom, x, y] = _name(" ".join(below).encode())
        return names

    def cells_of(self, x: int, y: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """The cells that a tile of the largest zoom shows, and where each begins on it."""
        (width, height), left, top = self.cell, x * TILE, y * TILE
        for row in range(top // height, min(self.grid.rows, -(-(top + TILE) // height))):
            for column in range(left // width, min(self.grid.columns, -(-(left + TILE) // width))):
                yield row * self.grid.columns + column, (column * width - left, row * height - top)


def children(place: Place) -> list[Place]:
    """The four tiles of the next zoom that a tile shows, row by row."""
    zoom, x, y = place
    return [(zoom + 1, 2 * x + dx, 2 * y + dy) for dy in (0, 1) for dx in (0, 1)]


def _name(shown: bytes) -> str:
    return blake2b(_VERSION + shown, digest_size=16).hexdigest()


class TileStore:
    """Finished tiles by name, in `tiles.db`. All methods raise `BadInput` where it cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tiles.db"
        folder.mkdir(parents=True, exist_ok=True)
        with self._connection() as db:
            db.execute("CREATE TABLE IF NOT EXISTS images (tile_id TEXT PRIMARY KEY, tile_data BLOB NOT NULL)")

    def _connection(self) -> AbstractContextManager[sqlite3.Connection]:
        return connection(self._path)

    def names(self) -> set[str]:
        with self._connection() as db:
            return {name for (name,) in db.execute("SELECT tile_id FROM images")}

    def add(self, tiles: Iterable[tuple[str, bytes]]) -> None:
        with self._connection() as db, db:  # which commits
            db.executemany("INSERT OR REPLACE INTO images VALUES (?, ?)", tiles)

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        with self._connection() as db:
            query = "SELECT tile_id, tile_data FROM images WHERE tile_id IN (SELECT value FROM json_each(?))"
            return dict(db.execute(query, (json.dumps(names),)))

    def write(self, path: Path, names: Mapping[Place, str], about: Mapping[str, str]) -> None:
        """Write an MBTiles file, and forget the tiles that are not in it."""
        path.unlink(missing_ok=True)
        with self._connection() as db:
            db.execute("ATTACH ? AS made", (str(path),))
            with db:
                db.executescript(
                    "CREATE TABLE made.metadata (name TEXT, value TEXT);"
                    "CREATE TABLE made.map (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_id TEXT,"
                    " PRIMARY KEY (zoom_level, tile_column, tile_row)) WITHOUT ROWID;"
                    "CREATE TABLE made.images (tile_id TEXT PRIMARY KEY, tile_data BLOB);"
                    "CREATE VIEW made.tiles AS SELECT zoom_level, tile_column, tile_row, tile_data"
                    " FROM map JOIN images USING (tile_id);"
                )
                db.executemany("INSERT INTO made.metadata VALUES (?, ?)", about.items())
                db.executemany(
                    "INSERT INTO made.map VALUES (?, ?, ?, ?)",  # rows count from the bottom there
                    ((zoom, x, 2**zoom - 1 - y, name) for (zoom, x, y), name in names.items()),
                )
                db.execute(
                    "INSERT INTO made.images SELECT * FROM images WHERE tile_id IN (SELECT tile_id FROM made.map)"
                    " ORDER BY tile_id"
                )
                removed = db.execute("DELETE FROM images WHERE tile_id NOT IN (SELECT tile_id FROM made.map)").rowcount
            db.execute("DETACH made")
            if removed:
                db.execute("VACUUM")


def draw_tiles(
    pyramid: Pyramid,
    pictures: Sequence[Picture],
    cells: Indices,
    store: TileStore,
    workers: int,
    bar: Callable[[int], AbstractContextManager[Any]],
) -> dict[Place, str]:
    """Draw the tiles that the store does not have, by `workers` threads. `bar` gives a progress bar for their number.
    Returns the names of all tiles. A cover that cannot be read is a quiet cell; tiles with one get another name, so
    that the next run draws them again."""
    names, done = pyramid.names(pictures, cells), store.names()
    missing = {name: place for place, name in names.items() if name not in done}
    occupants = {int(cell): picture for picture, cell in zip(pictures, cells, strict=True)}
    cell_image = lru_cache(_CELLS_KEPT)(lambda cell: _cell_image(occupants[cell], pyramid.cell))
    lacking: dict[str, str] = {}  # the names that tiles with a quiet cell get, by their own

    def draw(place: Place) -> tuple[bytes, bool]:
        """A tile, and whether it lacks a cover."""
        if place[0] == pyramid.zoom:
            parts = [(cell_image(cell), at) for cell, at in pyramid.cells_of(*place[1:]) if cell in occupants]
            quiet = Image.new("RGBA", pyramid.cell, _MISSING)
            return _composed([(image or quiet, at) for image, at in parts]), any(image is None for image, _ in parts)
        below = [lacking.get(name, name) for name in (names.get(child, "") for child in children(place))]
        data = store.get([name for name in below if name])
        halves = [(number, Image.open(BytesIO(data[name]))) for number, name in enumerate(below) if name]
        half = TILE // 2
        tile = _composed([(image.reduce(2), (half * (number % 2), half * (number // 2))) for number, image in halves])
        return tile, any(name.endswith(LACKING) for name in below)

    with ThreadPoolExecutor(workers, thread_name_prefix="tiles") as pool, bar(len(missing)) as progress:
        for zoom in range(pyramid.zoom, -1, -1):
            level = [(name, place) for name, place in missing.items() if place[0] == zoom]
            for start in range(0, len(level), _AT_ONCE):
                batch = level[start : start + _AT_ONCE]
                drawn = list(pool.map(draw, (place for _, place in batch)))  # before any lock of the file
                lacking |= {name: name + LACKING for (name, _), (_, lacks) in zip(batch, drawn, strict=True) if lacks}
                store.add((lacking.get(name, name), tile) for (name, _), (tile, _) in zip(batch, drawn, strict=True))
                progress.update(len(batch))
    return {place: lacking.get(name, name) for place, name in names.items()}


def _cell_image(picture: Picture, size: tuple[int, int]) -> Image.Image | None:
    """None where the cover, which was embedded, cannot be read any more."""
    try:
        image = decode(BytesIO(read(picture.path)), shrink_to=max(size))
    except UnusableImage:
        return None
    image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return image.filter(ImageFilter.GaussianBlur(size[0] / 8)) if picture.is_adult else image


def _composed(parts: Sequence[tuple[Image.Image, tuple[int, int]]]) -> bytes:
    """A tile as WebP, transparent where it shows nothing."""
    tile = Image.new("RGBA", (TILE, TILE))
    for image, at in parts:
        tile.paste(image, at)
    file = BytesIO()
    opaque = tile.getchannel("A").getextrema()[0] == 255
    (tile.convert("RGB") if opaque else tile).save(file, "WEBP", quality=_QUALITY, method=4)
    return file.getvalue()


def colours(pyramid: Pyramid, names: Mapping[Place, str], store: TileStore) -> npt.NDArray[np.uint8]:
    """Read the mean colour of each cell from the tiles: uint8 (rows, columns, 3). Free cells are black."""
    grid, (width, height) = pyramid.grid, pyramid.cell
    zoom = max(0, pyramid.zoom - max(0, (min(width, height) // _PIXELS_OF_A_CELL).bit_length() - 1))
    places = [place for place in names if place[0] == zoom]
    data = store.get([names[place] for place in places])
    across, down = 1 + max(x for _, x, _ in places), 1 + max(y for _, _, y in places)
    whole = Image.new("RGB", (TILE * across, TILE * down))
    for place in places:
        whole.paste(Image.open(BytesIO(data[names[place]])).convert("RGB"), (TILE * place[1], TILE * place[2]))
    scale = 2.0 ** (zoom - pyramid.zoom)
    box = (0, 0, scale * grid.columns * width, scale * grid.rows * height)
    return np.asarray(whole.resize((grid.columns, grid.rows), Image.Resampling.BOX, box))
