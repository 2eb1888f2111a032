"""Peak memory and time of each program with many games.

The banners folder has `--rows` links to 5,000 drawn pictures and a `games.csv` with names grown from a catalogue's. The
store of finished vectors is filled beforehand, so embed_banners.py does everything but encode. `own` is the memory of
the program's processes, `all` includes the mapped files, which the system may drop; both are peaks in MiB. A million
games take more than an hour and some 30 GB of disk. With `--only-read` the catalogue is written straight away, with
made-up neighbours, and the programs that read one are measured. Prints one JSON line for each program. Examples:

    bench_memory.py --catalogue data/published --rows 1000000 --approximate --no-map
    bench_memory.py --catalogue data/published --rows 1000000 --only-read --url postgresql://...
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
from msgspec import structs
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.catalogue import writer
from banners.catalogue.manifest import EncoderInfo, Images, Manifest
from banners.catalogue.reader import neighbour_arrays, open_catalogue
from banners.embedding.decoding import Decoded, content_hash
from banners.embedding.store import EmbeddingStore
from banners.encoders import LOCAL_FEATURES, Choice
from banners.encoders.encoder import Encoder
from banners.games_csv import Game, games_table, list_banners
from banners.vectors.nearest import quantise
from banners.vectors.neighbours import Neighbours
from banners.vectors.regions import CELLS, CHANNELS
from benchmarks.bench_postgres import grow_parts
from benchmarks.bench_search import grown
from benchmarks.random_clip import save_random_clip

PICTURES = 5_000
SAMPLE = 200  # pictures whose local features are made
NEIGHBOURS = 100
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


def make_banners(folder: Path, names: Sequence[str]) -> tuple[list[Game], list[bytes]]:
    """The folder's banners have the appids 10, 20, ...; returns the games, and the hash of the file of each."""
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
    return games, [hashes[row % PICTURES] for row in range(len(names))]


def fill(folder: Path, encoder: Encoder, hashes: Sequence[bytes], rows: np.ndarray, dtype: type) -> None:
    """Put rows into the store of finished vectors, over and over where they are fewer than the games."""
    store = EmbeddingStore(folder, encoder.identity(BATCH), rows.shape[1], dtype)
    for start in range(0, len(hashes), BLOCK):
        here = range(start, min(start + BLOCK, len(hashes)))
        sources = [Decoded(hashes[row], row.to_bytes(16), (60, 90)) for row in here]
        store.add("plain", [10 + 10 * row for row in here], sources, rows[np.arange(here.start, here.stop) % len(rows)])


def write(folder: Path, games: Sequence[Game], banners: Path) -> None:
    """A catalogue as embed_banners.py makes one, but for its neighbours, encoder, labels and map."""
    count, views = len(games), ("plain", "mirror")
    rows, parts = embeddings(count), grow_parts(list_banners(banners)[:SAMPLE], count, folder.parent)
    codes = quantise(rows)
    near = (np.arange(count, dtype=np.int32)[:, None] + np.arange(1, NEIGHBOURS + 1, dtype=np.int32)) % count
    alike = np.broadcast_to(np.linspace(1, 0.5, NEIGHBOURS, dtype=np.float32), near.shape)
    arrays = {**parts.arrays, **neighbour_arrays(dict.fromkeys(views, Neighbours(near, alike)))}
    arrays |= {"embeddings": rows, "quantised": codes.codes, "quantised_scales": codes.scales}
    encoder, images = EncoderInfo("none"), Images("", 60, 90)
    about = Manifest(k=NEIGHBOURS, d=rows.shape[1], dtype="float32", views=views, encoder=encoder, images=images)
    writer.save(folder, games, arrays, {}, None, structs.replace(about, **parts.about))


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


def embed(catalogue: Path, banners: Path, hashes: Sequence[bytes], more: Sequence[str]) -> None:
    model = catalogue.with_name("model")
    save_random_clip(model)
    store = catalogue.with_name(f"{catalogue.name}.rows")
    fill(store, Choice(str(model), device="cpu").open(), hashes, embeddings(len(hashes)), np.float32)
    if "--no-parts" not in more:
        outputs = np.random.default_rng(1).standard_normal((2000, CELLS * CHANNELS), dtype=np.float32)
        local = Choice(LOCAL_FEATURES, device="cpu", precision="float32").open_for_many()
        fill(store, local, hashes, outputs, np.float16)
    program = ["embed_banners.py", banners, "--out", catalogue, "--encoder", model, *more]
    measure(f"embed_banners.py {' '.join(more)}", program)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True, help="whose names are grown")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only-read", action="store_true", help="embed nothing")
    parser.add_argument("--url", help="of a database; without it nothing is pushed")
    options, more = parser.parse_known_args()  # the others are for embed_banners.py
    names = grown([game.name for game in open_catalogue(options.catalogue).games], options.rows)
    with (
        tempfile.TemporaryDirectory() as scratch,
        ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=scratch)) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        folder = Path(scratch)
        banners, catalogue, packed = folder / "banners", folder / "c", folder / "c.tar.gz"
        games, hashes = make_banners(banners, names)
        if options.only_read:
            write(catalogue, games, banners)
        else:
            embed(catalogue, banners, hashes, more)
        programs: dict[str, list[object]] = {
            "manage_catalogue.py verify": [catalogue],
            "manage_catalogue.py pack": [catalogue, "--out", packed],
            "manage_catalogue.py fetch": [f"http://127.0.0.1:{server.server_port}/{packed.name}", folder / "fetched"],
            "manage_catalogue.py push": [catalogue, options.url],
            "evaluate_catalogue.py": [catalogue, banners, "--report", folder / "report"],
            "audit_banners.py": [banners],
        }
        for program, arguments in programs.items():
            if None not in arguments:
                measure(program, [*program.split(), *arguments])
        server.shutdown()


if __name__ == "__main__":
    main()
