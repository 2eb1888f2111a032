"""Filters that all lists of games have: years, tag, developer, publisher, lesser known only, and without the games of a
series."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from flask import request
from msgspec import Meta, field, to_builtins

from banners.encoders.views import View
from banners.series import same_series
from webapp.limits import charge
from webapp.params import Query, parameters_but, words
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
    publisher: Annotated[_Name, Meta(description="Only games of this publisher.")] = ""
    lesser: Annotated[bool, Meta(description="Only the less popular half of the games, 1 or 0.")] = False

    def __post_init__(self) -> None:
        self.tag, self.developer, self.publisher = map(words, (self.tag, self.developer, self.publisher))

    def kept(self) -> tuple[tuple[str, str], ...]:
        """The filters that are set, for the addresses of other lists."""
        filters, given = SeriesFilterQuery.__struct_encode_fields__, to_builtins(self)  # without defaults
        return tuple((name, "1" if given[name] is True else str(given[name])) for name in filters if name in given)


class SeriesFilterQuery(FilterQuery):
    """The filters of a list that is about a game."""

    hide_series: Annotated[bool, Meta(description="Leave out games of the same series, 1 or 0.")] = False


def active(given: FilterQuery) -> list[tuple[str, str]]:
    """The filters that are set: a label, and the address of this page without it."""
    labels = {
        "from": "from {}",
        "to": "until {}",
        "tag": "{}",
        "developer": "by {}",
        "publisher": "published by {}",
        "lesser": "lesser known",
        "hide_series": "without its series",
        "below": "only the most unusual",
    }

    def without(name: str) -> str:
        return f"{request.path}?{parameters_but(name, 'page')}".rstrip("?")

    shown = to_builtins(given).items()  # those that are set
    return [(labels[name].format(value), without(name)) for name, value in shown if name in labels]


def mask(served: ServedCatalogue, given: FilterQuery) -> Mask | None:
    """Which games pass: (n,); None if all do. A game whose year is not known passes `from` and `to` only if neither is
    set."""
    passes = np.ones(len(served), np.bool_)
    if given.from_:
        passes &= served.years >= given.from_
    if given.to:
        passes &= (served.years > 0) & (served.years <= given.to)
    for kind, value in (("tag", given.tag), ("developer", given.developer), ("publisher", given.publisher)):
        if value:
            has = np.zeros(len(served), np.bool_)
            has[served.catalogue.games.rows_with(kind, value)] = True
            passes &= has
    if given.lesser:
        passes &= served.popularity <= served.median_popularity
    return None if passes.all() else passes


def without_series(served: ServedCatalogue, rows: Iterable[int], of: Sequence[int]) -> Iterator[int]:
    """Those of `rows` that are not of the series of any game in `of`."""
    games = served.catalogue.games
    queries = [games[row] for row in of]
    return (row for row in rows if not any(same_series(query, games[row]) for query in queries))


def filtered_neighbours(
    served: ServedCatalogue, row: int, count: int, view: View, given: SeriesFilterQuery
) -> tuple[Result, ...]:
    """The first `count` neighbours of a game that pass, best first, at most `MOST`: of the stored ones, or of all games
    if too few of those remain. Raises `NotInCatalogue` without that view."""
    opened, passes, count = served.catalogue, mask(served, given), min(count, MOST)
    found = opened.view(view)

    def first(rows: npt.NDArray[np.integer[Any]]) -> list[int]:
        kept = (rows if passes is None else rows[passes[rows]]).tolist()
        return list(islice(without_series(served, kept, [row]) if given.hide_series else kept, count))

    stored, similarities = found.of(row), None
    kept = first(stored)
    can_search = opened.matrix is not None and view in ("plain", "artwork") and len(stored) < len(served) - 1
    if len(kept) < count and can_search:
        charge(0.25)
        scores = _scores(served, row, view)
        order = np.argsort(-scores, kind="stable")
        kept = first(order[order != row])
        similarities = scores[kept].tolist()
    elif found.similarities is not None:
        known = dict(zip(stored.tolist(), found.similarities[row].tolist(), strict=True))
        similarities = [known[other] for other in kept]
    return served.results(kept, similarities, view, query=row)


def _scores(served: ServedCatalogue, row: int, view: View) -> npt.NDArray[np.float32]:
    """The similarities of all games to one: float32 (n,)."""
    opened = served.catalogue
    vector, artwork = np.array(opened.embeddings[row]), opened.artwork
    if view == "plain" or artwork is None or opened.artwork_lengths is None:
        return np.asarray(opened.embeddings @ vector)
    query = artwork.query(vector, artwork.mean)
    return np.asarray((opened.embeddings @ query - artwork.mean @ query) / opened.artwork_lengths, np.float32)
