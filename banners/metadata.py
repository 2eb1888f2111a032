"""Remove metadata from image files before a decoder parses them: a megabyte of EXIF can cost it seconds and gigabytes.
Only the orientation is read, and a colour profile kept."""

import re
from collections.abc import Collection, Iterator
from zlib import crc32

from banners.errors import UnusableImage

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
MAX_PROFILE = 4_000_000  # bytes; printer profiles have two million

_MAX_EXIF = 65_536  # bytes, the limit of a JPEG's segment
_MAX_SEGMENTS = 500  # of a JPEG before its first scan; cameras write some thirty, and one for each 64 KB of a depth map
_MARKER = re.compile(rb"[^\xff]{0,10000}\xff{1,10000}([^\xff])", re.DOTALL)  # other bytes, fill, and the code
_SOS, _EOI, _APP2, _DQT = 0xDA, 0xD9, 0xE2, 0xDB
_MAX_TABLES = 65_536  # bytes of quantisation tables; four of these have 516
_FILL = b"\xff" * 100  # fill bytes in a scan; decoders need quadratic time for them
# Sizes, tables, and JFIF and Adobe, which define the colours. To Pillow C8, F0 and others are markers without a length.
_JPEG_PIXELS = frozenset({*range(0xC0, 0xD0), _SOS, _DQT, 0xDD, 0xE0, 0xEE}) - {0xC8}
_MAX_CHUNKS = 20_000  # of a PNG
_MAX_EXTRAS = 1_000  # chunks of a PNG beside its pixels
_MAX_STRICT = 50  # of these are left to a strict decoder; each may unpack to a megabyte
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"acTL", b"fcTL", b"fdAT"})
_PNG_COLOURS = frozenset({b"tRNS", b"iCCP"})
_WEBP_EXIF = re.compile(rb"EXIF....(?:Exif\0\0)?(?=II\*\0|MM\0\*)", re.DOTALL)  # the chunk's name and size


def without_metadata(
    data: bytes, colours: Collection[bytes] = _PNG_COLOURS, *, strict: bool = False
) -> tuple[bytes, int]:
    """A JPEG or PNG without its metadata, or other data as they are; and the EXIF orientation, 1..8.

    `colours` are the chunks that a PNG keeps, with corrected checksums. With `strict` a PNG keeps up to
    `_MAX_STRICT` others, except EXIF, for a decoder to check. Raises `UnusableImage` for more than programs write.
    """
    if data.startswith(JPEG):
        return _jpeg(data)
    if data.startswith(PNG):
        return _png(data, colours, strict)
    exif = _WEBP_EXIF.search(data)  # Pillow's decoder of WebP parses nothing
    return data, _orientation(data[exif.end() : exif.end() + _MAX_EXIF]) if exif else 1


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (code, start, end) of each segment up to and including the first scan. Raises `UnusableImage` for too many
    of them, or one that has no length."""
    place = len(JPEG)
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.match(data, place)
        if marker is None:
            return
        start, code = marker.end() - 2, data[marker.end() - 1]
        length = int.from_bytes(data[start + 2 : start + 4])
        if code < 2 or 0xD0 <= code <= _EOI:
            length = 0  # these stand alone
        elif length < 2:
            break
        place = start + 2 + length
        yield code, start, place
        if code in (_SOS, _EOI):
            return
    raise UnusableImage("malformed: a JPEG with too much beside its picture")


def _jpeg(data: bytes) -> tuple[bytes, int]:
    chunks, exif, tables = [JPEG], b"", 0
    for code, start, end in jpeg_segments(data):
        content = data[start + 4 : end]
        tables += end - start if code == _DQT else 0
        if tables > _MAX_TABLES:
            raise UnusableImage("malformed: a JPEG of too many tables")
        if code in _JPEG_PIXELS or (code == _APP2 and content.startswith(b"ICC_PROFILE\0")):
            chunks.append(data[start : None if code == _SOS else end])  # with all scans
        elif content.startswith(b"Exif\0\0"):
            exif = exif or content
    if _FILL in chunks[-1]:
        chunks[-1] = re.sub(rb"\xff{100,}", b"\xff\xff", chunks[-1])
    return b"".join(chunks), _orientation(exif)


def _png(data: bytes, colours: Collection[bytes], strict: bool) -> tuple[bytes, int]:
    chunks, left, exif, extras, place = [PNG], set(colours), b"", 0, len(PNG)
    for _ in range(_MAX_CHUNKS):
        if place + 12 > len(data):
            break
        end = place + 12 + int.from_bytes(data[place : place + 4])
        kind, chunk, place = data[place + 4 : place + 8], data[place:end], end
        if kind == b"IEND":
            break
        extras += kind not in _PNG_PIXELS
        if kind == b"eXIf":
            exif = exif or chunk[8:-4]
        elif kind in _PNG_PIXELS or (strict and extras <= _MAX_STRICT):
            chunks.append(chunk)
        elif kind in left:
            left.remove(kind)  # there is one of each
            chunks.append(chunk[:-4] + crc32(chunk[4:-4]).to_bytes(4))
        if extras > _MAX_EXTRAS:
            raise UnusableImage("malformed: a PNG with too much beside its picture")
    else:
        raise UnusableImage("malformed: a PNG of too many pieces")
    is_cut_short = place > len(data)
    return b"".join(chunks) + (b"" if is_cut_short else _PNG_END), _orientation(exif)


def _orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 where it is not given. See EXIF 2.32, section 4.6.5, and TIFF 6.0, section 2."""
    exif = exif.removeprefix(b"Exif\0\0")[:_MAX_EXIF]
    is_little = exif.startswith(b"II*\0")
    if not is_little and not exif.startswith(b"MM\0*"):
        return 1

    def number(place: int, size: int) -> int:
        return int.from_bytes(exif[place : place + size], "little" if is_little else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, min(directory + 2 + 12 * number(directory, 2), len(exif)), 12):
        if number(entry, 2) == 0x0112:
            value = number(entry + 8, 4 if number(entry + 2, 2) == 4 else 2)  # LONG or SHORT
            return value if 1 <= value <= 8 else 1
    return 1
