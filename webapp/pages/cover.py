"""Your cover: the form for a picture, and the verdict on it.

Nothing of the picture is kept. The address of its page holds its embedding, and what only its pixels told: its shape if
that is not a cover's, and games with the same art.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from flask import Blueprint, redirect, render_template
from msgspec import Meta
from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable
from werkzeug.wrappers import Response as BaseResponse

from banners.errors import UnusableImage
from banners.views import View
from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.pages.variants import view_links
from webapp.params import MAX_ADDRESS, Appid, Pairs, address, read
from webapp.queries.filters import FilterForm, FilterQuery, filter_form, mask
from webapp.queries.parts import (
    MAX_RESULTS,
    MatchView,
    QueryPart,
    ResultCount,
    SimilarQuery,
    check,
    mix_address,
    pairs_of,
)
from webapp.queries.similar import SimilarGames, is_like, similar
from webapp.queries.uploads import MAX_BYTES, MAX_PIXELS, Upload, embed, reason, received
from webapp.queries.verdicts import Look, Verdict, look_at, other_shape, verdict
from webapp.records import GameSummary
from webapp.site import Site

_SHELF = 11  # covers around a draft
_SIZES = ((300, 450), (150, 225), (100, 150))  # of covers in Steam's client
_SIZES_WIDE = ((292, 136), (231, 108), (120, 56))  # of headers, as wide as what its store shows

blueprint = Blueprint("cover", __name__)

Without = Annotated[
    int, Meta(ge=0, le=2**32 - 1, description="The appid of the picture's own game, which is left out; 0 for none.")
]


class UploadQuery(FilterQuery):
    """What the verdict on a picture depends on beside the picture."""

    n: ResultCount = 20
    view: MatchView = "plain"
    without: Without = 0


class CoverQuery(UploadQuery):
    """A picture, and what its pixels told: see `Look`. `cut`: it is the middle of another picture."""

    picture: Annotated[str, Meta(max_length=8000)] = ""
    size: Annotated[str, Meta(pattern="^([1-9][0-9]{0,4}x[1-9][0-9]{0,4})?$")] = ""
    flat: bool = False
    same: Annotated[tuple[Appid, ...], Meta(max_length=4)] = ()
    near: Annotated[tuple[Appid, ...], Meta(max_length=4)] = ()
    cut: bool = False
    first_frame: bool = False

    @property
    def shape(self) -> tuple[int, int] | None:
        """Width and height of a picture in another shape than covers."""
        width, _, height = self.size.partition("x")
        return (int(width), int(height)) if self.size else None

    def look(self, site: Site, without: Sequence[int]) -> Look:
        """As the address has it. A game counts only if its cover is like the picture in some view: anybody can write an
        address."""
        picture = QueryPart("picture", self.picture)

        def alike(appids: Sequence[int]) -> list[int]:
            rows = [row for row in site.rows_of(appids) if row not in without]
            return [row for row in rows if is_like(site, picture, row)]

        return Look(self.shape, not self.flat, alike(self.same), alike(self.near))


@dataclass(frozen=True)
class CoverPage:
    """The page of a picture. `shelves` are covers to see it among, by what they are; `sizes` are those in which a
    store's client shows them. `own` is the game that is left out, None if none is."""

    answer: SimilarGames
    verdict: Verdict
    query: CoverQuery
    filters: FilterForm
    views: list[tuple[str, str, bool]]
    shelves: dict[str, tuple[GameSummary, ...]]
    is_wide: bool
    own: GameSummary | None
    most: int

    @property
    def percent(self) -> int | None:
        """What the meter shows: among the games that pass the filters, if there are some."""
        if self.verdict.competitors is not None:
            return self.verdict.among_them
        return self.verdict.stands_out.get(self.query.view)

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        return _SIZES_WIDE if self.is_wide else _SIZES

    def url(self, **changed: object) -> str:
        """The address with other parameters."""
        pairs = [(name, value) for name, value in self.query.pairs() if name not in changed]
        return address("/upload", [*pairs, *changed.items()])

    @property
    def mix_url(self) -> str:
        return mix_address([QueryPart("picture", self.query.picture)], *self.query.pairs("view"), *self.query.filters())

    @property
    def middle_url(self) -> str:
        """The verdict on the middle of a picture of another shape."""
        return self.url(size="", cut="1")

    @property
    def hidden(self) -> Pairs:
        """The parameters beside the own game."""
        return tuple(pair for pair in self.query.pairs() if pair[0] != "without")

    @property
    def more_url(self) -> str:
        shown = len(self.answer.results)
        more = min(self.most, 2 * self.query.n)
        return self.url(n=more) if more > shown == self.query.n else ""


def own_rows(site: Site, appid: int) -> list[int]:
    """The row of a game, and those of its editions and of identical covers; none for 0 or an unknown game."""
    rows = site.rows_of([appid])
    if not rows:
        return []
    same = np.flatnonzero(site.groups == site.groups[rows[0]]).tolist()
    near = site.catalogue.view("plain").of(rows[0]).tolist()
    return [*same, *(row for row in near if site.edition(row) == site.edition(rows[0]) and row not in same)]


