"""The JSON API: what the pages show, in objects of its own, so that a page can change without breaking it."""

import random as chance
from collections.abc import Iterable
from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, render_template

from banners.errors import BadInput, NotInCatalogue
from banners.names import MAX_QUERY
from banners.views import VIEWS, View
from webapp import arguments, pages, queries, walls
from webapp import labels as page_labels
from webapp.exhibition import gallery
from webapp.gallery import Gallery
from webapp.modes import Mode
from webapp.openapi import Registry, choice, flag, fraction, several, text, whole
from webapp.uploads import MAX_BYTES

api = Blueprint("api", __name__, url_prefix="/api/v1")
registry = Registry()

TITLE = "Steam CLIP"
ABOUT = (
    "Games of the Steam store by the look of their banners. Everything is read with GET, from anywhere, but for a"
    " picture, which is asked about with POST and not kept; errors are problem details. Images and pages are given as"
    " they are on the pages: an address that begins with a slash is on this server. Banners that may be explicit are"
    " marked is_adult; the walls, /label and /random leave them out unless adult=1."
)
PER_PAGE = 48


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


_ADULT = flag("adult", "Whether banners that may be explicit are listed.")
_APPID = {"type": "string", "pattern": "^[1-9][0-9]{0,9}$"}
_WORDS = {"type": "string", "minLength": 1, "maxLength": queries.MAX_TEXT}
_PAGE = whole("page", "Which page, from 1.", 1, 1, 999_999)
_YEARS = (
    whole("from", "The first year of release that counts, 0 for any.", 0, 0, 9999),
    whole("to", "The last one, 0 for any.", 0, 0, 9999),
)


@registry.get(api, "/catalogue", Catalogue, tag="catalogue")
def read_catalogue() -> Catalogue:
    """What is served: how many games, by which encoder, with which views."""
    opened = gallery().catalogue
    manifest = opened.manifest
    return Catalogue(
        games=len(opened),
        neighbours=opened.k,
        views=tuple(opened.views),
        has_similarities=opened.view("plain").similarities is not None,
        encoder=manifest.encoder,
        revision=manifest.revision,
        fit=manifest.fit,
        source=manifest.source,
        created=manifest.created,
    )


@registry.get(
    api,
    "/games",
    Games,
    text("q", "Words of a name, or an appid; without it, all games by appid.", most=MAX_QUERY),
    _PAGE,
    tag="games",
)
def find_games(q: str, page: int) -> Games:
    """Games by name or appid, the best first. Explicit ones are among them, and marked."""
    opened, start = gallery(), (page - 1) * PER_PAGE
    if q:
        found = opened.catalogue.index.search(q, PER_PAGE, start)
        rows, total, approximate = found.rows, found.total, found.approximate
    else:
        rows, total, approximate = list(range(len(opened))[start : start + PER_PAGE]), len(opened), False
    pager = pages.pager("/api/v1/games", page, total, {"q": q} if q else {}, PER_PAGE)
    return Games(_paging(pager, total), approximate, _games(opened, rows))


@registry.get(api, "/games/<appid:appid>", Detail, tag="games")
def read_game(appid: int) -> Detail:
    """One game, and its place among the others."""
    opened = gallery()
    row = opened.catalogue.row_of(appid)
    rank = opened.unique_rank
    same = [other for other in opened.members_of(row) if other != row]
    return Detail(
        game=_game(pages.card(opened, row)),
        views=tuple(opened.catalogue.views),
        more_unusual_than=None if rank is None else pages.more_unusual_than(opened, int(rank[row])),
        neighbour_of=int(opened.times_near[row]),
        identical=_games(opened, same),
        labels=_labels(page_labels.labels_of_row(opened, row)),
    )


@registry.get(
    api,
    "/games/<appid:appid>/neighbours",
    Neighbours,
    whole("n", "How many; all there are where it exceeds them.", 10, 1, pages.MAX_NEIGHBOURS),
    choice("view", "Which view of the game's banner is compared with all others.", VIEWS),
    tag="games",
)
def read_neighbours(appid: int, n: int, view: View) -> Neighbours:
    """The games whose banners look most like that of one game, never itself."""
    shown = pages.game_page(gallery(), appid, Mode(view), n)
    return Neighbours(_game(shown.query), view, shown.available, _neighbours(shown.matches))


@registry.get(
    api,
    "/similar",
    Similar,
    several("game", "Appids of games that results shall look like.", _APPID, queries.MAX_PARTS),
    several("not_game", "Appids of games that they shall not look like.", _APPID, queries.MAX_PARTS),
    several("text", "Words for what they shall look like.", _WORDS, queries.MAX_PARTS),
    several("not_text", "Words for what they shall not look like.", _WORDS, queries.MAX_PARTS),
    text("picture", "A picture's embedding, as POST /pictures gives it.", most=8000),
    whole("n", "How many.", 20, 1, queries.MAX_NEAREST),
    tag="queries",
    troubles=(429, 501),
)
def find_similar(picture: str, n: int) -> Similar:
    """The games whose banners look like all of several games, words and a picture, and not like others."""
    parts = arguments.parts()
    if not parts:
        raise BadInput("Name at least one game, text or picture.")
    return Similar(_found(queries.nearest(gallery(), parts, n)))


