"""Titles drawn on banners, to measure what lettering does to an embedding.

Drawn text is a fair stand-in for the lettering of real images: see Westerhoff et al., SCAM: A Real-World Typographic
Robustness Evaluation for Multimodal Foundation Models, arXiv 2504.04893.
"""

from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
from PIL import Image

from banners.games_csv import Banner
from banners.typefaces import mask_of

# All have Latin letters, the first two Greek and Cyrillic too.
_TYPEFACES = (
    ("font_manrope", "Manrope-ExtraBold.ttf"),
    ("font_manrope", "Manrope-Medium.ttf"),
    ("font_caladea", "Caladea-Bold.ttf"),
    ("font_caladea", "Caladea-Italic.ttf"),
    ("font_fredoka_one", "FredokaOne-Regular.ttf"),
    ("font_amatic_sc", "AmaticSC-Bold.ttf"),
)
_SCRIPTS = (
    "aaabcdeeefghiiijklmnooopqrstuuvwxyz",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "абвгдежзиклмнопрстуфхцчшщыэюя",
)
_DRAWN_AT = 60  # pixels a letter; then scaled
SAMPLE = 300  # banners, or a sixth of them if that is fewer
LEAST = 16  # minimum sample; needs four times as many banners


def random_title(random: np.random.Generator) -> str:
    """One to three made-up words, most in Latin letters."""
    letters = _SCRIPTS[int(random.choice(3, p=(0.7, 0.1, 0.2)))]
    words = [
        "".join(random.choice(list(letters), int(random.integers(3, 10)))) for _ in range(int(random.integers(1, 4)))
    ]
    return " ".join(words)


def sample(banners: Sequence[Banner]) -> list[Banner]:
    """The banners that get a title: the same ones when others are added, as far as possible."""
    count = min(SAMPLE, max(LEAST, len(banners) // 6)) if len(banners) >= 4 * LEAST else 0
    by_chance = sorted(banners, key=lambda banner: crc32(b"%d" % banner.appid))[:count]
    return sorted(by_chance, key=lambda banner: banner.appid)


def with_title(banner: Banner, image: Image.Image) -> Image.Image:
    """Draw a random title on a copy of `image`. The title depends on the banner's appid alone."""
    random = np.random.default_rng(banner.appid)
    return draw_title(image, random_title(random), random, is_large=True)


def draw_title(image: Image.Image, title: str, random: np.random.Generator, *, is_large: bool = False) -> Image.Image:
    """A copy of an RGB image with `title` drawn on it once, in a typeface, size, place and colour by `random`; with
    `is_large` twice, above and below, as wide as the image allows."""
    drawn = image.convert("RGB")
    if is_large:
        for place in (random.uniform(0.05, 0.25), random.uniform(0.75, 0.95)):
            _draw(drawn, title, random, random.uniform(0.9, 1.0), 0.4, place)
    else:
        _draw(drawn, title, random, random.uniform(0.55, 0.95), 0.25, random.uniform(0.05, 0.95))
    return drawn


def _draw(image: Image.Image, title: str, random: np.random.Generator, width: float, most: float, place: float) -> None:
    """Draw on `image`, at most as wide and high as the shares `width` and `most` of it. `place`: 0 is top, 1 bottom."""
    is_latin = title.isascii()
    package, file = _TYPEFACES[int(random.integers(len(_TYPEFACES) if is_latin else 2))]
    title = title.upper() if random.random() < 0.6 else title
    # In as many lines as make it largest.
    masks = [mask_of(text, package, file, _DRAWN_AT) for text in _broken(title)]
    scales = [min(width * image.width / mask.width, most * image.height / mask.height) for mask in masks]
    scale = max(scales)
    mask = masks[scales.index(scale)]
    size = (max(1, round(mask.width * scale)), max(1, round(mask.height * scale)))
    ink = mask.resize(size, Image.Resampling.LANCZOS)
    corner = (
        round(random.uniform(0, image.width - size[0])),
        round(place * (image.height - size[1])),
    )
    light, dark = tuple(random.integers(170, 256, 3).tolist()), tuple(random.integers(0, 70, 3).tolist())
    if random.random() < 0.3:
        light, dark = dark, light
    if random.random() < 0.7:  # an edge, as most titles have against their ground
        edge = max(1, round(size[1] * 0.02))
        for shift in ((-edge, 0), (edge, 0), (0, -edge), (0, edge)):
            image.paste(dark, (corner[0] + shift[0], corner[1] + shift[1]), ink)
    image.paste(light, corner, ink)


def _broken(title: str) -> Iterator[str]:
    """In one to four lines, the words in their order."""
    words = title.split()
    yield title
    for count in range(2, min(4, len(words)) + 1):
        yield "\n".join(" ".join(line) for line in np.array_split(np.array(words, object), count))
