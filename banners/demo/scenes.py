"""The scenes of the demo banners, each a function of a random generator and a palette."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from banners.demo.canvas import Colour, H, Palette, Random, W, blend, clouds, glow, gradient, mix


def _stars(draw: ImageDraw.ImageDraw, random: Random, count: int, colour: Colour) -> None:
    for _ in range(count):
        x, y, radius = random.uniform(0, W), random.uniform(0, H), random.choice([0.8, 1.2, 2.4], p=[0.6, 0.3, 0.1])
        draw.circle((x, y), radius, fill=mix((0, 0, 0), colour, random.uniform(0.4, 1)))


def _ridge(random: Random, level: float, height: float, roughness: float) -> list[tuple[float, float]]:
    """A mountain line across the width by midpoint displacement, closed along the bottom."""
    points = np.array([random.uniform(-1, 1), random.uniform(-1, 1)])
    spread = 1.0
    while len(points) < 129:
        middles = (points[:-1] + points[1:]) / 2 + random.uniform(-spread, spread, len(points) - 1) * 0.8
        points = np.insert(points, range(1, len(points)), middles)
        spread *= roughness
    points = points / max(1e-9, np.abs(points).max())
    line = [(x, level - y * height) for x, y in zip(np.linspace(0, W, len(points)), points, strict=True)]
    return [(0, H), *line, (W, H)]


def _pine(draw: ImageDraw.ImageDraw, x: float, ground: float, height: float, fill: Colour) -> None:
    for part in range(4):
        top, width = ground - height * (1 - part * 0.22), height * (0.1 + part * 0.055)
        draw.polygon([(x, top), (x - width, top + height * 0.36), (x + width, top + height * 0.36)], fill=fill)


def _mountains(random: Random, p: Palette) -> Image.Image:
    image = gradient([p.far, mix(p.far, p.near, 0.6), p.near, mix(p.near, p.light, 0.6)])
    sun = (random.uniform(0.25, 0.75) * W, random.uniform(0.3, 0.45) * H)
    image = glow(image, sun, W * 0.9, p.light, 0.5)
    draw = ImageDraw.Draw(image)
    draw.circle(sun, random.uniform(55, 110), mix(p.light, p.accent, 0.25))
    for layer in range(5):
        share = layer / 4
        draw.polygon(
            _ridge(random, H * (0.5 + 0.1 * layer), H * (0.14 - 0.02 * layer), 0.55),
            fill=mix(p.near, p.dark, 0.25 + 0.75 * share),
        )
    for _ in range(26):
        _pine(draw, random.uniform(0, W), H * random.uniform(0.94, 1.04), random.uniform(60, 150), p.dark)
    return image


def _city(random: Random, p: Palette) -> Image.Image:
    image = gradient([p.dark, p.far, mix(p.far, p.near, 0.8), p.near])
    moon = (random.uniform(0.2, 0.8) * W, H * 0.27)
    image = glow(image, moon, W * 0.8, p.accent, 0.45)
    draw = ImageDraw.Draw(image)
    draw.circle(moon, random.uniform(50, 90), p.light)
    for layer in range(3):
        x = -20.0
        colour = mix(p.near, p.dark, 0.4 + 0.3 * layer)
        while x < W:
            width = random.uniform(46, 100)
            top = H * (0.38 + 0.13 * layer) + random.uniform(-110, 90)
            draw.rectangle((x, top, x + width, H), fill=colour)
            if random.random() < 0.35:
                draw.line((x + width / 2, top, x + width / 2, top - random.uniform(20, 80)), fill=colour, width=4)
            for row in range(int((H - top) / 22)):
                for column in range(int(width / 16)):
                    if random.random() < 0.14 + 0.1 * layer:
                        left, upper = x + 5 + column * 16, top + 10 + row * 22
                        window = p.accent if random.random() < 0.75 else p.light
                        draw.rectangle(
                            (left, upper, left + 6, upper + 10), fill=mix(colour, window, 0.35 + 0.3 * layer)
                        )
            x += width + random.uniform(0, 14)
    return glow(image, (W / 2, H * 1.05), W * 0.9, p.near, 0.35)


def _planet(random: Random, p: Palette) -> Image.Image:
    image = gradient([p.dark, mix(p.dark, p.far, 0.8), p.dark])
    image = blend(image, p.near, clouds(random) ** 3 * 0.8)
    image = blend(image, p.accent, clouds(random) ** 5 * 0.5)
    draw = ImageDraw.Draw(image)
    _stars(draw, random, 240, p.light)
    x, y, radius = random.uniform(0.3, 0.7) * W, random.uniform(0.34, 0.5) * H, random.uniform(130, 210)
    rows, columns = np.ogrid[:H, :W]
    across, down = (columns - x) / radius, (rows - y) / radius
    inside = np.clip((1 - np.hypot(across, down)) * radius / 2, 0, 1)
    bands = 0.5 + 0.5 * np.sin(down * random.uniform(6, 16) + across * random.uniform(-1, 1) + clouds(random, 3) * 3)
    image = blend(image, mix(p.near, p.light, 0.25), inside)
    image = blend(image, p.accent, inside * bands * 0.7)
    shade = np.clip(0.5 + (across * 0.8 + down * 0.6), 0, 1)
    image = blend(image, p.dark, inside * shade * 0.9)
    if random.random() < 0.7:
        ring = Image.new("L", (W, H))
        pen = ImageDraw.Draw(ring)
        for step in range(7):
            reach = radius * (1.35 + step * 0.09)
            pen.ellipse((x - reach, y - reach * 0.22, x + reach, y + reach * 0.22), outline=220 - step * 26, width=5)
        ring = ring.rotate(random.uniform(-28, 28), center=(x, y), resample=Image.Resampling.BICUBIC)
        behind = np.asarray(ring) / 255 * np.where((inside > 0.5) & (down < 0), 0, 1)
        image = blend(image, p.light, behind)
    return glow(image, (x - radius * 0.6, y - radius * 0.5), radius * 1.6, p.light, 0.35)


def _sea(random: Random, p: Palette) -> Image.Image:
    image = gradient([p.far, mix(p.far, p.near, 0.5), mix(p.near, p.light, 0.55)])
    sun = (random.uniform(0.3, 0.7) * W, H * 0.34)
    image = glow(image, sun, W * 0.8, p.light, 0.55)
    draw = ImageDraw.Draw(image)
    draw.circle(sun, random.uniform(70, 120), p.accent)
    x, y, size = random.uniform(0.25, 0.75) * W, H * 0.53, random.uniform(80, 120)
    draw.polygon(
        [(x - size, y - 20), (x + size, y - 20), (x + size * 0.7, y + 30), (x - size * 0.7, y + 30)], fill=p.dark
    )
    draw.polygon([(x, y - 30), (x, y - 2.2 * size), (x + size * 0.8, y - 30)], fill=p.light)
    draw.polygon([(x - 10, y - 30), (x - 10, y - 1.8 * size), (x - size * 0.7, y - 30)], fill=mix(p.light, p.near, 0.4))
    for layer in range(7):
        base, swell, phase = H * (0.54 + 0.066 * layer), 9 + 5 * layer, random.uniform(0, 2 * math.pi)
        length = 70 + 34 * layer
        line = [
            (x, base + swell * math.sin(x / length + phase) + swell * 0.4 * math.sin(x / length * 2.3))
            for x in range(0, W + 8, 8)
        ]
        draw.polygon([(0, H), *line, (W, H)], fill=mix(p.near, p.dark, 0.1 + 0.14 * layer))
        draw.line(line, fill=mix(p.near, p.light, 0.55 - 0.06 * layer), width=3)
    return image


def _tiles(random: Random, p: Palette) -> Image.Image:
    image = Image.new("RGB", (W, H), p.light)
    draw = ImageDraw.Draw(image)
    size = int(random.choice([100, 120, 150]))
    colours = [p.far, p.near, p.dark, p.light, p.accent]
    for left in range(0, W, size):
        for top in range(0, H, size):
            ground, shape = random.choice(5, 2, replace=False)
            box = (left, top, left + size, top + size)
            draw.rectangle(box, fill=colours[ground])
            kind, turn = random.integers(5), int(random.integers(4))
            if kind == 0:  # quarter of a circle, centred on one corner
                x, y = left + size * (turn % 2), top + size * (turn // 2)
                piece = Image.new("L", (size, size))
                ImageDraw.Draw(piece).ellipse(
                    (x - left - size, y - top - size, x - left + size, y - top + size), fill=255
                )
                image.paste(colours[shape], (left, top), piece)
            elif kind == 1:
                draw.ellipse(box, fill=colours[shape])
                draw.circle((left + size / 2, top + size / 2), size / 5, colours[ground])
            elif kind == 2:
                corners = [(left, top), (left + size, top), (left + size, top + size), (left, top + size)]
                draw.polygon([corner for index, corner in enumerate(corners) if index != turn], fill=colours[shape])
            elif kind == 3:
                for stripe in range(0, size, size // 5 * 2):
                    draw.rectangle((left + stripe, top, left + stripe + size // 5, top + size), fill=colours[shape])
    return image


def _creature(random: Random, p: Palette) -> Image.Image:
    image = gradient([p.far, mix(p.far, p.near, 0.5)])
    draw = ImageDraw.Draw(image)
    cells, cell = 11, 40
    half = random.random((cells, 6)) < 0.56
    half[:, -1] |= random.random(cells) < 0.5
    body = np.concatenate([half, half[:, -2::-1]], axis=1)  # mirrored: (cells, 11)
    left, top = (W - 11 * cell) / 2, H * 0.16
    for row, column in np.argwhere(body):
        x, y = left + column * cell, top + row * cell
        draw.rectangle((x + 10, y + 14, x + cell + 9, y + cell + 13), fill=p.dark)
    for row, column in np.argwhere(body):
        x, y = left + column * cell, top + row * cell
        colour = p.accent if row % 4 < 2 else mix(p.accent, p.light, 0.45)
        draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=colour)
    eye = int(random.integers(3, 5))
    for column in (3, 7):
        x, y = left + column * cell, top + eye * cell
        draw.rectangle((x - 4, y - 4, x + cell + 3, y + cell + 3), fill=p.light)
        draw.rectangle((x + 12, y + 12, x + cell - 5, y + cell - 5), fill=p.dark)
    for y in range(0, H, 6):
        draw.line((0, y, W, y), fill=mix(p.far, p.dark, 0.25), width=1)
    return image


def _hexes(random: Random, p: Palette) -> Image.Image:
    image = Image.new("RGB", (W, H), p.dark)
    draw = ImageDraw.Draw(image)
    size = float(random.choice([34, 42, 52]))
    terrain = clouds(random, 4)
    for row in range(int(H / size / 1.5) + 2):
        for column in range(int(W / size / 1.73) + 2):
            x, y = (column + row % 2 / 2) * size * 1.732, row * size * 1.5
            value = terrain[min(int(y), H - 1), min(int(x), W - 1)]
            colour = (p.far, mix(p.far, p.near, 0.5), p.near, mix(p.near, p.light, 0.5), p.light)[
                min(4, int(value * 5))
            ]
            draw.regular_polygon((x, y, size * 0.95), 6, rotation=30, fill=colour)
            if value > 0.62 and random.random() < 0.3:
                draw.polygon(
                    [(x, y - size * 0.5), (x - size * 0.4, y + size * 0.25), (x + size * 0.4, y + size * 0.25)],
                    fill=p.dark,
                )
            elif 0.35 < value < 0.6 and random.random() < 0.12:
                draw.rectangle((x - 9, y - 4, x + 9, y + 12), fill=p.accent)
                draw.polygon([(x - 14, y - 4), (x, y - 18), (x + 14, y - 4)], fill=p.accent)
    return image


Scene = Callable[[Random, Palette], Image.Image]
SCENES: dict[str, Scene] = {
    scene.__name__.strip("_"): scene for scene in (_mountains, _city, _planet, _sea, _tiles, _creature, _hexes)
}
ROOM_ABOVE = frozenset({"mountains", "city", "sea", "tiles", "hexes"})  # for a title in the upper part
