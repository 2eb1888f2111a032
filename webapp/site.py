"""The catalogue that is served: an opened catalogue with the local images, and what pages need to know of all games."""

import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from banners.arrays import Indices, Mask, StoredIndices
from banners.catalogue.query_encoder import PartEncoder, QueryEncoder
from banners.catalogue.reader import Catalogue, open_catalogue
from banners.errors import Away, BadInput, CannotAnswer, UnknownGame
from banners.games_csv import Game, list_banners
from banners.groups import connected, members
from banners.series import edition, same_series
from banners.steam import CDN, HEADER_IMAGE, IMAGE_PATH, UPRIGHT_IMAGE
from banners.vectors import measures
from banners.vectors.regions import LocalFeatures
from banners.views import View
from webapp.likeness import likeness_of
from webapp.local_images import WIDTHS, LocalImage
from webapp.orders import Orders
from webapp.records import GameSummary, Label, Result

DEFAULT_SIZE = (300, 450)
GAMES_KEPT = 32_768  # some 15 MB
log = logging.getLogger("webapp")

# Control characters, and marks that change the direction of all text after them. A page's title is plain text, so they
# cannot be isolated there. Joiners stay: emoji need them.
_UNSHOWABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """Facts about the catalogue for every page. `source` is "steam", "demo" or "" for a local folder.
    `random_similarity` is that of a random pair of banners, None if it is not known."""

    shown_games: str
    source: str
    encoder: str
    image_size: tuple[int, int]  # width and height
    random_similarity: float | None
    years: tuple[int, int] | None  # of release, the first and the last; None if there is no choice
    has_years: bool
    has_adult: bool
    size_attributes: Markup  # the same as HTML's width="" and height=""
    takes_games: bool  # as queries
    takes_pictures: bool
    takes_words: bool
    has_parts: bool  # local features
    has_map: bool
    namesakes: frozenset[int]  # appids of games whose name another game has too


def _searched_in(catalogue: Catalogue, database_url: str) -> Catalogue:
    """The catalogue, searched in a database. Its own files are searched if that is the database of something else: some
    hosts set DATABASE_URL themselves. Raises `BadInput` if there are no such files."""
    try:
        from banners.catalogue import postgres  # whose libraries are optional
    except ImportError as error:
        reason = f"DATABASE_URL: {error.name} is missing; pip install -r requirements-postgres.txt"
        if not catalogue.indexes:
            raise BadInput(reason) from None
        log.warning("%s. The catalogue's own files are searched.", reason)
        return catalogue
    indexes = postgres.indexes(catalogue, database_url)
    try:
        is_there = indexes["plain"].database.has_version()
    except Away as error:
        log.warning("DATABASE_URL: %s Queries are answered when it does.", error)
        is_there = True
    if not is_there and catalogue.indexes:
        log.warning("DATABASE_URL: that database does not have this catalogue, whose own files are searched")
        return catalogue
    features = catalogue.local_features or postgres.local_features(catalogue, indexes["plain"].database)
    return replace(catalogue, indexes=indexes, local_features=features)


