"""The walls: pages that show many games in some order, and can be limited to some years."""

from dataclasses import dataclass

from banners.catalogue import measures
from banners.catalogue.labels import Term
from banners.errors import CannotAnswer, NotInCatalogue
from webapp.gallery import Card, Gallery
from webapp.labels import Label, label_of
from webapp.pages import DEFAULT_NEIGHBOURS, PER_PAGE, Match, Pager, card, cards, nearest, pager

GROUPS_PER_PAGE = 24
GAMES_PER_PAGE = 12


@dataclass(frozen=True)
class UniqueCard:
    rank: int
    card: Card
    nearest: Match


@dataclass(frozen=True)
class Years:
    """The years that a wall can be limited to, and is; `first` and `last` are None where it is not."""

    earliest: int
    latest: int
    first: int | None
    last: int | None


@dataclass(frozen=True)
class UniquePage:
    """`below` is the similarity that no nearest neighbour reaches, 1 where all are shown."""

    cards: tuple[UniqueCard, ...]
    total: int
    below: float
    years: Years | None
    pager: Pager


@dataclass(frozen=True)
class HubCard:
    """A game and the number of others that have it among their first ten neighbours."""

    rank: int
    card: Card
    times: int


@dataclass(frozen=True)
class HubsPage:
    cards: tuple[HubCard, ...]
    total: int
    neighbours: int
    years: Years | None
    pager: Pager


@dataclass(frozen=True)
class DuplicatesPage:
    """Groups of games with the identical banner, each sorted by appid."""

    groups: tuple[tuple[Card, ...], ...]
    total: int
    games: int
    pager: Pager


@dataclass(frozen=True)
class PopularGame:
    card: Card
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class PopularPage:
    """`neighbours` is how many each game is shown with, but for adult ones."""

    games: tuple[PopularGame, ...]
    total: int
    neighbours: int
    years: Years | None
    pager: Pager


def unique_page(
    gallery: Gallery, page: int, adult: bool, below: float = 1.0, years: tuple[int, int] | None = None
) -> UniquePage:
    """One page of the most unusual banners, each with its nearest neighbour, whose similarity is less than `below`
    unless that is 1. Raises `NotInCatalogue`."""
    order = gallery.within(gallery.unique_first.rows(adult), years)
    found = gallery.catalogue.view("plain")
    if below < 1 and found.similarities is not None and gallery.catalogue.k:
        order = order[found.similarities[order, 0] < below]
    start = (page - 1) * PER_PAGE
    unique = []
    for rank, row in enumerate(order[start : start + PER_PAGE].tolist() if gallery.catalogue.k else (), start + 1):
        unique.append(UniqueCard(rank, card(gallery, row), nearest(gallery, row, 1)[0]))
    query = {"below": str(below)} if below < 1 else {}
    links = pager("/unique", page, len(order), query | _years_query(years))
    return UniquePage(tuple(unique), len(order), below, _years(gallery, years), links)


def hubs_page(gallery: Gallery, page: int, adult: bool, years: tuple[int, int] | None = None) -> HubsPage:
    """One page of the banners that are everybody's neighbour."""
    order = gallery.within(gallery.hubs_first.rows(adult), years)
    start = (page - 1) * PER_PAGE
    shown = tuple(
        HubCard(rank, card(gallery, row), int(gallery.times_near[row]))
        for rank, row in enumerate(order[start : start + PER_PAGE].tolist(), start + 1)
    )
    links = pager("/hubs", page, len(order), _years_query(years))
    return HubsPage(shown, len(order), min(measures.NEAREST, gallery.catalogue.k), _years(gallery, years), links)


def duplicates_page(gallery: Gallery, page: int, adult: bool) -> DuplicatesPage:
    """One page of the groups of games with the identical banner, the largest first."""
    groups = [group for group in gallery.identical if adult or not gallery.is_adult[group].any()]
    groups.sort(key=lambda group: -len(group))
    start = (page - 1) * GROUPS_PER_PAGE
    shown = tuple(cards(gallery, group) for group in groups[start : start + GROUPS_PER_PAGE])
    links = pager("/duplicates", page, len(groups), {}, GROUPS_PER_PAGE)
    return DuplicatesPage(shown, len(groups), sum(map(len, groups)), links)


def popular_page(gallery: Gallery, page: int, adult: bool, years: tuple[int, int] | None = None) -> PopularPage:
    """One page of the benchmark list, each game with its ten neighbours, adult ones left out unless asked for."""
    order = gallery.within(gallery.benchmark.rows(adult), years)
    start = (page - 1) * GAMES_PER_PAGE
    shown = []
    for row in order[start : start + GAMES_PER_PAGE].tolist():
        matches = nearest(gallery, row, DEFAULT_NEIGHBOURS)
        kept = tuple(match for match in matches if adult or not match.card.is_adult)
        shown.append(PopularGame(card(gallery, row), kept))
    links = pager("/popular", page, len(order), _years_query(years), GAMES_PER_PAGE)
    neighbours = min(DEFAULT_NEIGHBOURS, gallery.catalogue.k)
    return PopularPage(tuple(shown), len(order), neighbours, _years(gallery, years), links)


def years_of(first: int, last: int) -> tuple[int, int] | None:
    """The years that a wall is limited to; 0 is no limit."""
    last = last or 9999
    return (first, last) if first or last < 9999 else None


def _years(gallery: Gallery, chosen: tuple[int, int] | None) -> Years | None:
    """None where the catalogue knows no years."""
    known = gallery.year_range
    if known is None:
        return None
    first, last = chosen or (None, None)
    return Years(known[0], known[1], first or None, last if last and last < 9999 else None)


def _years_query(years: tuple[int, int] | None) -> dict[str, str]:
    if years is None:
        return {}
    return ({"from": str(years[0])} if years[0] else {}) | ({"to": str(years[1])} if years[1] < 9999 else {})


@dataclass(frozen=True)
class LabelsPage:
    """The terms by their kind."""

    kinds: tuple[tuple[str, tuple[Label, ...]], ...]


@dataclass(frozen=True)
class LabelPage:
    label: Label
    cards: tuple[Card, ...]


def labels_page(gallery: Gallery) -> LabelsPage:
    """Raises `CannotAnswer`."""
    kinds: dict[str, list[Label]] = {}
    for term in _terms(gallery):
        kinds.setdefault(term.kind, []).append(label_of(term))
    return LabelsPage(tuple((kind, tuple(terms)) for kind, terms in kinds.items()))


def label_page(gallery: Gallery, name: str, adult: bool) -> LabelPage:
    """The banners that fit a term best. Raises `CannotAnswer`, `NotInCatalogue`."""
    terms = _terms(gallery)
    wanted = name.casefold()
    number = next((at for at, term in enumerate(terms) if term.name.casefold() == wanted), None)
    if number is None:
        raise NotInCatalogue(f"No banner here was compared with {name[:60]!r}.")
    rows = [row for row in gallery.catalogue.games.rows_of_term(number) if adult or not gallery.is_adult[row]]
    return LabelPage(label_of(terms[number]), cards(gallery, rows))


def _terms(gallery: Gallery) -> tuple[Term, ...]:
    if not gallery.catalogue.games.terms:
        raise CannotAnswer("The banners of this catalogue were not labelled: its encoder knows no words.")
    return gallery.catalogue.games.terms
