"""The page of a game: its banner beside its nearest neighbours."""

import random
from dataclasses import dataclass, replace

import numpy as np
from flask import Blueprint, redirect, render_template
from werkzeug.wrappers import Response as BaseResponse

from banners.encoders.views import View
from banners.errors import BadInput, NotInCatalogue
from webapp.current import catalogue
from webapp.pages.variants import Variant
from webapp.params import read, shows_adult
from webapp.queries import MatchView, Part, parameters_of
from webapp.queries.filters import SeriesFilterQuery, active, filtered_neighbours
from webapp.records import Game, Label, Result, json_url
from webapp.served import ServedCatalogue

DEFAULT_NEIGHBOURS = 10
MAX_NEIGHBOURS = 100_000  # as many as embed_banners.py takes
VIEW_NAMES: dict[View, str] = {
    "plain": "Everything",
    "artwork": "Artwork",
    "mirror": "Mirrored",
    "flip": "Flipped",
    "rotate": "Rotated",
}

blueprint = Blueprint("game", __name__)


class VariantQuery(SeriesFilterQuery):
    """The other form of `/render_x` and its like, and the view by artwork."""

    mirror: bool = False
    flip: bool = False
    view: MatchView = "plain"


@dataclass(frozen=True)
class GameDetails:
    """A game and its place among the others. `stands_out_percent` is the part of the other games whose banner is less
    unusual, null if it is not known; `neighbour_of` is the number of games that have this one among their first ten
    neighbours; `identical` are the games with the same banner."""

    game: Game
    views: tuple[View, ...]
    stands_out_percent: int | None
    neighbour_of: int
    identical: tuple[Game, ...]
    labels: tuple[Label, ...]
    developers: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class GamePage:
    """A game and its nearest neighbours, best first. `available` is how many neighbours the catalogue knows."""

    query: GameDetails
    view: View
    available: int
    results: tuple[Result, ...]


def game_details(served: ServedCatalogue, row: int) -> GameDetails:
    known = served.catalogue.games[row]
    rank, others = np.flatnonzero(served.unique_first == row), max(1, len(served) - 1)  # (1,), or (0,) if not known
    return GameDetails(
        game=served.game(row),
        views=tuple(served.catalogue.views),
        stands_out_percent=min(99, int(100 * (others - rank[0]) // others)) if len(rank) else None,
        neighbour_of=int(served.times_near[row]),
        identical=served.identical_to(row),
        labels=served.labels(row),
        developers=known.listed("developer"),
        tags=known.listed("tags"),
    )


def game_page(served: ServedCatalogue, appid: int, view: View, n: int, given: SeriesFilterQuery) -> GamePage:
    """A game beside its `n` nearest neighbours that pass the filters, or all that are known if there are fewer.

    Raises `UnknownGame`, `NotInCatalogue` for a view that the catalogue lacks.
    """
    row = served.catalogue.row_of(appid)
    is_filtered = bool(given.kept())
    near = filtered_neighbours(served, row, n, view, given) if is_filtered else served.neighbours(row, n, view)
    return GamePage(game_details(served, row), view, served.catalogue.k, near)


def random_row(served: ServedCatalogue, adult: bool) -> int:
    """A game with a name. Raises `NotInCatalogue`."""
    rows = served.without_adult(served.named, adult)
    if not len(rows):
        raise NotInCatalogue("This catalogue has no game that may be shown without being asked for.")
    return int(random.choice(rows))


@blueprint.get("/random")
@blueprint.get("/<variant:variant>")
@blueprint.get("/<variant:variant>/")
def random_game(variant: Variant | None = None) -> BaseResponse:
    """Redirect to a game picked at random."""
    variant = _variant(variant or Variant(), read(VariantQuery, from_form=True))
    _ = catalogue().catalogue.view(variant.view)  # or the game's page would be a 404
    response = redirect(variant.url(int(catalogue().catalogue.appids[random_row(catalogue(), shows_adult())])))
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/<variant:variant>/<appid:appid>")  # both forms, or other methods on the first would be a 404
@blueprint.get("/<variant:variant>/<appid:appid>/")
@blueprint.get("/<variant:variant>/<appid:appid>/<count:n>")
@blueprint.get("/<variant:variant>/<appid:appid>/<count:n>/")
def game(variant: Variant, appid: int, n: int | None = None) -> str:
    """Show one game's banner beside its nearest neighbours."""
    served, given = catalogue(), read(VariantQuery, from_form=True)
    variant, available = _variant(variant, given), served.catalogue.k
    if n == 0:
        raise BadInput(f"A game has 1 to {available} neighbours; 0 cannot be shown.")
    n = available if n is not None and n < 0 else n
    asked = min(DEFAULT_NEIGHBOURS, available) if n is None else n
    page = game_page(served, appid, variant.view, asked, given)
    if variant != Variant() or n is not None:
        page = replace(page, results=tuple(replace(one, game=variant.link(one.game, n)) for one in page.results))
    more = min(available, max(20, 2 * len(page.results)))
    kept = (("view", "artwork"),) if variant.view == "artwork" else ()
    return render_template(
        "game.html",
        page=page,
        views=[
            (label, replace(variant, view=view).url(appid, n), view == page.view) for view, label in match_views(served)
        ],
        more_url=variant.url(appid, more) if more > len(page.results) == asked else "",
        canonical=Variant("plain" if kept else variant.view).url(appid),
        has_card=appid in served.local_images,  # drawn by this server, for other sites
        mix=parameters_of([Part("game", str(appid))], (*kept, *variant.filters)) if served.encoder is not None else (),
        here=replace(variant, view="plain" if kept else variant.view, filters=()).url(appid, n),
        kept=kept,
        given=given,
        active=active(given),
        asked=asked,
        json_url=json_url(
            f"games/{appid}/neighbours",
            view="" if variant.view == "plain" else variant.view,
            n=n and min(n, MAX_NEIGHBOURS),
            **dict(given.kept()),
        ),
    )


def _variant(variant: Variant, given: VariantQuery) -> Variant:
    variant = replace(variant, filters=given.kept())
    return replace(variant, view="artwork") if given.view == "artwork" else variant.reversed(given.mirror, given.flip)


def match_views(served: ServedCatalogue) -> list[tuple[View, str]]:
    """The views that a reader can choose between, with their names; none if there is no choice."""
    views: tuple[View, ...] = ("plain", "artwork")
    return [(view, VIEW_NAMES[view]) for view in views] if "artwork" in served.catalogue.views else []
