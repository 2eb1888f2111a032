"""The games that look most like a query, among all or those that pass filters, in the order that was asked for."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, takewhile

import numpy as np

from banners.arrays import Indices, Mask, Vector
from banners.errors import Away, BadInput, CannotAnswer
from banners.vectors import labels
from banners.vectors.nearest import Searchable
from banners.views import View
from webapp.limits import charge
from webapp.queries.filters import FilterQuery, SeriesFilterQuery, mask, outside_series
from webapp.queries.parts import PartKind, QueryPart, check, decode_vector
from webapp.queries.stacks import Ranked, results_of, stacks_of
from webapp.records import Label, Result, closest
from webapp.site import Site

MOST_FILTERED = 200  # neighbours
_SORTED = 100  # the nearest ones, which are put in another order: of any number, so that a longer list begins alike
_NAMES_COMPARED = 1_000  # 0.1 s; no series of the store has so many games
_NO_FILTERS = FilterQuery()
_NO_SERIES_FILTERS = SeriesFilterQuery()
_MOST_COMPARED = 500  # rows; more would take longer than the rest of the page
_COST: dict[PartKind, float] = {"text": 1.0, "game": 0.25, "picture": 0.25}  # a model's work, or a pass over all rows


@dataclass(frozen=True)
class SimilarGames:
    """The results of a query. `labels` describe the picture, if there is one. `picture` is its embedding, to be used in
    further queries, "" if there is none. `stands_out_percent` is the share of covers that are closer to
    their first look-alike than the one picture or game of the query is to its first result, null if unknown.
    `is_clear` is false if the words mean no more to the encoder than random letters. `is_first_frame`: the picture is
    an animation, of which only the first frame was used."""

    picture: str = ""
    stands_out_percent: int | None = None
    is_clear: bool = True
    labels: tuple[Label, ...] = ()
    results: tuple[Result, ...] = ()
    is_first_frame: bool = False


def similar(
    site: Site,
    parts: Sequence[QueryPart],
    count: int,
    view: View = "plain",
    filters: FilterQuery = _NO_FILTERS,
    stacked: bool = False,
    without: Sequence[int] = (),
) -> SimilarGames:
    """The `count` games nearest to all of `parts` in `view`, plain or artwork, that pass the filters. The games of the
    query are left out, and so are the rows `without`. With `hide_series`, so are the series of those that results
    should resemble. With `stacked`, editions and identical covers are one result.

    Raises `UnknownGame`, `BadInput`, `CannotAnswer`, `NotInCatalogue` if there is no such view.
    """
    check(parts)
    index = _index(site, parts, view)
    charge(sum(_COST[part.kind] for part in parts))
    query = _combine(site, index, parts)
    games = [(site.catalogue.row_of(int(part.value)), part.is_minus) for part in parts if part.kind == "game"]
    passes = mask(site, filters)
    passes[[*without, *(row for row, _ in games)]] = False
    hides_series = isinstance(filters, SeriesFilterQuery) and filters.hide_series
    is_outside = outside_series(site, [row for row, is_minus in games if hides_series and not is_minus])
    is_single, of_words = _is_single(parts), not is_comparable(parts)
    least = _least_similarity(site, filters, view) if has_scale(parts) else -1.0
    nearest = index.nearest(query, count, passes)
    first = next(nearest, None)
    nearest = chain([first] if first else [], nearest)
    candidates = (one for one in _compared(nearest, least) if is_outside(one[0]))
    ranked = ((row, cosine if is_single else None) for row, cosine in candidates)
    query_row = games[0][0] if is_single and games else None
    results = results_of(site, _first(site, ranked, count, filters, stacked), view, query_row, of_words)
    picture = next((part.value for part in parts if part.kind == "picture"), "")
    return SimilarGames(
        picture,
        stands_out(site, view, first and first[1], passes) if has_scale(parts) else None,
        view != "plain" or len(parts) > 1 or _is_clear(site, parts, results, query),
        _labels_of(site, _embed(site, QueryPart("picture", picture))) if picture else (),
        results,
    )


def has_scale(parts: Sequence[QueryPart]) -> bool:
    """Whether the results have a likeness."""
    return _is_single(parts) and is_comparable(parts)


def _is_single(parts: Sequence[QueryPart]) -> bool:
    """Whether the results have a similarity: the sum of several parts has no fixed scale."""
    return len(parts) == 1 and not parts[0].is_minus


def is_comparable(parts: Sequence[QueryPart]) -> bool:
    """Whether the similarities of the results are on the scale of those between banners. Those of words are not."""
    return not any(part.kind == "text" for part in parts)


def neighbours(
    site: Site, row: int, count: int, view: View, filters: SeriesFilterQuery = _NO_SERIES_FILTERS, stacked: bool = False
) -> tuple[Result, ...]:
    """The first `count` neighbours of a game that pass: of the stored ones, or of all games if too few of those
    remain, then at most `MOST_FILTERED`. With `stacked`, editions and identical covers are one result.

    Raises `NotInCatalogue` without that view.
    """
    stored, index = site.catalogue.view(view).ranked(row), site.catalogue.indexes.get(view)
    if not filters.filters():
        return results_of(site, _first(site, stored, count, filters, stacked), view, row)
    count, passes, least = min(count, MOST_FILTERED), mask(site, filters), _least_similarity(site, filters, view)
    is_outside = outside_series(site, [row] if filters.hide_series else [])
    near = [one for one in stored if one[1] is None or one[1] >= least]
    passing = [one for one in near if passes[one[0]] and is_outside(one[0])]
    stacks = _first(site, passing, count, filters, stacked)
    has_more = len(near) == len(stored) < len(site) - 1  # that are as near
    is_short = len(stacks) < count if filters.sort == "likeness" else len(passing) < _SORTED
    if is_short and index is not None and has_more:
        charge(_COST["game"])
        passes[row] = False
        with suppress(Away):  # the stored ones are shown
            nearest = index.nearest(index.query(index.embedding(row)), max(count, _SORTED), passes)
            candidates = (one for one in _compared(nearest, least) if is_outside(one[0]))
            stacks = _first(site, candidates, count, filters, stacked)
    return results_of(site, stacks, view, row)


def _compared(nearest: Iterable[tuple[int, float]], least: float) -> Iterable[Ranked]:
    """The first `_NAMES_COMPARED` rows with their similarities, those below `least` left out."""
    return islice(takewhile(lambda one: one[1] >= least, nearest), _NAMES_COMPARED)


def _least_similarity(site: Site, filters: FilterQuery, view: View) -> float:
    """The similarity that has the least likeness asked for, -1 if none is."""
    return site.likeness[view].similarity(filters.min_likeness / 100) if filters.min_likeness else -1.0


def _first(site: Site, ranked: Iterable[Ranked], count: int, filters: FilterQuery, stacked: bool) -> list[list[Ranked]]:
    """The first `count` results in the order that `filters` ask for, each with those stacked under it."""
    if filters.sort != "likeness":
        key = site.orders.keys[filters.sort]
        ranked = sorted(islice(ranked, _SORTED), key=lambda one: key[one[0]])
    if stacked:
        return stacks_of(site, ranked, count)
    return [[one] for one in islice(ranked, count)]


def _index(site: Site, parts: Sequence[QueryPart], view: View) -> Searchable:
    """What is searched. Raises `CannotAnswer`, `NotInCatalogue`."""
    check_searchable(site)
    _ = site.catalogue.view(view)
    if any(part.kind != "game" for part in parts) and not (site.query_encoder.has_text or is_comparable(parts)):
        raise CannotAnswer("Search by words is not available for this catalogue.")
    return site.catalogue.indexes[view]


def check_searchable(site: Site) -> None:
    """Raise `CannotAnswer` for a catalogue without vectors."""
    if not site.catalogue.indexes:
        raise CannotAnswer("Search by example is not available for this catalogue.")


def _combine(site: Site, index: Searchable, parts: Sequence[QueryPart]) -> Vector:
    """One query for all of `parts`: float32 (d,).

    Cosines of words to banners are lower and lie closer together than those of banners to banners. So each part counts
    in units of its own standard deviation over the catalogue; since that is linear, one vector stands for all of them.
    """
    means = [site.catalogue.text_mean if part.kind == "text" else None for part in parts]
    queries = [index.query(_embed(site, part), mean) for part, mean in zip(parts, means, strict=True)]
    if len(parts) == 1 and not parts[0].is_minus:
        return queries[0]
    signs = [-1.0 if part.is_minus else 1.0 for part in parts]
    weights = np.array([sign / max(index.deviation(one), 1e-6) for sign, one in zip(signs, queries, strict=True)])
    length = float(np.linalg.norm(weights @ np.stack(queries)))
    if length < 1e-3:
        raise BadInput("These cancel each other out.")
    return np.asarray((weights / length) @ np.stack(queries), np.float32)


def _embed(site: Site, part: QueryPart) -> Vector:
    """float32 (d,), L2-normalised. Raises `UnknownGame`, `BadInput`, `CannotAnswer`."""
    if part.kind == "game":
        return site.catalogue.indexes["plain"].embedding(site.catalogue.row_of(int(part.value)))
    if part.kind == "picture":
        return decode_vector(site, part.value)
    return site.query_encoder.words(part.value)


def _is_clear(site: Site, parts: Sequence[QueryPart], results: Sequence[Result], query: Vector) -> bool:
    """Whether the best banner for some words stands out more than for random ones."""
    models = site.catalogue.manifest.queries
    first = closest(results)
    best = first.similarity if first else None
    if models is None or models.text is None or best is None or parts[0].kind != "text":
        return True
    return bool(best - float(site.catalogue.mean @ query) > models.text.noise_margin)


def closest_to(
    site: Site, picture: QueryPart, view: View, passes: Mask | None = None
) -> tuple[int, float] | tuple[None, None]:
    """The row of the game whose cover is most like a picture, of those that pass, and its similarity. Raises what
    `similar` raises."""
    index = _index(site, [picture], view)
    return next(index.nearest(_combine(site, index, [picture]), 1, passes), (None, None))


def is_like(site: Site, picture: QueryPart, row: int) -> bool:
    """Whether a game's cover is closer to a picture than nine in ten random pairs of covers are, in some view."""
    for view, index in site.catalogue.indexes.items():
        query = index.query(_embed(site, picture))
        if site.likeness[view].rarity(index.cosine(query, row)) is not None:
            return True
    return False


