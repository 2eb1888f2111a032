"""Orders of games that are computed once for a catalogue: row numbers (m,) each."""

import numpy as np
import numpy.typing as npt

from banners.arrays import Indices, Mask, StoredIndices
from banners.catalogue.reader import Catalogue
from banners.games_csv import CURATED, Game
from banners.groups import members
from banners.series import edition, same_series
from banners.vectors import measures

_PAIRED = 10  # neighbours of each game
_COMPARED = 20_000  # pairs whose names are compared, which takes half a second
MOST_PAIRS = 480


class Orders:
    """`named` are the games with a name, by appid, or all if none has one.

    `by_popularity`: all, the most popular first; `popular`: those whose popularity is known. `unique`: all, the most
    unusual banner first, empty without similarities. `hubs`: games with a name that are anybody's neighbour, that of
    the most games first. `newest`: games with a name and a year, the latest first, then the most popular. `benchmark`:
    the games that the banners folder marked as such, else the curated ones and the hundred most popular, the most
    popular first. `anywhere`: games with a name to start from, the most popular first, those of unknown popularity in a
    fixed random order. `identical`: groups of rows with the identical banner, the largest first. `pairs`: games of
    different series with nearly the same banner, see `pairs_across_series`. `keys` are those by which lists are sorted,
    (n,).
    """

    def __init__(
        self,
        catalogue: Catalogue,
        table: npt.NDArray[np.void],
        has_name: Mask,
        groups: StoredIndices,
        neighbour_of: StoredIndices,
    ) -> None:
        """`table` is that of `Games`; for the others, (n,) each, see `Site`."""
        popularity, years, first = table["popularity"], table["year"], catalogue.view("plain").first_similarities
        self.named: Indices = np.flatnonzero(has_name)
        self.by_popularity: Indices = np.argsort(-popularity, kind="stable")
        self.popular: Indices = self.by_popularity[popularity[self.by_popularity] > 0]
        self.unique: Indices = np.empty(0, np.intp) if first is None else measures.unique_first(first)
        hubs = np.argsort(-neighbour_of, kind="stable")
        self.hubs: Indices = hubs[(neighbour_of[hubs] > 0) & has_name[hubs]]
        newest = np.lexsort((-popularity, -years))
        self.newest: Indices = newest[(years[newest] > 0) & has_name[newest]]
        rest = np.random.default_rng(0).permutation(self.named[popularity[self.named] == 0])
        self.anywhere: Indices = np.concatenate([self.popular[has_name[self.popular]], rest])
        benchmark = np.flatnonzero(table["is_benchmark"])
        if not len(benchmark):
            benchmark = np.union1d(self.popular[:100], np.flatnonzero(np.isin(catalogue.appids, CURATED)))
        self.benchmark: Indices = benchmark[np.argsort(-popularity[benchmark], kind="stable")]
        self.keys = {"popularity": -popularity, "year": -years}
        self.pairs = pairs_across_series(catalogue, groups, popularity)
        self.identical = sorted(members(groups), key=len, reverse=True)


def pairs_across_series(
    catalogue: Catalogue, groups: StoredIndices, popularity: npt.NDArray[np.int64]
) -> dict[int, tuple[int, float]]:
    """The `MOST_PAIRS` most similar pairs of rows whose banners are not identical and whose games are of different
    series: the row of the more popular game, the other one, and their similarity, descending. A row is in one pair at
    most, and no pair is weak. Empty without similarities."""
    plain, games = catalogue.view("plain"), catalogue.games
    if plain.similarities is None or not plain.similarities.size:
        return {}
    rows, similarities = plain.rows[:, :_PAIRED].astype(np.int64), plain.similarities[:, :_PAIRED]
    own = np.arange(len(rows))[:, None]
    keys = np.minimum(rows, own) * len(rows) + np.maximum(rows, own)  # the same for both rows of a pair
    keys, places = np.unique(keys, return_index=True)
    near = similarities.ravel()[places]
    order = np.argsort(-near, kind="stable")[:_COMPARED]
    least = measures.weak_below(similarities[:, 0])
    pairs: dict[int, tuple[int, float]] = {}
    paired: set[int] = set()
    for key, similarity in zip(keys[order].tolist(), near[order].tolist(), strict=True):
        row, other = divmod(key, len(rows))
        if len(pairs) == MOST_PAIRS or similarity < least:
            break
        if groups[row] != groups[other] and not paired & {row, other} and _differ(games[row], games[other]):
            first, second = sorted((row, other), key=lambda one: (-popularity[one], one))
            pairs[first] = second, similarity
            paired |= {row, other}
    return pairs


def _differ(one: Game, other: Game) -> bool:
    """Whether two games have names, and are neither of one series nor editions of one game."""
    return bool(one.name and other.name) and not same_series(one, other) and edition(one) != edition(other)
