"""The application factory: defaults, then the environment, then what a test overrides."""

import os
import tomllib
from collections.abc import Mapping
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from banners.errors import BadInput
from webapp import api, caching, errors, exhibition, legacy_api, limits, metrics, operations, pages, routes
from webapp.modes import AppidConverter, ModeConverter

ROOT = Path(__file__).resolve().parent.parent
ONE_YEAR = 365 * 24 * 3600

DEFAULTS = {
    "CATALOGUE": "data/catalogue",  # the folder that embed_banners.py made
    "BANNERS": "",  # a folder of local images; "" for none
    "QUERIES_PER_MINUTE": "60",  # in words, of one client in one worker; a picture counts as three; 0 for no limit
    "QUERY_THREADS": "2",  # that embed a query
    "PROXY_HOPS": "0",  # how many reverse proxies in front may be believed about the client's address and scheme
}


def create_app(overrides: Mapping[str, Any] | None = None) -> Flask:
    """Make the app; the catalogue is read here, once. Raises `BadCatalogue` or `BadInput` with one clear line."""
    app = Flask("webapp", root_path=str(ROOT), static_folder="static", template_folder="templates")
    app.request_class = _Request
    app.config.from_mapping(DEFAULTS)
    app.config["VERSION"] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    app.config["MAX_CONTENT_LENGTH"] = 16_384  # nothing larger is sent here
    app.config.update({key: os.environ[key] for key in DEFAULTS if os.environ.get(key)})
    app.config.update(overrides or {})
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters["capitalised"] = pages.capitalised
    banners = app.config["BANNERS"]
    exhibition.register(
        app, Path(app.config["CATALOGUE"]), Path(banners) if banners else None, _whole(app, "QUERY_THREADS", 1, 64)
    )
    limits.register(app, _whole(app, "QUERIES_PER_MINUTE", 0, 1_000_000))
    # Redirects to the one right form of an address would lead to whatever the Host header says.
    app.url_map.merge_slashes = app.url_map.strict_slashes = False
    app.before_request(_check_host)
    app.url_map.converters.update(appid=AppidConverter, mode=ModeConverter)
    app.register_blueprint(routes.pages)
    app.register_blueprint(operations.operations)
    app.register_blueprint(api.api)
    app.register_blueprint(legacy_api.legacy)
    errors.register(app)
    caching.register(app)
    metrics.register(app)
    _version_static_files(app)
    app.after_request(_harden)
    hops = _whole(app, "PROXY_HOPS", 0, 10)
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _check_host() -> Response | None:
    """A host that is no name (as `xn--a`) would fail wherever an address of this server is written out."""
    try:
        _ = request.host_url
    except UnicodeError:
        return Response("The Host header is not a name.\n", status=400, mimetype="text/plain")
    return None


def _whole(app: Flask, name: str, least: int, most: int) -> int:
    text = str(app.config[name])
    if text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most:
        return int(text)
    raise BadInput(f"{name} is {text[:20]!r}, not a whole number from {least} to {most}")


class _Request(Request):
    """A request whose files stay in memory: of what strangers send nothing is written to a disk."""

    max_form_parts = 20

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()


def _version_static_files(app: Flask) -> None:
    """Give templates `static_url(name)`, which changes with the content, so that browsers may keep it."""
    versions = {}
    for path in (ROOT / "static").iterdir():
        with path.open("rb") as file:
            versions[path.name] = file_digest(file, "sha256").hexdigest()[:12]

    def static_url(name: str) -> str:
        return f"/static/{name}?v={versions[name]}"

    def keep_versions(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 206, 304):
            name = str((request.view_args or {}).get("filename"))
            if request.args.get("v") == versions.get(name):
                response.cache_control.no_cache = None
                response.cache_control.public = True
                response.cache_control.max_age = ONE_YEAR
                response.cache_control.immutable = True
        return response

    app.jinja_env.globals["static_url"] = static_url
    app.after_request(keep_versions)


def _harden(response: Response) -> Response:
    response.headers.setdefault(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; manifest-src 'self';"
        " img-src 'self' https://shared.akamai.steamstatic.com; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'",
    )
    if errors.is_json(request.path):
        response.headers["Access-Control-Allow-Origin"] = "*"  # nothing here depends on who asks
    if response.mimetype == "text/html":
        response.vary.add("Cookie")  # whether adult banners are shown
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    return response
