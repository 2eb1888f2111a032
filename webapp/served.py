"""The catalogue that is served: an opened catalogue with the local images, and what pages need to know of all games."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from banners.catalogue import measures
from banners.catalogue.query_encoder import QueryEncoder
from banners.catalogue.reader import open_catalogue
from banners.encoders.views import View
from banners.errors import CannotAnswer
from banners.games_csv import CURATED, list_banners
from banners.games_csv import Game as KnownGame
from banners.steam import CDN, HEADER_IMAGE, IMAGE_PATH, UPRIGHT_IMAGE
from webapp.local_images import WIDTHS, LocalImage
from webapp.records import Game, Label, Result

DEFAULT_SIZE = (300, 450)

_OFFERED = 60  # tags, developers and publishers to choose from; any other can be typed
_GAMES_KEPT = 32_768  # some 15 MB

# Control characters, and the marks that turn the direction of all text after them: a title is plain text, where nothing
# could contain them. Joiners stay, emoji need them.
_UNSHOWABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """Facts about the catalogue for every page. `source` is "steam", "demo" or "" for a local folder.
    `random_similarity` is that of a random pair of banners, None if it is not known. What lists can be filtered by:
    the first and the last of the `years`, None if there is no choice, the most frequent `tags`, `developers` and
    `publishers`."""

    shown_games: str
    source: str
    encoder: str
    image_size: tuple[int, int]  # width and height
    random_similarity: float | None
    has_years: bool
    has_adult: bool
    takes_pictures: bool  # as queries
    takes_words: bool
    years: tuple[int, int] | None
    tags: tuple[str, ...]
    developers: tuple[str, ...]
    publishers: tuple[str, ...]
    has_popularity: bool


class ServedCatalogue:
    """`local_images` are files by appid. `cdn` is the base URL of Steam's banners, `cdn_name` the file's name there if
    a game's own path is not known, None if the catalogue is not of Steam. `encoder` embeds queries, None if the
    catalogue has none.

    For each game (n,): `is_adult`, whether its banner may be explicit; `has_name`, true for all if none has one;
    `years` of release: int32, and `popularity`, the number of reviews: int64, 0 where they are not known.
    """

    def __init__(self, folder: Path, banners: Path | None, threads: int = 1, cdn: str = CDN) -> None:
        """Open the catalogue at `folder`, check every byte that pages read of it, and list the local images. Queries
        are embedded by `threads` threads.

        Raises `BadCatalogue` and `BadInput`.
        """
        self.catalogue = open_catalogue(folder, check_hashes=True)
        self.local_images = {one.appid: one.path.absolute() for one in list_banners(banners)} if banners else {}
        manifest = self.catalogue.manifest
        self.image_size = width, height = manifest.image_size or DEFAULT_SIZE  # so that pages reserve their room
        plain = UPRIGHT_IMAGE if height > width else HEADER_IMAGE
        self.cdn, self.cdn_name = cdn, plain if manifest.source == "steam" else None
        self.encoder = QueryEncoder.of(self.catalogue, threads)
        self._columns = self.catalogue.games.columns()
        self.is_adult: npt.NDArray[np.bool_] = np.ascontiguousarray(self._columns["is_adult"])
        named = np.ascontiguousarray(self._columns["has_name"])
        self.has_name: npt.NDArray[np.bool_] = named if named.any() else ~named
        self.years: npt.NDArray[np.int32] = np.ascontiguousarray(self._columns["year"])
        self.popularity: npt.NDArray[np.int64] = np.ascontiguousarray(self._columns["popularity"])
        self._games: dict[int, Game] = {}
        known, games = self.years[self.years > 0].tolist(), self.catalogue.games
        self.site = Site(
            shown_games=f"{len(self):,}",
            source=manifest.source,
            encoder=manifest.encoder,
            image_size=self.image_size,
            random_similarity=manifest.random_similarity,
            has_years=bool(self.years[~self.is_adult].any()),
            has_adult=bool(self.is_adult.any()),
            takes_pictures=self.encoder is not None,
            takes_words=self.encoder is not None and self.encoder.has_text,
            years=(min(known), max(known)) if len(set(known)) > 1 else None,
            tags=games.most_frequent("tag", _OFFERED),
            developers=games.most_frequent("developer", _OFFERED),
            publishers=games.most_frequent("publisher", _OFFERED),
            has_popularity=bool(self.popularity.any()),
        )

    def __len__(self) -> int:
        return len(self.catalogue)

    def warm(self) -> None:
        """Compute everything that depends on the catalogue alone, so that workers share it and no reader waits."""
        for name, attribute in vars(type(self)).items():
            if isinstance(attribute, cached_property):
                getattr(self, name)
        for row in self.by_popularity[:_GAMES_KEPT].tolist():
            self.game(row)

    # -- records --

    def game(self, row: int) -> Game:
        """The game of a row; its banner links to its own page."""
        if row in self._games:
            return self._games[row]
        known = self.catalogue.games[row]
        image, thumbnail, image_2x = self._images(known)
        made = Game(
            appid=known.appid,
            name=_shown_name(known),
            year=int(self.years[row]) or None,
            image=image,
            thumbnail=thumbnail,
            image_2x=image_2x,
            url=f"/render/{known.appid}",
            is_adult=bool(self.is_adult[row]),
        )
        if len(self._games) < _GAMES_KEPT:
            self._games[row] = made
        return made

    def games(self, rows: Sequence[int]) -> tuple[Game, ...]:
        return tuple(map(self.game, rows))

    def neighbours(self, row: int, count: int, view: View = "plain") -> tuple[Result, ...]:
        """The first `count` neighbours of a row, best first. Raises `NotInCatalogue` without that view."""
        found = self.catalogue.view(view)
        known = None if found.similarities is None else found.similarities[row, :count].tolist()
        return self.results(found.of(row)[:count].tolist(), known, view, query=row)

    def results(
        self, rows: Sequence[int], similarities: Sequence[float] | None, view: View, query: int | None = None
    ) -> tuple[Result, ...]:
        """`rows` as results in `view`, best first. If they belong to the game of row `query`, it is known which of them
        are weak, and which have its banner."""
        manifest, is_artwork = self.catalogue.manifest, view == "artwork"
        floor = min((manifest.artwork_random if is_artwork else manifest.random_similarity) or 0.0, 0.99)
        rare = manifest.artwork_rare if is_artwork else manifest.rare
        weak_below = -1.0 if query is None else self.weak_below.get(view, -1.0)
        group = -1 if query is None or view not in ("plain", "artwork") else self.groups[query]

        def result(rank: int, row: int, similarity: float | None) -> Result:
            game, is_identical = self.game(row), bool(self.groups[row] == group)
            if similarity is None:
                return Result(rank, game, None, is_identical=is_identical)
            strength = round(min(1.0, max(0.0, (similarity - floor) / (1 - floor))), 4)
            rarity = (None, *measures.RARITIES)[bisect_right(rare, similarity)]
            return Result(rank, game, round(similarity, 6), strength, rarity, similarity < weak_below, is_identical)

        known = [None] * len(rows) if similarities is None else similarities
        return tuple(map(result, range(1, len(rows) + 1), rows, known))

    def labels(self, row: int) -> tuple[Label, ...]:
        """The labels of a game's banner, the likeliest first; empty if the catalogue has no labels."""
        found = self.catalogue.games.labels_of(row)
        return tuple(Label(term.name, term.kind, probability) for term, probability in found)

    def _images(self, game: KnownGame) -> tuple[str | None, str | None, str | None]:
        """The addresses of a banner, of its thumbnail, and of the banner in twice its size."""
        local = self.local_images.get(game.appid)
        if local is not None:
            name, version = f"{game.appid}{local.suffix.lower()}", LocalImage.of(local).version
            return f"/banners/{name}?v={version}", f"/thumbnails/{WIDTHS[0]}/{game.appid}.webp?v={version}", None
        if self.cdn_name is None:
            return None, None, None
        path = _path(game.known.get("image_path")) or self.cdn_name
        larger = _path(game.known.get("image_path_2x"))
        if not larger and path.partition("?")[0] == UPRIGHT_IMAGE:  # a plain name has a plain one in twice its size
            larger = path.replace(".jpg", "_2x.jpg")
        image = f"{self.cdn}/{game.appid}/{path}"
        return image, image, f"{self.cdn}/{game.appid}/{larger}" if larger else None

    def illustration(self, row: int) -> str:
        """The address of a banner for other programs: where the pages show it, else where Steam has it."""
        game = self.game(row)
        return game.image or f"{self.cdn}/{game.appid}/{UPRIGHT_IMAGE}"

    # -- the catalogue as a whole --

    @property
    def query_encoder(self) -> QueryEncoder:
        """Raises `CannotAnswer`."""
        if self.encoder is None:
            raise CannotAnswer("Image search is not available for this catalogue.")
        return self.encoder

    @cached_property
    def weak_below(self) -> dict[View, float]:
        """For each view the similarity below which a match is weak; views without similarities have none."""
        return {
            view: measures.weak_below(found.similarities)
            for view, found in self.catalogue.views.items()
            if found.similarities is not None and found.similarities.size
        }

    # -- one value for each game --

    @cached_property
    def median_popularity(self) -> int:
        """Of the games whose popularity is known, 0 if none is."""
        known = self.popularity[self.popularity > 0]
        return int(np.median(known)) if len(known) else 0

    @cached_property
    def groups(self) -> npt.NDArray[np.int32]:
        """For each row the first row with the identical banner: int32 (n,)."""
        found = self.catalogue.duplicates
        return np.arange(len(self), dtype=np.int32) if found is None else found

    @cached_property
    def times_near(self) -> npt.NDArray[np.int32]:
        """The number of games that have each row among their first ten neighbours: int32 (n,)."""
        return measures.times_near(self.catalogue.view("plain").rows)

    @cached_property
    def first_similarities(self) -> npt.NDArray[np.float32] | None:
        """Each game's similarity to its nearest neighbour: float32 (n,); None if it is not known."""
        similarities = self.catalogue.view("plain").similarities
        return None if similarities is None or not self.catalogue.k else np.ascontiguousarray(similarities[:, 0])

    # -- orders of games: rows (m,) --

    @cached_property
    def named(self) -> Rows:
        """Games with a name, by appid."""
        return np.flatnonzero(self.has_name)

    @cached_property
    def by_popularity(self) -> Rows:
        """All games, the most popular first."""
        return np.argsort(-self.popularity, kind="stable")

    @cached_property
    def popular(self) -> Rows:
        """The games whose popularity is known, the most popular first."""
        return self.by_popularity[self.popularity[self.by_popularity] > 0]

    @cached_property
    def unique_first(self) -> Rows:
        """All games, the most unusual banner first; empty without similarities."""
        known = self.first_similarities
        return np.empty(0, np.intp) if known is None else measures.unique_first(known)

    @cached_property
    def hubs_first(self) -> Rows:
        """Games with a name that are anybody's neighbour, that of the most games first."""
        order = np.argsort(-self.times_near, kind="stable")
        return order[(self.times_near[order] > 0) & self.has_name[order]]

    @cached_property
    def newest_first(self) -> Rows:
        """Games with a name and a year, the latest year first, then the most popular."""
        order = np.lexsort((-self.popularity, -self.years))
        return order[(self.years[order] > 0) & self.has_name[order]]

    @cached_property
    def benchmark(self) -> Rows:
        """The benchmark list, the most popular first: the games that the banners folder marked as such, else the
        curated ones and the hundred most popular that are known."""
        marked = np.flatnonzero(self._columns["is_benchmark"])
        if not len(marked):
            curated = np.flatnonzero(np.isin(self.catalogue.appids, CURATED))
            marked = np.union1d(self.popular[:100], curated)
        return marked[np.argsort(-self.popularity[marked], kind="stable")]

    @cached_property
    def identical(self) -> Sequence[Sequence[int]]:
        """Groups of two or more rows with the identical banner, the largest first."""
        return sorted(measures.members(self.groups), key=len, reverse=True)

    def identical_to(self, row: int) -> tuple[Game, ...]:
        """The other games with the banner of `row`."""
        same = np.flatnonzero(self.groups == self.groups[row]).tolist()
        return self.games([other for other in same if other != row])

    def without_adult(self, rows: Rows, shows_adult: bool) -> Rows:
        """`rows`, unless the reader wants to see them without those whose banners may be explicit."""
        return rows if shows_adult else rows[~self.is_adult[rows]]


def _shown_name(game: KnownGame) -> str:
    return _UNSHOWABLE.sub(" ", game.name).strip() or f"App {game.appid}"


def _path(text: object) -> str:
    """A banner's path on Steam's CDN; "" for anything else that a table may hold."""
    return text if isinstance(text, str) and IMAGE_PATH.fullmatch(text) else ""
