"""The JSON routes of the earlier web app and of the earlier name API, in the same form: their clients work here.

What differs: unknown games are a 404 and invalid parameters a 400, both as problem details; names are found whatever
their case; `mirror=0` means no; the name API's routes all use the one search. A row's number is its place by appid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import urljoin

from flask import Blueprint, request
from msgspec import Meta, field

from banners.catalogue.search import MAX_QUERY
from banners.encoders.views import view_of
from banners.errors import NotInCatalogue
from banners.steam import STEAMDB, STORE
from webapp.api.openapi import endpoints
from webapp.current import catalogue
from webapp.params import Query

blueprint = Blueprint("legacy", __name__)

_MOST_FOUND = 1000
_get = partial(endpoints.route, blueprint, tag="earlier web app")


# The defaults are those of the earlier web app.
_Index = Annotated[int, Meta(ge=-(2**31), le=2**31, description="The row of a game.")]
_Id = Annotated[int, Meta(ge=0, le=2**32 - 1, description="Its appid.")]
_Name = Annotated[str, Meta(min_length=1, max_length=500, description="Its name, whatever its case.")]
_Count = Annotated[int, Meta(ge=-(2**31), le=2**31, description="How many, the query itself included; -1 for all.")]


class _Similar(Query):
    """How many similar games, of which variant of the query."""

    n: _Count = -1
    mirror: Annotated[bool, Meta(description="Whether the query is mirrored, 1 or 0.")] = False
    flip: Annotated[bool, Meta(description="Whether it is flipped, 1 or 0.")] = False


class ByIndex(Query):
    index: _Index = 14586


class MatchesByIndex(ByIndex):
    n: _Count = -1


class SimilarByIndex(_Similar):
    index: _Index = 14586


class ById(Query):
    id_: _Id = field(name="id", default=1091500)


class SimilarById(_Similar):
    id_: _Id = field(name="id", default=1091500)


class ByName(Query):
    name: _Name = "Cyberpunk 2077"


class SimilarByName(_Similar):
    name: _Name = "Cyberpunk 2077"


class Find(Query):
    name: Annotated[str, Meta(max_length=500, description="What somebody typed.")] = ""
    n: Annotated[int, Meta(ge=-(2**31), le=2**31, description=f"How many, at most {_MOST_FOUND}; -1 for these.")] = 5


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


# -- by row --


@_get("/index")
def index(given: ByIndex) -> str:
    """The row itself, as text."""
    return str(_row(given.index))


@_get("/id")
def id_(given: ByIndex) -> int:
    """The appid of a row."""
    return _appid(_row(given.index))


@_get("/name")
def name(given: ByIndex) -> str:
    """The name of a row."""
    return _name(_row(given.index))


@_get("/app")
def app(given: ByIndex) -> App:
    """The game of a row."""
    return _app(_row(given.index))


@_get("/matches")
def matches(given: MatchesByIndex) -> tuple[int, ...]:
    """The rows that look most like a row, itself first."""
    return _matches(_row(given.index), given.n)


@_get("/similar_apps")
def similar_apps(given: SimilarByIndex) -> tuple[App, ...]:
    """The games that look most like that of a row, itself first."""
    return _similar(_row(given.index), given)


# -- by appid --


@_get("/index_from_id")
def index_from_id(given: ById) -> int:
    """The row of an appid."""
    return _row_of_id(given.id_)


@_get("/name_from_id")
def name_from_id(given: ById) -> str:
    """The name of an appid."""
    return _name(_row_of_id(given.id_))


@_get("/app_from_id")
def app_from_id(given: ById) -> App:
    """The game of an appid."""
    return _app(_row_of_id(given.id_))


@_get("/similar_apps_from_id")
def similar_apps_from_id(given: SimilarById) -> tuple[App, ...]:
    """The games that look most like that of an appid, itself first."""
    return _similar(_row_of_id(given.id_), given)


# -- by name --


@_get("/index_from_name")
def index_from_name(given: ByName) -> int:
    """The row of a name."""
    return _row_of_name(given.name)


@_get("/id_from_name")
def id_from_name(given: ByName) -> int:
    """The appid of a name."""
    return _appid(_row_of_name(given.name))


@_get("/app_from_name")
def app_from_name(given: ByName) -> App:
    """The game of a name."""
    return _app(_row_of_name(given.name))


@_get("/similar_apps_from_name")
def similar_apps_from_name(given: SimilarByName) -> tuple[App, ...]:
    """The games that look most like that of a name, itself first."""
    return _similar(_row_of_name(given.name), given)


# -- the name API --


@endpoints.route(blueprint, "/find/", tag="earlier name API")
def find(given: Find) -> tuple[Named, ...]:
    """Games by what people type of their names, best first."""
    return _find(given)


for _path in ("/dl/", "/difflib/", "/lv/", "/levenshtein/"):
    endpoints.add(
        blueprint,
        _path,
        lambda given: _find(given),
        name=_path.strip("/"),
        summary="The same: there is one search.",
        query=Find,
        returns=tuple[Named, ...],
        tag="earlier name API",
    )


def _find(given: Find) -> tuple[Named, ...]:
    count = _MOST_FOUND if given.n < 0 else min(given.n, _MOST_FOUND)
    found = catalogue().catalogue.games.search(given.name[:MAX_QUERY], count).rows if count else []
    return tuple(Named(_appid(row), _name(row)) for row in found)


def _row(index: int) -> int:
    if 0 <= index < len(catalogue()):
        return index
    raise NotInCatalogue(f"This catalogue has the rows 0 to {len(catalogue()) - 1}; there is no row {index}.")


def _row_of_id(appid: int) -> int:
    return catalogue().catalogue.row_of(appid)


def _row_of_name(name: str) -> int:
    rows = catalogue().catalogue.games.titled(name)
    if not rows:
        raise NotInCatalogue(f"No game of this catalogue is called {name[:60]!r}.")
    return rows[0]


def _appid(row: int) -> int:
    return int(catalogue().catalogue.appids[row])


def _name(row: int) -> str:
    return catalogue().catalogue.games[row].name


def _matches(row: int, n: int, mirror: bool = False, flip: bool = False) -> tuple[int, ...]:
    found = [row, *catalogue().catalogue.view(view_of(mirror, flip)).rows[row].tolist()]
    return tuple(found if n < 0 else found[:n])


def _similar(row: int, given: _Similar) -> tuple[App, ...]:
    return tuple(map(_app, _matches(row, given.n, given.mirror, given.flip)))


def _app(row: int) -> App:
    appid = _appid(row)
    return App(
        index=row,
        id=appid,
        name=_name(row),
        steam_store_url=f"{STORE}{appid}/",
        steam_illustration_url=urljoin(request.host_url, catalogue().illustration(row)),  # for pages of other sites
        steamdb_url=f"{STEAMDB}{appid}/",
        query_url=f"/render/{appid}",
    )


def paths() -> Iterator[str]:
    """The addresses of this module: answered in JSON, errors too, and readable from other sites."""
    return (endpoint.rule for endpoint in endpoints if endpoint.tag.startswith("earlier"))
