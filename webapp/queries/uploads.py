"""Pictures that strangers send. What would cost a decoder more than a picture is worth is refused before it runs."""

import threading
from io import BytesIO

from PIL import Image

from banners.errors import UnusableImage
from banners.images import decode
from banners.metadata import JPEG, jpeg_segments, without_metadata

MAX_BYTES = 10_000_000
MAX_PIXELS = 9_000_000  # decoded, a screenshot in 4K; of most JPEGs after they were shrunk while they were decoded
SMALLER = "Make it smaller: 600x900 is enough."
_MAX_SCANS = 100  # of a JPEG; cameras write ten
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers of a JPEG's sizes (SOF)
_SCAN = 0xDA

_one_at_a_time = threading.Lock()  # decoded pictures are large


def decode_upload(data: bytes, side: int) -> Image.Image:
    """An upright RGB image, no smaller than `side` pixels a side if the picture was not. Raises `UnusableImage`."""
    if not data:
        raise UnusableImage("there is no picture in it")
    if data.startswith(JPEG):
        _check_jpeg(data)
    with _one_at_a_time:
        return decode(BytesIO(data), MAX_PIXELS, allow_animated=True, shrink_to=side)


def is_animated(data: bytes) -> bool:
    """Whether a picture that can be decoded is an animation, of which only the first frame is looked at."""
    try:
        with Image.open(BytesIO(without_metadata(data)[0]), formats=("PNG", "WEBP")) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # a JPEG, or odd beside its pixels
        return False


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
        # The decoder holds all coefficients of a picture whose first scan has not all its components.
        if code == _SCAN and data[start + 4 : start + 5] != components and pixels > MAX_PIXELS:
            raise UnusableImage(f"oversized: above {MAX_PIXELS // 1_000_000} megapixels in several scans")
