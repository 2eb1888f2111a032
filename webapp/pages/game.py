"""The page of a game: its banner beside its nearest neighbours."""

import random
from dataclasses import dataclass, replace

import numpy as np
from flask import Blueprint, redirect, render_template
from werkzeug.wrappers import Response as BaseResponse

from banners.errors import BadInput, NotInCatalogue
from banners.views import View
from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.pages.variants import VIEW_NAMES, Variant, view_links
from webapp.params import API, Pairs, address, read, shows_adult
from webapp.queries.filters import FilterForm, SeriesFilterQuery, filter_form
from webapp.queries.parts import MatchView, QueryPart, pairs_of
from webapp.queries.similar import neighbours
from webapp.records import GameSummary, Label, Result, closest
from webapp.site import Site

DEFAULT_NEIGHBOURS = 10
MAX_NEIGHBOURS = 100_000  # as many as embed_banners.py takes

blueprint = Blueprint("game", __name__)


class VariantQuery(SeriesFilterQuery):
    """`mirror=1` is the same as `/render_x`; `view` may be "artwork"."""

    mirror: bool = False
    flip: bool = False
    view: MatchView = "plain"


@dataclass(frozen=True)
class GameDetails:
    """A game and its place among the others. `stands_out_percent` is the part of the other games whose cover is less
    distinctive, null if it is not known; `neighbour_of` is the number of games that have this one among their first ten
    look-alikes; `identical` are the games with the same cover, `same_art` those whose cover is the same picture."""

    game: GameSummary
    views: tuple[View, ...]
    stands_out_percent: int | None
    neighbour_of: int
    identical: tuple[GameSummary, ...]
    same_art: tuple[GameSummary, ...]
    labels: tuple[Label, ...]
    developers: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class GameNeighbours:
    """A game and its look-alikes, best first. `available` is how many the catalogue knows of each game."""

    query: GameDetails
    view: View
    available: int
    results: tuple[Result, ...]


@dataclass(frozen=True)
class GamePage:
    """The page of a game. `neighbours` is its JSON. `variant` makes the addresses of other games. `n` is the number of
    neighbours in the address, None without one; `wanted` is `n` or the default. `views` are the choices, see
    `view_links`. `mix` are the parameters of a query that begins with this game, empty if there are no queries."""

    neighbours: GameNeighbours
    variant: Variant
    n: int | None
    wanted: int
    filters: FilterForm
    views: list[tuple[str, str, bool]]
    mix: Pairs

    @property
    def appid(self) -> int:
        return self.neighbours.query.game.appid

    @property
    def closest(self) -> Result | None:
        return closest(self.neighbours.results)

    @property
    def view_name(self) -> str:
        return VIEW_NAMES[self.variant.view].lower()

    @property
    def as_it_is(self) -> str:
        """The address without mirroring and flipping, "" if this is it."""
        plain = replace(self.variant, view="plain")
        return plain.url(self.appid, self.n) if _view_of_path(self.variant) != "plain" else ""

    @property
    def json_url(self) -> str:
        view = self.variant.view if self.variant.view != "plain" else ""
        count = self.n and min(self.n, MAX_NEIGHBOURS)
        pairs = (("view", view), ("n", count), *self.variant.filters)
        return address(f"{API}games/{self.appid}/neighbours", pairs)

    @property
    def canonical(self) -> str:
        return Variant(_view_of_path(self.variant)).url(self.appid)

    @property
    def more_url(self) -> str:
        """The address with more neighbours, "" if all are shown."""
        shown = len(self.neighbours.results)
        more = min(self.neighbours.available, shown + DEFAULT_NEIGHBOURS)
        return self.variant.url(self.appid, more) if more > shown == self.wanted else ""


def _view_of_path(variant: Variant) -> View:
    """The view that the path names; that by artwork is a parameter."""
    return "plain" if variant.view == "artwork" else variant.view


