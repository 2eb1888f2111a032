"""Peak memory and time of each program with many games.

The banners folder has `--rows` links to 5,000 drawn pictures and a `games.csv` with names grown from a catalogue's. The
store of finished vectors is filled beforehand, so embed_banners.py does everything but encode. `own` is the memory of
the program's processes, `all` includes the mapped files, which the system may drop; both are peaks in MiB. A million
games take more than an hour and some 30 GB of disk. Prints one JSON line for each program. Example:

    bench_memory.py --catalogue data/published --rows 1000000 --approximate --no-map
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.catalogue.reader import open_catalogue
from banners.embedding.decoding import Decoded, content_hash
from banners.embedding.store import EmbeddingStore
from banners.encoders import LOCAL_FEATURES, Choice
from banners.encoders.encoder import Encoder
from banners.games_csv import Game, games_table
from banners.vectors.regions import CELLS, CHANNELS
from benchmarks.bench_search import grown
from benchmarks.random_clip import save_random_clip

PICTURES = 5_000
BATCH = 32  # of embed_banners.py on a CPU, which is part of an encoder's identity
BLOCK = 4096
TAGS = ("Action", "Adventure", "RPG", "Strategy", "Simulation", "Casual", "Indie", "Puzzle", "Horror", "Racing")


def embeddings(count: int) -> np.ndarray:
    """float32 (count, 512), rows L2-normalised, each close to a hundred others."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((count // 100 + 1, 512), dtype=np.float32)
    rows = centres[random.integers(0, len(centres), count)]
    for start in range(0, count, BLOCK):
        block = rows[start : start + BLOCK]
        block += 0.4 * random.standard_normal(block.shape, dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return rows


def make_banners(folder: Path, names: Sequence[str]) -> list[bytes]:
    """The folder's banners have the appids 10, 20, ...; returns the hash of the file of each."""
    random, hashes = np.random.default_rng(0), []
    folder.mkdir()
    pictures = folder.with_name("pictures")
    pictures.mkdir()
    for number in range(PICTURES):
        coarse = Image.fromarray(random.integers(0, 256, (6, 4, 3), np.uint8))
        coarse.resize((60, 90), Image.Resampling.BICUBIC).save(pictures / f"{number}.png")
        hashes.append(content_hash((pictures / f"{number}.png").read_bytes()))
    games = []
    for row, name in enumerate(names):
        os.link(pictures / f"{row % PICTURES}.png", folder / f"{10 + 10 * row}.png")
        tags = ";".join(random.choice(TAGS, 5, replace=False).tolist())
        columns = {"popularity": int(1e6 / (row + 1)), "year": 2000 + row % 25, "developer": f"Studio {row % 40_000}"}
        games.append(Game(10 + 10 * row, name, {**columns, "publisher": f"House {row % 9_000}", "tags": tags}))
    (folder / "games.csv").write_bytes(games_table(games))
    return [hashes[row % PICTURES] for row in range(len(names))]


def fill(folder: Path, encoder: Encoder, hashes: Sequence[bytes], rows: np.ndarray, dtype: type) -> None:
    """Put rows into the store of finished vectors, over and over where they are fewer than the games."""
    store = EmbeddingStore(folder, encoder.identity(BATCH), rows.shape[1], dtype)
    for start in range(0, len(hashes), BLOCK):
        here = range(start, min(start + BLOCK, len(hashes)))
        sources = [Decoded(hashes[row], row.to_bytes(16), (60, 90)) for row in here]
        store.add("plain", [10 + 10 * row for row in here], sources, rows[np.arange(here.start, here.stop) % len(rows)])


def of_all(pid: int) -> tuple[float, float]:
    """Own memory, and all, of a process and its children, in MiB."""
    own = all_of_it = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        status = Path(f"/proc/{process.pid}/status").read_text()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if "kB" in line}
        own += sizes.get("RssAnon", 0.0)
        all_of_it += sizes.get("VmRSS", 0.0)
    return own, all_of_it


def measure(what: str, command: Sequence[object]) -> None:
    started, most = time.perf_counter(), (0.0, 0.0)
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        while process.poll() is None:
            try:
                own, every = of_all(process.pid)
            except (psutil.Error, OSError):  # it has just ended
                continue
            most = max(most[0], own), max(most[1], every)
            time.sleep(0.1)
        if process.returncode not in (0, 1):
            errors.seek(0)
            sys.exit(f"bench_memory.py: {what}: {errors.read()[-2000:]}")
    seconds = round(time.perf_counter() - started, 1)
    print(json.dumps({"program": what, "own": round(most[0]), "all": round(most[1]), "s": seconds}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True, help="whose names are grown")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", help="of a database; without it nothing is pushed")
    options, more = parser.parse_known_args()  # the others are for embed_banners.py
    names = grown([game.name for game in open_catalogue(options.catalogue).games], options.rows)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        banners, catalogue, model = folder / "banners", folder / "c", folder / "model"
        save_random_clip(model)
        hashes = make_banners(banners, names)
        fill(folder / "c.rows", Choice(str(model), device="cpu").open(), hashes, embeddings(len(names)), np.float32)
        if "--no-parts" not in more:
            outputs = np.random.default_rng(1).standard_normal((2000, CELLS * CHANNELS), dtype=np.float32)
            local = Choice(LOCAL_FEATURES, device="cpu", precision="float32").open()
            fill(folder / "c.rows", local, hashes, outputs, np.float16)
        measure(
            f"embed_banners.py {' '.join(more)}",
            ["embed_banners.py", banners, "--out", catalogue, "--encoder", model, *more],
        )
        manage = ["manage_catalogue.py"]
        measure("manage_catalogue.py verify", [*manage, "verify", catalogue])
        measure("manage_catalogue.py pack", [*manage, "pack", catalogue, "--out", folder / "c.tar.gz"])
        if options.url:
            measure("manage_catalogue.py push", [*manage, "push", catalogue, options.url])
        measure("evaluate_catalogue.py", ["evaluate_catalogue.py", catalogue, banners, "--report", folder / "report"])
        measure("audit_banners.py", ["audit_banners.py", banners])


if __name__ == "__main__":
    main()
