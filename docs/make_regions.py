"""Draw docs/screenshots/regions.webp: games of CATALOGUE and their first look-alikes, with the first three regions that
correspond framed in orange, blue and green."""

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))
from banners.catalogue.reader import open_catalogue  # noqa: E402
from banners.games_csv import list_banners  # noqa: E402
from banners.vectors.regions import shared_regions  # noqa: E402

PAIRS, COLUMNS = 50, 10
WIDTH, HEIGHT, GAP = 100, 150, 6
COLOURS = ("#ff7a2f", "#25c2e8", "#8fd14f")


def main(out: Path) -> None:
    catalogue = open_catalogue(Path(os.environ["CATALOGUE"]))
    paths = {one.appid: one.path for one in list_banners(Path(os.environ["BANNERS"]))}
    features = catalogue.local_features
    if features is None:
        raise SystemExit("the catalogue has no local features")
    rows = np.linspace(0, len(catalogue) - 1, PAIRS).astype(int).tolist()
    sheet = Image.new("RGB", (COLUMNS * (2 * WIDTH + 2 * GAP), -(-PAIRS // COLUMNS) * (HEIGHT + 2 * GAP)), "white")
    for number, row in enumerate(rows):
        other = int(catalogue.view("plain").of(row)[0])
        left, top = number % COLUMNS * (2 * WIDTH + 2 * GAP), number // COLUMNS * (HEIGHT + 2 * GAP)
        shared = shared_regions(features, features.cells(row), features.cells(other), len(COLOURS))
        for game, start, boxes in ((row, 0, [one.a for one in shared]), (other, WIDTH, [one.b for one in shared])):
            image = Image.open(paths[int(catalogue.appids[game])]).convert("RGB").resize((WIDTH, HEIGHT))
            draw = ImageDraw.Draw(image)
            for (x, y, width, height), colour in zip(boxes, COLOURS, strict=False):
                corners = (x * WIDTH, y * HEIGHT, (x + width) * WIDTH - 1, (y + height) * HEIGHT - 1)
                draw.rectangle(corners, outline=colour, width=3)
            sheet.paste(image, (left + start, top))
    sheet.save(out, quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "screenshots" / "regions.webp")
