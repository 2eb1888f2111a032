"""The JSON routes of the earlier web app and of the earlier name API, in the same form, so that what was written for
them works here.

Mended: what is not known is a 404 and what is not valid a 400, both as problem details; names are found whatever
their case; `mirror=0` means no; `/find/` and `/dl/` find what people type. A row's number is its place by appid.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin

from flask import Blueprint, request

from banners.encoders.views import view_of
from banners.errors import NotInCatalogue
from webapp.api import registry
from webapp.exhibition import gallery
from webapp.gallery import Gallery
from webapp.modes import Mode
from webapp.openapi import flag, text, whole

legacy = Blueprint("legacy", __name__)

# What is meant where a parameter is left out, as it was there.
_INDEX = whole("index", "The row of a game.", 14586, -(2**31), 2**31)
_ID = whole("id", "Its appid.", 1091500, -(2**31), 2**32 - 1)
_NAME = text("name", "Its name, whatever its case.", "Cyberpunk 2077", least=1, most=500)
_N = whole("n", "How many, the query itself included; -1 for all.", -1, -(2**31), 2**31)
_VIEWS = (flag("mirror", "Whether the query is mirrored."), flag("flip", "Whether it is flipped."))
_MOST_FOUND = 100


@dataclass(frozen=True)
class App:
    """A game, as the earlier web app describes it."""

    index: int
    id: int
    name: str
    steam_store_url: str
    steam_illustration_url: str
    steamdb_url: str
    query_url: str


@dataclass(frozen=True)
class Named:
    """A game, as the earlier name API describes it."""

    id: int
    name: str


# -- by row ---------------------------------------------------------------------------------------------------------


@registry.get(legacy, "/index", str, _INDEX, tag="earlier web app")
def index(index: int) -> str:
    """The row itself, as text."""
    return str(_row(index))


@registry.get(legacy, "/id", int, _INDEX, tag="earlier web app")
def id_(index: int) -> int:
    """The appid of a row."""
    return int(gallery().catalogue.appids[_row(index)])


@registry.get(legacy, "/name", str, _INDEX, tag="earlier web app")
def name(index: int) -> str:
    """The name of a row."""
    return gallery().catalogue.games[_row(index)].name


@registry.get(legacy, "/app", App, _INDEX, tag="earlier web app")
def app(index: int) -> App:
    """The game of a row."""
    return _app(gallery(), _row(index))


@registry.get(legacy, "/matches", tuple[int, ...], _INDEX, _N, tag="earlier web app")
def matches(index: int, n: int) -> tuple[int, ...]:
    """The rows that look most like a row, itself first."""
    return _matches(gallery(), _row(index), n, False, False)


@registry.get(legacy, "/similar_apps", tuple[App, ...], _INDEX, _N, *_VIEWS, tag="earlier web app")
def similar_apps(index: int, n: int, mirror: bool, flip: bool) -> tuple[App, ...]:
    """The games that look most like that of a row, itself first."""
    return _similar(_row(index), n, mirror, flip)


# -- by appid -------------------------------------------------------------------------------------------------------


@registry.get(legacy, "/index_from_id", int, _ID, tag="earlier web app")
def index_from_id(id_: int) -> int:
    """The row of an appid."""
    return gallery().catalogue.row_of(id_)


@registry.get(legacy, "/name_from_id", str, _ID, tag="earlier web app")
def name_from_id(id_: int) -> str:
    """The name of an appid."""
    return gallery().catalogue.games[gallery().catalogue.row_of(id_)].name


@registry.get(legacy, "/app_from_id", App, _ID, tag="earlier web app")
def app_from_id(id_: int) -> App:
    """The game of an appid."""
    return _app(gallery(), gallery().catalogue.row_of(id_))


@registry.get(legacy, "/similar_apps_from_id", tuple[App, ...], _ID, _N, *_VIEWS, tag="earlier web app")
def similar_apps_from_id(id_: int, n: int, mirror: bool, flip: bool) -> tuple[App, ...]:
    """The games that look most like that of an appid, itself first."""
    return _similar(gallery().catalogue.row_of(id_), n, mirror, flip)


# -- by name --------------------------------------------------------------------------------------------------------


@registry.get(legacy, "/index_from_name", int, _NAME, tag="earlier web app")
def index_from_name(name: str) -> int:
    """The row of a name."""
    return _row_of_name(name)


@registry.get(legacy, "/id_from_name", int, _NAME, tag="earlier web app")
def id_from_name(name: str) -> int:
    """The appid of a name."""
    return int(gallery().catalogue.appids[_row_of_name(name)])


@registry.get(legacy, "/app_from_name", App, _NAME, tag="earlier web app")
def app_from_name(name: str) -> App:
    """The game of a name."""
    return _app(gallery(), _row_of_name(name))


@registry.get(legacy, "/similar_apps_from_name", tuple[App, ...], _NAME, _N, *_VIEWS, tag="earlier web app")
def similar_apps_from_name(name: str, n: int, mirror: bool, flip: bool) -> tuple[App, ...]:
    """The games that look most like that of a name, itself first."""
    return _similar(_row_of_name(name), n, mirror, flip)


# -- the name API ---------------------------------------------------------------------------------------------------

_FIND = (
    text("name", "What somebody typed.", most=200),
    whole("n", f"How many, at most {_MOST_FOUND}.", 5, 0, _MOST_FOUND),
)


@registry.get(legacy, "/find/", tuple[Named, ...], *_FIND, tag="earlier name API")
def find(name: str, n: int) -> tuple[Named, ...]:
    """Games by what people type of their names, best first."""
    return _found(name, n)


@registry.get(legacy, "/dl/", tuple[Named, ...], *_FIND, tag="earlier name API")
def find_as_well(name: str, n: int) -> tuple[Named, ...]:
    """The same: there is one search."""
    return _found(name, n)


def _found(name: str, n: int) -> tuple[Named, ...]:
    opened = gallery()
    rows = opened.catalogue.games.search(name, n).rows if n else []
    return tuple(Named(opened.catalogue.games[row].appid, opened.catalogue.games[row].name) for row in rows)


def _row(index: int) -> int:
    if 0 <= index < len(gallery()):
        return index
    raise NotInCatalogue(f"This catalogue has the rows 0 to {len(gallery()) - 1}; there is no row {index}.")


def _row_of_name(name: str) -> int:
    rows = gallery().catalogue.games.titled(name)
    if not rows:
        raise NotInCatalogue(f"No game of this catalogue is called {name[:60]!r}.")
    return rows[0]


def _matches(opened: Gallery, row: int, n: int, mirror: bool, flip: bool) -> tuple[int, ...]:
    found = [row, *opened.catalogue.view(view_of(mirror, flip)).rows[row].tolist()]
    return tuple(found if n < 0 else found[:n])


def _similar(row: int, n: int, mirror: bool, flip: bool) -> tuple[App, ...]:
    opened = gallery()
    return tuple(_app(opened, other) for other in _matches(opened, row, n, mirror, flip))


def _app(opened: Gallery, row: int) -> App:
    game = opened.catalogue.games[row]
    return App(
        row,
        game.appid,
        game.name,
        f"https://store.steampowered.com/app/{game.appid}/",
        urljoin(request.host_url, opened.illustration(row)),  # for pages of other sites
        f"https://steamdb.info/app/{game.appid}/",
        Mode().url(game.appid),
    )


def paths() -> Iterable[str]:
    """The addresses of this module: answered in JSON, errors too, and readable from other sites."""
    return (endpoint.rule for endpoint in registry.endpoints if endpoint.tag.startswith("earlier"))
