"""Local banners, in their own size and smaller, and the aspect of the catalogue's images."""

from flask import Blueprint, Response, abort, request, send_file

from banners.errors import UnusableImage
from banners.images import is_image_file
from webapp.current import catalogue
from webapp.local_images import WIDTHS, LocalImage, thumbnail

_ONE_DAY = 86_400
_ONE_YEAR = 365 * _ONE_DAY

blueprint = Blueprint("images", __name__)


@blueprint.get("/banners/<appid:appid>.<any(jpg, png, webp):suffix>")
def banner(appid: int, suffix: str) -> Response:
    """A local banner. Its file was found when the server started; nothing of the address reaches the file system."""
    image = _local(appid)
    if image.path.suffix.lower() != f".{suffix}" or not is_image_file(image.path):
        abort(404)
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) > 1:
        request.environ.pop("HTTP_RANGE", None)  # a server may ignore ranges (RFC 9110, section 14.2)
    return _kept(send_file(image.path, conditional=True), image.version)


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
