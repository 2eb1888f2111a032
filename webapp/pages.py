"""Page objects: what each page shows, as plain frozen data. A template prints one, nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from banners.catalogue.search import MAX_QUERY
from banners.encoders.views import View
from banners.errors import BadInput
from webapp.gallery import Card, Gallery
from webapp.labels import Label, label_of, labels_of_row
from webapp.modes import Mode

DEFAULT_NEIGHBOURS = 10
MAX_NEIGHBOURS = 100_000  # as many as embed_banners.py takes
SUGGESTIONS = 10
WALL = 24
UNIQUE_AT_HOME = 12
LOOK_ALIKES = 4  # of the example at home
TERMS = 6  # of what banners show, at home
NEAR = 6
PLAIN = Mode()
PER_PAGE = 48

VIEW_NAMES: dict[View, str] = {"plain": "As it is", "mirror": "Mirrored", "flip": "Flipped", "rotate": "Rotated"}


@dataclass(frozen=True, eq=False)
class Site:
    """What every page says of the catalogue behind it, one object for each. `source` is "steam", "demo" or "" for a
    local folder."""

    games: int
    encoder: str
    source: str
    image_width: int
    image_height: int
    has_popular: bool
    has_unique: bool
    has_adult: bool
    has_duplicates: bool  # whether any two banners are identical
    has_labels: bool
    takes_pictures: bool  # as queries
    takes_words: bool

    @property
    def first_wall(self) -> str:
        """The address of the first wall that shows anything."""
        return "/popular" if self.has_popular else "/unique" if self.has_unique else "/hubs"

    @property
    def shown_games(self) -> str:
        return f"{self.games:,}"


class Match(NamedTuple):
    """A neighbour. `similarity` is its cosine, None where the catalogue does not know it; `strength` the same in
    0..1 between the level of random pairs and 1; `is_weak` where most games have a nearer first neighbour. `mix_url` is
    the address of a query that it can be added to, "" where there is none."""

    rank: int
    card: Card
    similarity: float | None
    strength: float | None
    is_weak: bool
    is_identical: bool
    mix_url: str = ""


@dataclass(frozen=True)
class ViewLink:
    label: str
    url: str
    is_current: bool


@dataclass(frozen=True)
class GamePage:
    """`share_image` is what other sites show beside a link to it: a card that this server makes, a banner that is
    elsewhere, or nothing, as `shares` says. `mix_url` is the address of a query that others can be added to, "" where
    the catalogue answers none."""

    query: Card
    view: View
    matches: tuple[Match, ...]
    asked: int
    available: int
    views: tuple[ViewLink, ...]
    more_url: str | None
    leads_to_store: bool
    own_lead_url: str
    other_lead_url: str
    more_unusual_than: int | None
    random_similarity: float | None
    share_image: str
    shares: Literal["card", "banner", ""]
    canonical_path: str
    json_url: str
    mix_url: str
    labels: tuple[Label, ...]

    @property
    def heading(self) -> str:
        count = len(self.matches)
        return "The game that looks most like it" if count == 1 else f"{count} games that look like it"

    @property
    def has_similarities(self) -> bool:
        return bool(self.matches) and self.matches[0].similarity is not None  # a view has those of all or of none


@dataclass(frozen=True)
class Pager:
    page: int
    pages: int
    previous_url: str | None
    next_url: str | None

    @property
    def is_beyond(self) -> bool:
        """Whether this page lies behind the last one."""
        return self.page > self.pages


@dataclass(frozen=True)
class SearchPage:
    query: str
    cards: tuple[Card, ...]
    total: int
    approximate: bool
    complaint: str
    pager: Pager


@dataclass(frozen=True)
class HomePage:
    """`example` is one game of the wall, and the banners that come closest to its own; `terms` are some of what banners
    show."""

    example: Card | None
    look_alikes: tuple[Match, ...]
    title: str
    wall: tuple[Card, ...]
    unique: tuple[Card, ...]
    terms: tuple[Label, ...]


@dataclass(frozen=True)
class AboutPage:
    """`views` by the names that pages give them."""

    neighbours: int
    identical_banners: int
    encoder: str
    revision: str
    fit: str
    views: tuple[str, ...]
    random_similarity: float | None
    made_on: str


@dataclass(frozen=True)
class ErrorPage:
    status: int
    title: str
    detail: str
    query: str
    suggestions: tuple[Card, ...]


@dataclass(frozen=True)
class Suggestion:
    appid: int
    name: str
    url: str
    image: str | None
    is_adult: bool


@dataclass(frozen=True)
class Suggestions:
    """What the search box offers. `hidden` counts the results that are not listed."""

    query: str
    suggestions: tuple[Suggestion, ...]
    hidden: int
    approximate: bool


def card(gallery: Gallery, row: int, mode: Mode = PLAIN, n: int | None = None) -> Card:
    """The card of a row; its banner links to the game's page in `mode`, or to the store if the mode says so."""
    plain = gallery.card(row)
    if mode == PLAIN and n is None:
        return plain
    return replace(plain, url=plain.store_url if mode.to_store else mode.url(plain.appid, n))


