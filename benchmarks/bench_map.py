"""The map: how long its layout and its tiles take, how large they are, how well it is ordered, and tiles a second.

bench_map.py --banners DIR --games 29982 [--serve]

DIR are covers. More games are made of them: embeddings that lie between two of theirs (as bench_queries.py makes them),
banners that are theirs with other colours. With --serve, two workers are asked for random tiles by wrk, in turns with a
bare Flask route, and Chromium pans across the map at its middle zoom. Prints one JSON line.
"""

import argparse
import colorsys
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.build import map as map_
from banners.build.plan import Options, Progress
from banners.catalogue import writer
from banners.catalogue.manifest import EncoderInfo, Images, Manifest
from banners.catalogue.reader import neighbour_arrays, open_catalogue
from banners.embedding import Embedded
from banners.encoders import Choice
from banners.games_csv import Banner, Game, list_banners
from banners.vectors.neighbours import Neighbours, nearest
from benchmarks.bench_pages import BARE, FEW, MANY, load, served
from benchmarks.bench_queries import embed, grow

SIZE = (300, 450)
ALL_PAIRS = 50_000  # games at most whose neighbours are computed


def draw(task: tuple[Path, Path, int]) -> None:
    """A cover in other colours."""
    source, target, number = task
    with Image.open(source) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE), np.float32)
    tint = np.array(colorsys.hsv_to_rgb(number * 0.618 % 1, 0.5, 1.0), np.float32)
    Image.fromarray((pixels * (tint if number else 1)).astype(np.uint8)).save(target, "JPEG", quality=88)


def make_banners(covers: list[Banner], count: int, folder: Path) -> list[Banner]:
    made = [Banner(row + 1, folder / f"{row + 1}.jpg") for row in range(count)]
    tasks = [(covers[row % len(covers)].path, one.path, row // len(covers)) for row, one in enumerate(made)]
    with ProcessPoolExecutor() as pool:
        list(tqdm(pool.map(draw, tasks, chunksize=64), "banners", count))
    return made


FRAMES = """() => {
  window.frames_ms = [];
  let last = performance.now();
  const next = (now) => { window.frames_ms.push(now - last); last = now; requestAnimationFrame(next); };
  requestAnimationFrame(next);
}"""


class Clock:
    """Bars that only tell how long each task took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def bar(self, task: str, total: int, unit: str) -> Iterator[Any]:
        start = time.perf_counter()
        with tqdm(total=total, desc=task, unit=unit) as bar:
            yield bar
        self.seconds[task] = round(time.perf_counter() - start, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banners", type=Path, required=True)
    parser.add_argument("--games", type=int, default=29_982)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    covers = list_banners(options.banners)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("b", "c.rows/export"):
            (folder / part).mkdir(parents=True)
        banners = make_banners(covers, options.games, folder / "b")
        grown = grow(embed("packaged", covers), options.games)
        digests = tuple(row.to_bytes(16, "little") for row in range(options.games))
        appids = np.arange(1, options.games + 1, dtype=np.uint32)
        embedded = Embedded(appids, {"plain": grown}, digests, SIZE, (), 0)
        games = [Game(appid, f"Game number {appid}") for appid in appids.tolist()]
        clock = Clock()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        build = Options(Choice("packaged"), workers=os.cpu_count() or 1)
        progress = Progress(lambda text: print(text, file=sys.stderr), clock.bar)
        scratch = folder / "c.rows" / "export"
        # Of more games they take longer than all the rest.
        few = options.games <= ALL_PAIRS
        near = nearest(grown, 3) if few else Neighbours(np.empty((options.games, 0), np.int32), None)
        start = time.perf_counter()
        made = map_.map_of(banners, games, embedded, near, None, folder / "c", scratch, build, progress)
        figures: dict[str, Any] = {
            "games": options.games,
            "layout_s": clock.seconds["map"],
            "tiles_s": clock.seconds["tiles"],
            "all_s": round(time.perf_counter() - start, 1),
            "file_mb": round((scratch / "map.mbtiles").stat().st_size / 1e6, 1),
            "memory_before_mb": round(before / 1024),
            "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "order": made.about["map"].order,
            "regions": len(made.places.regions) if made.places else 0,
        }
        if options.serve:
            arrays = neighbour_arrays({"plain": near})
            about = Manifest(k=3, encoder=EncoderInfo("none"), images=Images("", *SIZE), map=made.about["map"])
            writer.save(folder / "c", games, arrays, made.files, None, about, made.places)
            figures |= serve(folder)
        print(json.dumps(figures))


def serve(folder: Path) -> dict[str, Any]:
    catalogue = open_catalogue(folder / "c")
    version, about = catalogue.manifest.files["map.mbtiles"].sha256[:12], catalogue.manifest.map
    assert about is not None
    random = np.random.default_rng(0)
    paths = []
    for _ in range(3000):
        zoom = int(random.integers(about.zoom + 1))
        width, height = (
            -(-side * of // (512 << (about.zoom - zoom)))
            for side, of in zip((about.columns, about.rows), about.cell, strict=True)
        )
        paths.append(f"/map/tiles/{version}/{zoom}/{random.integers(width)}/{random.integers(height)}.webp")
    (folder / "bare.py").write_text(BARE)
    tiles: list[float] = []
    bare: list[float] = []
    failed, slowest = 0, 0.0
    for _ in range(2):
        with served("bare:app", {}, folder) as url:
            bare.append(load(url, ["/"], 5, MANY, folder)[0])
        with served("webapp.wsgi:app", {"CATALOGUE": str(folder / "c")}, ROOT) as url:
            rate, _, errors = load(url, paths, 5, MANY, folder)
            tiles.append(rate)
            slowest, failed = load(url, paths, 5, FEW, folder)[1], failed + errors
            frames = pan(url, about.zoom // 2 - about.zoom)
    return {
        "tiles_per_s": [round(rate) for rate in tiles],
        "bare_per_s": [round(rate) for rate in bare],
        "p99_ms": slowest,
        "failed": failed,
        "longest_frame_ms": round(max(frames)),
        "median_frame_ms": round(sorted(frames)[len(frames) // 2]),
    }


def pan(url: str, zoom: int) -> list[float]:
    """Drag the map from its left to its right end at a zoom, 0 for the largest: milliseconds from frame to frame."""
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{url}/map#{zoom}/0/0.5")
        page.wait_for_load_state("networkidle")
        page.evaluate(FRAMES)
        box = page.locator("#map").bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        while float(page.url.split("/")[-2]) < 0.99:
            page.mouse.move(box["x"] + 0.9 * box["width"], y)
            page.mouse.down()
            for step in range(20):
                page.mouse.move(box["x"] + (0.9 - 0.04 * step) * box["width"], y)
                page.wait_for_timeout(16)
            page.mouse.up()
            page.wait_for_timeout(300)  # until the address follows
        frames: list[float] = page.evaluate("window.frames_ms")
        browser.close()
    return frames


if __name__ == "__main__":
    main()
