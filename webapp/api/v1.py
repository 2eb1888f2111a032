"""The JSON API: the objects of the pages, for programs."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from flask import Blueprint, Response, jsonify, render_template
from msgspec import Meta

from banners.catalogue.search import MAX_QUERY
from banners.errors import BadInput
from banners.views import View
from webapp.api import tables
from webapp.api.openapi import document, endpoints, route
from webapp.current import current_site
from webapp.pages import about, compare, cover, game, map, parts, search
from webapp.pages.walls import WALLS, LabelsPage, WallPage, labels_page, rows_of, wall_page
from webapp.params import AdultFlag, PageNumber, Query, words
from webapp.queries.cover_parts import PartQuery, PartSearch
from webapp.queries.filters import SeriesFilterQuery
from webapp.queries.parts import SimilarQuery
from webapp.queries.similar import SimilarGames, similar
from webapp.queries.uploads import received
from webapp.queries.verdicts import Verdict
from webapp.records import GameSummary

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

TITLE = "Steam CLIP"
ABOUT = (
    "Games of the Steam store by the look of their covers. Requests are GET and can be sent from any site; only a"
    " picture is sent with POST, and it is not kept. Errors are problem details. An address that begins with a slash is"
    " on this server. Covers that may be explicit are marked is_adult; the walls and /random leave them out unless"
    " adult=1. A list is a table in CSV with format=csv: rank, appid, name, year, developer, similarity. There, an"
    " apostrophe stands before a name that a spreadsheet would take for a formula."
)


Stacked = Annotated[
    bool, Meta(description="Whether editions of a game, and games with identical covers, are one result, 1 or 0.")
]


class GamesQuery(Query):
    q: Annotated[
        str, Meta(max_length=MAX_QUERY, description="Words of a name, or an appid; without it, all games by appid.")
    ] = ""
    page: PageNumber = 1


class NeighboursQuery(SeriesFilterQuery):
    n: Annotated[
        int, Meta(ge=1, le=game.MAX_NEIGHBOURS, description="How many; all that are known if there are fewer.")
    ] = game.DEFAULT_NEIGHBOURS
    view: Annotated[View, Meta(description="Which view of the game's cover is compared with all others.")] = "plain"
    stacked: Stacked = False


class StackableQuery(SimilarQuery):
    stacked: Stacked = False


class PicturesQuery(cover.UploadQuery):
    stacked: Stacked = False


class PairQuery(Query):
    a: Annotated[int, Meta(ge=0, le=2**32 - 1, description="The appid of a game.")] = 0
    b: Annotated[int, Meta(ge=0, le=2**32 - 1, description="That of another game.")] = 0


class RandomQuery(Query):
    adult: AdultFlag = False


@dataclass(frozen=True, kw_only=True)
class JudgedPicture(SimilarGames):
    """The look-alikes of a picture, and the verdict on it."""

    verdict: Verdict


_BINARY = {"type": "string", "format": "binary"}
_PICTURE = {
    "multipart/form-data": {"type": "object", "required": ["picture"], "properties": {"picture": _BINARY}},
    **dict.fromkeys(("image/jpeg", "image/png", "image/webp"), _BINARY),
}


@route(blueprint, "/catalogue", tag="catalogue")
def read_catalogue() -> about.AboutPage:
    """What is served: how many games, by which encoder, with which views."""
    return about.about_page(current_site())


@route(blueprint, "/games", tag="games", table=lambda page: page.rows())
def find_games(query: GamesQuery) -> search.SearchPage:
    """Games by name or appid, the best first. Explicit ones are among them, and marked."""
    if query.q:
        return search.search_page(current_site(), words(query.q), query.page)
    return search.all_games(current_site(), query.page)


@route(blueprint, "/games/<appid:appid>", tag="games")
def read_game(appid: int) -> game.GameDetails:
    """One game, and its place among the others."""
    return game.game_details(current_site(), current_site().catalogue.row_of(appid))


@route(blueprint, "/games/<appid:appid>/neighbours", tag="games", table=tables.of_results)
def read_neighbours(appid: int, query: NeighboursQuery) -> game.GameNeighbours:
    """The look-alikes of a game: the games whose covers look most like its own, never itself."""
    return game.game_neighbours(current_site(), appid, query.view, query.n, query, query.stacked)


@route(blueprint, "/games/<appid:appid>/parts", tag="games", statuses=(429, 501), table=tables.of_parts)
def find_part(appid: int, query: PartQuery) -> PartSearch:
    """The games whose covers have a part of a game's cover, and where."""
    return parts.find_game_part(current_site(), appid, query)


