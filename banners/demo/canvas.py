"""Tools to draw the demo banners: the canvas, palettes, grounds and light. Colours are RGB triples.

The canvas is twice the size of a banner and reduced in the end, which smooths every edge.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageColor

WIDTH, HEIGHT = 300, 450
SCALE = 2
W, H = WIDTH * SCALE, HEIGHT * SCALE

Colour = tuple[int, ...]
Random = np.random.Generator


@dataclass(frozen=True)
class Palette:
    """Five colours of one mood: the far background, the near one, the darkest foreground, a light, an accent."""

    far: Colour
    near: Colour
    dark: Colour
    light: Colour
    accent: Colour


PALETTES = tuple(
    Palette(*(ImageColor.getrgb(f"#{colour}") for colour in line.split()[:5]))
    for line in """1b1446 f2545b 120b2e ffe3b3 ffb400 dusk
        0b2545 8da9c4 071526 eef4ed ff6b35 winter morning
        0f3d3e 94d1be 082021 f1f7ed e2b714 jade
        2b2118 c97b3d 17100b fff1d6 e4572e rust
        3d0c3f d6477f 1e0520 ffe5f1 35e0d0 neon
        f6d8ae e0777d 4b2142 fffaf0 5c946e pastel
        07090f 3c4f76 030409 d1beb0 b3001b noir
        a4d8f0 6fb98f 1d4e3b fffef2 f25f5c meadow
        04151f 1c6e8c 020a10 c9f2ff ffd23f deep sea
        e8dcc4 b08968 3a2618 fffdf7 a4243b parchment
        23074d cc5333 10032a ffe9dc f9d423 ember
        dfe9f3 7fa6c9 20344d ffffff e63946 ice
        16302b 694873 0a1714 f0e7d8 c0e218 poison
        f9c80e f86624 43112c fff7e0 662e9b sunshine""".splitlines()
)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` of `other` in it."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def gradient(stops: list[Colour]) -> Image.Image:
    """Evenly spaced colours from top to bottom."""
    positions = np.linspace(0, H - 1, len(stops))
    rows = np.stack([np.interp(np.arange(H), positions, channel) for channel in np.array(stops).T], axis=1)  # (H, 3)
    return Image.fromarray(np.repeat(rows[:, None], W, axis=1).astype(np.uint8))


def glow(
    image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour, strength: float
) -> Image.Image:
    """Light added around `centre`, fading to nothing at `radius`."""
    y, x = np.ogrid[:H, :W]
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    light = strength * np.clip(1 - distance, 0, 1)[:, :, None] ** 2 * np.array(colour)  # (H, W, 3)
    return ImageChops.add(image, Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)))


def clouds(random: Random, detail: int = 5) -> npt.NDArray[np.float64]:
    """Smooth noise of several octaves in 0..1: (H, W)."""
    total = np.zeros((H, W))
    for octave in range(detail):
        cells = random.random((3 * 2**octave, 2 * 2**octave)) * 255
        layer = Image.fromarray(cells.astype(np.uint8)).resize((W, H), Image.Resampling.BICUBIC)
        total += np.asarray(layer) / 255 / 2**octave
    clouds: npt.NDArray[np.float64] = (total - total.min()) / np.ptp(total)
    return clouds


def blend(image: Image.Image, colour: Colour, mask: npt.NDArray[np.float64]) -> Image.Image:
    """Paint `colour` over `image` where `mask` (H, W) in 0..1 says so."""
    return Image.composite(Image.new("RGB", (W, H), colour), image, Image.fromarray((mask * 255).astype(np.uint8)))