def cards(gallery: Gallery, rows: Iterable[int]) -> tuple[Card, ...]:
    return tuple(card(gallery, int(row)) for row in rows)


def capitalised(text: str) -> str:
    """With a capital at its beginning; what follows stays as it is."""
    return text[:1].upper() + text[1:]


def site(gallery: Gallery) -> Site:
    manifest, (width, height) = gallery.catalogue.manifest, gallery.image_size
    return Site(
        len(gallery),
        manifest.encoder,
        manifest.source,
        width,
        height,
        len(gallery.benchmark.safe) > 0,
        gallery.has_unique,
        bool(gallery.is_adult.any()),
        bool(gallery.identical),
        bool(gallery.catalogue.games.terms),
        gallery.encoder is not None,
        gallery.encoder is not None and gallery.encoder.has_text,
    )


def game_page(gallery: Gallery, appid: int, mode: Mode, n: int | None) -> GamePage:
    """A game beside its `n` nearest neighbours (ten by default; all there are where `n` exceeds them).

    Raises `UnknownGame`, `NotInCatalogue` for a view the catalogue lacks, `BadInput` for n = 0.
    """
    row = gallery.catalogue.row_of(appid)
    if n == 0:
        raise BadInput(f"A game has 1 to {gallery.catalogue.k} neighbours; 0 cannot be shown.")
    asked = min(DEFAULT_NEIGHBOURS, gallery.catalogue.k) if n is None else n
    mix_url = f"/mix?game={appid}" if gallery.encoder is not None else ""
    query = gallery.card(row)
    here = Mode(mode.view)
    matches = nearest(gallery, row, asked, mode, n, mix_url)
    more = min(gallery.catalogue.k, max(20, 2 * len(matches)))
    rank = gallery.unique_rank
    asked_json: dict[str, str] = {} if mode.view == "plain" else {"view": mode.view}
    asked_json |= {} if n is None else {"n": str(min(n, MAX_NEIGHBOURS))}
    share_image, shares = _share_image(gallery, query)
    return GamePage(
        query=query if here == PLAIN else replace(query, url=here.url(appid)),
        view=mode.view,
        matches=matches,
        asked=asked,
        available=gallery.catalogue.k,
        views=_view_links(gallery, appid, mode, n),
        more_url=mode.url(appid, more) if more > len(matches) else None,
        leads_to_store=mode.to_store,
        own_lead_url=mode.url(appid, n),
        other_lead_url=Mode(mode.view, not mode.to_store).url(appid, n),
        more_unusual_than=None if rank is None else more_unusual_than(gallery, int(rank[row])),
        random_similarity=gallery.catalogue.manifest.random_similarity,
        share_image=share_image,
        shares=shares,
        canonical_path=here.url(appid),
        json_url=f"/api/v1/games/{appid}/neighbours" + (f"?{urlencode(asked_json)}" if asked_json else ""),
        mix_url=mix_url,
        labels=labels_of_row(gallery, row),
    )


def _view_links(gallery: Gallery, appid: int, mode: Mode, n: int | None) -> tuple[ViewLink, ...]:
    """None where there is no choice."""
    if len(gallery.catalogue.views) < 2:
        return ()
    return tuple(
        ViewLink(name, Mode(view, mode.to_store).url(appid, n), view == mode.view)
        for view, name in VIEW_NAMES.items()
        if view in gallery.catalogue.views
    )


def _share_image(gallery: Gallery, query: Card) -> tuple[str, Literal["card", "banner", ""]]:
    """The address of what other sites may show of a game, "" for what not everybody wants to see, and what it is."""
    if query.is_adult or query.image is None:
        return "", ""
    return (f"/share/{query.appid}.jpg", "card") if query.appid in gallery.local_images else (query.image, "banner")


def more_unusual_than(gallery: Gallery, rank: int) -> int:
    """The percentage of the other games that have a less unusual banner than that of this rank, in whole ones."""
    others = max(1, len(gallery) - 1)
    return 100 * (others - rank) // others


def _strength(gallery: Gallery, similarity: float | None) -> float | None:
    if similarity is None:
        return None
    floor = min(gallery.catalogue.manifest.random_similarity or 0.0, 0.99)
    return min(1.0, max(0.0, (similarity - floor) / (1 - floor)))


def match_of(gallery: Gallery, rank: int, row: int, similarity: float | None, mix_url: str) -> Match:
    """A result that is no game's neighbour: nothing is known of how near such ones usually are."""
    strength = _strength(gallery, similarity)
    return Match(rank, card(gallery, row), similarity, strength, is_weak=False, is_identical=False, mix_url=mix_url)


def search_page(gallery: Gallery, query: str, page: int) -> SearchPage:
    """One page of the games that `query` means. A query that is too long gets a complaint instead of results."""
    complaint = ""
    if len(query) > MAX_QUERY:
        complaint = f"That is longer than any name: {len(query)} characters, and at most {MAX_QUERY} can be searched."
        query = query[:MAX_QUERY]
        found_rows, total, approximate = [], 0, False
    else:
        found = gallery.catalogue.games.search(query, PER_PAGE, (page - 1) * PER_PAGE)
        found_rows, total, approximate = found.rows, found.total, found.approximate
    links = pager("/search", page, total, {"q": query})
    return SearchPage(query, cards(gallery, found_rows), total, approximate, complaint, links)


