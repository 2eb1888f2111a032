"""Image files to pixels: one decoding and one preprocessing for the batch and for pictures sent by strangers."""

import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from banners.errors import BadInput, UnusableImage, one_line
from banners.games_csv import is_url

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 40_000_000  # a 600x900 banner has 540,000; a decoded image of this size takes 120 MB
MAX_BYTES = 200_000_000  # of a file; the largest banners have a few
MAX_ASPECT = 50  # longer ones would make `crop`, which resizes before it cuts, allocate without bound

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

    CMYK, greyscale, palette and 16-bit images are converted, transparency is composited on black (the store's
    pages are dark), and the EXIF orientation is applied. The declared size is checked before any pixel is decoded.
    A JPEG that is not progressive is shrunk while it is decoded, to no less than `shrink_to` pixels a side where that
    is given; then `max_pixels` are those of what it becomes.

    Raises `UnusableImage` for anything empty, truncated, malformed, of another format, above `max_pixels`, longer than
    `MAX_ASPECT` times its width, or animated unless `allow_animated`, which decodes the first frame.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            if shrink_to is not None and not image.info.get("progressive"):  # those are held whole in any case
                image.draft("RGB", (shrink_to, shrink_to))
            if image.width * image.height > max_pixels:
                raise UnusableImage(
                    f"oversized: {image.width}x{image.height} is above {max_pixels // 1_000_000} megapixels"
                )
            if max(image.size) > MAX_ASPECT * min(image.size):
                raise UnusableImage(f"elongated: {image.width}x{image.height} is beyond {MAX_ASPECT}:1")
            # A JPEG of several pictures (as phones write them) shows its first; only the others are animations.
            frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
            if frames > 1 and not allow_animated:
                raise UnusableImage(f"animated: {frames} frames")
            image.load()
            with suppress(Exception):  # metadata that cannot be read turn nothing; the pixels are whole
                ImageOps.exif_transpose(image, in_place=True)
            return to_rgb(image)
    except UnidentifiedImageError:
        raise UnusableImage("not a JPEG, PNG or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnusableImage(f"oversized: above {max_pixels // 1_000_000} megapixels") from None
    except UnusableImage:
        raise
    except Exception as error:  # the decoders raise many types
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise UnusableImage(f"unreadable: {' '.join(reason.split())[:200]}") from None


def is_image_file(path: Path) -> bool:
    """Whether a regular file begins like one of `FORMATS`; whatever else has a banner's name is not handed out."""
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
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**data, "mean": _triple(data["mean"]), "std": _triple(data["std"])})

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
