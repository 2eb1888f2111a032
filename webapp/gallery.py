"""An opened catalogue and all that the pages need of it, computed once when the server starts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from banners.catalogue import measures
from banners.catalogue.query_encoder import QueryEncoder
from banners.catalogue.reader import Catalogue, open_catalogue
from banners.encoders.views import View
from banners.errors import NotInCatalogue
from banners.games_csv import CURATED, Game, list_banners

CDN = "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps"
STORE, STEAMDB = "https://store.steampowered.com/app/", "https://steamdb.info/app/"
DEFAULT_SIZE = (300, 450)

_CARDS_KEPT = 32_768  # some 15 MB

# Control characters, and the marks that turn the direction of all text after them: a title is plain text, where nothing
# could contain them. Joiners stay, emoji need them.
_UNSHOWABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")
_IMAGE_PATH = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*\.(?:jpg|png|webp)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Card:
    """A game as it stands on any page. `url` is where its banner links to, `image` None where there is none."""

    appid: int
    name: str
    image: str | None
    url: str
    year: str
    is_adult: bool

    @property
    def store_url(self) -> str:
        return f"{STORE}{self.appid}/"

    @property
    def steamdb_url(self) -> str:
        return f"{STEAMDB}{self.appid}/"


@dataclass(frozen=True)
class Wall:
    """Rows in the order of a wall, `all` of them and the `safe` ones, which may be shown to anybody: (m,) each."""

    all: npt.NDArray[np.intp]
    safe: npt.NDArray[np.intp]

    def rows(self, adult: bool) -> npt.NDArray[np.intp]:
        return self.all if adult else self.safe


@dataclass(frozen=True)
class Gallery:
    """`local_images` are files by appid; `cdn_name` is the file's name on Steam's CDN where a game's own path is not
    known, None where the catalogue is not of Steam. `encoder` embeds queries, where the catalogue has one."""

    catalogue: Catalogue
    local_images: dict[int, Path]
    cdn_name: str | None
    encoder: QueryEncoder | None = None
    _cards: dict[int, Card] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path, banners: Path | None, threads: int = 1) -> Self:
        """Open the catalogue at `folder`, every byte that pages read of it checked, and list the local images.
        Queries are embedded by so many `threads`.

        Raises `BadCatalogue` and `BadInput`.
        """
        catalogue = open_catalogue(folder, check_hashes=True, unread=("embeddings.npy",))
        local = {banner.appid: banner.path.absolute() for banner in list_banners(banners)[0]} if banners else {}
        width, height = catalogue.manifest.image_size or DEFAULT_SIZE
        plain = "library_600x900.jpg" if height > width else "header.jpg"
        cdn_name = plain if catalogue.manifest.source == "steam" else None
        return cls(catalogue, local, cdn_name, QueryEncoder.of(catalogue.folder, catalogue.manifest, threads))

    def name(self, game: Game) -> str:
        """A game's name as it may be shown."""
        name = game.name if game.name.isprintable() else _UNSHOWABLE.sub(" ", game.name)
        return name.strip() or f"App {game.appid}"

    def image(self, game: Game) -> str | None:
        """The address of a game's banner, None where it has none."""
        local = self.local_images.get(game.appid)
        if local is not None:
            return f"/banners/{game.appid}{local.suffix.lower()}"
        return None if self.cdn_name is None else _cdn_url(game.appid, game.known.get("image_path"), self.cdn_name)

    def __len__(self) -> int:
        return len(self.catalogue)

    def card(self, row: int) -> Card:
        """The card of a row, which links to the game's own page."""
        found = self._cards.get(row)
        if found is not None:
            return found
        game = self.catalogue.games[row]
        year = int(self.years[row])
        made = Card(
            game.appid,
            self.name(game),
            self.image(game),
            f"/render/{game.appid}",
            str(year) if year else "",
            bool(self.is_adult[row]),
        )
        if len(self._cards) < _CARDS_KEPT:
            self._cards[row] = made
        return made

    def nearest(self, view: View, row: int, count: int) -> tuple[list[int], list[float] | list[None]]:
        """The first `count` neighbours of a row, and their similarities, None where the catalogue does not know them.

        Raises `NotInCatalogue` for a view that the catalogue lacks.
        """
        found = self.catalogue.view(view)
        rows = found.rows[row, :count].tolist()
        known = [None] * len(rows) if found.similarities is None else found.similarities[row, :count].tolist()
        return rows, known

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of most images, so that pages reserve their room."""
        return self.catalogue.manifest.image_size or DEFAULT_SIZE

    @cached_property
    def groups(self) -> npt.NDArray[np.int32]:
        """For each row the first row with the identical banner: int32 (n,)."""
        found = self.catalogue.duplicates
        return np.arange(len(self), dtype=np.int32) if found is None else found

    @cached_property
    def weak_below(self) -> dict[View, float]:
        """For each view the similarity below which a match counts as weak; views without similarities have none."""
        return {
            view: measures.weak_below(found.similarities)
            for view, found in self.catalogue.views.items()
            if found.similarities is not None and found.similarities.size
        }

    @cached_property
    def _columns(self) -> npt.NDArray[np.void]:
        """What the walls need to know of each game, read in one pass: (n,)."""
        return self.catalogue.games.columns()

    @cached_property
    def is_adult(self) -> npt.NDArray[np.bool_]:
        """Which games' banners may be explicit: (n,)."""
        return np.ascontiguousarray(self._columns["is_adult"])

    @cached_property
    def named(self) -> Wall:
        """Games with a name, in the order of the catalogue; all, if none has one."""
        rows = np.flatnonzero(self._columns["has_name"])
        return self._wall(rows if len(rows) else np.arange(len(self)))

    @cached_property
    def popular(self) -> Wall:
        """Games by popularity; empty where the catalogue knows none."""
        popularity = self._columns["popularity"]
        order = np.argsort(-popularity, kind="stable")
        return self._wall(order[popularity[order] > 0])

    @cached_property
    def unique_first(self) -> Wall:
        """Games with a name, the most unusual banner first. Raises `NotInCatalogue` without similarities."""
        order = measures.unique_first(self._first_similarities)
        return self._wall(order[np.isin(order, self.named.all)])

    def _wall(self, rows: npt.NDArray[np.intp]) -> Wall:
        return Wall(rows, rows[~self.is_adult[rows]])

    @cached_property
    def unique_rank(self) -> npt.NDArray[np.intp] | None:
        """How many banners are more unusual than each row's: (n,); None without similarities."""
        if not self.has_unique:
            return None
        rank = np.empty(len(self), np.intp)
        rank[measures.unique_first(self._first_similarities)] = np.arange(len(self))
        return rank

    @property
    def _first_similarities(self) -> npt.NDArray[np.float32]:
        similarities = self.catalogue.view("plain").similarities
        if similarities is None:
            raise NotInCatalogue("This catalogue was imported without similarities, so nothing tells which are unique.")
        return similarities

    @property
    def has_unique(self) -> bool:
        """Whether it is known which banners are unusual."""
        return self.catalogue.view("plain").similarities is not None and self.catalogue.k > 0

    @cached_property
    def identical(self) -> Sequence[Sequence[int]]:
        """Groups of two or more rows with the identical banner."""
        return measures.members(self.groups)

    def members_of(self, row: int) -> Sequence[int]:
        """The rows with the banner of `row`, itself included."""
        return np.flatnonzero(self.groups == self.groups[row]).tolist()

    def illustration(self, row: int) -> str:
        """The address of a banner for other programs: where the pages show it, else where Steam has it."""
        game = self.catalogue.games[row]
        return self.image(game) or _cdn_url(game.appid, None, "library_600x900.jpg")

    @property
    def identical_banners(self) -> int:
        """How many games share their banner with another."""
        return sum(map(len, self.identical))

    @cached_property
    def times_near(self) -> npt.NDArray[np.int32]:
        """How many games have each row among their first ten neighbours: int32 (n,)."""
        return measures.times_near(self.catalogue.view("plain").rows)

    @cached_property
    def hubs_first(self) -> Wall:
        """Games with a name that are anybody's neighbour, that of the most first."""
        order = np.argsort(-self.times_near, kind="stable")
        return self._wall(order[(self.times_near[order] > 0) & np.isin(order, self.named.all)])

    @cached_property
    def benchmark(self) -> Wall:
        """The benchmark list: the games that the banners folder marked as such, else the original's curated ones and
        the hundred most popular that are known."""
        marked = np.flatnonzero(self._columns["is_benchmark"])
        if not len(marked):
            curated = np.flatnonzero(np.isin(self.catalogue.appids, CURATED))
            marked = np.union1d(self.popular.all[:100], curated)
        popularity = self._columns["popularity"][marked]
        return self._wall(marked[np.argsort(-popularity, kind="stable")])

    @cached_property
    def years(self) -> npt.NDArray[np.int32]:
        """The year of each game's release, 0 where it is not known: int32 (n,)."""
        return np.ascontiguousarray(self._columns["year"])

    @cached_property
    def year_range(self) -> tuple[int, int] | None:
        """The first and the last year that is known of any game."""
        known = self.years[self.years > 0]
        return (int(known.min()), int(known.max())) if len(known) else None

    def within(self, rows: npt.NDArray[np.intp], years: tuple[int, int] | None) -> npt.NDArray[np.intp]:
        """Those of `rows` whose game came out in the years from the first to the last."""
        if years is None:
            return rows
        return rows[(self.years[rows] >= max(1, years[0])) & (self.years[rows] <= years[1])]

    def warm(self) -> None:
        """Compute everything that depends on the catalogue alone, so that the workers share it and no reader waits."""
        _ = (self.groups, self.named, self.weak_below, self.popular, self.unique_rank, self.identical)
        _ = (self.hubs_first, self.benchmark, self.year_range)
        if self.has_unique:
            _ = self.unique_first
        likely = np.argsort(-self._columns["popularity"], kind="stable")
        for row in likely[:_CARDS_KEPT].tolist():
            self.card(row)


def _cdn_url(appid: int, path: object, plain: str) -> str:
    """The address of a banner on Steam's CDN; a stored path comes from a file that anybody may have written."""
    is_path = isinstance(path, str) and _IMAGE_PATH.fullmatch(path)
    return f"{CDN}/{appid}/{path if is_path else plain}"