def only_match(gallery: Gallery, query: str) -> int | None:
    """The appid of the one game that `query` is the name or the number of, None where others have its words too."""
    index = gallery.catalogue.games
    found = index.search(query, 2)
    if found.total != 1 or found.approximate:
        return None
    appid = int(gallery.catalogue.appids[found.rows[0]])
    return appid if index.titled(query) == found.rows or query == str(appid) else None


def suggestions(gallery: Gallery, query: str) -> Suggestions:
    found = gallery.catalogue.games.search(query, SUGGESTIONS)
    listed = tuple(
        Suggestion(one.appid, one.name, one.url, one.image, one.is_adult) for one in cards(gallery, found.rows)
    )
    return Suggestions(query, listed, max(0, found.total - len(listed)), found.approximate)


def nearest(
    gallery: Gallery, row: int, count: int, mode: Mode = PLAIN, n: int | None = None, mix_url: str = ""
) -> tuple[Match, ...]:
    """The first `count` neighbours of a row in a mode's view; `n` goes into the addresses of their pages."""
    rows, similarities = gallery.nearest(mode.view, row, count)
    weak_below = gallery.weak_below.get(mode.view, -1.0)
    is_plain = mode == PLAIN and n is None
    identical = (gallery.groups[rows] == gallery.groups[row]).tolist() if mode.view == "plain" else [False] * len(rows)
    return tuple(
        Match(
            rank,
            gallery.card(other) if is_plain else card(gallery, other, mode, n),
            similarity,
            _strength(gallery, similarity),
            is_weak=similarity is not None and similarity < weak_below,
            is_identical=is_identical,
            mix_url=mix_url,
        )
        for rank, other, similarity, is_identical in zip(
            range(1, len(rows) + 1), rows, similarities, identical, strict=True
        )
    )


def home_page(gallery: Gallery, random: Random, adult: bool) -> HomePage:
    """A wall to start from: the popular games where popularity is known, else a random choice."""
    popular, named = gallery.popular.rows(adult), gallery.named.rows(adult)
    if len(popular):
        title, rows = "Popular games", popular[:WALL].tolist()
    else:
        title, rows = "A random choice", named[random.sample(range(len(named)), min(WALL, len(named)))].tolist()
    unique = cards(gallery, gallery.unique_first.rows(adult)[:UNIQUE_AT_HOME]) if gallery.has_unique else ()
    example = random.choice(rows[:WALL]) if rows and gallery.catalogue.k else None
    near = () if example is None else nearest(gallery, example, 2 * LOOK_ALIKES)
    shown = tuple(match for match in near if adult or not match.card.is_adult)[:LOOK_ALIKES]
    known = gallery.catalogue.games.terms
    terms = random.sample(known, min(TERMS, len(known)))
    return HomePage(
        None if example is None or not shown else card(gallery, example),
        shown,
        title,
        cards(gallery, rows),
        unique,
        tuple(map(label_of, terms)),
    )


def about_page(gallery: Gallery) -> AboutPage:
    manifest = gallery.catalogue.manifest
    return AboutPage(
        neighbours=gallery.catalogue.k,
        identical_banners=gallery.identical_banners,
        encoder=manifest.encoder,
        revision=manifest.revision,
        fit=manifest.fit,
        views=tuple(VIEW_NAMES[view].lower() for view in gallery.catalogue.views),
        random_similarity=manifest.random_similarity,
        made_on=manifest.created.partition("T")[0],
    )


def near_appid(gallery: Gallery, appid: int) -> tuple[Card, ...]:
    """Games whose appid or name resembles an unknown appid."""
    rows = gallery.catalogue.games.search(str(appid), NEAR).rows
    place = int(gallery.catalogue.appids.searchsorted(min(appid, 2**32 - 1)))
    rows += range(max(0, place - NEAR // 2), min(len(gallery), place + NEAR // 2))
    return _offered(gallery, rows)


def near_text(gallery: Gallery, text: str) -> tuple[Card, ...]:
    """Games whose name resembles something typed into the address bar."""
    return _offered(gallery, gallery.catalogue.games.search(text[:MAX_QUERY], NEAR).rows)


def _offered(gallery: Gallery, rows: Iterable[int]) -> tuple[Card, ...]:
    """Cards for somebody who did not ask for these games: each once, and none of adult ones."""
    return cards(gallery, [row for row in dict.fromkeys(rows) if not gallery.is_adult[row]][:NEAR])


def pager(path: str, page: int, total: int, query: dict[str, str], per_page: int = PER_PAGE) -> Pager:
    pages = max(1, -(-total // per_page))

    def url(number: int) -> str:
        return f"{path}?{urlencode(query | {'page': str(number)})}"

    return Pager(page, pages, url(min(page - 1, pages)) if page > 1 else None, url(page + 1) if page < pages else None)
