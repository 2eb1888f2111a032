"""Filters that all lists of games have: years, tag, developer, lesser known only, and without the games of a series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
from flask import request
from msgspec import Meta, field

from banners.encoders.views import View
from banners.series import same_series
from webapp.limits import charge
from webapp.params import Query
from webapp.records import Result
from webapp.served import ServedCatalogue

MOST = 200  # filtered neighbours; more would cost a search of names for each
Mask = npt.NDArray[np.bool_]
_Year = Annotated[int, Meta(ge=0, le=9999)]
_Name = Annotated[str, Meta(max_length=200)]


class FilterQuery(Query):
    """The filters of a list."""

    from_: Annotated[_Year, Meta(description="The first year of release, 0 for any.")] = field(name="from", default=0)
    to: Annotated[_Year, Meta(description="The last year of release, 0 for any.")] = 0
    tag: Annotated[_Name, Meta(description="Only games with this tag.")] = ""
    developer: Annotated[_Name, Meta(description="Only games of this developer.")] = ""
    lesser: Annotated[bool, Meta(description="Only the less popular half of the games, 1 or 0.")] = False

    def shown(self) -> tuple[tuple[str, str], ...]:
        """The filters that are set, for the list of them."""
        return self.kept()

    def kept(self) -> tuple[tuple[str, str], ...]:
        """The filters that are set, for the addresses of other lists."""
        given = (
            ("from", str(self.from_ or "")),
            ("to", str(self.to or "")),
            ("tag", self.tag),
            ("developer", self.developer),
            ("lesser", "1" if self.lesser else ""),
        )
        return tuple((name, value) for name, value in given if value)


class SeriesFilterQuery(FilterQuery):
    """The filters of a list that is about a game."""

    hide_series: Annotated[bool, Meta(description="Leave out games of the same series, 1 or 0.")] = False

    def kept(self) -> tuple[tuple[str, str], ...]:
        return (*super().kept(), *([("hide_series", "1")] if self.hide_series else []))


@dataclass(frozen=True)
class ActiveFilter:
    """A filter that is set, and the address of this page without it."""

    label: str
    without_url: str


def active(given: FilterQuery) -> list[ActiveFilter]:
    """The filters of this request's page."""
    words = {
        "from": "from {}",
        "to": "until {}",
        "tag": "{}",
        "developer": "by {}",
        "lesser": "lesser known",
        "hide_series": "without its series",
        "below": "only the most unusual",
    }

    def without(name: str) -> str:
        kept = [(one, value) for one, value in request.args.items(multi=True) if one not in (name, "page") and value]
        return f"{request.path}?{urlencode(kept)}" if kept else request.path

    return [ActiveFilter(words[name].format(value), without(name)) for name, value in given.shown() if name in words]


def mask(served: ServedCatalogue, given: FilterQuery) -> Mask | None:
    """Which games pass: (n,); None if all do. A game whose year is not known passes `from` and `to` only if neither is
    set."""
    passes = np.ones(len(served), np.bool_)
    if given.from_:
        passes &= served.years >= given.from_
    if given.to:
        passes &= (served.years > 0) & (served.years <= given.to)
    for kind, value in (("tag", given.tag), ("developer", given.developer)):
        if value:
            has = np.zeros(len(served), np.bool_)
            has[served.catalogue.games.rows_with(kind, value)] = True
            passes &= has
    if given.lesser:
        passes &= served.popularity <= served.median_popularity
    return None if passes.all() else passes


def without_series(served: ServedCatalogue, rows: Iterable[int], of: Sequence[int]) -> list[int]:
    """Those of `rows` that are not of the series of any game in `of`."""
    games = served.catalogue.games
    queries = [games[row] for row in of]
    return [row for row in rows if not any(same_series(query, games[row]) for query in queries)]


def filtered_neighbours(
    served: ServedCatalogue, row: int, count: int, view: View, given: SeriesFilterQuery
) -> tuple[Result, ...]:
    """The first `count` neighbours of a game that pass, best first, at most `MOST`: of the stored ones, or of all games
    if too few of those remain. Raises `NotInCatalogue` without that view."""
    count = min(count, MOST)
    found, passes = served.catalogue.view(view), mask(served, given)
    stored = found.rows[row]
    kept = _kept(served, stored, row, passes, given.hide_series)
    opened = served.catalogue
    can_search = opened.matrix is not None and view in ("plain", "artwork") and len(stored) < len(served) - 1
    if len(kept) >= count or not can_search:
        known = found.similarities
        similarity_of = {} if known is None else dict(zip(stored.tolist(), known[row].tolist(), strict=True))
        return _results(served, row, kept[:count], similarity_of, view)
    charge(0.25)
    scores = _scores(served, row, view)
    scores[row] = -np.inf
    if passes is not None:
        scores[~passes] = -np.inf
    reachable, wanted = int(np.isfinite(scores).sum()), 2 * count
    while True:
        best = np.argpartition(-scores, min(wanted, len(scores) - 1))[:wanted]
        best = best[np.lexsort((best, -scores[best]))]
        kept = _kept(served, best[np.isfinite(scores[best])], row, None, given.hide_series)
        if len(kept) >= count or wanted >= reachable:
            break
        wanted *= 4
    return _results(served, row, kept[:count], {other: float(scores[other]) for other in kept[:count]}, view)


def _kept(
    served: ServedCatalogue, rows: npt.NDArray[np.integer[Any]], row: int, passes: Mask | None, hide_series: bool
) -> list[int]:
    kept = (rows if passes is None else rows[passes[rows]]).tolist()
    return without_series(served, kept, [row]) if hide_series else kept


def _scores(served: ServedCatalogue, row: int, view: View) -> npt.NDArray[np.float32]:
    """The similarities of all games to one: float32 (n,)."""
    opened = served.catalogue
    vector, artwork = np.array(opened.embeddings[row]), opened.artwork
    if view == "plain" or artwork is None or opened.artwork_lengths is None:
        return np.asarray(opened.embeddings @ vector)
    query = artwork.query(vector, artwork.mean)
    return np.asarray((opened.embeddings @ query - artwork.mean @ query) / opened.artwork_lengths, np.float32)


def _results(
    served: ServedCatalogue, row: int, rows: Sequence[int], similarity_of: Mapping[int, float], view: View
) -> tuple[Result, ...]:
    weak_below = served.weak_below.get(view, -1.0)
    return tuple(
        served.result(
            rank, other, similarity_of.get(other), view, weak_below, bool(served.groups[other] == served.groups[row])
        )
        for rank, other in enumerate(rows, 1)
    )
