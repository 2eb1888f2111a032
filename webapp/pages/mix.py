"""Queries by several games, words and a picture, and the form for the picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from flask import Blueprint, redirect, render_template
from msgspec import Meta, field
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as BaseResponse

from banners.catalogue.search import MAX_QUERY
from banners.encoders.views import View
from banners.errors import UnusableImage
from webapp import queries
from webapp.current import catalogue
from webapp.pages.game import match_views
from webapp.params import read, uploaded, words
from webapp.queries import Part, SimilarGames
from webapp.queries.filters import active
from webapp.queries.uploads import MAX_BYTES, reason
from webapp.records import Game, json_url
from webapp.served import ServedCatalogue

STARTS = 12  # games to begin with

blueprint = Blueprint("mix", __name__)


class MixQuery(queries.SimilarQuery):
    """A query, and what the page's form adds to it. `chosen` tells what is meant where the reader chose it among the
    suggestions: the appid of a game, or "words"."""

    add: Annotated[str, Meta(max_length=8190)] = ""
    chosen: Annotated[str, Meta(pattern="^([1-9][0-9]{0,9}|words)?$")] = ""
    as_: Literal["plus", "minus"] = field(name="as", default="plus")


@dataclass(frozen=True)
class Chip:
    """A part as it stands on the page, with the addresses of the query without it, and with its sign turned."""

    part: Part
    game: Game | None
    without_url: str
    turned_url: str


def _chips(served: ServedCatalogue, parts: Sequence[Part], kept: queries.Kept) -> list[Chip]:
    chips = []
    for part in parts:
        others = [other for other in parts if other != part]
        turned = replace(part, is_minus=not part.is_minus)
        game = served.game(served.catalogue.row_of(int(part.value))) if part.kind == "game" else None
        can_turn = part.kind != "picture" and turned not in parts
        turned_url = queries.url_of([*others, turned], kept) if can_turn else ""
        chips.append(Chip(part, game, queries.url_of(others, kept), turned_url))
    return chips


def _starts(served: ServedCatalogue) -> list[int]:
    """Rows to begin a query with: popular games, or some from all over the catalogue."""
    rows = served.without_adult(served.popular, False)[:STARTS]
    if not len(rows):
        named = served.without_adult(served.named, False)
        rows = named[np.linspace(0, len(named) - 1, min(STARTS, len(named))).astype(np.intp)]
    return [int(row) for row in rows]


def _games_to_add(
    served: ServedCatalogue, parts: Sequence[Part], kept: queries.Kept, rows: Sequence[int], is_minus: bool
) -> list[Game]:
    """Games whose links add them to the query."""
    games = {Part("game", str(game.appid), is_minus): game for game in served.games(rows)}
    return [
        replace(game, url=queries.url_of([*parts, part], kept)) for part, game in games.items() if part not in parts
    ]


def _in_view(kept: queries.Kept, view: View) -> queries.Kept:
    others = [(name, value) for name, value in kept if name != "view"]
    return others if view == "plain" else [("view", view), *others]


def _mix_page(
    given: MixQuery, parts: Sequence[Part], complaint: str = "", typed: str = "", starts: Sequence[Game] = ()
) -> str:
    """`typed` stays in the box; `starts` are games to add."""
    served, view, kept, count = catalogue(), given.view, given.kept(), given.n
    found = queries.similar(served, parts, count, view, given) if parts else SimilarGames("", None, True, (), ())
    more = min(queries.MAX_RESULTS, len(served), 2 * count)
    has_more = parts and more > len(found.results) == count
    return render_template(
        "mix.html",
        page=found,
        chips=_chips(served, parts, kept),
        parameters=queries.parameters_of(parts, kept),
        add_url=queries.url_of(parts, kept) if parts and len(parts) < queries.MAX_PARTS else "",
        more_url=queries.url_of(parts, kept, n=more) if has_more else "",
        views=[
            (label, queries.url_of(parts, _in_view(kept, name)), name == view) for name, label in match_views(served)
        ]
        if parts
        else [],
        given=given,
        active=active(given),
        unfiltered=queries.parameters_of(parts, [one for one in kept if one[0] == "view"]),
        starts=starts,
        typed=typed,
        with_measure=queries.is_comparable(parts) and any(one.similarity is not None for one in found.results),
        complaint=complaint,
        json_url=queries.url_of(parts, kept, json_url("similar"), count) if parts else "",
    )


@blueprint.get("/mix")
def mix() -> str | tuple[str, int] | BaseResponse:
    """Banners that look like several games, words or a picture, and not like others."""
    _ = catalogue().query_encoder
    given = read(MixQuery, from_form=True)
    parts, kept, added = given.parts(), given.kept(), words(given.add)
    if not added:
        starts = [] if parts else _games_to_add(catalogue(), parts, kept, _starts(catalogue()), False)
        return _mix_page(given, parts, starts=starts)
    is_minus = given.as_ == "minus"
    if given.chosen:
        kind: queries.Kind = "text" if given.chosen == "words" else "game"
        part: Part | None = Part(kind, added if kind == "text" else given.chosen, is_minus)
    else:
        part = queries.meant(catalogue(), added, is_minus)
    if part is None:
        found = catalogue().catalogue.games.search(added[:MAX_QUERY], STARTS).rows
        complaint = f"No game here is called “{added}”." if found else f"No game here has a name like “{added}”."
        return _mix_page(given, parts, complaint, added, _games_to_add(catalogue(), parts, kept, found, is_minus)), 400
    if part in parts:
        return _mix_page(given, parts, "That is part of your mix already.", added), 400
    queries.check([*parts, part])
    return redirect(queries.url_of([*parts, part], kept), 303)


@blueprint.get("/upload")
def upload_form() -> str:
    """Choose a picture, for itself or to join a query."""
    _ = catalogue().query_encoder
    return _upload_page(*_others(), "")


@blueprint.post("/upload")
def upload() -> tuple[str, int] | BaseResponse:
    """From a picture to the banners that look like it. Nothing of it is kept."""
    others, kept = _others()
    queries.check([*others, Part("picture", "")])  # before the work is done
    try:
        picture = queries.embed_upload(catalogue(), uploaded("picture", MAX_BYTES))
    except UnusableImage as error:
        return _upload_page(others, kept, reason(error)), 415
    except RequestEntityTooLarge as error:
        return _upload_page(others, kept, error.description or ""), 413
    queries.check([picture, *others])
    return redirect(queries.url_of([picture, *others], kept), 303)


def _others() -> tuple[list[Part], queries.Kept]:
    """What the address asks for beside a picture."""
    given = read(queries.SimilarQuery, from_form=True)
    return [part for part in given.parts() if part.kind != "picture"], given.kept()


def _upload_page(others: Sequence[Part], kept: queries.Kept, complaint: str) -> str:
    parameters = queries.parameters_of(others, kept)
    return render_template("upload.html", others=len(others), parameters=parameters, complaint=complaint)
