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

from flask import Flask, Request, Response, abort, current_app, redirect, request
from flask_compress import Compress
from jinja2 import StrictUndefined
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

from banners import settings
from banners.errors import BadInput
from banners.steam import CDN, base_url
from webapp import context, current, delivery, errors, limits, operations
from webapp.api import legacy, v1
from webapp.caching import ONE_YEAR, cache
from webapp.pages import BLUEPRINTS
from webapp.pages.variants import AppidConverter, CountConverter, VariantConverter
from webapp.params import GIVEN_HOST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROOT = Path(__file__).resolve().parent.parent

DEFAULTS = {
    "CATALOGUE": "data/catalogue",  # the folder that embed_banners.py made
    "CATALOGUE_URL": "",  # a packed catalogue, which is fetched to that folder; "" for none
    "CATALOGUE_RECHECK": "0",  # minutes after which it is looked for again; 0: only at the start
    "DATABASE_URL": "",  # PostgreSQL with the catalogue's vectors; "": they are in its folder
    "BANNERS": "",  # a folder of local images; "" for none
    "STEAM_CDN_URL": CDN,  # where browsers get the banners that are not local
    "QUERIES_PER_MINUTE": "60",  # of one client, by words; a picture counts as three; 0: no limit
    "RATELIMIT_STORAGE_URI": "memory://",  # where queries are counted; memory:// counts in each worker
    "QUERY_THREADS": "2",  # that embed a query
    "WEB_THREADS": "0",  # that answer requests; gunicorn.conf.py has the default
    "PROXY_HOPS": "0",  # addresses that proxies in front add to X-Forwarded-For
    "TRUSTED_HOSTS": "",  # the names of this server, with commas between them; "" for any
    "HTTPS_ONLY": "0",  # 1: redirect http to https
    "METRICS": "loopback",  # who may read /metrics: "loopback", "all", or a token that readers send
}
# In this order: some use functions of those before.
SCRIPTS = ("missing-covers.js", "suggestions.js", "lists.js", "keys.js", "reader.js", "pictures.js")
OF_GUNICORN = ("PORT", "HOST", "WEB_CONCURRENCY", "QUERIES_AT_START", "ACCESS_LOG", "LOG_FORMAT")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " manifest-src 'self'; img-src 'self' {cdn}; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Request(Request):
    """Files of forms stay in memory: nothing that strangers send is written to a disk."""

    max_form_parts = 20

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


class SteamClip(Flask):
    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Lower the case of the host name, and turn "_", which container networks use (steam_clip:8000) and Werkzeug
        refuses, into "-". Operations print no addresses, so they answer under any name."""
        environ[GIVEN_HOST] = environ.get("HTTP_HOST") or "localhost"
        name = environ[GIVEN_HOST].lower().replace("_", "-")
        if environ.get("PATH_INFO") in operations.PATHS:
            name = (self.config["TRUSTED_HOSTS"] or ["localhost"])[0].removeprefix(".")
        environ["HTTP_HOST"] = name
        return super().wsgi_app(environ, start_response)


def create_app(overrides: Mapping[str, Any] | None = None) -> Flask:
    """Make the app; the catalogue is read here, once. Raises `BadCatalogue` or `BadInput` with one clear line."""
    app = SteamClip("webapp", root_path=str(ROOT), static_folder=None, template_folder="templates")
    app.request_class = _Request
    _configure(app, overrides or {})
    app.config["TRUSTED_HOSTS"] = _hosts(app.config["TRUSTED_HOSTS"])
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    banners = app.config["BANNERS"]
    cdn = base_url(app.config["STEAM_CDN_URL"], "STEAM_CDN_URL")
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(cdn))
    app.config["HEADERS"] = {name: value.format(cdn=origin) for name, value in HEADERS.items()}
    threads = _whole(app, "QUERY_THREADS", 1, 64)
    delivery.register(app, _whole(app, "CATALOGUE_RECHECK", 0, 100_000))
    folder, database = Path(app.config["CATALOGUE"]), app.config["DATABASE_URL"]
    current.register(app, folder, Path(banners) if banners else None, threads, cdn, database)
    per_minute, serving = _whole(app, "QUERIES_PER_MINUTE", 0, 1_000_000), _whole(app, "WEB_THREADS", 0, 256)
    limits.register(app, per_minute, app.config["RATELIMIT_STORAGE_URI"], serving)
    # A redirect to the canonical form of an address would trust the Host header.
    app.url_map.merge_slashes = app.url_map.strict_slashes = False
    app.url_map.converters.update(appid=AppidConverter, count=CountConverter, variant=VariantConverter)
    for blueprint in (*BLUEPRINTS, v1.blueprint, legacy.blueprint, operations.operations):
        app.register_blueprint(blueprint)
    errors.register(app)
    app.before_request(_check_host)
    if _whole(app, "HTTPS_ONLY", 0, 1):
        app.before_request(_to_https)
    app.before_request(_match_any)
    Compress(app)  # the first to be registered is the last to run
    app.after_request(_add_headers)
    context.register(app)
    operations.register(app)
    _add_static_files(app)
    hops = _whole(app, "PROXY_HOPS", 0, 10)
    if hops:
        # Proxies add to X-Forwarded-For, but mostly set X-Forwarded-Proto.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=1, x_host=0)  # type: ignore[method-assign]
    return app


def _configure(app: Flask, overrides: Mapping[str, Any]) -> None:
    app.config.from_mapping(DEFAULTS)
    app.config.from_mapping(
        VERSION=tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"],
        MAX_CONTENT_LENGTH=16_384,  # nothing larger is sent here, but pictures
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_STREAMS=False,  # these are banners, which do not get smaller
    )
    app.config.update({key: os.environ[key] for key in DEFAULTS if os.environ.get(key)})
    if redis := os.environ.get("REDIS_URL"):  # of a host that has a Redis for the app
        is_own = "DYNO" in os.environ and redis.startswith("rediss:")  # Heroku signs its own certificate
        redis += "?ssl_cert_reqs=none" if is_own else ""
        app.config["RATELIMIT_STORAGE_URI"] = os.environ.get("RATELIMIT_STORAGE_URI") or redis
    app.config.update(overrides)


def _whole(app: Flask, name: str, least: int, most: int) -> int:
    return settings.whole(str(app.config[name]), least, most, name)


def misspelt(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Environment variables that look like misspelt settings, and the setting that each resembles."""
    names = (*DEFAULTS, *OF_GUNICORN)
    for name in environment:
        near = get_close_matches(name.upper(), names, 1, cutoff=0.85)
        if near and name not in names:
            yield name, near[0]


