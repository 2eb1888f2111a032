"""Two games side by side: how alike their covers are."""

from dataclasses import dataclass

import numpy as np
from flask import Blueprint, render_template

from banners.errors import BadInput
from banners.views import View
from webapp.current import current_site
from webapp.pages.game import GameDetails, game_details
from webapp.pages.sharing import Share
from webapp.params import API, address
from webapp.records import Result
from webapp.site import Site

blueprint = Blueprint("compare", __name__)


@dataclass(frozen=True)
class Comparison:
    """Two games. `similarity` is the cosine of their covers' embeddings, null if it is not known. `plain` is the second
    game as a result of the first; `artwork` is the same without what lettering adds, null if the catalogue has no such
    view."""

    a: GameDetails
    b: GameDetails
    similarity: float | None
    plain: Result
    artwork: Result | None


def comparison(site: Site, a: int, b: int) -> Comparison:
    """Raises `UnknownGame`, and `BadInput` for one and the same game."""
    row, other = site.catalogue.row_of(a), site.catalogue.row_of(b)
    if row == other:
        raise BadInput("A game is compared with another one; these are the same.")

    def compared(view: View) -> Result:
        return site.results([(other, _similarity(site, row, other, view))], view, query=row)[0]

    plain = compared("plain")
    artwork = compared("artwork") if "artwork" in site.catalogue.views else None
    return Comparison(game_details(site, row), game_details(site, other), plain.similarity, plain, artwork)


def _similarity(site: Site, row: int, other: int, view: View) -> float | None:
    """The stored one, which lists show, or else the computed one; None without embeddings."""
    near = site.catalogue.view(view)
    for one, two in ((row, other), (other, row)):
        places = np.flatnonzero(near.of(one) == two)
        if len(places) and near.similarities is not None:
            return float(near.similarities[one, places[0]])
    index = site.catalogue.indexes.get(view)
    if index is None:
        return None
    return index.cosine(index.query(np.array(index.matrix[row])), other)


@blueprint.get("/compare/<appid:a>/<appid:b>")
@blueprint.get("/compare/<appid:a>/<appid:b>/")
def compare(a: int, b: int) -> str:
    """Show two covers beside each other."""
    page = comparison(current_site(), a, b)
    share = Share.of(
        current_site(),
        f"{page.a.game.name} and {page.b.game.name}",
        "How alike are their covers?",
        f"/compare/{a}/{b}",
        (page.a.game, page.b.game),
    )
    return render_template(
        "compare.html", page=page, share=share, json_url=address(f"{API}compare", [("a", a), ("b", b)])
    )
