"""Filters of lists of games.

A filter is declared once, as a field of a schema: its type and description for addresses, JSON and OpenAPI, and a
`Filter` beside it, which says how it looks in the form and as a chip, and which games it lets through.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
from flask import request
from msgspec import Meta, field, structs

from banners.arrays import Mask
from banners.series import same_series
from webapp.params import Pairs, Query, address, parameters_but, words
from webapp.site import Site

Order = Literal["likeness", "popularity", "year"]
_Year = Annotated[int, Meta(ge=0, le=9999)]
_Name = Annotated[str, Meta(max_length=200)]


@dataclass(frozen=True)
class Filter:
    """`label` is that of the form's field, `chip` that of the filter where it is set, with {} for its value.

    `options` are the minimum and maximum of a "number" or "range", the values of a "choice", pairs of a value and its
    name of a "select", and anything for a "switch". Where they are empty, the form has no such field. `mask` gives the
    games that pass a value, (n,), None for a filter that is applied to the results.
    """

    label: str
    chip: str
    widget: Literal["number", "choice", "select", "switch", "range"]
    options: Callable[[Site], Sequence[Any]]
    mask: Callable[[Site, Any], Mask] | None


def _percents(site: Site) -> Sequence[int]:
    return (0, 100) if len(site.orders.unique) else ()


def _years(site: Site) -> Sequence[int]:
    return site.facts.years or ()


def _orders(site: Site) -> Sequence[tuple[str, str]]:
    known = (("popularity", "Popularity", len(site.orders.popular)), ("year", "Year", site.facts.has_years))
    orders = [(value, name) for value, name, is_known in known if is_known]
    return [("likeness", "Likeness"), *orders] if orders else []


def _listed(kind: str, chip: str) -> Filter:
    """The filter for a kind of properties in `games.db`."""

    def mask(site: Site, value: str) -> Mask:
        passes = np.zeros(len(site), np.bool_)
        passes[site.catalogue.games.rows_with(kind, value)] = True
        return passes

    return Filter(kind.capitalize(), chip, "choice", lambda site: site.catalogue.games.frequent[kind], mask)


class FilterQuery(Query):
    """The filters that every list has. A game whose year is not known passes those for years only if none is set."""

    from_: Annotated[
        _Year,
        Meta(description="The first year of release, 0 for any."),
        Filter("From year", "from {}", "number", _years, lambda site, year: site.years >= year),
    ] = field(name="from", default=0)
    to: Annotated[
        _Year,
        Meta(description="The last year of release, 0 for any."),
        Filter("Until year", "until {}", "number", _years, lambda site, year: (site.years > 0) & (site.years <= year)),
    ] = 0
    tag: Annotated[_Name, Meta(description="Only games with this tag."), _listed("tag", "{}")] = ""
    developer: Annotated[_Name, Meta(description="Only games of this developer."), _listed("developer", "by {}")] = ""
    publisher: Annotated[
        _Name, Meta(description="Only games of this publisher."), _listed("publisher", "published by {}")
    ] = ""
    lesser: Annotated[
        bool,
        Meta(description="Only the less popular half of the games, 1 or 0."),
        Filter(
            "Lesser known only",
            "lesser known",
            "switch",
            lambda site: site.orders.popular,
            lambda site, _: site.popularity <= site.median_popularity,
        ),
    ] = False

    sort: Annotated[
        Order,
        Meta(
            description="The order: by likeness (on walls, the wall's own order), the most popular or the latest first."
            " Look-alikes are the hundred closest in that order."
        ),
        Filter("Order", "by {}", "select", _orders, None),
    ] = "likeness"
    min_likeness: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Only with at least this likeness, in percent; below 1 it is a fraction. On walls, that of the"
            " most similar cover.",
        ),
        Filter("Likeness from (%)", "likeness from {} %", "number", _percents, None),
    ] = 0

    def __post_init__(self) -> None:
        self.min_likeness = round(self.min_likeness * (100 if self.min_likeness < 1 else 1))
        for declared, _ in declared_filters(type(self)):
            value = getattr(self, declared.name)
            if isinstance(value, str):
                setattr(self, declared.name, words(value))

    def filters(self) -> Pairs:
        """The filters that are set, for the addresses of other lists."""
        return self.pairs(*(declared.encode_name for declared, _ in declared_filters(SeriesFilterQuery)))


class SeriesFilterQuery(FilterQuery):
    """The filters of a list that is about a game."""

    hide_series: Annotated[
        bool,
        Meta(description="Leave out sequels, editions and other games of the same series, 1 or 0."),
        Filter("Without sequels and editions", "without sequels and editions", "switch", lambda _: (True,), None),
    ] = False


@cache
def declared_filters(schema: type[FilterQuery]) -> tuple[tuple[structs.FieldInfo, Filter], ...]:
    """The fields of a schema that are filters."""
    return tuple(
        (declared, annotation)
        for declared in structs.fields(schema)
        for annotation in getattr(declared.type, "__metadata__", ())
        if isinstance(annotation, Filter)
    )


def mask(site: Site, query: FilterQuery) -> Mask:
    """Which games pass all filters that are set: (n,)."""
    passes = np.ones(len(site), np.bool_)
    for declared, filter_ in declared_filters(type(query)):
        value = getattr(query, declared.name)
        if value != declared.default and filter_.mask is not None:
            passes &= filter_.mask(site, value)
    return passes


# -- the form -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FormField:
    """A field of the form. `value` is "" if the filter is not set; for `options` see `Filter`."""

    name: str
    filter: Filter
    value: str
    options: Sequence[Any]


@dataclass(frozen=True)
class FilterForm:
    """The form of a list, and its chips: a text, and the address of this page without the filter. `hidden` are the
    other parameters of the list's address."""

    action: str
    hidden: Pairs
    fields: tuple[FormField, ...]
    chips: tuple[tuple[str, str], ...]

    @property
    def unfiltered(self) -> str:
        """The address of the whole list."""
        return address(self.action, self.hidden)


def filter_form(site: Site, query: FilterQuery, action: str, hidden: Pairs = (), but: Sequence[str] = ()) -> FilterForm:
    """The form of a list at `action`, without fields for the filters in `but`."""
    values = dict(query.pairs())
    fields, chips = [], []
    for declared, filter_ in declared_filters(type(query)):
        name, options = declared.encode_name, filter_.options(site)
        if len(options) and name not in but:
            fields.append(FormField(name, filter_, values.get(name, ""), options))
        if name in values and name not in but:
            without = address(request.path, parameters_but(name, "page"))
            chips.append((filter_.chip.format(values[name]), without))
    if "from" in values and "to" in values:  # one chip for both
        years = (f"{values['from']}–{values['to']}", address(request.path, parameters_but("from", "to", "page")))
        chips[0:2] = [years]
    return FilterForm(action, hidden, tuple(fields), tuple(chips))


def outside_series(site: Site, of: Iterable[int]) -> Callable[[int], bool]:
    """A function that tells whether a row is outside the series of all games in `of`."""
    games = site.catalogue.games
    queries = [games[row] for row in of]
    return lambda row: not any(same_series(query, games[row]) for query in queries)
