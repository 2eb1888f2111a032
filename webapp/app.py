"""The application factory: defaults, then the environment, then what a test overrides."""

import os
import tomllib
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, Response, request
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import MapAdapter
from werkzeug.sansio.utils import get_current_url
from werkzeug.utils import cached_property

from banners.errors import BadInput
from webapp import (
    api,
    caching,
    errors,
    exhibition,
    gallery,
    headers,
    legacy_api,
    limits,
    metrics,
    operations,
    pages,
    routes,
    stencils,
)
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
    app = _App("webapp", root_path=str(ROOT), static_folder="static", template_folder="templates")
    app.config.from_mapping(DEFAULTS)
    app.config["VERSION"] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    app.config["MAX_CONTENT_LENGTH"] = 16_384  # nothing larger is sent here
    app.config.update({key: os.environ[key] for key in DEFAULTS if os.environ.get(key)})
    app.config.update(overrides or {})
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters["capitalised"] = pages.capitalised
    app.jinja_env.globals.update(STORE=gallery.STORE, STEAMDB=gallery.STEAMDB)
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
    stencils.register(app)
    _version_static_files(app)
    headers.register(app)
    hops = _whole(app, "PROXY_HOPS", 0, 10)
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app


def _check_host() -> Response | None:
    """A host that is no name (as `xn--a`) would fail wherever an address of this server is written out. One that is not
    among TRUSTED_HOSTS, if there are any, is not answered either, nor a scheme of a proxy's that none has."""
    asker = request_ctx.request
    try:
        if asker.host and asker.host_url and asker.scheme in ("http", "https"):
            return None
    except (UnicodeError, SecurityError):
        pass
    return Response("The Host header is not a name of this server.\n", status=400, mimetype="text/plain")


def _whole(app: Flask, name: str, least: int, most: int) -> int:
    text = str(app.config[name])
    if text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most:
        return int(text)
    raise BadInput(f"{name} is {text[:20]!r}, not a whole number from {least} to {most}")


@lru_cache(maxsize=64)
def _host_url(scheme: str, host: str) -> str:
    """Raises `UnicodeError`."""
    host.lower().encode("idna")
    return get_current_url(scheme, host)


class _Request(Request):
    """A request whose files stay in memory: of what strangers send nothing is written to a disk."""

    max_form_parts = 20

    @cached_property
    def host_url(self) -> str:
        return _host_url(self.scheme, self.host)

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return BytesIO()


class _NoSessions(SessionInterface):
    """Nobody is known here from one request to the next."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        pass


class _App(Flask):
    """Flask without what no request here needs, and each would wait for."""

    request_class = _Request
    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # none is async

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """One that takes the host as it is: no rule is about it, and no redirect leads to it."""
        if request is None:
            return None
        request.trusted_hosts = self.config["TRUSTED_HOSTS"]
        return MapAdapter(
            self.url_map,
            server_name=request.host,
            script_name=request.root_path or "/",
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
            query_args=request.query_string.decode("latin-1"),
        )


def _version_static_files(app: Flask) -> None:
    """Give templates `static_urls` by name, which change with the content, so that browsers may keep it."""
    versions = {}
    for path in (ROOT / "static").iterdir():
        with path.open("rb") as file:
            versions[path.name] = file_digest(file, "sha256").hexdigest()[:12]
    app.jinja_env.globals["static_urls"] = {name: f"/static/{name}?v={version}" for name, version in versions.items()}

    def send_version(filename: str) -> Response:
        response = app.send_static_file(filename)
        if request.args.get("v") == versions.get(filename):
            response.cache_control.no_cache = None
            response.cache_control.public = True
            response.cache_control.max_age = ONE_YEAR
            response.cache_control.immutable = True
        return response

    app.view_functions["static"] = send_version