class Site:
    """`local_images` are files by appid. `cdn` is the base URL of Steam's banners, `cdn_name` the file's name there if
    a game's own path is not known, None if the catalogue is not of Steam. `encoder` embeds queries, None if the
    catalogue has none. `likeness` is the scale of each view. `median_popularity` is that of the games whose popularity
    is known, 0 if none is.
    """

    def __init__(
        self,
        folder: Path,
        banners: Path | None,
        threads: int = 1,
        cdn: str = CDN,
        but_large: bool = False,
        database_url: str = "",
    ) -> None:
        """Open the catalogue at `folder`, check the hashes of its files, and list the local images. Queries are
        embedded by `threads` threads. With `but_large` the hashes of large files are left to be checked later.
        Vectors are searched in the database at `database_url`; "" for the catalogue's own files.

        Raises `BadCatalogue` and `BadInput`.
        """
        self.catalogue = open_catalogue(folder, check_hashes=True, but_large=but_large)
        if database_url:
            self.catalogue = _searched_in(self.catalogue, database_url)
        self.local_images = {one.appid: one.path.absolute() for one in list_banners(banners)} if banners else {}
        manifest = self.catalogue.manifest
        self.image_size = width, height = manifest.image_size or DEFAULT_SIZE  # so that pages reserve their room
        self.cdn, plain_name = cdn, UPRIGHT_IMAGE if height > width else HEADER_IMAGE
        self.cdn_name = plain_name if manifest.images.source == "steam" else None
        self.encoder = QueryEncoder.of(self.catalogue, threads) if self.catalogue.indexes else None
        self.part_encoder = PartEncoder.of(self.catalogue, threads)
        self.likeness = {view: likeness_of(self.catalogue, view) for view in self.catalogue.views}
        # One value for each game, (n,): whether its banner may be explicit; whether it has a name, or true if none has
        # one; year of release and popularity, 0 where they are not known; the first row with the identical
        # banner; how many games have it among their first ten neighbours.
        table = self.catalogue.games.table()
        self.is_adult: Mask = np.ascontiguousarray(table["is_adult"])
        self.has_name: Mask = np.ascontiguousarray(table["has_name"]) | (not table["has_name"].any())
        self.years: npt.NDArray[np.int32] = np.ascontiguousarray(table["year"])
        self.popularity: npt.NDArray[np.int64] = np.ascontiguousarray(table["popularity"])
        groups = self.catalogue.duplicates
        self.groups: StoredIndices = np.arange(len(self), dtype=np.int32) if groups is None else groups
        # The first row of the games with the same art, identical banners among them; how much of a pair coincides, by
        # the rows, the lesser first; how much of a group does at least, by its first row.
        pairs = self.catalogue.same_art
        identical = np.flatnonzero(self.groups != np.arange(len(self)))
        alike = [*pairs.pairs.tolist(), *zip(identical.tolist(), self.groups[identical].tolist(), strict=True)]
        self.art_groups = connected(len(self), alike)
        self._coinciding: dict[tuple[int, int], float] = {}
        self._least_coinciding: dict[int, float] = {}
        for (one, other), share in zip(pairs.pairs.tolist(), pairs.share.tolist(), strict=True):
            self._coinciding[min(one, other), max(one, other)] = share
            group = int(self.art_groups[one])
            self._least_coinciding[group] = min(share, self._least_coinciding.get(group, 1.0))
        self.reused = _reused(self.catalogue, self.art_groups)
        self.neighbour_of = measures.neighbour_of(self.catalogue.view("plain").rows)
        self.orders = Orders(self.catalogue, table, self.has_name, self.groups, self.neighbour_of)
        popularity = self.popularity[self.popularity > 0]
        self.median_popularity = int(np.median(popularity)) if len(popularity) else 0
        self._games: dict[int, GameSummary] = {}
        self._editions: dict[int, str] = {}
        self.facts = self._facts()

    def _facts(self) -> Facts:
        manifest, years = self.catalogue.manifest, self.years[self.years > 0]
        return Facts(
            shown_games=f"{len(self):,}",
            source=manifest.images.source,
            encoder=manifest.encoder.id,
            image_size=self.image_size,
            size_attributes=Markup('width="{}" height="{}"').format(*self.image_size),
            random_similarity=manifest.scale("plain").random,
            years=(int(years.min()), int(years.max())) if len(years) and years.min() < years.max() else None,
            has_years=bool(self.years[~self.is_adult].any()),
            has_adult=bool(self.is_adult.any()),
            takes_games=bool(self.catalogue.indexes),
            takes_pictures=self.encoder is not None,
            takes_words=self.encoder is not None and self.encoder.has_text,
            has_parts=self.part_encoder is not None,
            has_map=self.catalogue.tiles is not None,
            namesakes=frozenset(self.catalogue.appids[self.catalogue.games.namesakes()].tolist()),
        )

    def __len__(self) -> int:
        return len(self.catalogue)

    def warm(self) -> None:
        """Fill the caches now, so that workers share them and no reader waits."""
        _ = self.catalogue.games.frequent
        for row in self.orders.by_popularity[:GAMES_KEPT].tolist():
            self.game(row)

    @property
    def query_encoder(self) -> QueryEncoder:
        """Raises `CannotAnswer`."""
        if self.encoder is None:
            raise CannotAnswer("Search by example is not available for this catalogue.")
        return self.encoder

    @property
    def local_features(self) -> LocalFeatures:
        """Raises `CannotAnswer`."""
        if self.catalogue.local_features is None:
            raise CannotAnswer("This catalogue was made without local features (embed_banners.py --no-parts).")
        return self.catalogue.local_features

    def game(self, row: int) -> GameSummary:
        """The game of a row; its cover links to its own page."""
        if row in self._games:
            return self._games[row]
        game = self.catalogue.games[row]
        image, thumbnail, image_2x = self._images(game)
        summary = GameSummary(
            appid=game.appid,
            name=_UNSHOWABLE.sub(" ", game.name).strip() or f"App {game.appid}",
            year=int(self.years[row]) or None,
            image=image,
            thumbnail=thumbnail,
            image_2x=image_2x,
            url=f"/render/{game.appid}",
            is_adult=bool(self.is_adult[row]),
        )
        if len(self._games) < GAMES_KEPT:
            self._games[row], self._editions[row] = summary, edition(game)
        return summary

    def rows_of(self, appids: Iterable[int]) -> list[int]:
        """The rows of some games without repeats and without those that are not here: an address may outlive them."""
        rows = []
        for appid in dict.fromkeys(appids):
            with suppress(UnknownGame):
                rows.append(self.catalogue.row_of(appid))
        return rows

    def games(self, rows: Sequence[int]) -> tuple[GameSummary, ...]:
        return tuple(map(self.game, rows))

    def neighbours(self, row: int, count: int, view: View = "plain") -> tuple[Result, ...]:
        """The first `count` neighbours of a row, best first. Raises `NotInCatalogue` without that view."""
        return self.results(self.catalogue.view(view).ranked(row, count), view, query=row)

    def results(
        self, ranked: Iterable[tuple[int, float | None]], view: View, query: int | None = None, of_words: bool = False
    ) -> tuple[Result, ...]:
        """Rows and their similarities, None if unknown, as results in `view`, best first. With `query`, the row of the
        game that they belong to, identical banners are marked. Similarities of words are on another scale: no result of
        those has a likeness."""
        likeness = self.likeness[view]
        group = -1 if query is None or view not in ("plain", "artwork") else self.groups[query]

        def result(rank: int, row: int, similarity: float | None) -> Result:
            game, is_identical = self.game(row), bool(self.groups[row] == group)
            if similarity is None:
                return Result(rank, game, None, is_identical=is_identical)
            similarity = round(similarity, 6)  # as in JSON: what is computed from it is the same everywhere
            if of_words:
                return Result(rank, game, similarity)
            return Result(
                rank,
                game,
                similarity,
                likeness.strength(similarity),
                likeness.rarity(similarity),
                likeness.is_weak(similarity),
                is_identical,
            )

        return tuple(result(rank, row, similarity) for rank, (row, similarity) in enumerate(ranked, 1))

    def edition(self, row: int) -> str:
        """See `banners.series.edition`."""
        return self._editions[row] if row in self._editions else edition(self.catalogue.games[row])

    def labels(self, row: int) -> tuple[Label, ...]:
        """The labels of a game's banner, the likeliest first; empty if the catalogue has no labels."""
        labels = self.catalogue.games.labels_of(row)
        return tuple(Label(term.name, term.kind, probability) for term, probability in labels)

    def with_same_art(self, row: int) -> tuple[GameSummary, ...]:
        """The other games whose covers are the same picture as that of `row`, but not identical to it."""
        same = np.flatnonzero(self.art_groups == self.art_groups[row]).tolist()
        return self.games([other for other in same if self.groups[other] != self.groups[row]])

    def coincide_percent(self, row: int, other: int | None = None) -> int | None:
        """How much of two covers with the same art coincides, in percent, or at least of all with the art of `row`;
        None if there are none."""
        group = int(self.art_groups[row])
        share = self._least_coinciding.get(group)
        if other is not None:
            known = self._coinciding.get((min(row, other), max(row, other)))
            share = share if known is None and self.art_groups[other] == group else known
        return None if share is None else round(100 * share)

    def identical_to(self, row: int) -> tuple[GameSummary, ...]:
        """The other games with the banner of `row`."""
        same = np.flatnonzero(self.groups == self.groups[row]).tolist()
        return self.games([other for other in same if other != row])

    def without_adult(self, rows: Indices, shows_adult: bool) -> Indices:
        """All `rows` if `shows_adult`, else those whose banners are not explicit."""
        return rows if shows_adult else rows[~self.is_adult[rows]]

    def illustration(self, row: int) -> str:
        """The address of a banner for other programs: where the pages show it, else where Steam has it."""
        game = self.game(row)
        return game.image or f"{self.cdn}/{game.appid}/{UPRIGHT_IMAGE}"

    def _images(self, game: Game) -> tuple[str | None, str | None, str | None]:
        """The addresses of a banner, of its thumbnail, and of the banner in twice its size."""
        local = self.local_images.get(game.appid)
        if local is not None:
            name, version = f"{game.appid}{local.suffix.lower()}", LocalImage.of(local).version
            return f"/banners/{name}?v={version}", f"/thumbnails/{WIDTHS[0]}/{game.appid}.webp?v={version}", None
        if self.cdn_name is None:
            return None, None, None
        path = _path(game.columns.get("image_path")) or self.cdn_name
        larger = _path(game.columns.get("image_path_2x"))
        if not larger and path.partition("?")[0] == UPRIGHT_IMAGE:  # a plain name has a plain one in twice its size
            larger = path.replace(".jpg", "_2x.jpg")
        image = f"{self.cdn}/{game.appid}/{path}"
        return image, image, f"{self.cdn}/{game.appid}/{larger}" if larger else None


def _reused(catalogue: Catalogue, groups: StoredIndices) -> list[list[int]]:
    """Groups of rows with the same art, each with a row of most evidence first. Those not of one series come before the
    others, then those with more evidence."""
    by_group, games = {int(groups[rows[0]]): rows for rows in members(groups)}, catalogue.games
    found: dict[int, list[int]] = {}
    for one, _ in catalogue.same_art.pairs.tolist():  # most evidence first
        group = int(groups[one])
        found.setdefault(group, [one, *(row for row in by_group[group] if row != one)])
    chosen = [(all(_is_related(games[rows[0]], games[row]) for row in rows[1:]), rows) for rows in found.values()]
    return [rows for _, rows in sorted(chosen, key=lambda entry: entry[0])]


def _is_related(one: Game, other: Game) -> bool:
    return same_series(one, other) or edition(one) == edition(other)


def _path(text: object) -> str:
    """A banner's path on Steam's CDN; "" for anything else that a table may hold."""
    return text if isinstance(text, str) and IMAGE_PATH.fullmatch(text) else ""