def judged(
    site: Site, picture: QueryPart, query: UploadQuery, look: Look, stacked: bool
) -> tuple[SimilarGames, Verdict]:
    """The look-alikes of a picture and the verdict on it. Raises what `similar` raises."""
    without = own_rows(site, query.without)
    answer = similar(site, [picture], query.n, query.view, query, stacked, without)
    told = verdict(site, picture, answer, query.view, query, look, without)
    if not told.stands_out:  # there is none
        answer = replace(answer, stands_out_percent=None)
    return answer, told


def looked_at(site: Site, upload: Upload, query: UploadQuery) -> tuple[QueryPart, Look]:
    """An upload as a part of a query, and what its pixels tell. Of a picture in another shape than covers, both are of
    its middle."""
    without = own_rows(site, query.without)
    size = other_shape(site, upload)
    image = upload.middle(site.image_size) if size else upload.image
    return embed(site, image), replace(look_at(site, image, without), size=size)


def cover_page(site: Site, query: CoverQuery) -> CoverPage:
    """Raises `BadInput` for an address without a picture, and what `similar` raises."""
    picture = QueryPart("picture", query.picture)
    without = own_rows(site, query.without)
    answer, told = judged(site, picture, query, query.look(site, without), stacked=True)
    kept = tuple(pair for pair in query.pairs() if pair not in query.filters() and pair[0] != "n")

    def url_of(view: View) -> str:
        return address("/upload", [*(pair for pair in query.pairs() if pair[0] != "view"), *_view(view)])

    return CoverPage(
        answer=answer,
        verdict=told,
        query=query,
        filters=filter_form(site, query, "/upload", kept),
        views=view_links(site, query.view, url_of),
        shelves=_shelves(site, query, answer),
        is_wide=site.image_size[0] > site.image_size[1],
        own=site.game(without[0]) if without else None,
        most=min(MAX_RESULTS, len(site)),
    )


def _view(view: View) -> Pairs:
    return (("view", view),) if view != "plain" else ()


def _shelves(site: Site, query: CoverQuery, answer: SimilarGames) -> dict[str, tuple[GameSummary, ...]]:
    """Covers to see a picture among: its look-alikes, popular games, of those that pass the filters, and any; no
    explicit ones."""
    passes = mask(site, query) & ~site.is_adult
    popular, anywhere = site.orders.popular, site.orders.anywhere
    some = anywhere[:: max(1, len(anywhere) // (2 * _SHELF))]
    rows = {
        "look-alikes": site.rows_of(result.game.appid for result in answer.results if not result.game.is_adult),
        "popular": popular[passes[popular]][:_SHELF].tolist(),
        "random": some[~site.is_adult[some]].tolist(),
    }
    return {name: site.games(chosen[:_SHELF]) for name, chosen in rows.items() if chosen}


@blueprint.get("/upload")
def cover() -> str:
    """The form for a picture; with one in the address, the verdict on it."""
    _ = current_site().query_encoder
    query = read(CoverQuery, from_form=True)
    if not query.picture:
        return _form(read(SimilarQuery, from_form=True))
    page = cover_page(current_site(), query)
    results = [result.game for result in page.answer.results]
    share = Share.of_frame(current_site(), page.verdict.sentence, page.verdict.detail, page.url(n=""), results)
    return render_template("cover.html", page=page, share=share)


@blueprint.post("/upload")
def upload() -> tuple[str, int] | BaseResponse:
    """Look at a picture, alone or as part of a query. It is not kept."""
    site = current_site()
    _ = site.query_encoder
    query = read(SimilarQuery, from_form=True)
    others, parameters = [part for part in query.parts() if part.kind != "picture"], query.view_and_filters()
    check([*others, QueryPart("picture", "")], parameters)  # before the work is done
    try:
        upload = received(site)
        if others:
            parts = [embed(site, upload.image), *others]
            check(parts, parameters)
            note = ("first_frame", "1" if upload.is_animated else "")
            return redirect(mix_address(parts, *parameters, note), 303)
        asked = read(UploadQuery, from_form=True)
        picture, look = looked_at(site, upload, asked)
        return redirect(_address(site, picture, look, asked, upload.is_animated), 303)
    except UnusableImage as error:
        return _form(query, reason(error)), 415
    except (RequestEntityTooLarge, ServiceUnavailable) as error:
        return _form(query, error.description or ""), error.code or 500


def _address(site: Site, picture: QueryPart, look: Look, query: UploadQuery, is_animated: bool) -> str:
    appids = site.catalogue.appids
    found = address(
        "/upload",
        [
            ("picture", picture.value),
            ("size", "{}x{}".format(*look.size) if look.size else ""),
            ("flat", "" if look.has_detail else "1"),
            *(("same", appids[row]) for row in look.same),
            *(("near", appids[row]) for row in look.near),
            ("first_frame", "1" if is_animated else ""),
            *query.pairs(),
        ],
    )
    return found if len(found) <= MAX_ADDRESS else address("/upload", [("picture", picture.value)])


def _form(query: SimilarQuery, complaint: str = "") -> str:
    others = [part for part in query.parts() if part.kind != "picture"]
    parameters = query.view_and_filters()
    return render_template(
        "upload.html",
        others=len(others),
        action=address("/upload", (*pairs_of(others), *parameters)),
        complaint=complaint,
        limit=f"{MAX_BYTES // 1_000_000} MB and {MAX_PIXELS // 1_000_000} megapixels",
    )
