"""Find problems in a banners folder. Each image is examined once; pure checks read the result.

Nothing is moved or changed. Examining needs the file; everything after it needs only the frozen `Examination`.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from banners.catalogue.measures import connected
from banners.errors import UnusableImage, one_line
from banners.games_csv import Banner, BannersFolder
from banners.images import FORMATS, MAX_ASPECT, MAX_PIXELS, read, to_rgb
from banners.processes import begin_worker

_BATCH = 32  # banners examined by a process at a time
_HASH_SIDE, _HASH_INPUT = 8, 32
_NOTHING = np.zeros((_HASH_INPUT, _HASH_INPUT), np.float32)
_ORIENTATION = 0x0112  # the EXIF tag; 1 means upright


@dataclass(frozen=True)
class Examination:
    """The properties of one image file. If it cannot be decoded, `trouble` says why and the fields after it are empty.

    `content` is the SHA-256 of the file. `mode` is Pillow's, before any conversion. `blank_level` is the grey level
    0..255 of an image whose pixels are all the same, None for others. `contrast` is the standard deviation of the grey
    levels after reducing the image to 32x32, `perceptual_hash` 64 bits made of the same.
    """

    appid: int
    file: str
    content: bytes
    trouble: str = ""
    is_truncated: bool = False
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    has_alpha: bool = False
    frames: int = 1
    orientation: int = 1
    blank_level: int | None = None
    contrast: float = 0.0
    perceptual_hash: int = 0


@dataclass(frozen=True)
class Expectations:
    """The limits of the checks. `size` None takes the most frequent one. `near_blank` is a contrast in grey levels,
    `near_duplicate` a distance in bits (of 64), below 0 to leave near duplicates out."""

    size: tuple[int, int] | None = None
    near_blank: float = 2.0
    near_duplicate: int = 4


@dataclass(frozen=True)
class Finding:
    """`appid` is None where the file's name gives none; `file` is "" if there is no file."""

    kind: str
    appid: int | None
    file: str
    detail: str


# -- examining ------------------------------------------------------------------------------------------------------


def examine_all(
    banners: Sequence[Banner], workers: int, on_progress: Callable[[int], object] = lambda _: None
) -> list[Examination]:
    """Examine banners by worker processes, in their order. `on_progress` is called with numbers of examined ones."""
    images: list[Examination] = []
    with ProcessPoolExecutor(workers, initializer=begin_worker) as pool:
        batches = (banners[start : start + _BATCH] for start in range(0, len(banners), _BATCH))
        for some in pool.map(examine, batches):
            images += some
            on_progress(len(some))
    return images


def examine(banners: Sequence[Banner]) -> list[Examination]:
    """Read and decode some banners, and measure what the checks need."""
    looks = [_look_at(banner) for banner in banners]
    reduced = np.stack([grey for _, grey in looks]) if looks else np.empty((0, _HASH_INPUT, _HASH_INPUT), np.float32)
    measures = zip(looks, reduced.std(axis=(1, 2)).tolist(), _perceptual_hashes(reduced).tolist(), strict=True)
    return [
        image if image.trouble else replace(image, contrast=contrast, perceptual_hash=perceptual_hash)
        for (image, _), contrast, perceptual_hash in measures
    ]


