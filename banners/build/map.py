"""The map: every banner in one picture, like beside like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from banners.arrays import Indices, Matrix
from banners.build.places import name_regions
from banners.build.plan import Options, Part, Progress
from banners.build.tiles import LACKING, Picture, Pyramid, TileStore, colours, draw_tiles
from banners.catalogue.manifest import TILES, Map
from banners.catalogue.places import Places
from banners.catalogue.reader import open_catalogue
from banners.catalogue.tiles import TILE
from banners.embedding import Embedded
from banners.errors import SteamClipError
from banners.games_csv import Banner, Game
from banners.groups import group_identical, members
from banners.vectors import layout
from banners.vectors.labels import Labels
from banners.vectors.layout import Grid
from banners.vectors.neighbours import Neighbours

_MOVED = 0.1  # of the map's width or height
_WORSE = 0.1  # by so much the order may fall before all is laid out anew
_EMPTY = 0.15  # of the cells; with more a new grid is laid out


@dataclass(frozen=True)
class _Earlier:
    """The map of an earlier catalogue. `at`: float32 (n, 2), where the games are on it, in cells, NaN for those that it
    does not have."""

    at: Matrix
    grid: Grid
    order: float


def map_of(
    banners: Sequence[Banner],
    games: Sequence[Game],
    embedded: Embedded,
    neighbours: Neighbours,
    labels: Labels | None,
    earlier: Path,
    scratch: Path,
    options: Options,
    progress: Progress,
) -> Part:
    """The places of all games, the tiles, and the names of regions. Row i of all arguments belongs to `banners[i]`.
    Games that the catalogue at `earlier` has stay where they were, if there is room, or near it. Tiles go to `scratch`.
    """
    aspect = embedded.size[0] / embedded.size[1] if embedded.size else 2 / 3
    features = layout.principal_components(embedded.embeddings["plain"])
    places = _earlier_places(earlier, embedded.appids)
    identical = members(group_identical(embedded.digests))
    cells, grid, order = _laid_out(features, neighbours, identical, aspect, places, progress)
    if places is not None and order < places.order - _WORSE:  # made by another encoder, or outgrown
        progress.say(f"map: laid out anew; the old one no longer fits (order {order:.2f}, it was {places.order:.2f})")
        cells, grid, order = _laid_out(features, neighbours, identical, aspect, None, progress)
    pyramid, store = Pyramid.of(grid, aspect), TileStore(scratch.parent)
    pictures = [
        Picture(banner.path, digest, game.is_adult)
        for banner, digest, game in zip(banners, embedded.digests, games, strict=True)
    ]
    names = draw_tiles(pyramid, pictures, cells, store, options.workers, lambda total: progress.bar("tiles", total, ""))
    if any(name.endswith(LACKING) for name in names.values()):
        progress.say("warning: some banners could not be read for the map and are grey there; another run draws them")
    store.write(scratch / TILES, names, _metadata(pyramid))
    regions = name_regions(games, labels, cells, grid, aspect, colours(pyramid, names, store))
    at = np.stack([cells % grid.columns, cells // grid.columns], axis=1)
    about = Map(
        columns=grid.columns,
        rows=grid.rows,
        cell=pyramid.cell,
        zoom=pyramid.zoom,
        order=round(order, 3),
        moved=_moved(places, at, grid),
    )
    if about.moved is not None:
        progress.say(f"map: {100 * about.moved:.0f} % of the games moved more than a tenth of it")
    return Part({}, {TILES: scratch / TILES}, {"map": about}, places=Places(at.astype(np.int32), regions))


def _laid_out(
    features: Matrix,
    neighbours: Neighbours,
    identical: Sequence[Sequence[int]],
    aspect: float,
    earlier: _Earlier | None,
    progress: Progress,
) -> tuple[Indices, Grid, float]:
    """The cell of each row, the grid, and how well it is ordered."""
    with progress.bar("map", 100, "%") as bar:
        cells, grid = _arranged(layout.gathered(features, neighbours), aspect, earlier, _percent(bar.update))
    cells = layout.side_by_side(cells, identical, grid)
    return cells, grid, layout.order(features, cells, grid)


def _percent(update: Callable[[int], object]) -> Callable[[float], None]:
    done = 0

    def show(share: float) -> None:
        nonlocal done
        percent = int(100 * share)
        update(percent - done)
        done = percent

    return show


def _earlier_places(folder: Path, appids: npt.NDArray[np.uint32]) -> _Earlier | None:
    """None if there is no such map, or if it shares next to nothing with this one."""
    try:
        catalogue = open_catalogue(folder)
    except SteamClipError:
        return None
    about = catalogue.manifest.map
    places = catalogue.games.places if about is not None else None
    if about is None or places is None:
        return None
    at = np.full((len(appids), 2), np.nan, np.float32)
    rows = np.minimum(np.searchsorted(catalogue.appids, appids), len(catalogue) - 1)
    is_known = catalogue.appids[rows] == appids
    at[is_known] = places.cells[rows[is_known]]
    return _Earlier(at, Grid(about.columns, about.rows), about.order) if is_known.mean() >= 0.5 else None


def _arranged(
    features: Matrix, aspect: float, earlier: _Earlier | None, on_progress: Callable[[float], None]
) -> tuple[Indices, Grid]:
    """The cell of each row, and the grid."""
    grid = Grid.of(len(features), aspect)
    if earlier is None:
        return layout.arrange(features, grid, on_progress=on_progress), grid
    at, old = earlier.at, earlier.grid
    if len(features) <= len(old) <= len(features) * (1 + _EMPTY) + 1:
        cells = np.where(np.isnan(at[:, 0]), -1, np.nan_to_num(at[:, 1]) * old.columns + np.nan_to_num(at[:, 0]))
        on_progress(1.0)
        return layout.extend(features, cells.astype(np.intp), old), old
    places = np.asarray((at + 0.5) / np.array([old.columns, old.rows]), np.float32)
    start = layout.transfer(features, places, grid)
    return layout.arrange(features, grid, start, on_progress), grid


def _moved(earlier: _Earlier | None, at: Indices, grid: Grid) -> float | None:
    """The share of the games of an earlier map that moved more than a tenth of the map."""
    if earlier is None:
        return None
    before, old = earlier.at, earlier.grid
    known = ~np.isnan(before[:, 0])
    now, then = (at[known] + 0.5) / (grid.columns, grid.rows), (before[known] + 0.5) / (old.columns, old.rows)
    return round(float((np.abs(now - then).max(axis=1) > _MOVED).mean()), 4)


def _metadata(pyramid: Pyramid) -> dict[str, str]:
    width, height = pyramid.size
    return {
        "name": "Map of all banners",
        "format": "webp",
        "minzoom": "0",
        "maxzoom": str(pyramid.zoom),
        "description": f"{width} x {height} pixels in tiles of {TILE}; from the top left, not of the earth",
    }