def stands_out(site: Site, view: View, similarity: float | None, passes: Mask | None = None) -> int | None:
    """The share of games, in percent, that have a look-alike closer than `similarity`: of all games, or of those that
    pass among themselves. None if it is not known."""
    near, similarities = site.catalogue.view(view), site.catalogue.view(view).similarities
    first = near.first_similarities
    if similarity is None or first is None or similarities is None:
        return None
    if passes is None or np.count_nonzero(passes) >= len(site) - 1:
        return int(100 * np.count_nonzero(first > similarity) / len(first))
    rows = np.flatnonzero(passes & (first > similarity))  # the others have nothing so close
    is_among = passes[near.rows[rows]]  # (m, k)
    nearest = similarities[rows, is_among.argmax(axis=1)]
    closer = np.count_nonzero(is_among.any(axis=1) & (nearest > similarity))
    unknown = rows[~is_among.any(axis=1) & (similarities[rows, -1] > similarity)]  # there may be one behind the stored
    closer += _closer(site.catalogue.indexes.get(view), unknown.tolist(), np.flatnonzero(passes), similarity)
    return 100 * int(closer) // max(1, int(np.count_nonzero(passes)))


def _closer(index: Searchable | None, rows: Sequence[int], among: Indices, similarity: float) -> int:
    """How many of `rows` have another row closer than `similarity` in `among`, by exact cosines; of many, a sample
    tells."""
    if index is None or not len(rows):
        return 0
    sample = rows[:: -(-len(rows) // _MOST_COMPARED)]
    ours, others = index.view(sample), index.view(among)
    cosines = ours @ others.T
    cosines[np.asarray(sample)[:, None] == among] = -1
    return round(np.count_nonzero(cosines.max(axis=1) > similarity) * len(rows) / len(sample))


def _labels_of(site: Site, vector: Vector) -> tuple[Label, ...]:
    """The labels of a picture, the likeliest first; empty if the catalogue has no labels."""
    opened = site.catalogue
    models = opened.manifest.queries
    if opened.term_embeddings is None or models is None or models.text is None:
        return ()
    likely = labels.probabilities(vector[None], opened.term_embeddings, models.text.scale)
    best = (array[0].tolist() for array in labels.likeliest(likely, opened.games.base_rates))
    terms = opened.games.terms
    return tuple(Label(terms[term].name, terms[term].kind, round(p, 6)) for term, p in zip(*best, strict=True) if p)
