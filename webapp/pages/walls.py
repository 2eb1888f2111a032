"""The walls: pages that list many games in some order, and the list of terms, each with a wall.

A wall is declared once, in `WALLS`. Its page with title, tab, filters and paging, its JSON and its part of the OpenAPI
document follow from that. Its template, of the same name, has how an entry looks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from flask import Blueprint, render_template
from msgspec import Meta

from banners.arrays import Indices, Mask
from banners.errors import CannotAnswer, NotInCatalogue
from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.params import API, AdultFlag, PageNumber, address, read, shows_adult
from webapp.queries.filters import Filter, FilterQuery, filter_form, mask
from webapp.queries.stacks import results_of, stacks_of
from webapp.records import GameSummary, Label, Paging, Result, paging
from webapp.site import Site

_STRIP = 10  # look-alikes beside a popular game

blueprint = Blueprint("walls", __name__)


class WallQuery(FilterQuery):
    """A page of a wall."""

    page: PageNumber = 1
    adult: AdultFlag = False


def _similarities(site: Site) -> tuple[float, float] | tuple[()]:
    return (round(site.facts.random_similarity or 0.0, 2), 1) if len(site.orders.unique) else ()


def _is_unusual(site: Site, below: float) -> Mask:
    first = site.catalogue.view("plain").first_similarities
    return np.ones(len(site), np.bool_) if first is None else first < below


class UniqueQuery(WallQuery):
    below: Annotated[
        float,
        Meta(ge=-1, le=1, description="Only where the similarity of the most similar cover is less; 1 for all."),
        Filter("Most similar cover below", "most similar cover below {}", "range", _similarities, _is_unusual),
    ] = 1.0


class LabelQuery(WallQuery):
    name: Annotated[str, Meta(max_length=100, description="One of the terms of /labels.")] = ""


@dataclass(frozen=True)
class WallEntry:
    """A game on a wall. `neighbour_of` is the number of games that have it among their first ten look-alikes,
    `neighbours` are its own first ones, on the wall of pairs the other game of the pair, `identical` the other games
    with the same cover, `same_art` those whose cover is the same picture, and `coincide_percent` how much of it is the
    same at least, null if there are none."""

    rank: int
    game: GameSummary
    neighbour_of: int
    neighbours: tuple[Result, ...]
    identical: tuple[GameSummary, ...]
    same_art: tuple[GameSummary, ...]
    coincide_percent: int | None


@dataclass(frozen=True)
class WallPage:
    """A page of a wall."""

    paging: Paging
    results: tuple[WallEntry, ...]


def _nearest(site: Site, row: int, _: bool) -> tuple[Result, ...]:
    """The first neighbour, an explicit one too, blurred: its likeness is shown."""
    return site.neighbours(row, 1)


def _first_ten(site: Site, row: int, adult: bool) -> tuple[Result, ...]:
    ranked = site.catalogue.view("plain").ranked(row)
    shown = (one for one in ranked if adult or not site.is_adult[one[0]])
    return results_of(site, stacks_of(site, shown, _STRIP), "plain", row)


@dataclass(frozen=True)
class Wall:
    """`name` is the address and the template; `tab`, `title` and `lead` are for readers, `summary` for programs.
    `order` gives all rows of the wall, best first; the filters are applied afterwards. It raises `NotInCatalogue` or
    `CannotAnswer` if the catalogue lacks what the order needs. `neighbours` are those of an entry, by its row and
    whether explicit ones may be among them. `others` are the games that an entry stands for beside its own. `tab_path`
    is the address of the tab, if it is another page.
    """

    name: str
    tab: str
    title: str
    lead: str
    summary: str
    order: Callable[[Site, Any], Indices]
    is_offered: Callable[[Site], bool] = lambda _: True
    query: type[WallQuery] = WallQuery
    neighbours: Callable[[Site, int, bool], tuple[Result, ...]] = _nearest
    others: Callable[[WallEntry], Iterable[GameSummary]] = lambda _: ()
    per_page: int = 48
    tab_path: str = ""


def _unique(site: Site, _: UniqueQuery) -> Indices:
    if not len(site.orders.unique) and site.catalogue.k:
        raise NotInCatalogue("This catalogue was imported without likeness, so nothing tells which are like no other.")
    return site.orders.unique[site.has_name[site.orders.unique]]


def _pairs(site: Site, query: WallQuery) -> Indices:
    """The first game of each pair."""
    passes, least = _passes(site, query), site.likeness["plain"].similarity(query.min_likeness / 100)
    pairs = site.orders.pairs.items()
    return np.array([one for one, (two, cosine) in pairs if passes[one] and passes[two] and cosine >= least], np.intp)


def _other_of_pair(site: Site, row: int, _: bool) -> tuple[Result, ...]:
    return site.results([site.orders.pairs[row]], "plain", query=row)


def _duplicates(site: Site, query: WallQuery) -> Indices:
    """The first game of each group; the others are its `identical`."""
    passes = _passes(site, query)
    return np.array([group[0] for group in site.orders.identical if passes[list(group)].all()], np.intp)


def _reused(site: Site, query: WallQuery) -> Indices:
    """Of each group of games with the same art, that with the most evidence."""
    passes = _passes(site, query)
    return np.array([group[0] for group in site.reused if passes[list(group)].all()], np.intp)


@dataclass(frozen=True)
class LabelsPage:
    """The vocabulary."""

    labels: tuple[Label, ...]


def labels_page(site: Site) -> LabelsPage:
    """Raises `CannotAnswer`."""
    terms = site.catalogue.games.terms
    if not terms:
        raise CannotAnswer("Tags are not available for this catalogue.")
    return LabelsPage(tuple(Label(term.name, term.kind) for term in terms))


def _label(site: Site, query: LabelQuery) -> Indices:
    wanted = query.name.casefold()
    for number, label in enumerate(labels_page(site).labels):
        if label.name.casefold() == wanted:
            return np.array(site.catalogue.games.rows_of_term(number), np.intp)
    raise NotInCatalogue(f"No cover here was compared with {query.name[:60]!r}.")


POPULAR = Wall(
    name="popular",
    tab="Popular",
    title="Popular games",
    lead="Popular games, each with its look-alikes.",
    summary="The benchmark list, each game with its first ten look-alikes.",
    order=lambda site, _: site.orders.benchmark,
    is_offered=lambda site: bool((~site.is_adult[site.orders.benchmark]).any()),
    neighbours=_first_ten,
    per_page=12,
)
PAIRS = Wall(
    name="pairs",
    tab="Pairs",
    title="Nearly the same cover",
    lead="Games of different series whose covers are nearly the same, the most alike first.",
    summary="Pairs of games of different series with nearly the same cover, the most alike first.",
    order=_pairs,
    is_offered=lambda site: any(not site.is_adult[[one, two]].any() for one, (two, _) in site.orders.pairs.items()),
    neighbours=_other_of_pair,
    others=lambda entry: (result.game for result in entry.neighbours),
    per_page=24,
)
WALLS = (
    POPULAR,
    PAIRS,
    Wall(
        name="unique",
        tab="Like no other",
        title="Covers like no other",
        lead="Ordered by the likeness of the most similar cover, which is shown below each, the least alike first.",
        summary="The covers that look like no other, each with the most similar one.",
        order=_unique,
        is_offered=lambda site: bool(len(site.orders.unique)),
        query=UniqueQuery,
        per_page=24,  # each has two banners: more would take a phone too long to lay out
    ),
    Wall(
        name="hubs",
        tab="Common looks",
        title="Common looks",
        lead="Covers that many games look like, the most common first.",
        summary="The covers that are among the first ten look-alikes of the most others.",
        order=lambda site, _: site.orders.hubs,
    ),
    Wall(
        name="newest",
        tab="Newest",
        title="Newest games",
        lead="By year of release; of one year, the most popular first.",
        summary="Games by year of release, the latest first, then by popularity.",
        order=lambda site, _: site.orders.newest,
        is_offered=lambda site: site.facts.has_years,
    ),
    Wall(
        name="label",
        tab="Tags",
        title="Tags",
        lead="The covers that fit these words best. Nobody sorted them by hand.",
        summary="The games whose covers fit a term best.",
        order=_label,
        is_offered=lambda site: bool(site.catalogue.games.terms),
        query=LabelQuery,
        tab_path="labels",
    ),
    Wall(
        name="reused",
        tab="Same art",
        title="One picture under several titles",
        lead="Games whose covers are the same picture, whatever is written on them; different series first.",
        summary="Groups of games whose covers are the same picture, different series and the most evidence first; each"
        " by one game, the others as its same_art.",
        order=_reused,
        is_offered=lambda site: any(not site.is_adult[rows].any() for rows in site.reused),
        others=lambda entry: entry.same_art,
        per_page=24,
    ),
    Wall(
        name="duplicates",
        tab="Identical",
        title="Identical covers",
        lead="Games whose covers are the same, pixel for pixel.",
        summary="Groups of games whose covers are identical, the largest first; each by its first game.",
        order=_duplicates,
        is_offered=lambda site: bool(site.orders.identical),
        others=lambda entry: entry.identical,
        per_page=24,
    ),
)


def wall_page(site: Site, wall: Wall, query: WallQuery) -> WallPage:
    """Raises what the order raises."""
    rows = wall.order(site, query)
    rows = rows[_passes(site, query)[rows] & _is_alike(site, wall, query)[rows]]
    if query.sort != "likeness":
        rows = rows[np.argsort(site.orders.keys[query.sort][rows], kind="stable")]
    start = (query.page - 1) * wall.per_page
    return WallPage(
        paging(query.page, len(rows), wall.per_page),
        entries(site, wall, rows[start : start + wall.per_page].tolist(), query.adult, start),
    )


def entries(site: Site, wall: Wall, rows: Sequence[int], adult: bool, start: int = 0) -> tuple[WallEntry, ...]:
    """The entries of a wall for some rows, of which `start` come before. Explicit look-alikes are left out unless
    `adult`."""
    return tuple(
        WallEntry(
            rank,
            site.game(row),
            int(site.neighbour_of[row]),
            wall.neighbours(site, row, adult),
            site.identical_to(row),
            site.with_same_art(row),
            site.coincide_percent(row),
        )
        for rank, row in enumerate(rows, start + 1)
    )


def _passes(site: Site, query: WallQuery) -> Mask:
    """Which games may be shown and pass the filters: (n,)."""
    return mask(site, query) if query.adult else mask(site, query) & ~site.is_adult


def _is_alike(site: Site, wall: Wall, query: WallQuery) -> Mask:
    """Which games have a look-alike of the least likeness asked for: (n,). The order of pairs has its own."""
    first = site.catalogue.view("plain").first_similarities
    if first is None or not query.min_likeness or wall.name == "pairs":
        return np.ones(len(site), np.bool_)
    return first >= site.likeness["plain"].similarity(query.min_likeness / 100)


def rows_of(wall: Wall, page: WallPage) -> Iterator[tuple[int, GameSummary, float | None]]:
    """Rank, game, and the similarity of the entry's first neighbour; the games of one entry have one rank."""
    for entry in page.results:
        similarity = entry.neighbours[0].similarity if entry.neighbours else None
        for game in (entry.game, *wall.others(entry)):
            yield entry.rank, game, similarity


