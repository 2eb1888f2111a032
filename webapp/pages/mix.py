"""Queries by several games, words and a picture, and the form for the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from flask import Blueprint, redirect, render_template
from msgspec import Meta, field, structs
from werkzeug.wrappers import Response as BaseResponse

from banners.catalogue.names import named_by_address
from banners.views import View
from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.pages.variants import view_links
from webapp.params import API, MAX_ADDRESS, Pairs, address, read, words
from webapp.queries.filters import FilterForm, filter_form
from webapp.queries.parts import (
    MAX_PARTS,
    MAX_RESULTS,
    PartKind,
    QueryPart,
    SimilarQuery,
    check,
    mix_address,
    pairs_of,
    parse_part,
)
from webapp.queries.similar import SimilarGames, check_searchable, has_scale, is_comparable, similar
from webapp.records import GameSummary, Result, closest
from webapp.site import Site

MIX_LEAD = "Put together what a cover should look like: games, words or a picture, for and against."
STARTS = 12  # games to begin with
_LONGEST_GAME = len("&not_game=4294967295")

blueprint = Blueprint("mix", __name__)


class MixQuery(SimilarQuery):
    """A query, and what the page's form adds to it. `chosen` is the suggestion that the reader chose: the appid of a
    game, "words", or "" for none. `first_frame`: the picture was an animation."""

    add: Annotated[str, Meta(max_length=8190)] = ""
    chosen: Annotated[str, Meta(pattern="^([1-9][0-9]{0,9}|words)?$")] = ""
    as_: Literal["plus", "minus"] = field(name="as", default="plus")
    first_frame: bool = False


@dataclass(frozen=True)
class MixPage:
    """The page of a mix. `answer` is its JSON; `others` are its view and filters, `games` the games among its parts by
    their value; for `views` see `view_links`. `complaint` says why `typed` was not added. `starts` are games to add
    instead, or to begin with, and the addresses that add them."""

    answer: SimilarGames
    parts: Sequence[QueryPart]
    others: Pairs
    n: int
    games: dict[str, GameSummary]
    filters: FilterForm
    views: list[tuple[str, str, bool]]
    complaint: str
    typed: str
    starts: list[tuple[GameSummary, str]]
    is_first_frame: bool
    most: int

    @property
    def closest(self) -> Result | None:
        return closest(self.answer.results)

    def name_of(self, part: QueryPart) -> str:
        if part.kind == "game":
            return self.games[part.value].name
        return "your cover" if part.kind == "picture" else f"“{part.value}”"

    @property
    def parameters(self) -> Pairs:
        return (*pairs_of(self.parts), *self.others)

    def url_of(self, parts: Sequence[QueryPart]) -> str:
        """The address of a mix with the same view and filters."""
        return mix_address(parts, *self.others)

    @property
    def add_url(self) -> str:
        """The address to which a further game is added, "" if there is no room for one."""
        url = self.url_of(self.parts)
        return url if 0 < len(self.parts) < MAX_PARTS and len(url) < MAX_ADDRESS - _LONGEST_GAME else ""

    @property
    def compare_url(self) -> str:
        """The address that compares a result with the only game of the mix, but for the result's appid; "" if there
        are other parts."""
        is_game = len(self.parts) == 1 and self.parts[0].kind == "game" and not self.parts[0].is_minus
        return f"/compare/{self.parts[0].value}/" if is_game else ""

    @property
    def more_url(self) -> str:
        """The address with more results, "" if all are shown."""
        shown = len(self.answer.results)
        more = min(self.most, 2 * self.n)
        return mix_address(self.parts, *self.others, ("n", more)) if self.parts and more > shown == self.n else ""

    @property
    def json_url(self) -> str:
        return address(f"{API}similar", (*self.parameters, ("n", self.n))) if self.parts else ""

    @property
    def with_measure(self) -> bool:
        """Whether the likeness of each result is shown."""
        return is_comparable(self.parts) and any(one.similarity is not None for one in self.answer.results)


def mix_page(
    site: Site, query: MixQuery, parts: Sequence[QueryPart], starts: Sequence[int], complaint: str = "", typed: str = ""
) -> MixPage:
    """`starts` are rows of games. Raises what `similar` raises."""
    others = query.view_and_filters()
    games = {part.value: site.game(site.catalogue.row_of(int(part.value))) for part in parts if part.kind == "game"}
    is_minus = bool(typed) and query.as_ == "minus"
    starting = [(game, QueryPart("game", str(game.appid), is_minus)) for game in site.games(starts)]

    def url_of(view: View) -> str:
        return mix_address(parts, *structs.replace(query, view=view).view_and_filters())

    return MixPage(
        answer=similar(site, parts, query.n, query.view, query, stacked=True) if parts else SimilarGames(),
        parts=parts,
        others=others,
        n=query.n,
        games=games,
        filters=filter_form(site, query, "/mix", (*pairs_of(parts), *query.pairs("view")), _unusable(parts)),
        views=view_links(site, query.view, url_of) if parts else [],
        complaint=complaint,
        typed=typed,
        starts=[(game, mix_address([*parts, part], *others)) for game, part in starting if part not in parts],
        is_first_frame=query.first_frame,
        most=min(MAX_RESULTS, len(site)),
    )


def _unusable(parts: Sequence[QueryPart]) -> list[str]:
    """The filters that a query has no use for: likeness without a fixed scale, series without a game."""
    has_game = any(part.kind == "game" for part in parts)
    return [name for name, is_used in (("hide_series", has_game), ("min_likeness", has_scale(parts))) if not is_used]


def mix_share(site: Site, page: MixPage) -> Share:
    """The page for other sites; its title names the parts."""
    title = ", ".join(f"{'without ' if part.is_minus else ''}{page.name_of(part)}" for part in page.parts) or "Mix"
    results = [result.game for result in page.answer.results]
    names = ", ".join(game.name for game in results[:5])
    return Share.of(site, title, names or MIX_LEAD, mix_address(page.parts, *page.others), results)


def _starts(site: Site) -> list[int]:
    """Rows to begin a query with: popular games, or some from all over the catalogue."""
    rows = site.without_adult(site.orders.popular, False)[:STARTS]
    if not len(rows):
        named = site.without_adult(site.orders.named, False)
        rows = named[np.linspace(0, len(named) - 1, min(STARTS, len(named))).astype(np.intp)]
    return [int(row) for row in rows]


@blueprint.get("/mix")
def mix() -> str | tuple[str, int] | BaseResponse:
    """Covers that look like several games, words or a picture, and not like others."""
    check_searchable(current_site())
    query = read(MixQuery, from_form=True)
    parts, typed = query.parts(), words(query.add)
    if not typed:
        starts = [] if parts else _starts(current_site())
        return _rendered(mix_page(current_site(), query, parts, starts))
    part = _added(query, typed)
    if part is not None and part not in parts:
        check([*parts, part], query.view_and_filters())
        return redirect(mix_address([*parts, part], *query.view_and_filters()), 303)
    starts = [] if part else current_site().catalogue.games.search(typed, STARTS).rows
    complaint = "That is part of your mix already." if part else _complaint(typed, bool(starts))
    return _rendered(mix_page(current_site(), query, parts, starts, complaint, typed)), 400


def _rendered(page: MixPage) -> str:
    return render_template("mix.html", page=page, share=mix_share(current_site(), page), json_url=page.json_url)


def _added(query: MixQuery, typed: str) -> QueryPart | None:
    """The part that the form adds."""
    is_minus = query.as_ == "minus"
    if not query.chosen:
        return parse_part(current_site(), typed, is_minus)
    kind: PartKind = "text" if query.chosen == "words" else "game"
    return QueryPart(kind, typed if kind == "text" else query.chosen, is_minus)


def _complaint(typed: str, has_similar_names: bool) -> str:
    if named_by_address(typed) is not None:
        return f"This catalogue has no game of the address “{typed}”."
    which = " Which one do you mean?" if has_similar_names else ""
    return f"No game here {'is called' if has_similar_names else 'has a name like'} “{typed}”.{which}"
