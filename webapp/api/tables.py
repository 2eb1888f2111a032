"""Lists of games as tables in CSV, for spreadsheets and programs that read them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, Protocol

from flask import Response
from msgspec import Meta

from banners.files import csv_text
from webapp.current import current_site
from webapp.params import Query
from webapp.queries.cover_parts import PartSearch
from webapp.records import GameSummary, Result

Row = tuple[int, GameSummary, float | None]  # rank, game, similarity
_HEADER = ("rank", "appid", "name", "year", "developer", "similarity")
_FORMULA = tuple("=+-@\t\r")  # spreadsheets compute what begins with these


class FormatQuery(Query):
    format: Annotated[Literal["json", "csv"], Meta(description="JSON, or the list as a table in CSV.")] = "json"


class _HasResults(Protocol):
    @property
    def results(self) -> Sequence[Result]: ...


def of_results(answer: _HasResults) -> Iterator[Row]:
    """The rows of results. Those of one stack have one rank."""
    for result in answer.results:
        for one in (result, *result.stacked):
            yield result.rank, one.game, one.similarity


def of_parts(answer: PartSearch) -> Iterator[Row]:
    for result in answer.results:
        yield result.rank, result.game, result.similarity


def csv_response(rows: Iterable[Row], name: str) -> Response:
    table = csv_text(_HEADER, (_cells(*row) for row in rows))
    response = Response(table, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _cells(rank: int, game: GameSummary, similarity: float | None) -> tuple[object, ...]:
    catalogue = current_site().catalogue
    developers = catalogue.games[catalogue.row_of(game.appid)].listed("developer")
    return rank, game.appid, _text(game.name), game.year, _text("; ".join(developers)), similarity


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
