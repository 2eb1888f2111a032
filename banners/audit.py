"""Find problems in a banners folder. Each image is examined once; pure checks read the result.

Nothing is moved or changed. Examining needs the file; everything after it needs only the frozen `Examination`.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import cast

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from banners.errors import UnusableImage, one_line
from banners.games_csv import Banner, BannersFolder
from banners.groups import connected, group_identical, members
from banners.images import FORMATS, check_size, mend, read, to_rgb
from banners.metadata import without_metadata
from banners.processes import begin_worker

_BATCH = 32  # banners examined by a process at a time
_HASH_SIDE, _HASH_INPUT = 8, 32


@dataclass(frozen=True, slots=True)
class Examination:
    """One image file. If it cannot be decoded, `trouble` says why and the fields after `is_truncated` are empty.

    `flaw` is a strict decoder's complaint about a file that can still be embedded. `content` is the SHA-256 of the
    file. `mode` is Pillow's, before any conversion. `blank_level` is the grey level 0..255 of an image whose pixels are
    all the same, None for others. `contrast` is the standard deviation of the grey levels after reducing the image to
    32x32, `perceptual_hash` 64 bits made of the same.
    """

    appid: int
    file: str
    content: bytes
    trouble: str = ""
    is_truncated: bool = False
    flaw: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    has_alpha: bool = False
    frames: int = 1
    orientation: int = 1
    blank_level: int | None = None
    contrast: float = 0.0
    perceptual_hash: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """`appid` is None where the file's name gives none; `file` is "" if there is no file."""

    kind: str
    appid: int | None
    file: str
    detail: str


# -- examining ------------------------------------------------------------------------------------------------------


def examine_all(banners: Sequence[Banner], workers: int) -> Iterator[Examination]:
    """Examine banners by worker processes, in their order."""
    with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:
        yield from pool.map(examine, banners, chunksize=_BATCH)


def examine(banner: Banner) -> Examination:
    """Read and decode a banner, and measure what the checks need."""
    appid, file = banner.appid, banner.path.name
    try:
        data = read(banner.path)
    except UnusableImage as error:
        return Examination(appid, file, b"", str(error))
    content = hashlib.sha256(data).digest()
    try:
        return _measured(appid, file, content, *without_metadata(data, strict=True))
    except Exception as error:  # the decoders raise many types
        flaw = one_line(error)
    try:  # as it is embedded
        return replace(_measured(appid, file, content, *mend(data), is_strict=False), flaw=flaw)
    except UnusableImage as error:
        return Examination(appid, file, content, str(error), _is_truncated(data))


