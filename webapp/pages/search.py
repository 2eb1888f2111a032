"""Search by name or appid, by the look if the catalogue knows words, and what the search box suggests."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from flask import Blueprint, Response, current_app, redirect, render_template
from werkzeug.exceptions import TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from banners.catalogue.names import appid_of, named_by_address
from banners.catalogue.search import MAX_QUERY, MOST_COUNTED
from banners.errors import BadCatalogue, BadInput, UnknownGame
from webapp.current import current_site
from webapp.params import API, PageNumber, Query, address, read, words
from webapp.queries.parts import MAX_TEXT, QueryPart
from webapp.queries.similar import similar
from webapp.records import GameSummary, Paging, Result, paging
from webapp.site import Site

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
    games: tuple[GameSummary, ...]

    @property
    def shown_total(self) -> str:
        return _counted(self.paging.total) if self.query else f"{self.paging.total:,}"

    def rows(self) -> Iterator[tuple[int, GameSummary, None]]:
        """Rank and game; names have no similarity."""
        first = (self.paging.page - 1) * PER_PAGE + 1
        return ((rank, game, None) for rank, game in enumerate(self.games, first))


def search_page(site: Site, query: str, page: int) -> SearchPage:
    """Raises `BadInput` for a query that is too long."""
    if len(query) > MAX_QUERY and named_by_address(query) is None:
        raise BadInput(
            f"That is longer than any name: {len(query)} characters, and at most {MAX_QUERY} can be searched."
        )
    hits = site.catalogue.games.search(query, PER_PAGE, (page - 1) * PER_PAGE)
    return SearchPage(query, hits.approximate, paging(page, hits.total, PER_PAGE), site.games(hits.rows))


def _counted(total: int) -> str:
    return f"{total:,}{'+' if total == MOST_COUNTED else ''}"


def all_games(site: Site, page: int) -> SearchPage:
    """All games by appid."""
    rows = range(len(site))[(page - 1) * PER_PAGE : page * PER_PAGE]
    return SearchPage("", False, paging(page, len(site), PER_PAGE), site.games(rows))


def _only_match(site: Site, query: str) -> GameSummary | None:
    """The game that has `query` as its name or its appid, None if other games have its words too."""
    games = site.catalogue.games
    hits = games.search(query, 2)
    if hits.total != 1 or hits.approximate:
        return None
    only = site.game(hits.rows[0])
    return only if games.titled(query) == hits.rows or appid_of(query) == only.appid else None


def _looks_like(site: Site, query: str) -> tuple[tuple[Result, ...], str]:
    """The banners that fit words best, and a message if they cannot be searched now. Names can be searched all the
    same."""
    if not query or not site.facts.takes_words:
        return (), ""
    try:
        answer = similar(site, [QueryPart("text", query[:MAX_TEXT])], LOOKS, stacked=True)
        return (answer.results if answer.is_clear else ()), ""
    except BadInput:  # the encoder makes nothing of the words
        return (), ""
    except TooManyRequests:
        return (), "You asked for a lot at once: only names were searched, not the covers."
    except BadCatalogue as error:
        current_app.logger.error("no queries by words: %s", error)
        return (), "The covers cannot be searched by words at the moment, only names."


@blueprint.get("/search")
def search() -> tuple[str, int] | BaseResponse:
    """Games by name or appid, ranked. If only one can be meant, redirect to its page."""
    form = read(SearchQuery, from_form=True)
    query = words(form.q)
    appid, only = named_by_address(query), _only_match(current_site(), query)
    if appid is not None and only is None:
        raise UnknownGame(appid)
    if only is not None:
        return redirect(only.url)
    page = search_page(current_site(), query, form.page)
    looks, trouble = _looks_like(current_site(), query) if form.page == 1 else ((), "")
    json_url = address(f"{API}games", [("q", query), *form.pairs("page")])
    html = render_template("search.html", page=page, looks=looks, trouble=trouble, json_url=json_url)
    return html, 404 if page.paging.is_beyond else 200


@blueprint.get("/suggest")
def suggest() -> Response:
    """Suggestions for the search box while somebody types. `hidden` counts the results that are not listed,
    `shown_total` all, "5,000+" where they are not counted to the end."""
    query = words(read(SearchQuery, from_form=True).q)
    hits = current_site().catalogue.games.search(query, SUGGESTIONS)
    games = current_site().games(hits.rows)
    hidden = max(0, hits.total - len(games))
    answer = {
        "query": query,
        "suggestions": games,
        "hidden": hidden,
        "shown_total": _counted(hits.total),
        "approximate": hits.approximate,
    }
    response = Response(msgspec.json.encode(answer), mimetype="application/json")
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
