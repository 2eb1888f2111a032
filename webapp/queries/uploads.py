"""Pictures that strangers send. A file that would cost a decoder too much is refused before decoding."""

import threading
from dataclasses import dataclass
from io import BytesIO

from flask import request
from PIL import Image, ImageOps
from werkzeug.exceptions import RequestEntityTooLarge

from banners.errors import BadInput, UnusableImage
from banners.images import decode
from banners.metadata import JPEG, jpeg_segments, without_metadata
from webapp.limits import charge, discard_body, receiving
from webapp.queries.parts import QueryPart, encode_vector
from webapp.site import Site

MAX_BYTES = 10_000_000
_COST = 3.0  # of an upload, in queries
_LEAST_SIDE = 640  # pixels that are left of a large picture: twice what the network of local features sees
MAX_PIXELS = 9_000_000  # decoded, as a 4K screenshot; for most JPEGs, after they are shrunk while decoding
SMALLER = "Make it smaller: 600x900 is enough."
_MAX_SCANS = 100  # of a JPEG; cameras write ten
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers of a JPEG's sizes (SOF)
_SCAN = 0xDA

_one_at_a_time = threading.Lock()  # decoded pictures are large


@dataclass(frozen=True)
class Upload:
    """A picture that was sent. `image` is an upright RGB image, perhaps smaller than `size`: width and height as they
    were sent. `is_animated`: it is the first frame of an animation."""

    image: Image.Image
    size: tuple[int, int]
    is_animated: bool

    def middle(self, shape: tuple[int, int]) -> Image.Image:
        """The largest middle of the picture in the shape of `shape`, width and height."""
        scale = min(side / own for side, own in zip(self.image.size, shape, strict=True))
        width, height = (max(1, round(scale * side)) for side in shape)
        return ImageOps.fit(self.image, (width, height))


def received(site: Site) -> Upload:
    """This request's picture, no larger than what is needed of it.

    Raises `UnusableImage`, `CannotAnswer`, and errors of HTTP for too large a file or too many of them.
    """
    encoder = site.query_encoder
    side = max(_LEAST_SIDE, 2 * max(encoder.preprocessing.height, encoder.preprocessing.width))
    with receiving():
        data = _received()
        charge(_COST)
        image = decode_upload(data, side)
        return Upload(image, *header_of(data, image))


def embed(site: Site, image: Image.Image) -> QueryPart:
    """A picture as a part of a query."""
    return QueryPart("picture", encode_vector(site, site.query_encoder.picture(image)))


def _received() -> bytes:
    """The picture, sent in the field "picture" of a form or as the body itself. More than `MAX_BYTES` are a 413."""
    request.max_content_length = MAX_BYTES + 10_000  # for the form around it
    data: bytes | None
    try:
        if request.mimetype == "multipart/form-data":
            file = request.files.get("picture")
            data = b"" if file is None else file.read(MAX_BYTES + 1)
        else:
            data = request.get_data(cache=False)
    except OSError:  # gunicorn's error for a malformed body
        raise BadInput("The request body is malformed.") from None
    except RequestEntityTooLarge:
        if request.content_length is not None and request.content_length <= MAX_BYTES:
            raise BadInput("The form has too many fields, or a text field is too long.") from None
        data = None
    if data is None or len(data) > MAX_BYTES:
        discard_body(20)
        raise RequestEntityTooLarge(
            f"A picture may be at most {MAX_BYTES // 1_000_000} MB. Make it smaller: 600x900 is enough."
        )
    return data


def decode_upload(data: bytes, side: int) -> Image.Image:
    """An upright RGB image, no smaller than `side` pixels a side if the picture was not. Raises `UnusableImage`."""
    if not data:
        raise UnusableImage("there is no picture in it")
    if data.startswith(JPEG):
        _check_jpeg(data)
    with _one_at_a_time:
        image = decode(BytesIO(data), MAX_PIXELS, allow_animated=True, shrink_to=side)
        factor = min(image.size) // side
        return image.reduce(factor) if factor > 1 else image


def header_of(data: bytes, image: Image.Image) -> tuple[tuple[int, int], bool]:
    """Width and height of a picture that was decoded to `image`, which is upright and may be smaller, and whether it is
    an animation, of which only the first frame is looked at."""
    try:
        with Image.open(BytesIO(without_metadata(data)[0]), formats=("JPEG", "PNG", "WEBP")) as header:
            (width, height), frames = header.size, getattr(header, "n_frames", 1) if header.format != "MPO" else 1
    except Exception:  # odd beside its pixels
        return image.size, False
    is_turned = (width > height) != (image.width > image.height)
    return ((height, width) if is_turned else (width, height)), frames > 1


def reason(error: UnusableImage) -> str:
    """The message for the sender of an unusable picture."""
    text = str(error)
    advice = SMALLER if text.startswith("oversized") else "Send a JPEG, PNG or WebP."
    return f"{text[:1].upper()}{text[1:]}. {advice}"


def _check_jpeg(data: bytes) -> None:
    if data.count(b"\xff\xda") > _MAX_SCANS:
        raise UnusableImage(f"malformed: a JPEG of more than {_MAX_SCANS} scans")
    pixels, components = 0, b""
    for code, start, _ in jpeg_segments(data):
        if code in _FRAMES:
            pixels = int.from_bytes(data[start + 5 : start + 7]) * int.from_bytes(data[start + 7 : start + 9])
            components = data[start + 9 : start + 10]
        # If the first scan lacks a component, the decoder holds the coefficients of the whole picture.
        if code == _SCAN and data[start + 4 : start + 5] != components and pixels > MAX_PIXELS:
            raise UnusableImage(f"oversized: above {MAX_PIXELS // 1_000_000} megapixels in several scans")
