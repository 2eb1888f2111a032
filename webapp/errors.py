"""Errors as answers: one handler for each kind, in HTML or, under the JSON addresses, as problem details."""

from collections.abc import Sequence

import msgspec
from flask import Flask, Response, current_app, render_template, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from banners.errors import (
    Away,
    BadCatalogue,
    BadInput,
    CannotAnswer,
    NotInCatalogue,
    SteamClipError,
    UnknownGame,
    UnusableImage,
    printable,
)
from webapp.api import legacy
from webapp.api.openapi import Problem
from webapp.current import current_site
from webapp.pages.variants import VARIANTS
from webapp.params import GIVEN_HOST, words
from webapp.queries.uploads import reason
from webapp.records import GameSummary
from webapp.site import Site

_BAD_HOST = "is not a name of this server. Add it to TRUSTED_HOSTS, or let the proxy pass the Host header on."
RETRY_AFTER = 10  # seconds, until what is away may be back
OFFERED = 6  # games instead of one that does not exist

_ANSWERS: dict[type[SteamClipError], tuple[int, str]] = {  # status and title; the message is the detail
    UnknownGame: (404, "No such game here"),
    NotInCatalogue: (404, "Not in this catalogue"),
    CannotAnswer: (501, "Not available here"),
    BadInput: (400, "That cannot be answered"),
    UnusableImage: (415, "That picture cannot be used"),
    BadCatalogue: (503, "Not at the moment"),
    Away: (503, "Not at the moment"),
}

_JSON_PATHS = frozenset({"/suggest", "/healthz", "/readyz", "/version", *(path.rstrip("/") for path in legacy.paths())})


def is_json(path: str) -> bool:
    """Whether an address is answered in JSON, errors too."""
    return path.rstrip("/") in _JSON_PATHS or path.startswith("/api/")


def register(app: Flask) -> None:
    for kind in _ANSWERS:
        app.register_error_handler(kind, _refused)
    app.register_error_handler(UnknownGame, _unknown_game)
    app.register_error_handler(ParseException, _malformed)
    app.register_error_handler(HTTPException, _http_error)


def _answer(status: int, title: str, detail: str, games: tuple[GameSummary, ...] = (), query: str = "") -> Response:
    """`games` are offered instead; `query` is put into the search box."""
    detail = printable(detail)  # it may repeat what was asked for
    if is_json(request.path):
        problem = Problem("about:blank", title, status, detail)
        return Response(msgspec.json.encode(problem), status, mimetype="application/problem+json")
    page = render_template("error.html", status=status, title=title, detail=detail, games=games, query=query)
    return Response(page, status)


def bad_host() -> Response:
    """An answer that names no address."""
    detail = f"{request.environ[GIVEN_HOST][:100]!r} {_BAD_HOST}"
    if is_json(request.path):
        return _answer(400, "Bad Request", detail)
    return Response(f"{detail}\n", status=400, mimetype="text/plain")


def _unknown_game(error: UnknownGame) -> Response:
    site = current_site()
    return _answer(*_ANSWERS[UnknownGame], str(error), _offered(site, site.orders.anywhere[: 2 * OFFERED].tolist()))


def _offered(site: Site, rows: Sequence[int]) -> tuple[GameSummary, ...]:
    """Games that the reader did not ask for, without repeats and without adult ones."""
    return site.games([row for row in dict.fromkeys(rows) if not site.is_adult[row]][:OFFERED])


def _refused(error: SteamClipError) -> Response:
    status, title = _ANSWERS[type(error)]
    detail = reason(error) if isinstance(error, UnusableImage) else str(error)
    if isinstance(error, BadCatalogue):  # in a part that is read when it is first asked for; the rest is served
        current_app.logger.error("%s", error)
        detail = "A part of this catalogue cannot be read."
    response = _answer(status, title, detail)
    if isinstance(error, Away):
        current_app.logger.error("%s", error)
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _malformed(_: ParseException) -> Response:
    """A body that gunicorn finds malformed only when it is read."""
    response = _answer(400, "That cannot be answered", "The request body is malformed.")
    response.headers["Connection"] = "close"  # nobody knows where the next request begins
    return response


def _http_error(error: HTTPException) -> Response | BaseResponse:
    if error.code is None or error.code < 400:  # a redirect
        return error.get_response()
    parts = [part for part in request.path.split("/") if part]
    is_game = bool(parts) and parts[0] in VARIANTS
    if error.code == 404 and (is_game or "." not in request.path):  # a missing file is not a search
        typed = words(" ".join(parts[1:3] if is_game else parts[-2:]))[:60]
        offered = _offered(current_site(), current_site().catalogue.games.search(typed, OFFERED).rows)
        return _answer(404, "There is no such page", "The address may be mistyped.", offered, typed)
    response = _answer(error.code, error.name, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):  # such as Allow
            response.headers[name] = value
    return response
