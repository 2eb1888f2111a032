"""The first page: a search box in front, an example, pairs, covers like no other, and strips of look-alikes to start
from."""

import random
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from flask import Blueprint, render_template

from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.pages.walls import PAIRS, POPULAR, WallEntry, WallQuery, entries
from webapp.params import API, PageNumber, Query, address, read, shows_adult
from webapp.queries.filters import outside_series
from webapp.queries.similar import neighbours
from webapp.records import GameSummary, Label, Paging, paging
from webapp.site import Site

UNIQUE = 8
SHOWN_PAIRS, OF_PAIRS = 4, 60  # of the first ones
LOOK_ALIKES = 4
EXAMPLES = 24
TERMS = 6
STRIPS = 6  # a page

blueprint = Blueprint("home", __name__)


class HomeQuery(Query):
    """`example` is the appid of the game in front, 0 for any; `page` that of the strips."""

    example: int = 0
    page: PageNumber = 1


@dataclass(frozen=True)
class Example:
    """A game and its look-alikes of other series. `previous` and `next` are addresses of the home page with another
    one."""

    game: GameSummary
    look_alikes: tuple[GameSummary, ...]
    previous: str
    next: str

    @property
    def path(self) -> str:
        return _address_of(self.game.appid)


@dataclass(frozen=True)
class HomePage:
    """The first page. `strips` are games with their look-alikes; `has_popular`: the most popular ones first. Further
    pages have nothing else."""

    strips: tuple[WallEntry, ...]
    paging: Paging
    has_popular: bool
    example: Example | None = None
    pairs: tuple[WallEntry, ...] = ()
    unique: tuple[GameSummary, ...] = ()
    terms: tuple[Label, ...] = ()


def _address_of(appid: int) -> str:
    return address("/", [("example", appid)])


def _look_alikes(site: Site, row: int, adult: bool) -> tuple[GameSummary, ...]:
    """The first look-alikes outside the game's series: within it, similar art is no surprise."""
    is_outside = outside_series(site, [row])
    near = (one.game for one in neighbours(site, row, 5 * LOOK_ALIKES, "plain", stacked=True))
    others = (game for game in near if adult or not game.is_adult)
    return tuple(islice((game for game in others if is_outside(site.catalogue.row_of(game.appid))), LOOK_ALIKES))


def _example(site: Site, appid: int, adult: bool) -> Example | None:
    """The example with this game, or a random one; None if no game has enough look-alikes."""
    anywhere, first = site.without_adult(site.orders.anywhere, adult), site.catalogue.view("plain").first_similarities
    if first is not None:
        anywhere = anywhere[first[anywhere] >= np.median(first)]
    rows = anywhere[:EXAMPLES].tolist()

    def found(place: int, step: int) -> tuple[int, tuple[GameSummary, ...]]:
        """The first place from there whose game has enough look-alikes, and these; none if there is no such place."""
        for other in range(place, place + step * len(rows), step):
            if len(near := _look_alikes(site, rows[other % len(rows)], adult)) == LOOK_ALIKES:
                return other % len(rows), near
        return place, ()

    own = site.rows_of([appid])
    place = rows.index(own[0]) if own and own[0] in rows else random.randrange(max(1, len(rows)))
    place, near = found(place, 1)
    if not near:
        return None
    row = rows[place]
    if own and row != own[0] and len(others := _look_alikes(site, own[0], adult)) == LOOK_ALIKES:  # none of the few
        row, near = own[0], others
    previous, following = (_address_of(site.game(rows[found(place + step, step)[0]]).appid) for step in (-1, 1))
    return Example(site.game(row), near, previous, following)


def home_page(site: Site, query: HomeQuery, adult: bool) -> HomePage:
    anywhere = site.without_adult(site.orders.anywhere, adult)
    start = (query.page - 1) * STRIPS
    strips = entries(site, POPULAR, anywhere[start : start + STRIPS].tolist(), adult, start)
    page = HomePage(strips, paging(query.page, len(anywhere), STRIPS), bool(len(site.orders.popular)))
    if query.page > 1:
        return page
    pairs = PAIRS.order(site, WallQuery(adult=adult))[:OF_PAIRS].tolist()
    unique = site.without_adult(site.orders.unique, adult)
    terms = site.catalogue.games.terms
    return replace(
        page,
        example=_example(site, query.example, adult),
        pairs=entries(site, PAIRS, random.sample(pairs, min(SHOWN_PAIRS, len(pairs))), adult),
        unique=site.games(unique[site.has_name[unique]][:UNIQUE].tolist()),
        terms=tuple(Label(term.name, term.kind) for term in random.sample(terms, min(TERMS, len(terms)))),
    )


@blueprint.get("/")
def home() -> tuple[str, int]:
    site, adult = current_site(), shows_adult()
    query = read(HomeQuery, from_form=True)
    page = home_page(site, query, adult)
    share = Share.of(
        site,
        "Which games look alike?",
        f"Pick any of {site.facts.shown_games} games and see which covers look like it.",
        page.example.path if page.example and query.example else "/",
        (page.example.game, *page.example.look_alikes) if page.example else (entry.game for entry in page.strips),
    )
    html = render_template("home.html", page=page, share=share, json_url=f"{API}catalogue")
    return html, 404 if page.paging.is_beyond else 200