def game_details(site: Site, row: int) -> GameDetails:
    game = site.catalogue.games[row]
    rank, others = np.flatnonzero(site.orders.unique == row), max(1, len(site) - 1)  # (1,), or (0,) if not known
    return GameDetails(
        game=site.game(row),
        views=tuple(site.catalogue.views),
        stands_out_percent=min(99, int(100 * (others - rank[0]) // others)) if len(rank) else None,
        neighbour_of=int(site.neighbour_of[row]),
        identical=site.identical_to(row),
        same_art=site.with_same_art(row),
        labels=site.labels(row),
        developers=game.listed("developer"),
        tags=game.listed("tags"),
    )


def game_neighbours(
    site: Site, appid: int, view: View, n: int, filters: SeriesFilterQuery, stacked: bool
) -> GameNeighbours:
    """A game beside its `n` nearest neighbours that pass the filters, or all that are known if there are fewer.

    Raises `UnknownGame`, `NotInCatalogue` for a view that the catalogue lacks.
    """
    row = site.catalogue.row_of(appid)
    results = neighbours(site, row, n, view, filters, stacked)
    return GameNeighbours(game_details(site, row), view, site.catalogue.k, results)


def game_page(site: Site, appid: int, variant: Variant, n: int | None, query: VariantQuery) -> GamePage:
    """The page with `n` neighbours, all if that is below 0. Raises what `game_neighbours` raises."""
    available = site.catalogue.k
    n = available if n is not None and n < 0 else n
    wanted = min(DEFAULT_NEIGHBOURS, available) if n is None else n
    near = game_neighbours(site, appid, variant.view, wanted, query, stacked=True)
    unfiltered = replace(variant, view=_view_of_path(variant), filters=()).url(appid, n)
    mix = (*pairs_of([QueryPart("game", str(appid))]), *variant.view_parameter, *variant.filters)
    return GamePage(
        neighbours=near,
        variant=variant,
        n=n,
        wanted=wanted,
        filters=filter_form(site, query, unfiltered, variant.view_parameter),
        views=view_links(site, variant.view, lambda view: replace(variant, view=view).url(appid, n)),
        mix=mix if site.facts.takes_games else (),
    )


def game_share(site: Site, page: GamePage) -> Share:
    """The page for other sites."""
    query, names = page.neighbours.query.game, [result.game.name for result in page.neighbours.results[:5]]
    title = f"{query.name} — games that look like it"
    return Share.of_game(site, title, ", ".join(names), page.canonical, query)


def random_row(site: Site, adult: bool) -> int:
    """A game with a name. Raises `NotInCatalogue`."""
    rows = site.without_adult(site.orders.named, adult)
    if not len(rows):
        raise NotInCatalogue("This catalogue has no game that may be shown without being asked for.")
    return int(random.choice(rows))


@blueprint.get("/random")
@blueprint.get("/<variant:variant>")
@blueprint.get("/<variant:variant>/")
def random_game(variant: Variant | None = None) -> BaseResponse:
    """Redirect to a game picked at random."""
    variant = _with_query(variant or Variant(), read(VariantQuery, from_form=True))
    _ = current_site().catalogue.view(variant.view)  # or the game's page would be a 404
    response = redirect(variant.url(int(current_site().catalogue.appids[random_row(current_site(), shows_adult())])))
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/<variant:variant>/<appid:appid>")  # both forms, or other methods on the first would be a 404
@blueprint.get("/<variant:variant>/<appid:appid>/")
@blueprint.get("/<variant:variant>/<appid:appid>/<count:n>")
@blueprint.get("/<variant:variant>/<appid:appid>/<count:n>/")
def game(variant: Variant, appid: int, n: int | None = None) -> str:
    """Show one game's banner beside its nearest neighbours."""
    if n == 0:
        raise BadInput(f"A game has 1 to {current_site().catalogue.k} look-alikes; 0 cannot be shown.")
    query = read(VariantQuery, from_form=True)
    page = game_page(current_site(), appid, _with_query(variant, query), n, query)
    share = game_share(current_site(), page)
    return render_template("game.html", page=page, share=share, json_url=page.json_url)


def _with_query(variant: Variant, query: VariantQuery) -> Variant:
    """The variant that the path and the parameters name together."""
    variant = replace(variant, filters=query.filters())
    return replace(variant, view="artwork") if query.view == "artwork" else variant.reversed(query.mirror, query.flip)
