"""Text as pictures, in typefaces that PyPI ships."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from banners.errors import Unavailable


def mask_of(text: str, package: str, file: str, size: int) -> Image.Image:
    """The text in white on black, in letters of `size` pixels, cut to its ink."""
    font = font_of(package, file, size)
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = probe.multiline_textbbox((0, 0), text, font=font, align="center", spacing=8)
    mask = Image.new("L", (max(1, int(right - left) + 2), max(1, int(bottom - top) + 2)))
    ImageDraw.Draw(mask).multiline_text((1 - left, 1 - top), text, fill=255, font=font, align="center", spacing=8)
    return mask


@lru_cache
def font_of(package: str, file: str, size: int) -> ImageFont.FreeTypeFont:
    """A typeface of a package from PyPI, in letters of `size` pixels. Raises `Unavailable`."""
    try:
        path = Path(str(import_module(package).__file__)).parent / "files" / file
    except ImportError as error:
        raise Unavailable.library(error) from None
    # The basic layout does not depend on whether the machine has libraqm.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
