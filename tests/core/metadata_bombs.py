"""Pictures of a few pixels with as much beside these as decoders can be made to work on, in files of up to 10 MB."""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_SIZE = (64, 96)
_PNG_HEADER = 33  # bytes


def _encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", _SIZE, "red").save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def segment(code: int, content: bytes) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def png(*extras: bytes) -> bytes:
    whole = _encoded("PNG")
    return whole[:_PNG_HEADER] + b"".join(extras) + whole[_PNG_HEADER:]


def jpeg(*extras: bytes) -> bytes:
    whole = _encoded("JPEG")
    return whole[:2] + b"".join(extras) + whole[2:]


def webp(*extras: bytes) -> bytes:
    """A WebP in the extended form, with further chunks at its end."""
    lossy = _encoded("WEBP")[12:]
    sides = b"".join((side - 1).to_bytes(3, "little") for side in _SIZE)
    body = b"WEBP" + riff(b"VP8X", b"\x2c\0\0\0" + sides) + lossy + b"".join(extras)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def directory(*entries: tuple[int, int, int, int]) -> bytes:
    """An image file directory of TIFF: tag, type, count, value or place of each entry."""
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", *one) for one in entries) + bytes(4)


def overlapping(count: int) -> bytes:
    """EXIF of orientation 6 whose directories name the same `count` numbers again and again."""
    exif = bytearray(b"II*\0\x08\0\0\0").ljust(512, b"\0")
    for place, part in (
        (8, directory((0x111, 3, count, 512), (0x112, 3, 1, 6), (0x8769, 4, 1, 128), (0x8825, 4, 1, 256))),
        (128, directory((0x9999, 3, count, 512), (0xA005, 4, 1, 384))),
        (256, directory((5, 3, count, 512))),
        (384, directory((0x1001, 3, count, 512))),
    ):
        exif[place : place + len(part)] = part
    return bytes(exif) + b"\1\2" * count


def fractions(size: int) -> bytes:
    """EXIF of orientation 6 whose unit of resolution are so many bytes of fractions; Pillow makes a number of each."""
    count = (size - 64) // 8
    entries = directory((0x112, 3, 1, 6), (0x128, 5, count, 64))
    return (b"II*\0\x08\0\0\0" + entries).ljust(64, b"\0") + b"\1\0\0\0\2\0\0\0" * count


def many_tags(size: int) -> bytes:
    """EXIF of orientation 6 whose directory names the second half of it once for each tag."""
    half = size // 2
    entries = [(0x112, 3, 1, 6), *((0x2000 + tag, 7, half, half) for tag in range(min(half // 12 - 2, 50_000)))]
    return (b"II*\0\x08\0\0\0" + directory(*entries)).ljust(2 * half, b"\0")


def profile(elements: int) -> bytes:
    """An ICC profile of so many elements of processing for each colour, all of them the same matrix."""
    matrix = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    place = 16 + 8 * elements
    steps = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, elements)
    steps += struct.pack(">II", place, len(matrix)) * elements + matrix
    text = "wide".encode("utf-16-be")
    name = b"mluc" + bytes(4) + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(text), 28) + text
    header = bytearray(128)
    header[8:24] = b"\4\x20\0\0mntrRGB XYZ "
    header[36:40], header[68:80] = b"acsp", struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2) + b"desc" + struct.pack(">II", start, len(name))
    tags += b"D2B0" + struct.pack(">II", start + len(name), len(steps))
    whole = bytearray(header + tags + name + steps)
    whole[:4] = struct.pack(">I", len(whole))
    return bytes(whole)


def _profile_segments(data: bytes) -> Iterator[bytes]:
    parts = [data[start : start + 65_000] for start in range(0, len(data), 65_000)]
    for number, part in enumerate(parts, 1):
        yield segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)


_EXIF = b"Exif\0\0"
_PROFILE = profile(20_000)
_LARGE = bytes(9_000_000)
_TEXT = b"x\0\0" + zlib.compress(bytes(1_000_000))
_PARTS = [fractions(9_300_000)[start : start + 65_500] for start in range(0, 9_300_000, 65_500)]
_FRACTIONS = [segment(0xE1, _EXIF + part) for part in _PARTS]  # Pillow joins them

# A decoder that sees these needs more than 0.3 s or 60 MB.
BOMBS = {
    "PNG, EXIF": png(chunk(b"eXIf", overlapping(4_849_744))),
    "PNG, profile": png(chunk(b"iCCP", b"x\0\0" + zlib.compress(_PROFILE))),
    "PNG, profiles": png(*[chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**6)))] * 900),
    "JPEG, EXIF": jpeg(*_FRACTIONS),
    "JPEG, EXIF behind fill": jpeg(b"\xff" * 9_000, *_FRACTIONS),
    "JPEG, profile": jpeg(*_profile_segments(_PROFILE)),
    "WebP, EXIF": webp(riff(b"EXIF", overlapping(4_400_000))),
    "WebP, profile": webp(riff(b"ICCP", _PROFILE)),
}
# Pillow takes these easily, or refuses them.
LARGE = {
    "PNG, EXIF of many tags": png(chunk(b"eXIf", many_tags(200_000))),
    "JPEG, EXIF behind a byte": jpeg(b"\0", *_FRACTIONS),
    "JPEG, EXIF of many tags": jpeg(segment(0xE1, _EXIF + many_tags(65_500))),
    "WebP, EXIF of many tags": webp(riff(b"EXIF", many_tags(200_000))),
    "PNG, texts": png(*[chunk(b"zTXt", b"%d" % number + _TEXT) for number in range(49)]),
    "PNG, XMP": png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<tiff:Orientation="' * 450_000)),
    "PNG, text of the orientation": png(
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 9000000\n" + b"4d" * 4_500_000)
    ),
    "JPEG, XMP": jpeg(*[segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<x>" * 21_000)] * 140),
    "JPEG, comments": jpeg(*[segment(0xFE, bytes(65_500))] * 140),
    "JPEG, pictures beside it": jpeg(segment(0xE2, b"MPF\0" + many_tags(65_500))),
    "JPEG, fill in its scan": _encoded("JPEG")[:-2] + b"\xff" * 9_800_000 + b"\xff\xd9",
    "WebP, XMP": webp(riff(b"XMP ", b'<tiff:Orientation="' * 450_000)),
    "WebP, large profile": webp(riff(b"ICCP", _LARGE)),
    "WebP, unknown": webp(riff(b"zzZz", _LARGE)),
}
# These are refused, at once.
MALFORMED = {
    "JPEG, EXIF behind an end": jpeg(b"\xff\xd9", *_FRACTIONS),
    "JPEG, EXIF behind a segment without a length": jpeg(b"\xff\xef\0\0", *_FRACTIONS),
    "JPEG, markers that stand alone": jpeg(b"\0", b"\xff\xd0" * 4_900_000),
    "JPEG, escaped bytes": jpeg(b"\0", b"\xff\0" * 4_900_000),
    "JPEG, tables": jpeg(*[segment(0xDB, (b"\0" + b"\1" * 64) * 1_007)] * 150),
    "PNG, pieces": png(*[chunk(b"IDAT", b"")] * 49_000),
    "JPEG, fill behind a byte": jpeg(b"\0", b"\xff" * 9_900_000),
}
