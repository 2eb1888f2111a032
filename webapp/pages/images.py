"""Local banners, in their own size and smaller, the pictures that other sites show beside links to games, and the
aspect of the catalogue's images."""

import errno
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from typing import cast

from flask import Blueprint, Response, abort, request, send_file
from PIL import Image, ImageOps
from werkzeug.wsgi import FileWrapper

from banners.errors import NotInCatalogue, UnusableImage
from webapp.current import catalogue
from webapp.local_images import WIDTHS, LocalImage, one_at_a_time, thumbnail

_ONE_DAY = 86_400
_ONE_YEAR = 365 * _ONE_DAY

SHARE_SIZE = (1200, 630)  # as the Open Graph protocol's readers want it
_GROUND = (18, 20, 22)
_EDGE, _GAP = 40, 20
_NEIGHBOURS = 6
_NO_PICTURE = "There is no picture to share of this game."

blueprint = Blueprint("images", __name__)


@blueprint.get("/banners/<appid:appid>.<any(jpg, jpeg, png, webp):suffix>")
def banner(appid: int, suffix: str) -> Response:
    """A local banner. Its file was found when the server started; nothing of the address reaches the file system."""
    image = _local(appid)
    if image.path.suffix.lower() != f".{suffix}" or not image.is_shown:
        abort(404)
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) > 1:
        request.environ.pop("HTTP_RANGE", None)  # a server may ignore ranges (RFC 9110, section 14.2)
    response = send_file(image.path, conditional=True)
    if response.content_length:
        file = cast(FileWrapper, response.response)
        response.response = _complete(file, response.content_length)
        response.direct_passthrough = False  # which would leave the file open
        response.call_on_close(file.close)
    return _kept(response, image.version)


def _complete(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The `length` bytes of `chunks`. If the file has become shorter the connection ends: the client would wait for the
    rest."""
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
    return _kept(response, image.version)


def _local(appid: int) -> LocalImage:
    path = catalogue().local_images.get(appid)
    if path is None:
        abort(404)
    return LocalImage.of(path)


@blueprint.get("/share/<appid:appid>.jpg")
def share(appid: int) -> Response:
    """The picture that other sites show beside a link to a game: its banner, and six neighbours in two rows beside it.
    Only images of this server are used; it never fetches any."""
    served = catalogue()
    row, local = served.catalogue.row_of(appid), served.local_images
    query = local.get(appid)
    if query is None or served.is_adult[row]:
        raise NotInCatalogue(_NO_PICTURE)
    near = served.catalogue.view("plain").of(row)
    chosen = served.catalogue.appids[near[~served.is_adult[near]]].tolist()
    paths = [local[other] for other in chosen if other in local][:_NEIGHBOURS]
    with one_at_a_time:
        card = _drawn(LocalImage.of(query), tuple(map(LocalImage.of, paths)), served.image_size)
    return _kept(Response(card, mimetype="image/jpeg"), "-")


@blueprint.get("/aspect.css")
def aspect() -> Response:
    """The aspect of the catalogue's images. A style attribute would need a weaker Content-Security-Policy."""
    width, height = catalogue().image_size
    response = Response(f":root {{ --aspect: {width} / {height}; }}\n", mimetype="text/css")
    return _kept(response, f"{width}x{height}")


def _kept(response: Response, version: str) -> Response:
    """For a year if the address names the version, as those on pages do; else for a day."""
    is_named = request.args.get("v") == version
    response.cache_control.no_cache = None
    response.cache_control.public = True
    response.cache_control.max_age = _ONE_YEAR if is_named else _ONE_DAY
    response.cache_control.immutable = is_named
    return response


@lru_cache(maxsize=64)
def _drawn(query: LocalImage, neighbours: tuple[LocalImage, ...], banner: tuple[int, int]) -> bytes:
    picture = Image.new("RGB", SHARE_SIZE, _GROUND)
    height = SHARE_SIZE[1] - 2 * _EDGE
    width = min(round(height * banner[0] / banner[1]), SHARE_SIZE[0] // 2 - _EDGE)
    left, columns = _EDGE + width + 2 * _GAP, _NEIGHBOURS // 2
    cell = ((SHARE_SIZE[0] - left - _EDGE - (columns - 1) * _GAP) // columns, (height - _GAP) // 2)
    columns_at = [left + column * (cell[0] + _GAP) for column in range(columns)]
    places = [(_EDGE, _EDGE), *((x, y) for y in (_EDGE, _EDGE + cell[1] + _GAP) for x in columns_at)]
    sizes = [(width, height), *[cell] * _NEIGHBOURS]
    for image, at, size in zip((query, *neighbours), places, sizes, strict=False):
        try:
            picture.paste(ImageOps.pad(image.decode(), size, Image.Resampling.LANCZOS, _GROUND), at)
        except UnusableImage:  # the place stays empty
            if image is query:
                raise NotInCatalogue(_NO_PICTURE) from None
    file = BytesIO()
    picture.save(file, "JPEG", quality=85, optimize=True)
    return file.getvalue()