def _hosts(setting: str | list[str]) -> list[str] | None:
    """The names of TRUSTED_HOSTS as the DNS has them, None for any. Raises `BadInput`."""
    names = []
    for name in (setting if isinstance(setting, str) else " ".join(setting)).lower().replace(",", " ").split():
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
    """Refuse a host that is not a valid name (`xn--a`) or not in TRUSTED_HOSTS, and an unknown scheme from a proxy:
    every address on the page would be wrong."""
    try:
        if request.host and request.host_url and request.scheme in ("http", "https"):
            return None
    except (UnicodeError, SecurityError):
        pass
    return errors.bad_host()


def _to_https() -> BaseResponse | None:
    # Whoever sends this header is believed here: without PROXY_HOPS, redirects would never end.
    is_secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    if is_secure or request.path in operations.PATHS:  # a host's own checks may come by http
        return None
    return redirect(request.url.replace("http:", "https:", 1), 308)


def _match_any() -> None:
    """Let `If-Match: *` pass (RFC 9110, section 13.1.1); Werkzeug would compare the star with the ETag."""
    if request.if_match.star_tag:
        request.environ.pop("HTTP_IF_MATCH")


def _add_headers(response: Response) -> Response:
    """Security headers, CORS for JSON, and an entity tag for what is made anew for every request."""
    response.headers.update(current_app.config["HEADERS"])
    if errors.is_json(request.path):
        response.headers["Access-Control-Allow-Origin"] = "*"  # nothing there depends on who asks
        response.headers["Access-Control-Expose-Headers"] = "RateLimit, RateLimit-Policy, Retry-After"
        if request.method == "OPTIONS":
            allowed = ["Content-Type, X-Requested-With", request.headers.get("Access-Control-Request-Headers")]
            response.headers["Access-Control-Allow-Headers"] = ", ".join(filter(None, allowed))
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "GET")
            response.headers["Access-Control-Max-Age"] = "86400"
    if errors.is_json(request.path) or (response.mimetype or "").startswith("image/"):  # also for pages of others
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
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
    folder = ROOT / "static"
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # One file: each would take one of a browser's few connections from the covers.
    contents["site.js"] = b"\n".join(contents.pop(name) for name in SCRIPTS)
    versions = {name: sha256(content).hexdigest()[:12] for name, content in contents.items()}
    app.jinja_env.globals["static_urls"] = {name: f"/static/{name}?v={version}" for name, version in versions.items()}

    @app.get("/static/<path:name>")
    def static(name: str) -> Response:
        if name not in contents:
            abort(404)
        response = Response(contents[name], mimetype=mimetypes.guess_type(name)[0])
        return cache(response, versions[name]) if request.args.get("v") == versions[name] else response