def tabs(site: Site) -> list[Wall]:
    """The walls that this catalogue has something for."""
    return [wall for wall in WALLS if wall.is_offered(site)]


def show(wall: Wall) -> tuple[str, int]:
    """The page of a wall. Behind the last page, it is a 404."""
    query = read(wall.query, from_form=True, adult=shows_adult())
    page = wall_page(current_site(), wall, query)
    own = query.pairs("name") if isinstance(query, LabelQuery) else ()
    title = query.name[:1].upper() + query.name[1:] if isinstance(query, LabelQuery) else wall.title
    games = (game for entry in page.results for game in (entry.game, *wall.others(entry)))
    share = Share.of(current_site(), title, wall.lead, address(f"/{wall.name}", own), games)
    html = render_template(
        f"{wall.name}.html",
        page=page,
        query=query,
        tab=wall,
        title=title,
        share=share,
        filters=filter_form(current_site(), query, f"/{wall.name}", own),
        json_url=address(API + wall.name, query.pairs()),
    )
    return html, 404 if page.paging.is_beyond else 200


for _wall in WALLS:
    blueprint.add_url_rule(f"/{_wall.name}", _wall.name, lambda wall=_wall: show(wall))


@blueprint.get("/labels")
def labels() -> str:
    """All terms by their kind."""
    kinds: dict[str, list[Label]] = {}
    for label in labels_page(current_site()).labels:
        kinds.setdefault(label.kind, []).append(label)
    tab = next(wall for wall in WALLS if wall.tab_path == "labels")
    return render_template("labels.html", kinds=kinds, tab=tab, json_url=f"{API}labels")
