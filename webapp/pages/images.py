"""Local banners, in their own size and smaller, and the aspect of the catalogue's images."""

import errno
from collections.abc import Iterable, Iterator
from typing import cast

from flask import Blueprint, Response, abort, request, send_file
from werkzeug.wsgi import FileWrapper

from banners.errors import UnusableImage
from webapp.caching import cache
from webapp.current import current_site
from webapp.local_images import WIDTHS, LocalImage, thumbnail

blueprint = Blueprint("images", __name__)


@blueprint.get("/banners/<appid:appid>.<any(jpg, jpeg, png, webp):suffix>")
def banner(appid: int, suffix: str) -> Response:
    """A local banner. Its path was listed with the catalogue; nothing of the address reaches the file system."""
    image = _local(appid)
    if image.path.suffix.lower() != f".{suffix}" or not image.is_shown:
        abort(404)
    ranges = request.range
    if ranges is None or ranges.units != "bytes" or len(ranges.ranges) > 1:
        request.environ.pop("HTTP_RANGE", None)  # a server may ignore ranges (RFC 9110, section 14.2)
    response = send_file(image.path, conditional=True)
    if response.content_length:
        file = cast(FileWrapper, response.response)
        response.response = _complete(file, response.content_length)
        response.direct_passthrough = False  # which would leave the file open
        response.call_on_close(file.close)
    return cache(response, image.version)


def _complete(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield the `length` bytes of `chunks`. If the file became shorter, end the connection: the client would wait for
    the rest."""
    for chunk in chunks:
        length -= len(chunk)
        yield chunk
    if length > 0:
        raise ConnectionResetError(errno.ECONNRESET, "a banner became shorter while it was sent")


@blueprint.get(f"/thumbnails/<any{tuple(map(str, WIDTHS))}:width>/<appid:appid>.webp")
def small_banner(width: str, appid: int) -> Response:
    """A local banner in the size of a card."""
    image = _local(appid)
    try:
        response = Response(thumbnail(image, int(width)), mimetype="image/webp")
    except UnusableImage:
        abort(404)
    return cache(response, image.version)


def _local(appid: int) -> LocalImage:
    path = current_site().local_images.get(appid)
    if path is None:
        abort(404)
    return LocalImage.of(path)


@blueprint.get("/aspect.css")
def aspect() -> Response:
    """The aspect of the catalogue's images. A style attribute would need a weaker Content-Security-Policy."""
    width, height = current_site().image_size
    response = Response(f":root {{ --aspect: {width} / {height}; }}\n", mimetype="text/css")
    return cache(response, f"{width}x{height}")
