"""Errors as answers: one handler for each kind, in HTML or, under the JSON addresses, as problem details."""

from collections.abc import Sequence

from flask import Flask, Response, current_app, jsonify, render_template, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from banners.errors import (
    BadCatalogue,
    BadInput,
    CannotAnswer,
    NotInCatalogue,
    SteamClipError,
    UnknownGame,
    UnusableImage,
)
from webapp.api import legacy
from webapp.current import catalogue
from webapp.pages.variants import is_variant
from webapp.queries.uploads import reason
from webapp.records import Game
from webapp.served import ServedCatalogue

BAD_HOST = "The Host header is not a name of this server."
OFFERED = 6  # games instead of one that does not exist

_ANSWERS: dict[type[SteamClipError], tuple[int, str]] = {  # status and title; the message is the detail
    NotInCatalogue: (404, "Not in this catalogue"),
    CannotAnswer: (501, "Not available here"),
    BadInput: (400, "That cannot be answered"),
    UnusableImage: (415, "That picture cannot be used"),
}

_JSON_PATHS = frozenset({"/suggest", "/healthz", "/readyz", "/version", *(path.rstrip("/") for path in legacy.paths())})


def is_json(path: str) -> bool:
    """Whether an address is answered in JSON, errors too."""
    return path.rstrip("/") in _JSON_PATHS or path.startswith("/api/")


def register(app: Flask) -> None:
    for kind in _ANSWERS:
        app.register_error_handler(kind, _refused)
    app.register_error_handler(UnknownGame, _unknown_game)
    app.register_error_handler(BadCatalogue, _bad_catalogue)
    app.register_error_handler(ParseException, _malformed)
    app.register_error_handler(HTTPException, _http_error)


def _answer(status: int, title: str, detail: str, games: tuple[Game, ...] = (), query: str = "") -> Response:
    """`games` are offered instead; `query` is put into the search box."""
    # The detail may repeat what was asked for.
    detail = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in detail)
    if is_json(request.path):
        response = jsonify(type="about:blank", title=title, status=status, detail=detail)
        response.mimetype = "application/problem+json"
    else:
        response = Response(
            render_template("error.html", status=status, title=title, detail=detail, games=games, query=query)
        )
    response.status_code = status
    return response


def bad_host() -> Response:
    """An answer that names no address."""
    if is_json(request.path):
        return _answer(400, "Bad Request", BAD_HOST)
    return Response(f"{BAD_HOST}\n", status=400, mimetype="text/plain")


def _unknown_game(error: UnknownGame) -> Response:
    served = catalogue()
    rows = served.catalogue.games.search(str(error.appid), OFFERED).rows
    place = int(served.catalogue.appids.searchsorted(min(error.appid, 2**32 - 1)))
    rows += range(max(0, place - OFFERED // 2), min(len(served), place + OFFERED // 2))
    return _answer(404, "No such game here", str(error), _offered(served, rows))


def _offered(served: ServedCatalogue, rows: Sequence[int]) -> tuple[Game, ...]:
    """For a reader who did not ask for these games: each once, and none of adult ones."""
    return served.games([row for row in dict.fromkeys(rows) if not served.is_adult[row]][:OFFERED])


def _refused(error: SteamClipError) -> Response:
    status, title = next(answer for kind, answer in _ANSWERS.items() if isinstance(error, kind))
    return _answer(status, title, reason(error) if isinstance(error, UnusableImage) else str(error))


def _bad_catalogue(error: BadCatalogue) -> Response:
    """A part that is read when it is first asked for; the rest is served all the same."""
    current_app.logger.error("%s", error)
    return _answer(503, "Not at the moment", "A part of this catalogue cannot be read.")


def _malformed(_: ParseException) -> Response:
    """A body that gunicorn finds malformed only when it is read."""
    response = _answer(400, "That cannot be answered", "The request body is malformed.")
    response.headers["Connection"] = "close"  # nobody knows where the next request begins
    return response


def _http_error(error: HTTPException) -> Response | BaseResponse:
    if error.code is None or error.code < 400:  # a redirect
        return error.get_response()
    parts = [part for part in request.path.split("/") if part]
    is_game = bool(parts) and is_variant(parts[0])
    if error.code == 404 and (is_game or "." not in request.path):  # a missing file is nobody's search
        typed = " ".join(parts[1:3] if is_game else parts[-2:])
        typed = "".join(character for character in typed if character.isprintable())[:60]
        rows = catalogue().catalogue.games.search(typed, OFFERED).rows
        offered = _offered(catalogue(), rows)
        return _answer(404, "There is no such page", "The address may be mistyped.", offered, typed)
    response = _answer(error.code, error.name, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):  # such as Allow
            response.headers[name] = value
    return response
