"""Local banners, and the aspect of the catalogue's images."""

from flask import Blueprint, Response, abort, request, send_file

from banners.images import is_image_file
from webapp.current import catalogue

blueprint = Blueprint("images", __name__)


@blueprint.get("/banners/<appid:appid>.<any(jpg, png, webp):suffix>")
def banner(appid: int, suffix: str) -> Response:
    """A local banner. Its file was found when the server started; nothing of the address reaches the file system."""
    path = catalogue().local_images.get(appid)
    if path is None or path.suffix.lower() != f".{suffix}" or not is_image_file(path):
        abort(404)
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) > 1:
        request.environ.pop("HTTP_RANGE", None)  # a server may ignore ranges (RFC 9110, section 14.2)
    return send_file(path, conditional=True, max_age=86_400)


@blueprint.get("/aspect.css")
def aspect() -> Response:
    """The aspect of the catalogue's images. A style attribute would need a weaker Content-Security-Policy."""
    width, height = catalogue().image_size
    response = Response(f":root {{ --aspect: {width} / {height}; }}\n", mimetype="text/css")
    if request.args.get("v") == f"{width}x{height}":  # as pages name it
        response.cache_control.public = True
        response.cache_control.max_age = 31_536_000
    return response