def _look_at(banner: Banner) -> tuple[Examination, npt.NDArray[np.float32]]:
    """One banner but for what is measured on its reduced grey levels, and these: float32 (32, 32)."""
    appid, file = banner.appid, banner.path.name
    try:
        data = read(banner.path)
    except UnusableImage as error:
        return Examination(appid, file, b"", str(error)), _NOTHING
    content = hashlib.sha256(data).digest()
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                trouble = f"{image.width}x{image.height} is too large to decode"
                return Examination(appid, file, content, trouble), _NOTHING
            mode, has_alpha = _mode_of(image), image.has_transparency_data
            frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
            if max(image.size) > MAX_ASPECT * min(image.size):
                trouble = f"{image.width}x{image.height} is beyond {MAX_ASPECT}:1"
                return Examination(appid, file, content, trouble), _NOTHING
            orientation = _orientation_of(image)
            if image.format in ("JPEG", "MPO") and mode in ("RGB", "L"):
                whole = _jpeg_levels(data)
            else:
                whole = (image if mode in ("RGB", "L") else to_rgb(image)).convert("L")
            factors = (max(1, image.width // _HASH_INPUT), max(1, image.height // _HASH_INPUT))
            grey = whole.reduce(factors).resize((_HASH_INPUT, _HASH_INPUT), Image.Resampling.BOX)
            level = _blank_level(whole, grey)
            examination = Examination(
                appid,
                file,
                content,
                size=image.size,
                mode=mode,
                has_alpha=has_alpha,
                frames=frames,
                orientation=orientation,
                blank_level=None if level is None or _has_colours(data) else level,
            )
            return examination, np.asarray(grey, np.float32)
    except UnidentifiedImageError:
        return Examination(appid, file, content, "not a JPEG, PNG or WebP image" if data else "empty file"), _NOTHING
    except Exception as error:  # the decoders raise many types
        reason = one_line(error)
        return Examination(appid, file, content, reason, is_truncated=_is_truncated(data)), _NOTHING


def _jpeg_levels(data: bytes) -> Image.Image:
    """The grey levels of a JPEG, which stores them apart from the colours: every bit is read, no colour is made.

    Raises `ValueError` for damaged pixel data. Pillow would decode such a file without an error.
    """
    return Image.fromarray(simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)[..., 0])


def _blank_level(whole: Image.Image, reduced: Image.Image) -> int | None:
    """The grey level that all pixels of `whole` have, None if they differ. `reduced` is the same image made small, and
    spares a look at every pixel of nearly all images."""
    for image in (reduced, whole):
        extrema: Any = image.getextrema()  # a pair, for one channel
        if extrema[0] != extrema[1]:
            return None
    return int(extrema[0])


def _has_colours(data: bytes) -> bool:
    """Whether an image of one grey level differs in colour, which grey levels do not show."""
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        extrema: Any = to_rgb(image).getextrema()  # a pair for each channel
    return any(low != high for low, high in extrema)


def _orientation_of(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if it is not given or cannot be read."""
    if "exif" not in image.info:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # malformed metadata
        return 1
    return orientation if isinstance(orientation, int) else 1


def _mode_of(image: Image.Image) -> str:
    """Pillow's mode; a PNG of 16 bits a colour channel, which Pillow opens as 8, is named after its header."""
    tile = getattr(image, "tile", None)
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA") and tile and "16" in str(tile[0].args):
        return f"{image.mode};16"
    return image.mode


def _is_truncated(data: bytes) -> bool:
    """Whether the end that its format demands is missing, of a file that could not be decoded."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data[-64:]
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-64:]
    if data.startswith(b"RIFF") and len(data) >= 8:
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False


def _cosines() -> npt.NDArray[np.float32]:
    """The first rows of the type-II discrete cosine transform: float32 (8, 32)."""
    frequencies, samples = np.arange(_HASH_SIDE)[:, None], np.arange(_HASH_INPUT)[None, :]
    return np.cos(np.pi * (2 * samples + 1) * frequencies / (2 * _HASH_INPUT)).astype(np.float32)


_COSINES = _cosines()
_BITS = 1 << np.arange(_HASH_SIDE**2, dtype=np.uint64)


def _perceptual_hashes(reduced: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """The pHash of grey levels float32 (n, 32, 32): which of the 64 lowest frequencies lie above their median.

    See C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1.
    """
    frequencies = (_COSINES @ reduced @ _COSINES.T).reshape(-1, _HASH_SIDE**2)  # (n, 64)
    above = frequencies > np.median(frequencies, axis=1, keepdims=True)
    hashes: npt.NDArray[np.uint64] = np.where(above, _BITS, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return hashes


# -- checks ---------------------------------------------------------------------------------------------------------

KINDS = (
    "misnamed",
    "unreadable",
    "truncated",
    "size",
    "aspect",
    "channels",
    "blank",
    "near_blank",
    "exif_rotation",
    "animated",
    "duplicate",
    "near_duplicate",
    "missing_name",
    "missing_banner",
)


def _details(image: Examination, size: tuple[int, int], near_blank: float) -> Iterator[tuple[str, str]]:
    """The kinds of findings about one image, and the detail of each. `size` is the expected one."""
    (width, height), (expected_width, expected_height) = image.size, size
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


def find(folder: BannersFolder, images: Sequence[Examination], expected: Expectations) -> list[Finding]:
    """All findings, in the order of `KINDS` and then of the appids."""
    whole = [image for image in images if not image.trouble]
    size = expected.size or (Counter(image.size for image in whole).most_common(1)[0][0] if whole else (0, 0))
    found = [Finding("misnamed", None, name, reason) for name, reason in folder.misnamed]
    found += [
        _of("truncated" if image.is_truncated else "unreadable", image, image.trouble)
        for image in images
        if image.trouble
    ]
    found += [
        _of(kind, image, detail) for image in whole for kind, detail in _details(image, size, expected.near_blank)
    ]
    found += _groups("duplicate", _by_content(images))
    if expected.near_duplicate >= 0:
        found += _groups("near_duplicate", _by_perceptual_hash(whole, expected.near_duplicate))
    found += [
        Finding("missing_name", image.appid, image.file, "")
        for image in images
        if image.appid not in folder.games or not folder.games[image.appid].name
    ]
    found += [Finding("missing_banner", appid, "", folder.games[appid].name) for appid in folder.rows_without_banner]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(found, key=lambda finding: (order[finding.kind], finding.appid or 0, finding.file))


def _of(kind: str, image: Examination, detail: str) -> Finding:
    return Finding(kind, image.appid, image.file, detail)


def _groups(kind: str, groups: Iterable[list[Examination]]) -> Iterator[Finding]:
    """A finding for each member of each group; the detail names the group's first appid and its size."""
    for group in groups:
        for image in group:
            yield _of(kind, image, f"group {group[0].appid} of {len(group)}")


def _by_content(images: Iterable[Examination]) -> list[list[Examination]]:
    groups: dict[bytes, list[Examination]] = defaultdict(list)
    for image in images:
        if image.content:
            groups[image.content].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _by_perceptual_hash(images: Sequence[Examination], distance: int) -> list[list[Examination]]:
    """Groups of images joined by hashes at most `distance` bits apart, those whose files are all identical left out.

    Blank images are no one's near duplicate: their hash says nothing.
    """
    by_hash: dict[int, list[Examination]] = defaultdict(list)
    for image in images:
        if image.blank_level is None:
            by_hash[image.perceptual_hash].append(image)
    hashes = np.array(sorted(by_hash), np.uint64)
    groups: dict[int, list[Examination]] = defaultdict(list)
    for first, value in zip(connected(len(hashes), near_pairs(hashes, distance)), hashes.tolist(), strict=True):
        groups[int(first)] += by_hash[value]
    return [
        sorted(group, key=lambda image: image.appid)
        for group in groups.values()
        if len({image.content for image in group}) > 1
    ]


def near_pairs(hashes: npt.NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    """Pairs of indices into distinct `hashes` uint64 (n,) that differ in at most `distance` bits."""
    for row, value in enumerate(hashes):
        near = np.bitwise_count(hashes[row + 1 :] ^ value) <= distance
        yield from ((row, row + 1 + other) for other in np.flatnonzero(near).tolist())
