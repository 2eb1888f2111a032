"""The application factory: defaults, then the environment, then what a test overrides."""

import mimetypes
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, current_app, request
from flask_compress import Compress
from jinja2 import StrictUndefined
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from banners import settings
from banners.errors import BadInput
from banners.steam import CDN, base_url
from webapp import context, current, errors, limits, operations
from webapp.api import legacy, v1
from webapp.pages import BLUEPRINTS
from webapp.pages.variants import AppidConverter, CountConverter, VariantConverter
from webapp.params import GIVEN_HOST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROOT = Path(__file__).resolve().parent.parent
ONE_YEAR = 365 * 24 * 3600

DEFAULTS = {
    "CATALOGUE": "data/catalogue",  # the folder that embed_banners.py made
    "BANNERS": "",  # a folder of local images; "" for none
    "STEAM_CDN_URL": CDN,  # where browsers get the banners that are not local
    "QUERIES_PER_MINUTE": "60",  # in words, of one client; a picture counts as three; 0 for no limit
    "RATELIMIT_STORAGE_URI": "memory://",  # where these are counted; each worker for itself unless it is a server's
    "QUERY_THREADS": "2",  # that embed a query
    "WEB_THREADS": "0",  # that answer requests; gunicorn.conf.py has the default
    "PROXY_HOPS": "0",  # reverse proxies in front whose X-Forwarded-For and X-Forwarded-Proto are believed
    "TRUSTED_HOSTS": "",  # the names of this server, with commas between them; "" for any
}
_OF_GUNICORN = ("PORT", "HOST", "WEB_CONCURRENCY", "QUERIES_AT_START", "ACCESS_LOG")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " manifest-src 'self'; img-src 'self' {cdn}; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class _Request(Request):
    """Files of forms stay in memory: nothing that strangers send is written to a disk."""

    max_form_parts = 20

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


class _App(Flask):
    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Names of hosts have no case. Werkzeug takes none with an underscore, as container networks have them
        (steam_clip:8000). Operations print no addresses, so they answer under any name."""
        environ[GIVEN_HOST] = environ.get("HTTP_HOST") or "localhost"
        name = environ[GIVEN_HOST].lower().replace("_", "-")
        if environ.get("PATH_INFO") in operations.PATHS:
            name = (self.config["TRUSTED_HOSTS"] or ["localhost"])[0].removeprefix(".")
        environ["HTTP_HOST"] = name
        return super().wsgi_app(environ, start_response)


def create_app(overrides: Mapping[str, Any] | None = None) -> Flask:
    """Make the app; the catalogue is read here, once. Raises `BadCatalogue` or `BadInput` with one clear line."""
    app = _App("webapp", root_path=str(ROOT), static_folder=None, template_folder="templates")
    app.request_class = _Request
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(
        VERSION=tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"],
        MAX_CONTENT_LENGTH=16_384,  # nothing larger is sent here, but pictures
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_STREAMS=False,  # no file that is sent, a banner, gets smaller
    )
    app.config.update({key: os.environ[key] for key in DEFAULTS if os.environ.get(key)})
    app.config.update(overrides or {})
    app.config["TRUSTED_HOSTS"] = _hosts(app.config["TRUSTED_HOSTS"])
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    banners = app.config["BANNERS"]
    cdn = base_url(app.config["STEAM_CDN_URL"], "STEAM_CDN_URL")
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(cdn))
    app.config["HEADERS"] = {name: value.format(cdn=origin) for name, value in HEADERS.items()}
    threads = _whole(app, "QUERY_THREADS", 1, 64)
    current.register(app, Path(app.config["CATALOGUE"]), Path(banners) if banners else None, threads, cdn)
    per_minute, serving = _whole(app, "QUERIES_PER_MINUTE", 0, 1_000_000), _whole(app, "WEB_THREADS", 0, 256)
    limits.register(app, per_minute, app.config["RATELIMIT_STORAGE_URI"], serving)
    # Redirects to the one right form of an address would lead to whatever the Host header says.
    app.url_map.merge_slashes = app.url_map.strict_slashes = False
    app.url_map.converters.update(appid=AppidConverter, count=CountConverter, variant=VariantConverter)
    for blueprint in (*BLUEPRINTS, v1.blueprint, legacy.blueprint, operations.operations):
        app.register_blueprint(blueprint)
    errors.register(app)
    app.before_request(_check_host)
    app.before_request(_match_any)
    Compress(app)  # the first to be registered is the last to run
    app.after_request(_add_headers)
    context.register(app)
    operations.register(app)
    _add_static_files(app)
    hops = _whole(app, "PROXY_HOPS", 0, 10)
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    return app


def _whole(app: Flask, name: str, least: int, most: int) -> int:
    return settings.whole(str(app.config[name]), least, most, name)


def misspelt(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that are hardly meant for another program, and the setting that each resembles."""
    known = (*DEFAULTS, *_OF_GUNICORN)
    for name in environment:
        near = get_close_matches(name.upper(), known, 1, cutoff=0.85)
        if near and name not in known:
            yield name, near[0]


