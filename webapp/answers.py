"""What the JSON API answers: objects of its own, so that a page can change without breaking it."""

from collections.abc import Iterable
from dataclasses import dataclass

from webapp import labels as page_labels
from webapp import pages
from webapp.gallery import Card, Gallery
from webapp.modes import Mode


@dataclass(frozen=True)
class Game:
    """A game. `image` is null where there is none, `year` where it is not known."""

    appid: int
    name: str
    year: int | None
    image: str | None
    page: str
    store_url: str
    steamdb_url: str
    is_adult: bool


@dataclass(frozen=True)
class Neighbour:
    """A game near another. `similarity` is the cosine of their embeddings, null where the catalogue does not know it;
    it is weak where nine games in ten have a nearer first neighbour."""

    rank: int
    game: Game
    similarity: float | None
    is_weak: bool
    is_identical: bool


@dataclass(frozen=True)
class Label:
    """A term that a banner is labelled with. `probability` is among all terms of the vocabulary, null where it is not
    about one banner."""

    name: str
    kind: str
    probability: float | None


@dataclass(frozen=True)
class Labels:
    """The vocabulary."""

    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Labelled:
    """The games whose banners fit a term best."""

    label: Label
    games: tuple[Game, ...]


@dataclass(frozen=True)
class Result:
    """A game that a query found. `similarity` is the cosine where one thing was asked for, null where several were."""

    rank: int
    game: Game
    similarity: float | None


@dataclass(frozen=True)
class Similar:
    """What a query found."""

    results: tuple[Result, ...]


@dataclass(frozen=True)
class Picture:
    """What a picture is in this catalogue. `picture` stands for it in further queries; `labels` are what it shows."""

    picture: str
    labels: tuple[Label, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Detail:
    """A game with what is known of its place among the others. `more_unusual_than` is a percentage, `neighbour_of` the
    number of games that have it among their first ten, `identical` are those with the same banner."""

    game: Game
    views: tuple[str, ...]
    more_unusual_than: int | None
    neighbour_of: int
    identical: tuple[Game, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Neighbours:
    """The nearest games, best first; `available` is how many the catalogue knows."""

    query: Game
    view: str
    available: int
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Paging:
    """`next` and `previous` are addresses, null at the ends."""

    page: int
    pages: int
    total: int
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class Games:
    """A page of games. `is_approximate`: no name has all the words of the query, these resemble it."""

    paging: Paging
    is_approximate: bool
    games: tuple[Game, ...]


@dataclass(frozen=True)
class Unusual:
    """A game and the one that comes nearest to it."""

    rank: int
    game: Game
    nearest: Neighbour


@dataclass(frozen=True)
class UnusualGames:
    """A page of the most unusual banners."""

    paging: Paging
    games: tuple[Unusual, ...]


@dataclass(frozen=True)
class Hub:
    """A game and how many others have it among their first ten neighbours."""

    rank: int
    game: Game
    neighbour_of: int


@dataclass(frozen=True)
class Hubs:
    """A page of the banners that are everybody's neighbour."""

    paging: Paging
    games: tuple[Hub, ...]


@dataclass(frozen=True)
class Group:
    """Games with one banner."""

    games: tuple[Game, ...]


@dataclass(frozen=True)
class Groups:
    """A page of the groups of games with identical banners."""

    paging: Paging
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Popular:
    """A game of the benchmark list with its first ten neighbours."""

    game: Game
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class PopularGames:
    """A page of the benchmark list."""

    paging: Paging
    games: tuple[Popular, ...]


@dataclass(frozen=True)
class Catalogue:
    """What is served, and how it was made."""

    games: int
    neighbours: int
    views: tuple[str, ...]
    has_similarities: bool
    encoder: str
    revision: str
    fit: str
    source: str
    created: str


# -- from page objects ----------------------------------------------------------------------------------------------


def game_of(card: Card) -> Game:
    return Game(
        card.appid,
        card.name,
        int(card.year) if card.year.isdecimal() and len(card.year) <= 4 else None,
        card.image,
        Mode().url(card.appid),
        card.store_url,
        card.steamdb_url,
        card.is_adult,
    )


def games_of(opened: Gallery, rows: Iterable[int]) -> tuple[Game, ...]:
    return tuple(map(game_of, pages.cards(opened, rows)))


def labels_of(labels: Iterable[page_labels.Label]) -> tuple[Label, ...]:
    return tuple(
        Label(one.name, one.kind, None if one.probability is None else round(one.probability, 6)) for one in labels
    )


def results_of(opened: Gallery, rows: Iterable[tuple[int, float | None]]) -> tuple[Result, ...]:
    return tuple(
        Result(rank, game_of(pages.card(opened, row)), None if cosine is None else round(cosine, 6))
        for rank, (row, cosine) in enumerate(rows, 1)
    )


def neighbours_of(matches: Iterable[pages.Match]) -> tuple[Neighbour, ...]:
    return tuple(
        Neighbour(
            match.rank,
            game_of(match.card),
            None if match.similarity is None else round(match.similarity, 6),
            match.is_weak,
            match.is_identical,
        )
        for match in matches
    )


def paging_of(pager: pages.Pager, total: int) -> Paging:
    return Paging(pager.page, pager.pages, total, pager.next_url, pager.previous_url)


def within_the_api(pager: pages.Pager, adult: bool) -> pages.Pager:
    """A page's pager with the addresses of the API."""

    def address(url: str | None) -> str | None:
        return f"/api/v1{url}{'&adult=1' if adult else ''}" if url else None

    return pages.Pager(pager.page, pager.pages, address(pager.previous_url), address(pager.next_url))
