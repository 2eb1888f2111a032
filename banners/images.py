"""Image files to pixels: one decoding and one preprocessing for the batch and for pictures sent by strangers."""

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from banners.errors import BadInput, UnusableImage, one_line
from banners.games_csv import is_url
from banners.metadata import JPEG, MAX_PROFILE, PNG, without_metadata

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 40_000_000  # a 600x900 banner has 540,000; a decoded image of this size takes 120 MB
MAX_BYTES = 200_000_000  # of a file; the largest banners have a few
_END = b"\xff\xd9"  # of a JPEG
_NOISE = b"\xb5\x6a\xd3\x2c" * 1024
MAX_ASPECT = 50  # longer ones would make `crop`, which resizes before it cuts, allocate without bound

_NAMES = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_TURNS = dict(enumerate((Image.Transpose[name] for name in _NAMES.split()), 2))  # by EXIF orientation

_Load = Callable[[bytes], Image.Image]  # decodes a file without metadata, or raises a decoder's error

# Pillow warns above its own limit and refuses only at twice that; here a warning about a bomb is a refusal. The
# filter is set once because `warnings.catch_warnings` is not safe in the threads that decode.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of odd metadata, without a file's name
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def read(path: Path) -> bytes:
    """The bytes of an image file. Raises `UnusableImage` if it cannot be read or is longer than `MAX_BYTES`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnusableImage(f"unreadable: {error.strerror or error}") from None
    except Exception as error:
        if not is_url(path):
            raise
        raise UnusableImage(f"unreadable: {one_line(error)}") from None
    if len(data) > MAX_BYTES:
        raise UnusableImage(f"oversized: above {MAX_BYTES // 1_000_000} MB")
    return data


def decode(
    source: Path | IO[bytes],
    max_pixels: int = MAX_PIXELS,
    *,
    allow_animated: bool = False,
    shrink_to: int | None = None,
) -> Image.Image:
    """Decode one JPEG, PNG or WebP into an upright 8-bit RGB image.

    CMYK, greyscale, palette and 16-bit images are converted, colour profiles are applied (to sRGB), transparency is
    composited on black (the store's pages are dark), and the EXIF orientation is applied. The declared size is checked
    before any pixel is decoded. With `shrink_to`, a JPEG that is not progressive is shrunk while it is decoded, to no
    less than so many pixels a side; `max_pixels` is then for the shrunk image.

    Damage outside the pixels is ignored, see `mend`. Raises `UnusableImage` for anything empty, truncated, malformed,
    of another format, above `max_pixels`, with one side beyond `MAX_ASPECT` times the other, or animated unless
    `allow_animated`, which decodes the first frame.
    """
    load = partial(_load, max_pixels=max_pixels, allow_animated=allow_animated, shrink_to=shrink_to)
    if isinstance(source, Path):
        data = read(source)
    else:
        source.seek(0)
        data = source.read()
    image, orientation = _decoded(data, load)[1:]
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def mend(data: bytes) -> tuple[bytes, int]:
    """The bytes that `decode` decodes, and the orientation. Metadata and damage outside the pixels are removed; a
    JPEG's missing end mark is added. Raises `UnusableImage` if the pixels are not complete."""
    bare, _, orientation = _decoded(data, partial(_load, max_pixels=MAX_PIXELS, allow_animated=True, shrink_to=None))
    return bare, orientation


def _decoded(data: bytes, load: _Load) -> tuple[bytes, Image.Image, int]:
    """A file that `load` can decode, its image, and the orientation of that. Raises `UnusableImage`."""
    bare, orientation = without_metadata(data)
    try:
        return bare, load(bare), orientation
    except UnusableImage:
        raise
    except Exception as error:  # the decoders raise many types
        reason = _reason(error, data)
    if data.startswith(JPEG):
        with suppress(Exception):
            image = load(bare + _END)
            # If the scan was cut short, the noise is decoded as pixels, and the images differ.
            if image.tobytes() == load(bare + _NOISE + _END).tobytes():
                return bare + _END, image, orientation
    elif data.startswith(PNG):
        for colours in ((b"tRNS",), ()):
            bare = without_metadata(data, colours)[0]
            with suppress(Exception):
                return bare, load(bare), orientation
    raise reason


def _reason(error: Exception, data: bytes) -> UnusableImage:
    """The error that says why a file is no usable picture."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnusableImage("oversized: it has more pixels than anybody decodes")
    if not data:
        return UnusableImage("the file is empty")
    if isinstance(error, UnidentifiedImageError):
        begun = [name for begin, name in ((JPEG, "JPEG"), (PNG, "PNG"), (b"RIFF", "WebP")) if data.startswith(begin)]
        return UnusableImage(f"unreadable: a damaged {begun[0]}" if begun else "not a JPEG, PNG or WebP picture")
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return UnusableImage(f"unreadable: {' '.join(reason.split())[:200]}")


def _load(data: bytes, *, max_pixels: int, allow_animated: bool, shrink_to: int | None) -> Image.Image:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        if shrink_to is not None and not image.info.get("progressive"):  # those are held whole in any case
            image.draft("RGB", (shrink_to, shrink_to))
        check_size(image, max_pixels)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and not allow_animated:
            raise UnusableImage(f"animated: {frames} frames")
        image.load()
        return to_rgb(in_srgb(image))


def check_size(image: Image.Image, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `UnusableImage` for an image whose pixels are too many to decode, or too long."""
    size = f"{image.width}x{image.height}"
    if image.width * image.height > max_pixels:
        raise UnusableImage(f"oversized: {size} is above {max_pixels // 1_000_000} megapixels")
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise UnusableImage(f"elongated: {size} is beyond {MAX_ASPECT}:1")


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to sRGB, if its colour profile is usable. Wide-gamut pictures would look pale
    otherwise."""
    profile = image.info.get("icc_profile", b"")
    # Elements of processing ("mpet", ICC.1:2010, section 10.14) can be any number for each colour.
    if not 0 < len(profile) <= MAX_PROFILE or b"mpet" in profile:
        return image
    plain = image
    if image.has_transparency_data:
        plain = image.convert("RGBA")
    elif image.mode == "P":
        plain = image.convert("RGB")
    if plain.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    with suppress(ImageCms.PyCMSError, OSError, ValueError):  # a profile that is no profile, or of other colours
        transform = _to_srgb(profile, plain.mode)
        return image if transform is None else ImageCms.applyTransform(plain, transform) or image
    return image


@lru_cache(maxsize=4)  # a folder has one or two
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile, None where it is that of sRGB itself."""
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(opened).casefold():
        return None
    # Without lcms' cache of the last colour, threads may share it.
    return ImageCms.buildTransform(
        *(opened, ImageCms.createProfile("sRGB"), mode, "RGBA" if mode == "RGBA" else "RGB"),
        flags=ImageCms.Flags.NOCACHE,
    )


def is_image_file(path: Path) -> bool:
    """Whether `path` is a regular file that begins like one of `FORMATS`. No other file is served."""
    try:
        if not path.is_file():  # opening a pipe would wait
            return False
        with path.open("rb") as file:
            begin = file.read(12)
    except OSError:
        return False
    return begin.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (begin[:4], begin[8:]) == (b"RIFF", b"WEBP")


def to_rgb(image: Image.Image) -> Image.Image:
    """Any decoded image as 8-bit RGB, transparency on black."""
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow's own conversion clips at 255 instead of scaling
        values = np.asarray(image)
        if values.dtype.itemsize > 2:
            values = np.clip(values, 0, 2**16 - 1).astype(np.uint16)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image if type(image) is Image.Image and image.mode == "RGB" else image.convert("RGB")


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of an encoder. Its numbers are stored in the catalogue's manifest.

    `fit` says how a banner of another aspect becomes `height` x `width`: `squash` resizes both sides and shows
    all of it, `crop` resizes the shorter side to `shortest_edge` and cuts the centre, `pad` keeps the aspect and
    fills up with the mean colour. `resample` is Pillow's number (3 = bicubic). Pixels x in 0..255 become
    (x / 255 - mean) / std.
    """

    height: int
    width: int
    shortest_edge: int
    fit: Fit
    resample: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], fit: Fit) -> Self:
        """Read a Hugging Face `preprocessor_config.json`, in its old form (sizes as numbers) or the current one.

        Raises `BadInput` when it lacks what is needed.
        """
        try:
            height, width, shortest_edge = _sizes_of(config)
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
            if config.get("do_normalize", True):
                mean, std = _triple(config["image_mean"]), _triple(config["image_std"])
            if not all(map(math.isfinite, mean + std)) or min(std) <= 0:
                raise ValueError("image_mean and image_std must be finite, image_std above 0")
            # These would change the numbers behind the encoder's back.
            if not config.get("do_rescale", True) or config.get("rescale_offset") or config.get("include_top"):
                raise ValueError("do_rescale must be true, rescale_offset and include_top must not")
            if not math.isclose(config.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-6):
                raise ValueError("rescale_factor must be 1/255")
            return cls(
                height=height,
                width=width,
                shortest_edge=shortest_edge,
                fit=fit,
                resample=Image.Resampling(config.get("resample", Image.Resampling.BICUBIC)).value,
                mean=mean,
                std=std,
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:  # a number may be infinite, or 10^400
            raise BadInput(f"preprocessor_config.json cannot be used: {repr(error)[:200]}") from None

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Fit an RGB image to the encoder's input: uint8 (height, width, 3)."""
        resample = Image.Resampling(self.resample)
        size = (self.width, self.height)
        if self.fit == "squash":
            fitted = image.resize(size, resample)
        elif self.fit == "crop":
            fitted = _cropped(image, self.shortest_edge, size, resample)
        else:
            colour = tuple(round(255 * mean) for mean in self.mean)
            fitted = ImageOps.pad(image, size, resample, color=colour)
        return np.asarray(fitted)

    @property
    def scale_and_shift(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Per channel: a pixel x in 0..255 becomes x * scale - shift."""
        scale = tuple(1 / (255 * std) for std in self.std)
        shift = tuple(mean / std for mean, std in zip(self.mean, self.std, strict=True))
        return _triple(scale), _triple(shift)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _sizes_of(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(height, width, shortest edge before a centre crop) of a preprocessor configuration."""
    size = config["size"]
    if not isinstance(size, Mapping):
        size = {"shortest_edge": size} if config.get("do_center_crop") else {"height": size, "width": size}
    if config.get("crop_pct") and "shortest_edge" in size and size["shortest_edge"] < 384:
        height = width = int(size["shortest_edge"])  # ConvNeXT's: resized a little larger, then cropped
        shortest_edge = int(height / float(config["crop_pct"]))
    else:
        target = config.get("crop_size", size) if config.get("do_center_crop") else size
        if not isinstance(target, Mapping):
            target = {"height": target, "width": target}
        if "shortest_edge" in target:
            target = {"height": target["shortest_edge"], "width": target["shortest_edge"]}
        height, width = int(target["height"]), int(target["width"])
        shortest_edge = int(size.get("shortest_edge", min(height, width)))
    if not (0 < height <= 4096 and 0 < width <= 4096 and 0 < shortest_edge <= 4096):
        raise ValueError(f"sizes out of range: {height}x{width}, {shortest_edge}")
    return height, width, max(shortest_edge, height, width)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _cropped(image: Image.Image, edge: int, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Resize the shorter side to `edge`, then cut `size` from the centre. The longer side is rounded down and an odd
    excess leaves the extra pixel right and below, as Hugging Face's processors do."""
    width, height = (edge * side // min(image.size) for side in image.size)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    return image.resize((width, height), resample).crop((left, top, left + size[0], top + size[1]))