@registry.post(
    api,
    "/pictures",
    Picture,
    whole("n", "How many.", 20, 1, queries.MAX_NEAREST),
    tag="queries",
    body={
        "multipart/form-data": {
            "type": "object",
            "required": ["picture"],
            "properties": {"picture": {"type": "string", "format": "binary"}},
        },
        **{kind: {"type": "string", "format": "binary"} for kind in ("image/jpeg", "image/png", "image/webp")},
    },
    troubles=(413, 415, 429, 501),
)
def find_by_picture(n: int) -> Picture:
    """The games whose banners look like a picture, and what it shows. A JPEG, PNG or WebP of at most 10 MB, as the
    field `picture` of a form or as the body itself; it is not kept."""
    opened = gallery()
    vector = queries.embed_upload(opened, arguments.uploaded("picture", MAX_BYTES))
    part = queries.Part("picture", queries.picture_of(vector), is_minus=False)
    shown_labels = page_labels.labels_of_vector(opened, vector)
    return Picture(part.value, _labels(shown_labels), _found(queries.nearest(opened, [part], n)))


@registry.get(api, "/labels", Labels, tag="queries", troubles=(501,))
def list_labels() -> Labels:
    """All terms that banners are labelled with."""
    shown = walls.labels_page(gallery())
    return Labels(tuple(Label(one.name, one.kind, None) for _, terms in shown.kinds for one in terms))


@registry.get(
    api,
    "/label",
    Labelled,
    text("name", "One of the terms.", most=100),
    _ADULT,
    tag="queries",
    troubles=(501,),
)
def read_label(name: str, adult: bool) -> Labelled:
    """The games whose banners fit a term best."""
    shown = walls.label_page(gallery(), name, adult)
    return Labelled(Label(shown.label.name, shown.label.kind, None), tuple(map(_game, shown.cards)))


@registry.get(
    api,
    "/unique",
    UnusualGames,
    fraction("below", "Only where the nearest neighbour's similarity is below this; 1 for all.", 1.0),
    _PAGE,
    *_YEARS,
    _ADULT,
    tag="walls",
)
def unusual_games(below: float, page: int, from_: int, to: int, adult: bool) -> UnusualGames:
    """The most unusual banners, each with its nearest neighbour."""
    shown = walls.unique_page(gallery(), page, adult, below, walls.years_of(from_, to))
    games = tuple(Unusual(one.rank, _game(one.card), _neighbours([one.nearest])[0]) for one in shown.cards)
    return UnusualGames(_paging(_here(shown.pager, adult), shown.total), games)


@registry.get(api, "/hubs", Hubs, _PAGE, *_YEARS, _ADULT, tag="walls")
def hub_games(page: int, from_: int, to: int, adult: bool) -> Hubs:
    """The banners that are among the first ten neighbours of the most others."""
    shown = walls.hubs_page(gallery(), page, adult, walls.years_of(from_, to))
    games = tuple(Hub(one.rank, _game(one.card), one.times) for one in shown.cards)
    return Hubs(_paging(_here(shown.pager, adult), shown.total), games)


@registry.get(api, "/duplicates", Groups, _PAGE, _ADULT, tag="walls")
def identical_games(page: int, adult: bool) -> Groups:
    """Groups of games whose banners are identical."""
    shown = walls.duplicates_page(gallery(), page, adult)
    groups = tuple(Group(tuple(map(_game, group))) for group in shown.groups)
    return Groups(_paging(_here(shown.pager, adult), shown.total), groups)


@registry.get(api, "/popular", PopularGames, _PAGE, *_YEARS, _ADULT, tag="walls")
def popular_games(page: int, from_: int, to: int, adult: bool) -> PopularGames:
    """The benchmark list, each game with its first ten neighbours."""
    shown = walls.popular_page(gallery(), page, adult, walls.years_of(from_, to))
    games = tuple(Popular(_game(one.card), _neighbours(one.matches)) for one in shown.games)
    return PopularGames(_paging(_here(shown.pager, adult), shown.total), games)


@registry.get(api, "/random", Game, _ADULT, tag="walls")
def random_game(adult: bool) -> Game:
    """A game picked at random."""
    opened = gallery()
    rows = opened.named.rows(adult)
    if not len(rows):
        raise NotInCatalogue("This catalogue has no game that may be shown without being asked for.")
    return _game(pages.card(opened, int(chance.choice(rows))))


@api.get("/openapi.json")
def openapi() -> Response:
    """The document that describes all of it."""
    return jsonify(registry.document(TITLE, ABOUT))


@api.get("/")
def guide() -> str:
    """The same for reading."""
    return render_template("api.html", groups=registry.by_tag(), about=ABOUT)


# -- from page objects ----------------------------------------------------------------------------------------------


def _game(card: pages.Card) -> Game:
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


def _games(opened: Gallery, rows: Iterable[int]) -> tuple[Game, ...]:
    return tuple(map(_game, pages.cards(opened, rows)))


def _labels(labels: Iterable[page_labels.Label]) -> tuple[Label, ...]:
    return tuple(
        Label(one.name, one.kind, None if one.probability is None else round(one.probability, 6)) for one in labels
    )


def _found(rows: Iterable[tuple[int, float | None]]) -> tuple[Result, ...]:
    opened = gallery()
    return tuple(
        Result(rank, _game(pages.card(opened, row)), None if cosine is None else round(cosine, 6))
        for rank, (row, cosine) in enumerate(rows, 1)
    )


def _neighbours(matches: Iterable[pages.Match]) -> tuple[Neighbour, ...]:
    return tuple(
        Neighbour(
            match.rank,
            _game(match.card),
            None if match.similarity is None else round(match.similarity, 6),
            match.is_weak,
            match.is_identical,
        )
        for match in matches
    )


def _paging(pager: pages.Pager, total: int) -> Paging:
    return Paging(pager.page, pager.pages, total, pager.next_url, pager.previous_url)


def _here(pager: pages.Pager, adult: bool) -> pages.Pager:
    """A page's pager with the addresses of the API."""

    def address(url: str | None) -> str | None:
        return f"/api/v1{url}{'&adult=1' if adult else ''}" if url else None

    return pages.Pager(pager.page, pager.pages, address(pager.previous_url), address(pager.next_url))
