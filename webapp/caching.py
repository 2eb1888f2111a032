"""What need not be sent twice, or need not be sent whole: entity tags and compression."""

import gzip
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

from flask import Flask, Response, g, request
from flask.globals import request_ctx
from werkzeug.wrappers import Response as BaseResponse

from webapp.arguments import shows_adult
from webapp.exhibition import shown

ROOT = Path(__file__).resolve().parent.parent

# What these answer depends on the address, the catalogue, the code and the switch for adult banners, nothing else.
_STEADY = frozenset(
    {"game", "search", "unique", "hubs", "duplicates", "popular", "about", "mix", "label_list", "label"}
)
_COMPRESSIBLE = frozenset(
    {"text/html", "text/css", "text/javascript", "application/json", "application/problem+json", "image/svg+xml"}
)
_VARIES, _VARIES_AS_PAGE = "Accept-Encoding", "Accept-Encoding, Cookie"  # the cookie: whether adult banners are shown
_WORTH_COMPRESSING = 1000  # bytes; less fits into one packet anyway
_LEVEL = 5


def register(app: Flask) -> None:
    """Answer 304 before any work is done where the asker has the page already; compress what is sent. To be called when
    all routes are there."""
    code = blake2b(digest_size=16)
    for folder, pattern in (("webapp", "*.py"), ("banners", "*.py"), ("templates", "*.html"), ("static", "*")):
        for path in sorted((ROOT / folder).rglob(pattern)):
            code.update(path.read_bytes())
    version = app.config["VERSION_OF_CODE"] = code.digest()
    steady = frozenset(filter(_is_steady, app.view_functions))

    def not_modified() -> BaseResponse | None:
        """Give a request the tag of what it asks for, None where that may change from one moment to the next."""
        asker = request_ctx.request
        is_steady = asker.endpoint in steady and asker.method in ("GET", "HEAD")
        tag = g.entity_tag = None
        if is_steady:
            address = crc32(asker.full_path.encode("utf-8", "replace"))
            # Weak: compressed or not, it is the same page.
            tag = g.entity_tag = f'W/"{_digest(version, shown().version, asker.host_url, shows_adult())}{address:08x}"'
        if tag is None or "HTTP_IF_NONE_MATCH" not in asker.environ:
            return None
        # "*" is true of whatever exists; whether this does, only the work would tell.
        if asker.if_none_match.star_tag or not asker.if_none_match.contains_raw(tag):
            return None
        is_page = asker.endpoint == "api.guide" or str(asker.endpoint).startswith("pages.")
        return BaseResponse(status=304, headers={"Vary": _VARIES_AS_PAGE if is_page else _VARIES})

    app.before_request(not_modified)
    app.after_request(_finish)


def _is_steady(endpoint: str) -> bool:
    is_json = endpoint.startswith(("api.", "legacy.")) and endpoint != "api.random_game"
    return is_json or endpoint.removeprefix("pages.") in _STEADY


@lru_cache(maxsize=256)
def _digest(*whatever: object) -> str:
    return blake2b(repr(whatever).encode(), digest_size=12).hexdigest()


def _finish(response: Response) -> Response:
    mimetype, status, headers = response.mimetype, response.status_code, response.headers
    tag = g.get("entity_tag") if status in (200, 304) else None
    if tag is not None:
        headers["ETag"] = tag
        headers["Cache-Control"] = "no-cache"  # kept, but asked about
    if mimetype == "text/html":
        headers["Vary"] = _VARIES_AS_PAGE
    elif mimetype in _COMPRESSIBLE:
        headers["Vary"] = _VARIES
    else:
        return response
    if status in (200, 400, 404) and "HTTP_ACCEPT_ENCODING" in request.environ:
        _compress(response)
    return response


def _compress(response: Response) -> None:
    if "Content-Encoding" in response.headers or request.accept_encodings.quality("gzip") <= 0:
        return
    is_file = response.direct_passthrough
    response.direct_passthrough = False
    opened = response.response
    body = response.get_data()
    if is_file and hasattr(opened, "close"):
        opened.close()
    if len(body) >= _WORTH_COMPRESSING:
        response.set_data(_compressed_file(body) if is_file else gzip.compress(body, _LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        tag, _ = response.get_etag()
        if tag:
            response.set_etag(tag, weak=True)


@lru_cache(maxsize=32)
def _compressed_file(body: bytes) -> bytes:
    return gzip.compress(body, 9, mtime=0)
