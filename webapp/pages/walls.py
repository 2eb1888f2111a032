"""The walls: pages that list many games in some order, and the terms of which each has a wall.

A wall is declared once, in `WALLS`. Its page with tab, filters and paging, its JSON and its part of the OpenAPI
document follow from that. Its template, of the same name, has the title, the lead and how an entry looks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
from flask import Blueprint, render_template, request
from msgspec import Meta

from banners.errors import CannotAnswer, NotInCatalogue
from webapp.current import catalogue
from webapp.params import AdultFlag, PageNumber, read, shows_adult
from webapp.queries.filters import FilterQuery, active, mask
from webapp.records import Game, Label, Paging, Result, json_url, paging
from webapp.served import Rows, ServedCatalogue

blueprint = Blueprint("walls", __name__)


class WallQuery(FilterQuery):
    """A page of a wall."""

    page: PageNumber = 1
    adult: AdultFlag = False


class UniqueQuery(WallQuery):
    below: Annotated[
        float, Meta(ge=-1, le=1, description="Only where the nearest neighbour's similarity is less; 1 for all.")
    ] = 1.0


class LabelQuery(WallQuery):
    name: Annotated[str, Meta(max_length=100, description="One of the terms of /labels.")] = ""


@dataclass(frozen=True)
class WallEntry:
    """A game on a wall. `neighbour_of` is the number of games that have it among their first ten neighbours,
    `neighbours` are its own nearest games, `identical` the other games with the same banner."""

    rank: int
    game: Game
    neighbour_of: int
    neighbours: tuple[Result, ...]
    identical: tuple[Game, ...]


@dataclass(frozen=True)
class WallPage:
    """A page of a wall."""

    paging: Paging
    results: tuple[WallEntry, ...]


@dataclass(frozen=True)
class Wall:
    """`name` is the address and the template. `order` gives all rows of the wall, best first; the filters are applied
    afterwards. It raises `NotInCatalogue` or `CannotAnswer` if the catalogue lacks what the order needs. `neighbours`
    is how many an entry has. `tab_path` is the address of the tab, if it is another page."""

    name: str
    tab: str
    summary: str
    order: Callable[[ServedCatalogue, Any], Rows]
    is_offered: Callable[[ServedCatalogue], bool] = lambda _: True
    query: type[WallQuery] = WallQuery
    neighbours: int = 1
    per_page: int = 48
    tab_path: str = ""


def _unique(served: ServedCatalogue, given: UniqueQuery) -> Rows:
    similarities = served.first_similarities
    if similarities is None and served.catalogue.k:
        raise NotInCatalogue("This catalogue was imported without similarities, so nothing tells which are unique.")
    if similarities is None:  # there is no other game
        return np.empty(0, np.intp)
    rows = served.unique_first[served.has_name[served.unique_first]]
    return rows[similarities[rows] < given.below] if given.below < 1 else rows


def _duplicates(served: ServedCatalogue, given: WallQuery) -> Rows:
    """The first game of each group; the others are its `identical`."""
    shown = _passes(served, given)
    return np.array([group[0] for group in served.identical if shown[list(group)].all()], np.intp)


@dataclass(frozen=True)
class LabelsPage:
    """The vocabulary."""

    labels: tuple[Label, ...]


def labels_page(served: ServedCatalogue) -> LabelsPage:
    """Raises `CannotAnswer`."""
    terms = served.catalogue.games.terms
    if not terms:
        raise CannotAnswer("Tags are not available for this catalogue.")
    return LabelsPage(tuple(Label(term.name, term.kind) for term in terms))


def _label(served: ServedCatalogue, given: LabelQuery) -> Rows:
    wanted = given.name.casefold()
    for number, label in enumerate(labels_page(served).labels):
        if label.name.casefold() == wanted:
            return np.array(served.catalogue.games.rows_of_term(number), np.intp)
    raise NotInCatalogue(f"No banner here was compared with {given.name[:60]!r}.")


WALLS = (
    Wall(
        name="popular",
        tab="Popular",
        summary="The benchmark list, each game with its first ten neighbours.",
        order=lambda served, _: served.benchmark,
        is_offered=lambda served: bool((~served.is_adult[served.benchmark]).any()),
        neighbours=10,
        per_page=12,
    ),
    Wall(
        name="unique",
        tab="Most unusual",
        summary="The most unusual banners, each with its nearest neighbour.",
        order=_unique,
        is_offered=lambda served: served.first_similarities is not None,
        query=UniqueQuery,
        per_page=24,  # each has two banners: more would take a phone too long to lay out
    ),
    Wall(
        name="hubs",
        tab="Most typical",
        summary="The banners that are among the first ten neighbours of the most others.",
        order=lambda served, _: served.hubs_first,
    ),
    Wall(
        name="newest",
        tab="Newest",
        summary="Games by year of release, the latest first, then by popularity.",
        order=lambda served, _: served.newest_first,
        is_offered=lambda served: served.site.has_years,
    ),
    Wall(
        name="label",
        tab="Tags",
        summary="The games whose banners fit a term best.",
        order=_label,
        is_offered=lambda served: bool(served.catalogue.games.terms),
        query=LabelQuery,
        tab_path="labels",
    ),
    Wall(
        name="duplicates",
        tab="Identical",
        summary="Groups of games whose banners are identical, the largest first; each by its first game.",
        order=_duplicates,
        is_offered=lambda served: bool(served.identical),
        per_page=24,
    ),
)


def wall_page(served: ServedCatalogue, wall: Wall, given: WallQuery) -> WallPage:
    """Raises what the order raises."""
    rows = wall.order(served, given)
    rows = rows[_passes(served, given)[rows]]
    start = (given.page - 1) * wall.per_page
    return WallPage(
        paging(given.page, len(rows), wall.per_page),
        tuple(
            _entry(served, wall, rank, row, given.adult)
            for rank, row in enumerate(rows[start : start + wall.per_page].tolist(), start + 1)
        ),
    )


def _passes(served: ServedCatalogue, given: WallQuery) -> npt.NDArray[np.bool_]:
    """Which games the filters let through: (n,)."""
    shown = np.ones(len(served), np.bool_) if given.adult else ~served.is_adult
    passes = mask(served, given)
    return shown if passes is None else shown & passes


def _entry(served: ServedCatalogue, wall: Wall, rank: int, row: int, adult: bool) -> WallEntry:
    neighbours = served.neighbours(row, wall.neighbours)
    if wall.neighbours > 1 and not adult:  # a single one stays, blurred: its similarity is said
        near = served.neighbours(row, 3 * wall.neighbours)
        neighbours = tuple(result for result in near if not result.game.is_adult)[: wall.neighbours]
    return WallEntry(rank, served.game(row), int(served.times_near[row]), neighbours, served.identical_to(row))


def tabs(served: ServedCatalogue) -> list[Wall]:
    """The walls that this catalogue has something for."""
    return [wall for wall in WALLS if wall.is_offered(served)]


def show(wall: Wall) -> tuple[str, int]:
    """The page of a wall. Behind the last page, it is a 404."""
    given = read(wall.query, from_form=True, adult=shows_adult())
    page = wall_page(catalogue(), wall, given)
    kept = {
        name: value for name, value in request.args.items() if value and name in wall.query.__struct_encode_fields__
    }
    html = render_template(
        f"{wall.name}.html",
        page=page,
        given=given,
        tab=wall,
        kept=f"?{urlencode(given.kept())}" if given.kept() else "",
        active=active(given),
        json_url=json_url(wall.name, **kept | ({"adult": "1"} if given.adult else {})),
    )
    return html, 404 if page.paging.is_beyond else 200


for _wall in WALLS:
    blueprint.add_url_rule(f"/{_wall.name}", _wall.name, lambda wall=_wall: show(wall))


@blueprint.get("/labels")
def labels() -> str:
    """All terms by their kind."""
    kinds: dict[str, list[Label]] = {}
    for label in labels_page(catalogue()).labels:
        kinds.setdefault(label.kind, []).append(label)
    tab = next(wall for wall in WALLS if wall.tab_path == "labels")
    return render_template("labels.html", kinds=kinds, tab=tab, json_url=json_url("labels"))
