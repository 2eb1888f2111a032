"""Errors as answers: one handler for each kind, in HTML or, under the JSON addresses, as problem details."""

from flask import Flask, Response, current_app, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from banners.errors import BadCatalogue, BadInput, CannotAnswer, NotInCatalogue, UnknownGame, UnusableImage
from webapp import legacy_api, pages
from webapp.exhibition import gallery
from webapp.frames import frame, render
from webapp.gallery import Card

_JSON_PATHS = frozenset({"/suggest", "/healthz", "/readyz", "/version", "/find", "/dl", *legacy_api.paths()})


def is_json(path: str) -> bool:
    """Whether an address is answered in JSON, errors too."""
    return path.rstrip("/") in _JSON_PATHS or path.startswith("/api/")


def register(app: Flask) -> None:
    app.register_error_handler(UnknownGame, _unknown_game)
    app.register_error_handler(NotInCatalogue, _not_in_catalogue)
    app.register_error_handler(BadInput, _bad_input)
    app.register_error_handler(CannotAnswer, _cannot_answer)
    app.register_error_handler(BadCatalogue, _bad_catalogue)
    app.register_error_handler(UnusableImage, _unusable_image)
    app.register_error_handler(ParseException, _malformed)
    app.register_error_handler(HTTPException, _http_error)


def _answer(status: int, title: str, detail: str, offers: tuple[Card, ...] = (), query: str = "") -> Response:
    # It may repeat what was asked for.
    detail = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in detail)
    if is_json(request.path):
        response = jsonify(type="about:blank", title=title, status=status, detail=detail)
        response.mimetype = "application/problem+json"
    else:
        page = pages.ErrorPage(status, title, detail, query, offers)
        response = Response(render("error.html", frame(json_url=""), page=page))
    response.status_code = status
    return response


def _unknown_game(error: UnknownGame) -> Response:
    return _answer(404, "No such game here", str(error), pages.near_appid(gallery(), error.appid))


def _not_in_catalogue(error: NotInCatalogue) -> Response:
    return _answer(404, "Not in this catalogue", str(error))


def _cannot_answer(error: CannotAnswer) -> Response:
    return _answer(501, "Not possible here", str(error))


def _bad_catalogue(error: BadCatalogue) -> Response:
    """A part that is read when it is first asked for; the rest is served all the same."""
    current_app.logger.error("%s", error)
    return _answer(503, "Not at the moment", "A part of this catalogue cannot be read.")


def _unusable_image(error: UnusableImage) -> Response:
    return _answer(415, "That picture cannot be used", f"{pages.capitalised(str(error))}. Send a JPEG, PNG or WebP.")


def _malformed(_: ParseException) -> Response:
    """A body that gunicorn finds malformed only when it is read."""
    response = _answer(400, "That cannot be answered", "What was sent is malformed.")
    response.headers["Connection"] = "close"  # who knows where the next request begins
    return response


def _bad_input(error: BadInput) -> Response:
    return _answer(400, "That cannot be answered", str(error))


def _http_error(error: HTTPException) -> Response | BaseResponse:
    if error.code is None or error.code < 400:  # a redirect
        return error.get_response()
    if error.code == 404 and "." not in request.path:  # a file that is missing is nobody's search
        typed = " ".join(
            part for part in request.path.split("/")[-2:] if part and not part.startswith(("render", "store"))
        )
        typed = "".join(character for character in typed if character.isprintable())[:60]
        found = pages.near_text(gallery(), typed)
        return _answer(404, "There is no such page", "The address may be mistyped.", found, typed)
    response = _answer(error.code, error.name, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):  # such as Allow
            response.headers[name] = value
    return response
