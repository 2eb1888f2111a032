"""The map: all covers in one picture, like beside like."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from flask import Blueprint, Response, abort, jsonify, render_template, request
from msgspec import Meta
from PIL import Image

from banners.arrays import Mask
from banners.catalogue.manifest import TILES, Map
from banners.catalogue.places import Places, Region
from banners.catalogue.tiles import TILE
from banners.errors import BadCatalogue, CannotAnswer
from webapp.caching import ONE_YEAR
from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.params import Pairs, address, read, shows_adult
from webapp.queries.filters import FilterForm, filter_form, mask
from webapp.queries.parts import QueryPart, SimilarQuery, pairs_of
from webapp.queries.similar import similar
from webapp.records import GameSummary, Result
from webapp.site import Site

BLOCK = 16  # cells a side, whose games are sent at once
_NEAREST = 4  # in a game's card
_LINES = 10  # to look-alikes
_GLOWING = 100
_REGION_WIDTH = 700  # pixels of a region that the map shows
_UNUSED = ("sort", "min_likeness", "hide_series")  # filters: the map has its own order

blueprint = Blueprint("map", __name__)

By = Literal["", "year", "tag", "popularity", "unusual"]


class MapQuery(SimilarQuery):
    """What lights up: one game with its look-alikes, or the covers that a query finds; filters dim the others. `by`
    colours all covers."""

    by: Annotated[By, Meta(description="What the covers are coloured by.")] = ""


@dataclass(frozen=True)
class Legend:
    """What the colours mean: the two ends of a scale, or several things. `colours` are for SVG."""

    name: str
    colours: Sequence[str]
    meanings: Sequence[str]
    note: str = ""
    is_scale: bool = True


@dataclass(frozen=True)
class MapPage:
    """`overview` are tiles, row by row, `across` of them in a row. `glowing` are cells that light up, for `parts`.
    `picture` is the reader's own one among them, "" for none. `here` is the game of the address, at `here_cell`.
    `layer` is the address of a picture to lay over the map, "" if there is none. `passing` games pass the filters, None
    if none is set. `kept` is what other colours keep of the address. `version` is in the addresses of all that is kept
    for ever.
    """

    about: Map
    regions: Sequence[Region]
    version: str
    template: str
    overview: Sequence[str]
    across: int
    here: GameSummary | None
    here_cell: tuple[int, int] | None
    glowing: Sequence[tuple[int, int]]
    parts: str
    picture: str
    layer: str
    legend: Legend | None
    filters: FilterForm
    passing: int | None
    kept: Pairs
    choices: Sequence[tuple[str, str]]
    by: By

    @property
    def size(self) -> tuple[int, int]:
        """Width and height at the largest zoom, in pixels."""
        return _size(self.about)

    @property
    def overview_side(self) -> int:
        """How many pixels of the largest zoom a tile of the overview shows."""
        return TILE << (self.about.zoom - _overview_zoom(self.about))


@dataclass(frozen=True)
class MapCell:
    """A game, and the column and row of its cell."""

    appid: int
    x: int
    y: int


@dataclass(frozen=True)
class MapData:
    """The map for programs: a grid of cells, regions with names (in cells), and the address of tiles with {z}, {x} and
    {y}. Tiles are WebP pictures of 512 pixels a side; at zoom `zoom` a cell is `cell` pixels wide and high, at each
    zoom before half of it. `order` tells how well the grid is ordered: 0 at random, 1 if neighbours were the nearest of
    all."""

    columns: int
    rows: int
    cell: tuple[int, int]
    zoom: int
    order: float
    tiles: str
    cells: tuple[MapCell, ...]
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class _Opened:
    """The map of the catalogue. `tiles_version` changes with the tiles, `version` with what is known of games too."""

    about: Map
    places: Places
    tiles_version: str
    version: str

    @property
    def tiles(self) -> str:
        """The address of a tile, with {z}, {x} and {y}."""
        return f"/map/tiles/{self.tiles_version}/{{z}}/{{x}}/{{y}}.webp"


def _map(site: Site) -> _Opened:
    """Raises `CannotAnswer`."""
    about = site.catalogue.manifest.map
    places = site.catalogue.games.places if about is not None else None
    if about is None or places is None or site.catalogue.tiles is None:
        raise CannotAnswer("This catalogue was made without a map (embed_banners.py --no-map).")
    tiles, games = (site.catalogue.manifest.files[name].sha256[:12] for name in (TILES, "games.db"))
    return _Opened(about, places, tiles, tiles[:6] + games[:6])


def map_data(site: Site) -> MapData:
    """Raises `CannotAnswer`."""
    opened = _map(site)
    about, places = opened.about, opened.places
    cells = zip(site.catalogue.appids.tolist(), places.cells.tolist(), strict=True)
    return MapData(
        columns=about.columns,
        rows=about.rows,
        cell=about.cell,
        zoom=about.zoom,
        order=about.order,
        tiles=opened.tiles,
        cells=tuple(MapCell(appid, x, y) for appid, (x, y) in cells),
        regions=tuple(places.regions),
    )


def map_page(site: Site, query: MapQuery) -> MapPage:
    """Raises `CannotAnswer`, and what `similar` raises."""
    opened = _map(site)
    about, places, version = opened.about, opened.places, opened.version
    parts = query.parts()
    is_game = len(parts) == 1 and parts[0].kind == "game" and not parts[0].is_minus
    glowing: list[tuple[int, int]] = []
    if parts and not is_game:
        found = similar(site, parts, _GLOWING, query.view, query)
        rows = [site.catalogue.row_of(result.game.appid) for result in found.results]
        glowing = [(x, y) for x, y in places.cells[rows].tolist()]
    zoom = _overview_zoom(about)
    sides = [-(-side // (TILE * 2 ** (about.zoom - zoom))) for side in _size(about)]
    tiles = [opened.tiles.format(z=zoom, x=x, y=y) for y in range(sides[1]) for x in range(sides[0])]
    filters = query.filters()
    shown = (*query.pairs("by"), *filters)
    here = site.catalogue.row_of(int(parts[0].value)) if is_game else None
    return MapPage(
        about=about,
        regions=places.regions,
        version=version,
        template=opened.tiles,
        overview=tiles,
        across=sides[0],
        here=None if here is None else site.game(here),
        here_cell=None if here is None else _cell(places, here),
        glowing=glowing,
        parts=_named(site, parts) if glowing else "",
        picture=query.picture,
        layer=address("/map/layer.png", shown) if shown else "",
        legend=_legend(site, query.by),
        filters=filter_form(site, query, "/map", (*pairs_of(parts), *query.pairs("by")), _UNUSED),
        passing=int(np.count_nonzero(mask(site, query))) if filters else None,
        kept=(*pairs_of(parts), *filters),
        choices=_choices(site),
        by=query.by,
    )


def _cell(places: Places, row: int) -> tuple[int, int]:
    x, y = places.cells[row].tolist()
    return x, y


def _overview_zoom(about: Map) -> int:
    return min(about.zoom, 1)


def _size(about: Map) -> tuple[int, int]:
    return about.columns * about.cell[0], about.rows * about.cell[1]


def _named(site: Site, parts: Sequence[QueryPart]) -> str:
    names = []
    for part in parts:
        name = site.game(site.catalogue.row_of(int(part.value))).name if part.kind == "game" else part.value
        named = "your cover" if part.kind == "picture" else f"“{name}”" if part.kind == "text" else name
        names.append(f"without {named}" if part.is_minus else named)
    return ", ".join(names)


def _choices(site: Site) -> list[tuple[str, str]]:
    known = (
        ("year", "Year", site.facts.years is not None),
        ("tag", "Tag", len(_tags(site)) > 0),
        ("popularity", "Popularity", len(site.orders.popular) > 1),
        ("unusual", "How unusual", len(site.orders.unique) > 0),
    )
    return [("", "Covers only"), *((value, name) for value, name, is_known in known if is_known)]


def _legend(site: Site, by: By) -> Legend | None:
    ends = [f"rgb{tuple(colour)}" for colour in (_LOW, _HIGH)]
    if by == "year" and site.facts.years is not None:
        return Legend("Year", ends, list(map(str, site.facts.years)), _unknown(site.years > 0))
    if by == "tag" and _tags(site):
        colours = [f"rgb{colour}" for colour in _COLOURS]
        return Legend("Tag", colours, _tags(site), "each by the rarest of its tags", is_scale=False)
    if by == "popularity":
        return Legend("Popularity", ends, ("less popular", "more popular"), _unknown(site.popularity > 0))
    return Legend("How unusual", ends, ("one of many", "like no other")) if by == "unusual" else None


def _unknown(is_known: Mask) -> str:
    return "" if is_known.all() else "without colour: not known"


def _tags(site: Site) -> Sequence[str]:
    """The most frequent tags, those of the most games first."""
    return site.catalogue.games.frequent["tag"][: len(_COLOURS)]


@blueprint.get("/map")
def show_map() -> str:
    """Show all covers on one map."""
    site = current_site()
    page = map_page(site, read(MapQuery, from_form=True))
    title = f"{page.here.name} on the map" if page.here else "The map of all covers"
    popular = site.games(site.without_adult(site.orders.by_popularity, False)[:12].tolist())
    path = address("/map", [("game", page.here.appid)] if page.here else ())
    share = Share.of(site, title, "Like beside like: every cover in one picture.", path, popular)
    return render_template("map.html", page=page, share=share, json_url="/api/v1/map")


@blueprint.get("/map/tiles/<version>/<int:zoom>/<int:x>/<int:y>.webp")
def tile(version: str, zoom: int, x: int, y: int) -> Response:
    """A tile. Its address changes with the map."""
    opened = _map(current_site())
    if version != opened.tiles_version or zoom > opened.about.zoom or max(x, y) >= 2**zoom:
        abort(404)
    tiles = current_site().catalogue.tiles
    try:
        data = tiles.tile(zoom, x, y) if tiles else None
    except BadCatalogue:  # it was replaced a moment ago; the page's next request sees the new one
        abort(404)
    if data is None:
        abort(404)
    return _for_ever(Response(data, mimetype="image/webp"))


def _for_ever(response: Response) -> Response:
    response.cache_control.public = True
    response.cache_control.max_age = ONE_YEAR
    response.cache_control.immutable = True
    return response


@blueprint.get("/map/games/<version>/<int:x>/<int:y>.json")
def games_of_block(version: str, x: int, y: int) -> Response:
    """The games of 16 x 16 cells, by their numbers in the block: appid, name and cover."""
    site = current_site()
    opened = _map(site)
    if version != opened.version:
        abort(404)
    places = opened.places
    if x * BLOCK >= opened.about.columns or y * BLOCK >= opened.about.rows:
        abort(404)
    rows = np.flatnonzero((places.cells // BLOCK == (x, y)).all(axis=1))
    games = zip(_numbers(places, rows), site.games(rows.tolist()), strict=True)
    return _for_ever(jsonify({str(number): _brief(game) for number, game in games}))


def _numbers(places: Places, rows: npt.NDArray[np.intp]) -> list[int]:
    at = places.cells[rows] % BLOCK
    numbers: list[int] = (at[:, 1] * BLOCK + at[:, 0]).tolist()
    return numbers


def _brief(game: GameSummary) -> list[object]:
    return [game.appid, game.name, None if game.is_adult else game.image]


@dataclass(frozen=True)
class MapCard:
    """A game on the map, and its nearest look-alikes. `lines` are the cells of more of them."""

    game: GameSummary
    cell: tuple[int, int]
    nearest: Sequence[Result]
    lines: Sequence[tuple[int, int]]


@blueprint.get("/map/card/<appid:appid>")
def card(appid: int) -> str:
    """What the map shows of a game."""
    site = current_site()
    places = _map(site).places
    row = site.catalogue.row_of(appid)
    near = site.catalogue.view("plain").of(row)[:_LINES].tolist()
    shown = MapCard(
        site.game(row),
        _cell(places, row),
        [one for one in site.neighbours(row, _LINES) if shows_adult() or not one.game.is_adult][:_NEAREST],
        [(x, y) for x, y in places.cells[near].tolist()],
    )
    return render_template("_map_card.html", card=shown)


@blueprint.get("/map/region/<int:number>")
def region(number: int) -> str:
    """The games of a region."""
    site = current_site()
    places = _map(site).places
    if number >= len(places.regions):
        abort(404)
    chosen = places.regions[number]
    x, y = places.cells[:, 0] - chosen.x, places.cells[:, 1] - chosen.y
    inside = np.flatnonzero((x >= 0) & (x < chosen.width) & (y >= 0) & (y < chosen.height))
    rows = site.without_adult(inside[np.lexsort((x[inside], y[inside]))], shows_adult())
    about = _map(site).about
    zoom = round(float(np.log2(_REGION_WIDTH / (chosen.width * about.cell[0]))), 2)
    centre = [
        round(float(at), 4)
        for at in ((chosen.x + chosen.width / 2) / about.columns, (chosen.y + chosen.height / 2) / about.rows)
    ]
    there = f"/map#{zoom}/{centre[0]}/{centre[1]}"
    return render_template("map_region.html", region=chosen, games=site.games(rows.tolist()), there=there)


# -- colours --------------------------------------------------------------------------------------------------------

_LOW, _HIGH = (33, 64, 154), (255, 170, 40)  # blue and amber: the colour-blind tell them apart
_COLOURS = (  # these too: P. Tol, "Colour Schemes", 2021, "bright"
    (187, 187, 187),
    (68, 119, 170),
    (238, 102, 119),
    (34, 136, 51),
    (204, 187, 68),
    (102, 204, 238),
    (170, 51, 119),
)
_TINT, _DIM = 170, 205  # opacity, of 255


@blueprint.get("/map/layer.png")
def layer() -> Response:
    """A picture of the grid, one pixel a cell: coloured by something, dark where a filter lets nothing through."""
    site, query = current_site(), read(MapQuery, from_form=True)
    opened = _map(site)
    about, places = opened.about, opened.places
    pixels = np.zeros((about.rows, about.columns, 4), np.uint8)
    x, y = places.cells.T
    values = _values(site, query.by)
    if query.by == "tag":
        # A tag of fewer games says more of a game, and covers one of more.
        for tag, colour in zip(_tags(site), _COLOURS, strict=False):
            rows = site.catalogue.games.rows_with("tag", tag)
            pixels[y[rows], x[rows]] = (*colour, _TINT)
    elif values is not None:
        known = np.isfinite(values)
        shade = values[known, None]
        mixed = np.array(_LOW, np.float32) * (1 - shade) + np.array(_HIGH, np.float32) * shade
        pixels[y[known], x[known], :3] = mixed.round().astype(np.uint8)
        pixels[y[known], x[known], 3] = _TINT
    fails = ~mask(site, query)
    pixels[y[fails], x[fails]] = (0, 0, 0, _DIM)
    file = BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG")
    response = Response(file.getvalue(), mimetype="image/png")
    response.add_etag()
    response.make_conditional(request)
    return response


def _values(site: Site, by: By) -> npt.NDArray[np.float32] | None:
    """For each game a number from 0 to 1, NaN where it is not known: (n,)."""
    if by == "year" and site.facts.years is not None:
        first, last = site.facts.years
        return np.where(site.years > 0, (site.years - first) / max(1, last - first), np.nan).astype(np.float32)
    if by == "popularity":
        return _ranks(site.popularity > 0, site.popularity)
    if by == "unusual" and len(site.orders.unique):
        places = np.empty(len(site), np.int64)
        places[site.orders.unique] = -np.arange(len(site))
        return _ranks(np.ones(len(site), np.bool_), places)
    return None


def _ranks(known: Mask, values: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The place of each known value among them, 0 for the least and 1 for the largest."""
    ranks = np.full(len(values), np.nan, np.float32)
    places = np.flatnonzero(known)
    ranks[places[np.argsort(values[places], kind="stable")]] = np.linspace(0, 1, len(places))
    return ranks
