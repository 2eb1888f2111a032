"""Queries by several games, words and a picture, and the form for the picture."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from flask import Blueprint, redirect, render_template, request
from msgspec import Meta, field, structs
from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from banners.catalogue.names import named_by_address
from banners.errors import UnusableImage
from webapp import queries
from webapp.current import catalogue
from webapp.pages.game import match_views
from webapp.params import MAX_ADDRESS, read, words
from webapp.queries import Part, SimilarGames
from webapp.queries.filters import active
from webapp.queries.uploads import MAX_BYTES, MAX_PIXELS, reason
from webapp.records import json_url
from webapp.served import ServedCatalogue

STARTS = 12  # games to begin with
_LONGEST_GAME = len("&not_game=4294967295")

blueprint = Blueprint("mix", __name__)


class MixQuery(queries.SimilarQuery):
    """A query, and what the page's form adds to it. `chosen` tells what is meant where the reader chose it among the
    suggestions: the appid of a game, or "words". `first_frame`: the picture was an animation."""

    add: Annotated[str, Meta(max_length=8190)] = ""
    chosen: Annotated[str, Meta(pattern="^([1-9][0-9]{0,9}|words)?$")] = ""
    as_: Literal["plus", "minus"] = field(name="as", default="plus")
    first_frame: bool = False


def _starts(served: ServedCatalogue) -> list[int]:
    """Rows to begin a query with: popular games, or some from all over the catalogue."""
    rows = served.without_adult(served.popular, False)[:STARTS]
    if not len(rows):
        named = served.without_adult(served.named, False)
        rows = named[np.linspace(0, len(named) - 1, min(STARTS, len(named))).astype(np.intp)]
    return [int(row) for row in rows]


def _mix_page(
    given: MixQuery, parts: Sequence[Part], complaint: str = "", typed: str = "", starts: Sequence[int] = ()
) -> str:
    """`typed` stays in the box; `starts` are rows of games to add, with the sign that was chosen for it."""
    served, view, kept, count = catalogue(), given.view, given.kept(), given.n
    is_minus = bool(typed) and given.as_ == "minus"
    starting = [(game, Part("game", str(game.appid), is_minus)) for game in served.games(starts)]
    found = queries.similar(served, parts, count, view, given) if parts else SimilarGames("", None, True, (), ())
    more = min(queries.MAX_RESULTS, len(served), 2 * count)
    has_more = parts and more > len(found.results) == count
    views = match_views(served) if parts else []
    address = queries.url_of(parts, kept)
    return render_template(
        "mix.html",
        page=found,
        parts=parts,
        games={one.value: served.game(served.catalogue.row_of(int(one.value))) for one in parts if one.kind == "game"},
        url_of=lambda changed: queries.url_of(changed, kept),
        parameters=queries.parameters_of(parts, kept),
        add_url=address if 0 < len(parts) < queries.MAX_PARTS and len(address) < MAX_ADDRESS - _LONGEST_GAME else "",
        more_url=queries.url_of(parts, kept, n=more) if has_more else "",
        views=[
            (label, queries.url_of(parts, structs.replace(given, view=name).kept()), name == view)
            for name, label in views
        ],
        given=given,
        active=active(given),
        unfiltered=queries.parameters_of(parts, [one for one in kept if one[0] == "view"]),
        starts=[replace(game, url=queries.url_of([*parts, one], kept)) for game, one in starting if one not in parts],
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
        return _mix_page(given, parts, starts=[] if parts else _starts(catalogue()))
    is_minus = given.as_ == "minus"
    if given.chosen:
        kind: queries.Kind = "text" if given.chosen == "words" else "game"
        part: Part | None = Part(kind, added if kind == "text" else given.chosen, is_minus)
    else:
        part = queries.meant(catalogue(), added, is_minus)
    if part is None:
        found = catalogue().catalogue.games.search(added, STARTS).rows
        complaint = f"No game here is called “{added}”." if found else f"No game here has a name like “{added}”."
        if named_by_address(added) is not None:
            complaint = f"This catalogue has no game of the address “{added}”."
        return _mix_page(given, parts, complaint, added, found), 400
    if part in parts:
        return _mix_page(given, parts, "That is part of your mix already.", added), 400
    queries.check([*parts, part], kept)
    return redirect(queries.url_of([*parts, part], kept), 303)


@blueprint.route("/upload", methods=["GET", "POST"])
def upload() -> tuple[str, int] | BaseResponse:
    """From a picture to the banners that look like it, for itself or to join a query. Nothing of it is kept."""
    _ = catalogue().query_encoder
    given = read(queries.SimilarQuery, from_form=True)
    others, kept = [part for part in given.parts() if part.kind != "picture"], given.kept()
    complaint, status = "", 200
    if request.method == "POST":
        queries.check([*others, Part("picture", "")], kept)  # before the work is done
        try:
            picture, is_first_frame = queries.embed_upload(catalogue())
            queries.check([picture, *others], kept)
            note = [("first_frame", "1")] if is_first_frame else []
            return redirect(queries.url_of([picture, *others], [*kept, *note]), 303)
        except UnusableImage as error:
            complaint, status = reason(error), 415
        except (RequestEntityTooLarge, ServiceUnavailable) as error:
            complaint, status = error.description or "", error.code
    parameters = queries.parameters_of(others, kept)
    html = render_template(
        "upload.html",
        others=len(others),
        parameters=parameters,
        complaint=complaint,
        limit=f"{MAX_BYTES // 1_000_000} MB and {MAX_PIXELS // 1_000_000} megapixels",
    )
    return html, status
