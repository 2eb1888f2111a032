"""Search by a part: a box on a cover, and the games that have what is in it."""

from dataclasses import dataclass
from typing import Annotated

from flask import Blueprint, redirect, render_template
from msgspec import Meta
from PIL import Image
from werkzeug.wrappers import Response as BaseResponse

from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.params import API, Pairs, address, read
from webapp.queries.cover_parts import (
    PartQuery,
    PartSearch,
    box_of,
    decode_parts,
    encode_parts,
    games_with,
    parts_of_game,
    parts_of_image,
)
from webapp.queries.filters import FilterForm, filter_form
from webapp.queries.uploads import Upload, received
from webapp.queries.verdicts import other_shape
from webapp.records import GameSummary
from webapp.site import Site

_FIRST_BOX = "0.2,0.1,0.6,0.3"  # before a reader draws one

blueprint = Blueprint("parts", __name__)


class PartPageQuery(PartQuery):
    """A part of a game's cover, or of a picture: `part`, its local features, for the same `box`."""

    game: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    part: Annotated[str, Meta(max_length=4000)] = ""


@dataclass(frozen=True)
class PartPage:
    """The page of a part. `answer` is its JSON, None before a box was drawn; `game` is None for a picture. `box` is
    what the form shows."""

    answer: PartSearch | None
    game: GameSummary | None
    query: PartPageQuery
    box: str
    filters: FilterForm

    @property
    def own(self) -> Pairs:
        """The parameters that say what is searched for, but for the box."""
        return self.query.pairs("game", "part")

    @property
    def json_url(self) -> str:
        if self.game is None:
            return ""
        return address(f"{API}games/{self.game.appid}/parts", self.query.pairs("box", "n"))


def find_game_part(site: Site, appid: int, query: PartQuery) -> PartSearch:
    """The games that have a part of a game's cover. Raises `UnknownGame`, `BadInput`, `CannotAnswer`."""
    row, box = site.catalogue.row_of(appid), query.place
    parts = parts_of_game(site, row, box)
    return PartSearch(box, games_with(site, parts, box, query, [row]))


def find_picture_part(site: Site, query: PartQuery) -> PartSearch:
    """The games that have a part of the picture that was sent. Raises as `received` does, and `CannotAnswer`."""
    box = query.place
    _ = site.local_features
    parts = parts_of_image(site, _upright(site, received(site)), box)
    return PartSearch(box, games_with(site, parts, box, query))


def _upright(site: Site, upload: Upload) -> Image.Image:
    """The picture, or its middle if it has another shape than covers."""
    return upload.middle(site.image_size) if other_shape(site, upload) else upload.image


def part_page(site: Site, query: PartPageQuery) -> PartPage:
    """Raises `UnknownGame`, `BadInput`, `CannotAnswer`."""
    _ = site.local_features
    game = site.game(site.catalogue.row_of(query.game)) if not query.part else None
    answer = None
    if query.part:
        box = query.place
        answer = PartSearch(box, games_with(site, decode_parts(site, query.part, box), box, query))
    elif query.box:
        answer = find_game_part(site, query.game, query)
    hidden = query.pairs("game", "part", "box")
    but = [] if game else ["hide_series"]
    return PartPage(
        answer, game, query, query.box or _FIRST_BOX, filter_form(site, query, "/parts", hidden, [*but, *_UNUSED])
    )


_UNUSED = ("sort", "min_likeness")  # filters: the results have no likeness


@blueprint.get("/parts")
def parts() -> str:
    """Show the games that have a part of a cover."""
    page = part_page(current_site(), read(PartPageQuery, from_form=True))
    results = [result.game for result in page.answer.results] if page.answer else []
    of = page.game.name if page.game else "a cover"
    games = [page.game, *results] if page.game else results
    path = address("/parts", page.query.pairs())
    share = Share.of(current_site(), f"A part of {of}", "Where else is it?", path, games)
    return render_template("parts.html", page=page, share=share, json_url=page.json_url)


@blueprint.post("/parts")
def picture_part() -> BaseResponse:
    """Look at a part of a picture, which is not kept."""
    query = read(PartPageQuery, from_form=True)
    box = box_of(query.box)
    site = current_site()
    part = encode_parts(site, parts_of_image(site, _upright(site, received(site)), box), box)
    return redirect(address("/parts", [("part", part), ("box", query.box), *query.filters()]), 303)