def _measured(
    appid: int, file: str, content: bytes, data: bytes, orientation: int, is_strict: bool = True
) -> Examination:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        check_size(image)
        mode, has_alpha = _mode_of(image), image.has_transparency_data
        if is_strict and image.format == "JPEG" and mode in ("RGB", "L"):
            grey = _jpeg_levels(data)
        else:
            grey = (image if mode in ("RGB", "L") else to_rgb(image)).convert("L")
        low, high = cast(tuple[int, int], grey.getextrema())  # of one channel
        # Colours may differ where the grey levels are the same.
        is_blank = low == high and not np.ptp(np.asarray(to_rgb(image)), axis=(0, 1)).any()
        factors = (max(1, image.width // _HASH_INPUT), max(1, image.height // _HASH_INPUT))
        reduced = np.asarray(grey.reduce(factors).resize((_HASH_INPUT, _HASH_INPUT), Image.Resampling.BOX), np.float32)
        return Examination(
            appid,
            file,
            content,
            size=image.size,
            mode=mode,
            has_alpha=has_alpha,
            frames=getattr(image, "n_frames", 1),
            orientation=orientation,
            blank_level=low if is_blank else None,
            contrast=float(reduced.std()),
            perceptual_hash=_perceptual_hash(reduced),
        )


def _jpeg_levels(data: bytes) -> Image.Image:
    """The grey levels of a JPEG, which it stores apart from the colours. Every bit is read, no colour is computed.

    Raises `ValueError` for damaged pixel data. Pillow would decode such a file without an error.
    """
    return Image.fromarray(simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)[..., 0])


def _mode_of(image: Image.Image) -> str:
    """Pillow's mode; a PNG of 16 bits a colour channel, which Pillow opens as 8, is named after its header."""
    tile = getattr(image, "tile", None)
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and tile and "16" in str(tile[0].args):
        return f"{image.mode};16"
    return image.mode


def _is_truncated(data: bytes) -> bool:
    """Whether a file that could not be decoded lacks the end that its format demands."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data[-64:]
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-64:]
    if data.startswith(b"RIFF") and len(data) >= 8:
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False


# The first rows of the type-II discrete cosine transform: float32 (8, 32).
_ANGLES = np.outer(np.arange(_HASH_SIDE), np.arange(1, 2 * _HASH_INPUT, 2)) * np.pi / (2 * _HASH_INPUT)
_COSINES = np.cos(_ANGLES).astype(np.float32)
_BITS = 1 << np.arange(_HASH_SIDE**2, dtype=np.uint64)


def _perceptual_hash(reduced: npt.NDArray[np.float32]) -> int:
    """The pHash of grey levels float32 (32, 32): which of the 64 lowest frequencies lie above their median.

    See C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1.
    """
    frequencies = (_COSINES @ reduced @ _COSINES.T).ravel()
    return int(_BITS[frequencies > np.median(frequencies)].sum())


# -- checks ---------------------------------------------------------------------------------------------------------

KINDS = (
    *(
        "table",
        "misnamed",
        "unreadable",
        "truncated",
        "flawed",
        "size",
        "aspect",
        "channels",
        "blank",
        "near_blank",
        "exif_rotation",
    ),
    *("animated", "duplicate", "near_duplicate", "missing_name", "missing_banner"),
)


def _details(image: Examination, size: tuple[int, int], near_blank: float) -> Iterator[tuple[str, str]]:
    """The kinds of findings about one image, and the detail of each. `size` is the expected one."""
    if image.trouble:
        yield "truncated" if image.is_truncated else "unreadable", image.trouble
        return
    (width, height), (expected_width, expected_height) = image.size, size
    if image.flaw:
        yield "flawed", image.flaw
    if image.size != size:
        yield "size", f"{width}x{height} instead of {expected_width}x{expected_height}"
    if abs(width * expected_height - height * expected_width) > max(size):  # more than the rounding of a resized image
        yield "aspect", f"{width / height:.3f} instead of {expected_width / expected_height:.3f}"
    if image.mode != "RGB" or image.has_alpha:
        yield "channels", f"{image.mode}{' with transparency' if image.has_alpha and 'A' not in image.mode else ''}"
    if image.blank_level is not None:
        yield "blank", f"all pixels are {image.blank_level} of 255"
    elif image.contrast < near_blank:
        yield "near_blank", f"contrast {image.contrast:.2f} of 255"
    if image.orientation != 1:
        yield "exif_rotation", f"orientation {image.orientation}"
    if image.frames > 1:
        yield "animated", f"{image.frames} frames"


def find(
    folder: BannersFolder,
    images: Sequence[Examination],
    size: tuple[int, int] | None = None,
    near_blank: float = 2.0,
    near_duplicate: int = 4,
) -> list[Finding]:
    """All findings, in the order of `KINDS` and then of the appids.

    `size` None takes the most frequent one. `near_blank` is a contrast in grey levels, `near_duplicate` a distance in
    bits (of 64), below 0 to leave near duplicates out.
    """
    if size is None:
        sizes = Counter(image.size for image in images if not image.trouble)
        size = max(sizes, key=sizes.__getitem__, default=(0, 0))
    troubles = (*([folder.no_table] if folder.no_table else []), *folder.left_out, *folder.unread)
    findings = [Finding("table", None, "games.csv", trouble) for trouble in troubles]
    findings += [Finding("misnamed", None, name, reason) for name, reason in folder.misnamed]
    findings += [_of(kind, image, detail) for image in images for kind, detail in _details(image, size, near_blank)]
    findings += _groups(
        "duplicate", images, group_identical([image.content or row for row, image in enumerate(images)])
    )
    if near_duplicate >= 0:
        findings += _groups("near_duplicate", images, near_duplicates(images, near_duplicate))
    findings += [
        Finding("missing_name", image.appid, image.file, "")
        for image in images
        if image.appid not in folder.games or not folder.games[image.appid].name
    ]
    findings += [Finding("missing_banner", appid, "", folder.games[appid].name) for appid in folder.rows_without_banner]
    return sorted(findings, key=lambda finding: (KINDS.index(finding.kind), finding.appid or 0, finding.file))


def _of(kind: str, image: Examination, detail: str) -> Finding:
    return Finding(kind, image.appid, image.file, detail)


def _groups(kind: str, images: Sequence[Examination], groups: npt.NDArray[np.int32]) -> Iterator[Finding]:
    """A finding for each member of each group. A near duplicate group of identical files is left out. The detail names
    the group's first appid and its size."""
    for group in members(groups):
        if kind == "duplicate" or len({images[row].content for row in group}) > 1:
            for row in group:
                yield _of(kind, images[row], f"group {images[group[0]].appid} of {len(group)}")


def near_duplicates(images: Sequence[Examination], distance: int = 4) -> npt.NDArray[np.int32]:
    """Groups of near duplicates, see `banners.groups`: int32 (n,). Two images whose perceptual hashes differ in at most
    `distance` bits of 64 are in one group. Blank and unreadable images are alone: their hash says nothing."""
    told = [row for row, image in enumerate(images) if not image.trouble and image.blank_level is None]
    hashes, inverse = np.unique(np.array([images[row].perceptual_hash for row in told], np.uint64), return_inverse=True)
    joined = np.arange(len(images), dtype=np.int32)
    first: dict[int, int] = {}
    for row, group in zip(told, connected(len(hashes), near_pairs(hashes, distance))[inverse].tolist(), strict=True):
        joined[row] = first.setdefault(group, row)
    return joined


def near_pairs(hashes: npt.NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    """Pairs of indices into distinct `hashes` uint64 (n,) that differ in at most `distance` bits; some come twice.

    The 64 bits are cut into `distance` + 1 pieces. Two hashes of a pair are equal in at least one of these, so only
    hashes that are equal in a piece are compared.
    """
    edges = np.linspace(0, 64, distance + 2).astype(np.uint64)
    for low, high in itertools.pairwise(edges):
        pieces = hashes << (np.uint64(64) - high) >> (np.uint64(64) - high + low)
        order = np.argsort(pieces, kind="stable")
        ordered, pieces = hashes[order], pieces[order]
        ends = np.searchsorted(pieces, pieces, side="right")
        rows = np.arange(len(hashes))
        for step in itertools.count(1):
            rows = rows[rows + step < ends[rows]]
            if not len(rows):
                break
            near = rows[np.bitwise_count(ordered[rows] ^ ordered[rows + step]) <= distance]
            yield from zip(order[near].tolist(), order[near + step].tolist(), strict=True)
