"""The audit against its floor: the same number of processes that only decode the same images, in the same run.

Draws a folder like the original data set (306 greyscale, 34 CMYK, 2 blank, 1 of 600x900, 57 groups of identical ones
with 120 members, the rest ordinary 300x450 JPEGs), audits it, checks that exactly this was found, and prints one JSON
line with the ratio of the rates last. With --hashes, only near duplicates are searched, among so many random perceptual
hashes; the reference compares 1,000 of them with all. Examples:

    bench_audit.py --images 30000
    bench_audit.py --hashes 1000000
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from banners import audit
from banners.games_csv import Banner, read_banners_folder

GREY, CMYK, BLANK, LARGE = 306, 34, 2, 1
GROUPS = [2] * 51 + [3] * 6  # 57 groups, 120 members


def picture(seed: int, size: tuple[int, int] = (300, 450)) -> Image.Image:
    """An image of the detail and file size of a banner, the same for the same seed."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", size)
    for cells in (4, 24, 90):
        noise = Image.fromarray(random.integers(0, 256, (cells * 3 // 2, cells, 3), np.uint8))
        image = Image.blend(image, noise.resize(size, Image.Resampling.BICUBIC), 0.5 if cells > 4 else 1.0)
    return image


def draw(job: tuple[Path, int, str]) -> None:
    path, seed, kind = job
    image = picture(seed, (600, 900) if kind == "large" else (300, 450))
    if kind == "blank":
        image = Image.new("RGB", (300, 450), (seed % 2 * 255,) * 3)
    image.convert({"grey": "L", "cmyk": "CMYK"}.get(kind, "RGB")).save(path, quality=88)


def plant(folder: Path, count: int, pool: ProcessPoolExecutor) -> dict[str, int]:
    """Draw `count` banners into `folder`; what the audit must find, by kind."""
    kinds = ["grey"] * GREY + ["cmyk"] * CMYK + ["blank"] * BLANK + ["large"] * LARGE
    seeds = list(range(count))
    start = len(kinds)
    for members in GROUPS:
        seeds[start : start + members] = [seeds[start]] * members
        start += members
    kinds += ["plain"] * (count - len(kinds))
    appids = np.random.default_rng(0).permutation(count) * 10 + 10
    jobs = [
        (folder / f"{appid}.jpg", seed, kind) for appid, seed, kind in zip(appids.tolist(), seeds, kinds, strict=True)
    ]
    for _ in pool.map(draw, jobs, chunksize=32):
        pass
    rows = "".join(f"{appid},Game {appid}\n" for appid in sorted(appids.tolist()))
    (folder / "games.csv").write_text("appid,name\n" + rows)
    return {"size": LARGE, "channels": GREY + CMYK, "blank": BLANK, "duplicate": sum(GROUPS)}


def decode(banner: Banner) -> None:
    with Image.open(banner.path) as image:
        image.load()


def near_duplicates(count: int) -> dict[str, float]:
    """Seconds of searching near duplicates among random hashes, and of comparing a thousand of them with all."""
    hashes = np.unique(np.random.default_rng(0).integers(0, 2**64, count, np.uint64))
    started = time.perf_counter()
    pairs = sum(1 for _ in audit.near_pairs(hashes, 4))
    searched = time.perf_counter()
    for one in hashes[:1000]:
        np.flatnonzero(np.bitwise_count(hashes ^ one) <= 4)
    seconds = {"s": searched - started, "thousand_with_all_s": time.perf_counter() - searched}
    return {"hashes": len(hashes), "pairs": pairs, **{name: round(value, 3) for name, value in seconds.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--hashes", type=int)
    options = parser.parse_args()
    if options.hashes:
        print(json.dumps(near_duplicates(options.hashes)))
        return
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(options.workers) as pool:
        planted = plant(Path(name), options.images, pool)
        folder = read_banners_folder(Path(name))
        for _ in pool.map(decode, folder.banners, chunksize=32):  # warms the file cache and the processes
            pass
        started = time.perf_counter()
        for _ in pool.map(decode, folder.banners, chunksize=32):
            pass
        decode_s = time.perf_counter() - started
        started = time.perf_counter()
        images = list(pool.map(audit.examine, folder.banners, chunksize=32))
        found = audit.find(folder, images)
        audit_s = time.perf_counter() - started
    counts = dict(Counter(finding.kind for finding in found))
    groups = len({finding.detail for finding in found if finding.kind == "duplicate"})
    print(
        json.dumps(
            {
                "images": options.images,
                "workers": options.workers,
                "found_exactly_what_was_planted": counts == planted and groups == len(GROUPS),
                "found": counts,
                "decode_images_per_s": round(options.images / decode_s, 1),
                "audit_images_per_s": round(options.images / audit_s, 1),
                "ratio": round(decode_s / audit_s, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
