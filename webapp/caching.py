"""What need not be sent twice, or need not be sent whole: entity tags and compression."""

import gzip
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from flask import Flask, Response, current_app, g, request
from werkzeug.wrappers import Response as BaseResponse

from webapp.exhibition import shown

ROOT = Path(__file__).resolve().parent.parent

# What these answer depends on the address, the catalogue, the code and the switch for adult banners, nothing else.
_STEADY = frozenset(
    {"game", "search", "unique", "hubs", "duplicates", "popular", "about", "mix", "label_list", "label"}
)
_COMPRESSIBLE = frozenset(
    {"text/html", "text/css", "text/javascript", "application/json", "application/problem+json", "image/svg+xml"}
)
_WORTH_COMPRESSING = 1000  # bytes; less fits into one packet anyway
_LEVEL = 5


def register(app: Flask) -> None:
    """Answer 304 before any work is done where the asker has the page already; compress what is sent."""
    code = blake2b(digest_size=16)
    for folder, pattern in (("webapp", "*.py"), ("banners", "*.py"), ("templates", "*.html"), ("static", "*")):
        for path in sorted((ROOT / folder).glob(pattern)):
            code.update(path.read_bytes())
    app.config["VERSION_OF_CODE"] = code.digest()
    app.before_request(_not_modified)
    app.after_request(_tag)
    app.after_request(_compress)


def _entity_tag() -> str | None:
    """The tag of what a request asks for, None where it may change from one moment to the next."""
    endpoint = request.endpoint or ""
    is_steady = endpoint.removeprefix("pages.") in _STEADY or endpoint.startswith(("api.", "legacy."))
    if not is_steady or endpoint == "api.random_game" or request.method not in ("GET", "HEAD"):
        return None
    digest = blake2b(current_app.config["VERSION_OF_CODE"], digest_size=12)
    for part in (shown().version, request.host_url, request.full_path, request.cookies.get("adult", "")):
        digest.update(part.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()


def _not_modified() -> BaseResponse | None:
    tag = g.entity_tag = _entity_tag()
    asked = request.if_none_match
    # "*" is true of whatever exists; whether this does, only the work would tell.
    if tag is None or asked.star_tag or not asked.contains_weak(tag):
        return None
    response = BaseResponse(status=304)
    response.vary.update(("Accept-Encoding", "Cookie") if (request.endpoint or "").startswith("pages.") else ())
    return response


def _tag(response: Response) -> Response:
    tag = g.get("entity_tag") if response.status_code in (200, 304) else None
    if tag is not None:
        response.set_etag(tag, weak=True)  # weak: compressed or not, it is the same page
        response.cache_control.no_cache = True  # kept, but asked about
    return response


def _compress(response: Response) -> Response:
    if response.mimetype not in _COMPRESSIBLE or response.status_code not in (200, 400, 404):
        return response
    response.vary.add("Accept-Encoding")
    if "Content-Encoding" in response.headers or request.accept_encodings.quality("gzip") <= 0:
        return response
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
    return response


@lru_cache(maxsize=32)
def _compressed_file(body: bytes) -> bytes:
    return gzip.compress(body, 9, mtime=0)
