"""The JSON routes of the earlier web app and of the earlier name API, in the same form: their clients work here.

What differs: unknown games are a 404 and invalid parameters a 400, both as problem details; names are found whatever
their case; `mirror=0` means no; the name API's routes all use the one search, and `n=-1` means all there too. A row's
number is its place by appid.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urljoin

from flask import Blueprint
from msgspec import Meta, field

from banners.errors import NotInCatalogue
from banners.steam import STEAMDB, STORE
from banners.views import view_of
from webapp.api.openapi import endpoints, route
from webapp.current import current_site
from webapp.params import Query, origin

blueprint = Blueprint("legacy", __name__)
# The defaults are those of the earlier web app.
_Count = Annotated[int, Meta(description="How many, the query itself included; -1 for all.")]
_Mirror = Annotated[bool, Meta(description="Whether the query is mirrored, 1 or 0.")]
_Flip = Annotated[bool, Meta(description="Whether it is flipped, 1 or 0.")]


class Earlier(Query):
    takes_python_integers = True


class ByIndex(Earlier):
    index: Annotated[int, Meta(description="The row of a game.")] = 14586

    def row(self) -> int:
        if 0 <= self.index < len(current_site()):
            return self.index
        last = len(current_site()) - 1
        raise NotInCatalogue(f"This catalogue has the rows 0 to {last}; there is no row {self.index}.")


class ById(Earlier):
    id_: Annotated[int, Meta(ge=0, le=2**32 - 1, description="Its appid.")] = field(name="id", default=1091500)

    def row(self) -> int:
        return current_site().catalogue.row_of(self.id_)


class ByName(Earlier):
    name: Annotated[str, Meta(max_length=2000, description="Its name, whatever its case, or its store page.")] = (
        "Cyberpunk 2077"
    )

    def row(self) -> int:
        rows = current_site().catalogue.games.titled(self.name)
        if not rows:
            raise NotInCatalogue(f"No game of this catalogue is called {self.name[:60]!r}.")
        return rows[0]


class MatchesByIndex(ByIndex):
    n: _Count = -1


class SimilarByIndex(MatchesByIndex):
    mirror: _Mirror = False
    flip: _Flip = False


class SimilarById(ById):
    n: _Count = -1
    mirror: _Mirror = False
    flip: _Flip = False


class SimilarByName(ByName):
    n: _Count = -1
    mirror: _Mirror = False
    flip: _Flip = False


class Find(Earlier):
    name: Annotated[str, Meta(max_length=2000, description="What somebody typed.")] = ""
    n: Annotated[int, Meta(description="How many; -1 for all.")] = 5


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


def _appid(row: int) -> int:
    return int(current_site().catalogue.appids[row])


def _name(row: int) -> str:
    return current_site().catalogue.games[row].name


def _app(row: int) -> App:
    appid = _appid(row)
    return App(
        index=row,
        id=appid,
        name=_name(row),
        steam_store_url=f"{STORE}{appid}/",
        steam_illustration_url=urljoin(origin(), current_site().illustration(row)),  # for pages of other sites
        steamdb_url=f"{STEAMDB}{appid}/",
        query_url=f"/render/{appid}",
    )


def _matches(row: int, n: int, mirror: bool = False, flip: bool = False) -> tuple[int, ...]:
    rows = [row, *current_site().catalogue.view(view_of(mirror, flip)).of(row).tolist()]
    return tuple(rows if n < 0 else rows[:n])


def _similar(query: SimilarByIndex | SimilarById | SimilarByName) -> tuple[App, ...]:
    return tuple(map(_app, _matches(query.row(), query.n, query.mirror, query.flip)))


def _find(query: Find) -> tuple[Named, ...]:
    """`n` games: the results of the search first, then the names with the fewest edits."""
    games = current_site().catalogue.games
    count = len(games) if query.n < 0 else min(query.n, len(games))
    rows = games.search(query.name, count).rows if count else []
    if len(rows) < count:
        rows = list(dict.fromkeys([*rows, *games.nearest_names(query.name, count)]))
    return tuple(Named(_appid(row), _name(row)) for row in rows[:count])


_Answer = Callable[[Any], object]  # to a query
_ROUTES: tuple[tuple[str, type[Query], Any, _Answer, str], ...] = (
    ("index", ByIndex, str, lambda query: str(query.row()), "The row itself, as text."),
    ("id", ByIndex, int, lambda query: _appid(query.row()), "The appid of a row."),
    ("name", ByIndex, str, lambda query: _name(query.row()), "The name of a row."),
    ("app", ByIndex, App, lambda query: _app(query.row()), "The game of a row."),
    (
        *("matches", MatchesByIndex, tuple[int, ...], lambda query: _matches(query.row(), query.n)),
        "The rows that look most like a row, itself first.",
    ),
    ("index_from_id", ById, int, lambda query: query.row(), "The row of an appid."),
    ("name_from_id", ById, str, lambda query: _name(query.row()), "The name of an appid."),
    ("app_from_id", ById, App, lambda query: _app(query.row()), "The game of an appid."),
    ("index_from_name", ByName, int, lambda query: query.row(), "The row of a name."),
    ("id_from_name", ByName, int, lambda query: _appid(query.row()), "The appid of a name."),
    ("app_from_name", ByName, App, lambda query: _app(query.row()), "The game of a name."),
)
for _path, _query, _returns, _answer, _summary in _ROUTES:
    route(blueprint, f"/{_path}", "earlier web app", name=_path, summary=_summary, query=_query, returns=_returns)(
        _answer
    )
for _path, _query, _of in (
    ("similar_apps", SimilarByIndex, "that of a row"),
    ("similar_apps_from_id", SimilarById, "that of an appid"),
    ("similar_apps_from_name", SimilarByName, "that of a name"),
):
    _described = {"summary": f"The games that look most like {_of}, itself first.", "returns": tuple[App, ...]}
    route(blueprint, f"/{_path}", "earlier web app", name=_path, query=_query, **_described)(_similar)
for _path in ("find", "dl", "difflib", "lv", "levenshtein"):  # there is one search
    _described = {"summary": "Games with a name like the given one, best first.", "returns": tuple[Named, ...]}
    route(blueprint, f"/{_path}/", "earlier name API", name=_path, query=Find, **_described)(_find)


def paths() -> Iterator[str]:
    """The addresses of this module: answered in JSON, errors too, and readable from other sites."""
    return (endpoint.rule for endpoint in endpoints if endpoint.tag.startswith("earlier"))
