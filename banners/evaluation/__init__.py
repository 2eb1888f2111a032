"""How good a catalogue's matches are: figures for each of its views.

No figure needs human judgement. Games of one series should find each other. An altered copy, and one with a foreign
title, should find the original banner.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.arrays import Indices, Matrix, StoredIndices, Vector
from banners.audit import Examination
from banners.catalogue.names import fold
from banners.vectors import measures

NEAREST = measures.NEAREST
_RESAMPLES = 1000
_LEAST_LETTERS = 3  # of a title word that counts
_PAIRS = 200_000  # of random games, for what is due to chance


def figure(
    name: str, values: npt.NDArray[Any], clusters: Indices | None = None
) -> dict[str, float | list[float] | None]:
    """The mean of `values` (m,) and the bounds of its 95 % bootstrap interval, as they are reported under `name`; None
    without values. The bootstrap draws whole `clusters` (m,), by default each value for itself."""
    if not len(values):
        return {name: None, f"{name}_interval": None}
    _, inverse = np.unique(np.arange(len(values)) if clusters is None else clusters, return_inverse=True)
    sums, counts = np.bincount(inverse, values), np.bincount(inverse)
    random = np.random.default_rng(0)
    draws = (random.integers(0, len(sums), len(sums)) for _ in range(_RESAMPLES))
    means = [sums[drawn].sum() / counts[drawn].sum() for drawn in draws]
    return {name: float(values.mean()), f"{name}_interval": np.quantile(means, (0.025, 0.975)).tolist()}


@dataclass(frozen=True)
class SeriesScores:
    """For each game with others in its series: its row, its series' number, and how well it finds them, (m,) each. Near
    duplicates count neither as neighbours nor as games to find."""

    rows: Indices
    series: Indices
    first: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]

    def figures(self) -> dict[str, Any]:
        """hit@1, recall@10 and mAP@10, with intervals by series: games of one series are not independent."""
        return {
            **figure("hit_at_1", self.first, self.series),
            **figure("recall_at_10", self.recall, self.series),
            **figure("map_at_10", self.precision, self.series),
            "series_queries": len(self.rows),
        }


def series_scores(neighbours: StoredIndices, series: Sequence[Hashable | None], groups: StoredIndices) -> SeriesScores:
    """How well `neighbours` (int32 (n, k), best first) find games of the same `series`, None where a game has none.
    `groups` (int32 (n,)) names near duplicates by the same number.

    Average precision is cut at ten: the mean of the precision at each game found, over all that could be found there.
    """
    members: dict[Hashable, list[int]] = {}
    for row, one in enumerate(series):
        if one is not None:
            members.setdefault(one, []).append(row)
    queries: list[tuple[int, int, float, float, float]] = []
    for number, rows in enumerate(members.values()):
        for row in rows:
            wanted = {other for other in rows if groups[other] != groups[row]}
            if not wanted:
                continue
            near = [other for other in neighbours[row].tolist() if groups[other] != groups[row]][:NEAREST]
            hits = [other in wanted for other in near]
            ranks = np.flatnonzero(hits) + 1
            precision = float((np.arange(1, len(ranks) + 1) / ranks).sum()) / min(len(wanted), NEAREST)
            queries.append((row, number, float(bool(hits) and hits[0]), len(ranks) / len(wanted), precision))
    table = np.array(queries, np.float64).reshape(-1, 5)
    return SeriesScores(table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), *table[:, 2:].T)


def identical_first(neighbours: StoredIndices, images: Sequence[Examination]) -> dict[str, Any]:
    """How often the first of `neighbours` (int32 (n, k)) is an identical banner, among those that have one."""
    contents = [image.content for image in images]
    times = Counter(contents)
    rows = [row for row, content in enumerate(contents) if content and times[content] > 1]
    is_identical = [contents[row] == contents[near] for row in rows for near in neighbours[row, :1]]
    return figure("identical_banner_first", np.array(is_identical))


def hubness(neighbours: StoredIndices) -> dict[str, float]:
    """How often a game is among the first ten neighbours of others: `largest` is the highest number, `orphans` the
    share of games with 0."""
    times = measures.neighbour_of(neighbours)
    return {"largest": int(times.max(initial=0)), "orphans": float((times == 0).mean()) if len(times) else 0.0}


def lift(neighbours: StoredIndices, properties: Sequence[frozenset[str]]) -> dict[str, float | None] | None:
    """The `share` of games with a property in common with their first neighbour, the `chance` for two random games, and
    `times` = share / chance, None if chance is 0. None if fewer than two games have `properties`."""
    rows = np.flatnonzero([bool(one) for one in properties])
    if len(rows) < 2 or not neighbours.shape[1]:
        return None
    share = np.mean([not properties[row].isdisjoint(properties[neighbours[row, 0]]) for row in rows.tolist()])
    random = np.random.default_rng(0)
    one = random.integers(0, len(rows), _PAIRS)
    other = (one + random.integers(1, len(rows), _PAIRS)) % len(rows)
    pairs = zip(rows[one].tolist(), rows[other].tolist(), strict=True)
    chance = float(np.mean([not properties[a].isdisjoint(properties[b]) for a, b in pairs]))
    return {"share": float(share), "chance": chance, "times": float(share) / chance if chance else None}


def title_words(name: str) -> frozenset[str]:
    """The words of a title that say something: three letters at least, and no number."""
    return frozenset(word for word in fold(name) if len(word) >= _LEAST_LETTERS and not word.isdigit()) - {"the", "and"}


def overlap(one: StoredIndices, other: StoredIndices) -> float:
    """The mean share of the first ten neighbours that two lists of the same n games have in common: (n, k) each."""
    count = min(NEAREST, one.shape[1], other.shape[1])
    if not count or not len(one):
        return 0.0
    pairs = zip(one[:, :count], other[:, :count], strict=True)
    return float(np.mean([len(np.intersect1d(*pair)) for pair in pairs]) / count)


@dataclass(frozen=True)
class Copies:
    """Altered copies of the banners `rows`. `own` is the rank of the original, from 1, `foreign` that of the game whose
    title was drawn, 0 without one: (m,) each."""

    rows: Indices
    own: Indices
    foreign: Indices

    @property
    def intruded(self) -> float:
        """How often the game of the drawn title is among the first ten."""
        return float(((self.foreign > 0) & (self.foreign <= NEAREST)).mean()) if len(self.rows) else 0.0


def ranks(
    score: Callable[[Vector], Vector],
    queries: Matrix,
    rows: Sequence[int],
    foreign: Sequence[int],
    groups: StoredIndices,
) -> Copies:
    """The ranks of the banners `rows` for the vectors `queries` (float32 (m, d)), by the similarities of all banners
    that `score` gives for one vector: float32 (n,). Identical banners share a rank, as `groups` (int32 (n,)) says.
    `foreign` are the rows whose title was drawn, -1 for none."""
    own, intruders = np.zeros(len(rows), np.intp), np.zeros(len(rows), np.intp)
    for place, (vector, row, other) in enumerate(zip(queries, rows, foreign, strict=True)):
        scores = score(vector)
        own[place] = 1 + np.count_nonzero(scores > scores[groups == groups[row]].max())
        if other >= 0:
            intruders[place] = 1 + np.count_nonzero(scores > scores[other])
    return Copies(np.array(rows, np.intp), own, intruders)