def _hosts(given: str | list[str]) -> list[str] | None:
    """The names of TRUSTED_HOSTS as the DNS has them, None for any. Raises `BadInput`."""
    names = []
    for name in (given if isinstance(given, str) else " ".join(given)).lower().replace(",", " ").split():
        dot, host = re.fullmatch(r"(\.?)(.*?)(?::[0-9]+)?", name.replace("_", "-"), re.DOTALL).groups()  # type: ignore[union-attr]
        try:
            encoded = host.encode("idna")
            if not re.fullmatch(rb"[a-z0-9.-]+", encoded) or not encoded.decode("idna"):
                raise UnicodeError
        except UnicodeError:
            raise BadInput(
                f"TRUSTED_HOSTS has {name[:60]!r}, which is no name such as example.org or .example.org"
            ) from None
        names.append(dot + encoded.decode("ascii"))
    return names or None


def _check_host() -> Response | None:
    """Refuse a host that is no name (as `xn--a`), is not among TRUSTED_HOSTS, or comes with an unknown scheme from a
    proxy: every address that a page names would be wrong."""
    try:
        if request.host and request.host_url and request.scheme in ("http", "https"):
            return None
    except (UnicodeError, SecurityError):
        pass
    return errors.bad_host()


def _match_any() -> None:
    """Let `If-Match: *` pass, as RFC 9110, section 13.1.1, has it; Werkzeug compares the star with the entity tag."""
    if request.if_match.star_tag:
        request.environ.pop("HTTP_IF_MATCH")


def _add_headers(response: Response) -> Response:
    """Security headers, CORS for JSON, and an entity tag for what is made anew for every request."""
    response.headers.update(current_app.config["HEADERS"])
    if errors.is_json(request.path):
        response.headers["Access-Control-Allow-Origin"] = "*"  # nothing there depends on who asks
        if request.method == "OPTIONS":
            allowed = ["Content-Type, X-Requested-With", request.headers.get("Access-Control-Request-Headers")]
            response.headers["Access-Control-Allow-Headers"] = ", ".join(filter(None, allowed))
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "GET")
            response.headers["Access-Control-Max-Age"] = "86400"
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = f"max-age={ONE_YEAR}"
    if response.mimetype == "text/html":
        response.vary.add("Cookie")  # whether adult banners are shown
    is_made = response.status_code == 200 and not response.is_streamed and request.method in ("GET", "HEAD")
    if is_made and response.cache_control.max_age is None:
        response.add_etag(weak=True)  # weak: compressed or not, it is the same page
        response.cache_control.no_cache = True  # kept, but asked about
        response.make_conditional(request)
    if response.status_code == 412:  # If-Match names another version
        response.set_data(b"")
        response.headers["Cache-Control"] = "no-store"
    return response


def _add_static_files(app: Flask) -> None:
    """Serve `static/` from memory, and give templates `static_urls` by name, which change with the content, so that
    browsers may keep it."""
    contents = {path.name: path.read_bytes() for path in (ROOT / "static").iterdir()}
    versions = {name: sha256(content).hexdigest()[:12] for name, content in contents.items()}
    app.jinja_env.globals["static_urls"] = {name: f"/static/{name}?v={version}" for name, version in versions.items()}

    @app.get("/static/<name>")
    def static(name: str) -> Response:
        if name not in contents:
            abort(404)
        response = Response(contents[name], mimetype=mimetypes.guess_type(name)[0])
        if request.args.get("v") == versions[name]:
            response.cache_control.public = True
            response.cache_control.max_age = ONE_YEAR
            response.cache_control.immutable = True
        return response
