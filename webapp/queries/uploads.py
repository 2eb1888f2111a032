"""Pictures that strangers send. What would cost a decoder more than a picture is worth is refused before it runs."""

import threading
from io import BytesIO

from PIL import Image

from banners.errors import UnusableImage
from banners.images import decode

MAX_BYTES = 10_000_000
MAX_PIXELS = 9_000_000  # decoded, a screenshot in 4K; of most JPEGs after they were shrunk while they were decoded
SMALLER = "Make it smaller: 600x900 is enough."
# Of a JPEG: cameras write ten scans, some thirty segments before the first, and no bytes between these.
_MAX_SCANS = 100
_MAX_SEGMENTS = 500
_MAX_BETWEEN = 10_000
_FRAMES = frozenset(bytes([code]) for code in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}  # SOF markers
# Of a PNG: what is no part of the pixels may be compressed, a megabyte each; and all of them.
_MAX_EXTRAS = 100
_MAX_CHUNKS = 50_000

_one_at_a_time = threading.Lock()  # decoded pictures are large


def decode_upload(data: bytes, side: int) -> Image.Image:
    """An upright RGB image, no smaller than `side` pixels a side if the picture was not. Raises `UnusableImage`."""
    if not data:
        raise UnusableImage("there is no picture in it")
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(data)
    with _one_at_a_time:
        return decode(BytesIO(data), MAX_PIXELS, allow_animated=True, shrink_to=side)


def is_animated(data: bytes) -> bool:
    """Whether a picture that can be decoded is an animation, of which only the first frame is looked at."""
    try:
        with Image.open(BytesIO(data), formats=("PNG", "WEBP")) as image:
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
    place, between, pixels, components = 2, 0, 0, b""
    for _ in range(_MAX_SEGMENTS):
        start = data.find(b"\xff", place)
        if start < 0:
            return
        marker = start
        while data[marker : marker + 1] == b"\xff" and marker - start <= _MAX_BETWEEN:  # any number of them may fill
            marker += 1
        between += marker - place - 1
        if between > _MAX_BETWEEN:
            break
        code = data[marker : marker + 1]
        if code in _FRAMES:
            pixels = int.from_bytes(data[marker + 4 : marker + 6]) * int.from_bytes(data[marker + 6 : marker + 8])
            components = data[marker + 8 : marker + 9]
        # The decoder holds all coefficients of a picture whose first scan has not all its components.
        if code == b"\xda" and data[marker + 3 : marker + 4] != components and pixels > MAX_PIXELS:
            raise UnusableImage(f"oversized: above {MAX_PIXELS // 1_000_000} megapixels in several scans")
        if code in (b"", b"\xd9", b"\xda"):  # the end, or the first scan: the rest is the decoder's, in C
            return
        is_alone = code in b"\x00\x01" or b"\xd0" <= code <= b"\xd8"
        place = marker + 1 + (0 if is_alone else int.from_bytes(data[marker + 1 : marker + 3]))
    raise UnusableImage("malformed: a JPEG with too much beside its picture")


def _check_png(data: bytes) -> None:
    place, extras = 8, 0
    for _ in range(_MAX_CHUNKS):
        kind = data[place + 4 : place + 8]
        if kind in (b"", b"IEND"):
            return
        extras += kind != b"IDAT"
        if extras > _MAX_EXTRAS:
            break
        place += 12 + int.from_bytes(data[place : place + 4])
    raise UnusableImage("malformed: a PNG with too much beside its picture")
