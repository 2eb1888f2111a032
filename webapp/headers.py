"""What every answer says of itself, whatever it is. Added around the app: it is the same each time."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flask import Flask

from webapp.errors import is_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_FOR_ALL = [
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; manifest-src 'self';"
        " img-src 'self' https://shared.akamai.steamstatic.com; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
]
_FOR_JSON = [*_FOR_ALL, ("Access-Control-Allow-Origin", "*")]  # nothing there depends on who asks


def register(app: Flask) -> None:
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[method-assign, assignment]


def _with_headers(app: "WSGIApplication") -> "WSGIApplication":
    def respond(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        added = _FOR_JSON if is_json("/" + environ.get("PATH_INFO", "").lstrip("/")) else _FOR_ALL

        def start(status: str, headers: list[tuple[str, str]], *error: object) -> Callable[[bytes], object]:
            return start_response(status, headers + added, *error)  # type: ignore[arg-type]

        return app(environ, start)

    return respond
