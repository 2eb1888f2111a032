"""The JSON API: the objects of the pages, for programs."""

from dataclasses import replace
from typing import Annotated

from flask import Blueprint, Response, jsonify, render_template
from msgspec import Meta

from banners.catalogue.search import MAX_QUERY
from banners.encoders.views import View
from banners.errors import BadInput
from webapp import queries
from webapp.api.openapi import document, endpoints, route
from webapp.current import catalogue
from webapp.pages import about, game, search
from webapp.pages.walls import WALLS, LabelsPage, WallPage, labels_page, wall_page
from webapp.params import AdultFlag, PageNumber, Query, words
from webapp.queries import ResultCount, SimilarGames, SimilarQuery
from webapp.queries.filters import FilterQuery, SeriesFilterQuery
from webapp.records import Game

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

TITLE = "Steam CLIP"
ABOUT = (
    "Games of the Steam store by the look of their banners. Requests are GET and can be sent from any site; only a"
    " picture is sent with POST, and it is not kept. Errors are problem details. An address that begins with a slash is"
    " on this server. Banners that may be explicit are marked is_adult; the walls and /random leave them out unless"
    " adult=1."
)


class GamesQuery(Query):
    q: Annotated[
        str, Meta(max_length=MAX_QUERY, description="Words of a name, or an appid; without it, all games by appid.")
    ] = ""
    page: PageNumber = 1


class NeighboursQuery(SeriesFilterQuery):
    n: Annotated[
        int, Meta(ge=1, le=game.MAX_NEIGHBOURS, description="How many; all that are known if there are fewer.")
    ] = game.DEFAULT_NEIGHBOURS
    view: Annotated[View, Meta(description="Which view of the game's banner is compared with all others.")] = "plain"


class PicturesQuery(FilterQuery):
    n: ResultCount = 20
    view: queries.MatchView = "plain"


class RandomQuery(Query):
    adult: AdultFlag = False


_BINARY = {"type": "string", "format": "binary"}
_PICTURE = {
    "multipart/form-data": {"type": "object", "required": ["picture"], "properties": {"picture": _BINARY}},
    **dict.fromkeys(("image/jpeg", "image/png", "image/webp"), _BINARY),
}


@route(blueprint, "/catalogue", tag="catalogue")
def read_catalogue() -> about.AboutPage:
    """What is served: how many games, by which encoder, with which views."""
    return about.about_page(catalogue())


@route(blueprint, "/games", tag="games")
def find_games(given: GamesQuery) -> search.SearchPage:
    """Games by name or appid, the best first. Explicit ones are among them, and marked."""
    if given.q:
        return search.search_page(catalogue(), words(given.q), given.page)
    return search.all_games(catalogue(), given.page)


@route(blueprint, "/games/<appid:appid>", tag="games")
def read_game(appid: int) -> game.GameDetails:
    """One game, and its place among the others."""
    return game.game_details(catalogue(), catalogue().catalogue.row_of(appid))


@route(blueprint, "/games/<appid:appid>/neighbours", tag="games")
def read_neighbours(appid: int, given: NeighboursQuery) -> game.GamePage:
    """The games whose banners look most like that of one game, never itself."""
    return game.game_page(catalogue(), appid, given.view, given.n, given)


@route(blueprint, "/similar", tag="queries", statuses=(429, 501))
def find_similar(given: SimilarQuery) -> SimilarGames:
    """The games whose banners look like all of several games, words and a picture, and not like others."""
    parts = given.parts()
    if not parts:
        raise BadInput("Name at least one game, text or picture.")
    return queries.similar(catalogue(), parts, given.n, given.view, given)


@route(blueprint, "/pictures", tag="queries", method="post", body=_PICTURE, statuses=(413, 415, 429, 501, 503))
def find_by_picture(given: PicturesQuery) -> SimilarGames:
    """The games whose banners look like a picture, and what it shows. A JPEG, PNG or WebP of at most 10 MB, as the
    field "picture" of a form or as the body itself; it is not kept."""
    picture, is_first_frame = queries.embed_upload(catalogue())
    found = queries.similar(catalogue(), [picture], given.n, given.view, given)
    return replace(found, is_first_frame=is_first_frame)


@route(blueprint, "/labels", tag="queries", statuses=(501,))
def list_labels() -> LabelsPage:
    """All terms that banners are labelled with."""
    return labels_page(catalogue())


for _wall in WALLS:
    _declared = {"name": f"list_{_wall.name}", "summary": _wall.summary, "query": _wall.query, "returns": WallPage}
    route(blueprint, f"/{_wall.name}", tag="walls", statuses=(501,), **_declared)(
        lambda given, wall=_wall: wall_page(catalogue(), wall, given)
    )


@route(blueprint, "/random", tag="walls")
def random_game(given: RandomQuery) -> Game:
    """A game picked at random."""
    return catalogue().game(game.random_row(catalogue(), given.adult))


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The document that describes all of it."""
    return jsonify(document(TITLE, ABOUT))


@blueprint.get("/")
def guide() -> str:
    """The same for reading."""
    current_first = sorted(endpoints, key=lambda one: one.tag.startswith("earlier"))
    return render_template("api.html", endpoints=current_first, about=ABOUT)
