"""The titles on the demo banners."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from banners.demo.canvas import H, Palette, W, blend, gradient, mix
from banners.typefaces import mask_of


@dataclass(frozen=True)
class Lettering:
    """A style of lettering. `narrow` scales the width of the letters, `outline` is in pixels of the drawing."""

    package: str
    file: str
    narrow: float = 1.0
    outline: int = 0
    capitals: bool = True


LETTERINGS: tuple[Lettering, ...] = (
    Lettering("font_manrope", "Manrope-ExtraBold.ttf"),
    Lettering("font_manrope", "Manrope-ExtraBold.ttf", narrow=0.62),
    Lettering("font_caladea", "Caladea-Bold.ttf"),
    Lettering("font_caladea", "Caladea-BoldItalic.ttf", capitals=False),
    Lettering("font_fredoka_one", "FredokaOne-Regular.ttf", outline=9, capitals=False),
    Lettering("font_fredoka_one", "FredokaOne-Regular.ttf", outline=7, narrow=0.8),
    Lettering("font_amatic_sc", "AmaticSC-Bold.ttf"),
    Lettering("font_manrope", "Manrope-Light.ttf"),
)


def _line_mask(text: str, lettering: Lettering) -> Image.Image:
    """One line of text, white on black and cut to its ink."""
    mask = mask_of(text.upper() if lettering.capitals else text, lettering.package, lettering.file, 120)
    return mask.resize((max(1, int(mask.width * lettering.narrow)), mask.height), Image.Resampling.LANCZOS)


def set_title(
    image: Image.Image, lines: Sequence[str], lettering: Lettering, palette: Palette, top: bool
) -> Image.Image:
    """Set the lines in the upper or lower part of the banner, each as large as its width allows."""
    room, tallest, gap, margin = W * 0.84, H * 0.15, 16, 40
    inks = [_line_mask(line, lettering) for line in lines]
    scales = [min(room / ink.width, tallest / ink.height) for ink in inks]
    total = sum(ink.height * scale + gap for ink, scale in zip(inks, scales, strict=True))
    y = H * 0.055 if top else H * 0.945 - total
    # The rows of the title are a little darker, so that it can be read on any scene.
    shade = 0.72 * np.clip(1.25 - np.abs(np.arange(H) - (y + total / 2 - 10)) / (total / 2 + 50), 0, 1)
    image = blend(image, palette.dark, np.repeat(shade[:, None], W, axis=1))
    colours = gradient([palette.light, palette.light, mix(palette.light, palette.accent, 0.55)])
    for ink, scale in zip(inks, scales, strict=True):
        width, height = round(ink.width * scale), round(ink.height * scale)
        x = (W - width) // 2
        letters = Image.new("L", (width + 2 * margin, height + 2 * margin))
        letters.paste(ink.resize((width, height), Image.Resampling.LANCZOS), (margin, margin))
        outline = letters.filter(ImageFilter.MaxFilter(2 * (lettering.outline or 2) + 1))
        shadow = ImageChops.offset(outline.filter(ImageFilter.GaussianBlur(9)), 0, 7)
        corner = (x - margin, round(y) - margin)
        image.paste(palette.dark, corner, shadow)
        image.paste(palette.dark, corner, outline if lettering.outline else shadow)
        image.paste(colours.resize(letters.size), corner, letters)
        y += height + gap
    return image
