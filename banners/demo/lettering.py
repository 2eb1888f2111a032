"""The titles on the demo banners."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from banners.demo.canvas import Colour, H, Palette, W, blend, gradient, mix
from banners.titles import font_of


@dataclass(frozen=True)
class Lettering:
    """A style of lettering. `narrow` scales the width of the letters, `outline` is in pixels of the drawing."""

    package: str
    file: str
    narrow: float = 1.0
    spacing: float = 0.0
    outline: int = 0
    capitals: bool = True


LETTERINGS: tuple[Lettering, ...] = (
    Lettering("font_manrope", "Manrope-ExtraBold.ttf", spacing=0.04),
    Lettering("font_manrope", "Manrope-ExtraBold.ttf", narrow=0.62),
    Lettering("font_caladea", "Caladea-Bold.ttf", spacing=0.06),
    Lettering("font_caladea", "Caladea-BoldItalic.ttf", capitals=False),
    Lettering("font_fredoka_one", "FredokaOne-Regular.ttf", outline=9, capitals=False),
    Lettering("font_fredoka_one", "FredokaOne-Regular.ttf", outline=7, narrow=0.8),
    Lettering("font_amatic_sc", "AmaticSC-Bold.ttf", spacing=0.02),
    Lettering("font_manrope", "Manrope-Light.ttf", spacing=0.16),
)


def _line_mask(text: str, lettering: Lettering) -> Image.Image:
    """One line of text in letters of 120 pixels, white on black and cut to its ink."""
    font = font_of(lettering.package, lettering.file, 120)
    widths = [font.getlength(character) + lettering.spacing * 120 for character in text]
    mask = Image.new("L", (int(sum(widths)) + 120, 240))
    draw = ImageDraw.Draw(mask)
    x = 60.0
    for character, width in zip(text, widths, strict=True):
        draw.text((x, 40), character, font=font, fill=255)
        x += width
    if lettering.narrow != 1:
        mask = mask.resize((int(mask.width * lettering.narrow), mask.height), Image.Resampling.LANCZOS)
    return mask.crop(mask.getbbox())


def set_title(
    image: Image.Image, lines: Sequence[str], lettering: Lettering, palette: Palette, top: bool
) -> Image.Image:
    """Set the lines in the upper or lower part of the banner, each as large as its width allows."""
    room, tallest, gap, margin = W * 0.84, H * 0.15, 16, 40
    inks = [_line_mask(line.upper() if lettering.capitals else line, lettering) for line in lines]
    scales = [min(room / ink.width, tallest / ink.height) for ink in inks]
    total = sum(ink.height * scale + gap for ink, scale in zip(inks, scales, strict=True))
    y = H * 0.055 if top else H * 0.945 - total
    image = _shade_behind(image, palette.dark, y - 60, y + total + 40)
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
        image.paste(_gradient_of(*letters.size, palette), corner, letters)
        y += height + gap
    return image


def _gradient_of(width: int, height: int, palette: Palette) -> Image.Image:
    """The letters' colour: light above, a breath of the accent below."""
    return gradient([palette.light, palette.light, mix(palette.light, palette.accent, 0.55)]).resize((width, height))


def _shade_behind(image: Image.Image, colour: Colour, start: float, end: float) -> Image.Image:
    """Darken the rows of the title a little, so that it can be read on any scene."""
    rows = np.arange(H)
    middle, half = (start + end) / 2, (end - start) / 2
    strength = 0.72 * np.clip(1.25 - np.abs(rows - middle) / half, 0, 1)
    return blend(image, colour, np.repeat(strength[:, None], W, axis=1))