@route(blueprint, "/compare", tag="games")
def compare_games(query: PairQuery) -> compare.Comparison:
    """How alike the covers of two games are, and what corresponds on them. That is what corresponds, not what the
    encoder thought."""
    return compare.comparison(current_site(), query.a, query.b)


@route(blueprint, "/similar", tag="queries", statuses=(429, 501, 503), table=tables.of_results)
def find_similar(query: StackableQuery) -> SimilarGames:
    """The games whose covers look like all of several games, words and a picture, and not like others."""
    chosen = query.parts()
    if not chosen:
        raise BadInput("Name at least one game, text or picture.")
    return similar(current_site(), chosen, query.n, query.view, query, query.stacked)


@route(
    *(blueprint, "/pictures"),
    tag="queries",
    method="post",
    body=_PICTURE,
    statuses=(413, 415, 429, 501, 503),
    table=tables.of_results,
)
def find_by_picture(query: PicturesQuery) -> JudgedPicture:
    """The verdict on a picture as a cover, the games whose covers look like it, and what it shows. A JPEG, PNG or WebP
    of at most 10 MB, as the field "picture" of a form or as the body itself; it is not kept. Of a picture in another
    shape than covers, all is about the middle, and there is no verdict."""
    site = current_site()
    upload = received(site)
    picture, look = cover.looked_at(site, upload, query)
    answer, verdict = cover.judged(site, picture, query, look, query.stacked)
    answer = replace(answer, is_first_frame=upload.is_animated)
    return JudgedPicture(**vars(answer), verdict=verdict)


@route(
    *(blueprint, "/pictures/parts"),
    tag="queries",
    method="post",
    body=_PICTURE,
    statuses=(413, 415, 429, 501, 503),
    table=tables.of_parts,
)
def find_picture_part(query: PartQuery) -> PartSearch:
    """The games whose covers have a part of a picture, and where. The picture is sent as to /pictures."""
    return parts.find_picture_part(current_site(), query)


@route(blueprint, "/labels", tag="queries", statuses=(501,))
def list_labels() -> LabelsPage:
    """All terms that covers are labelled with."""
    return labels_page(current_site())


@route(blueprint, "/map", tag="walls", statuses=(501,))
def read_map() -> map.MapData:
    """Where every game is on the map of all covers, the names of its regions, and the address of its tiles."""
    return map.map_data(current_site())


for _wall in WALLS:
    _declared = {
        "name": f"list_{_wall.name}",
        "summary": _wall.summary,
        "query": _wall.query,
        "returns": WallPage,
        "table": partial(rows_of, _wall),
    }
    route(blueprint, f"/{_wall.name}", tag="walls", statuses=(501,), **_declared)(
        lambda query, wall=_wall: wall_page(current_site(), wall, query)
    )


@route(blueprint, "/random", tag="walls")
def random_game(query: RandomQuery) -> GameSummary:
    """A game picked at random."""
    return current_site().game(game.random_row(current_site(), query.adult))


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The document that describes all of it."""
    return jsonify(document(TITLE, ABOUT))


@blueprint.get("/")
def guide() -> str:
    """The same for reading."""
    current_first = sorted(endpoints, key=lambda one: one.tag.startswith("earlier"))
    return render_template("api.html", endpoints=current_first, about=ABOUT)
