"""Search by name or appid, by the look if the catalogue knows words, and what the search box suggests."""

from dataclasses import dataclass

import msgspec
from flask import Blueprint, Response, current_app, redirect, render_template
from werkzeug.exceptions import TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from banners.catalogue.names import appid_of, named_by_address
from banners.catalogue.search import MAX_QUERY
from banners.errors import BadCatalogue, BadInput, UnknownGame
from webapp import queries
from webapp.current import catalogue
from webapp.params import PageNumber, Query, read, words
from webapp.records import Game, Paging, Result, json_url, paging
from webapp.served import ServedCatalogue

SUGGESTIONS = 10
PER_PAGE = 48
LOOKS = 12  # of words, below the names

blueprint = Blueprint("search", __name__)


class SearchQuery(Query):
    q: str = ""
    page: PageNumber = 1


@dataclass(frozen=True)
class SearchPage:
    """A page of games. `is_approximate`: no name has all the words of the query, these resemble it."""

    query: str
    is_approximate: bool
    paging: Paging
    games: tuple[Game, ...]


def search_page(served: ServedCatalogue, query: str, page: int) -> SearchPage:
    """Raises `BadInput` for a query that is too long."""
    if len(query) > MAX_QUERY and named_by_address(query) is None:
        raise BadInput(
            f"That is longer than any name: {len(query)} characters, and at most {MAX_QUERY} can be searched."
        )
    found = served.catalogue.games.search(query, PER_PAGE, (page - 1) * PER_PAGE)
    return SearchPage(query, found.approximate, paging(page, found.total, PER_PAGE), served.games(found.rows))


def all_games(served: ServedCatalogue, page: int) -> SearchPage:
    """All games by appid."""
    rows = range(len(served))[(page - 1) * PER_PAGE : page * PER_PAGE]
    return SearchPage("", False, paging(page, len(served), PER_PAGE), served.games(rows))


def _only_match(served: ServedCatalogue, query: str) -> Game | None:
    """The game that has `query` as its name or its appid, None if other games have its words too."""
    games = served.catalogue.games
    found = games.search(query, 2)
    if found.total != 1 or found.approximate:
        return None
    only = served.game(found.rows[0])
    return only if games.titled(query) == found.rows or appid_of(query) == only.appid else None


def _looks_like(served: ServedCatalogue, query: str) -> tuple[tuple[Result, ...], str]:
    """The banners that fit words best, and why there are none where there could be; names can be searched all the
    same."""
    if not query or not served.site.takes_words:
        return (), ""
    try:
        found = queries.similar(served, [queries.Part("text", query[: queries.MAX_TEXT])], LOOKS)
        return (found.results if found.is_clear else ()), ""
    except BadInput:  # the encoder makes nothing of the words
        return (), ""
    except TooManyRequests:
        return (), "You asked for a lot at once: only names were searched, not the banners."
    except BadCatalogue as error:
        current_app.logger.error("no queries by words: %s", error)
        return (), "The banners cannot be searched by words at the moment, only names."


@blueprint.get("/search")
def search() -> tuple[str, int] | BaseResponse:
    """Games by name or appid, ranked; straight to the one that was meant if there is no doubt."""
    given = read(SearchQuery, from_form=True)
    query = words(given.q)
    appid, only = named_by_address(query), _only_match(catalogue(), query)
    if appid is not None and only is None:
        raise UnknownGame(appid)
    if only is not None:
        return redirect(only.url)
    page = search_page(catalogue(), query, given.page)
    looks, trouble = _looks_like(catalogue(), query) if given.page == 1 else ((), "")
    twin = json_url("games", q=query, page=given.page if given.page > 1 else "")
    html = render_template("search.html", page=page, looks=looks, trouble=trouble, json_url=twin)
    return html, 404 if page.paging.is_beyond else 200


@blueprint.get("/suggest")
def suggest() -> Response:
    """Suggestions for the search box while somebody types. `hidden` counts the results that are not listed."""
    query = words(read(SearchQuery, from_form=True).q)
    found = catalogue().catalogue.games.search(query, SUGGESTIONS)
    games = catalogue().games(found.rows)
    hidden = max(0, found.total - len(games))
    answer = {"query": query, "suggestions": games, "hidden": hidden, "approximate": found.approximate}
    response = Response(msgspec.json.encode(answer), mimetype="application/json")
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
