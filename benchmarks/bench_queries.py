"""Queries by words and pictures, and filtered neighbours: how long they take, how much memory, how exact they are.

A catalogue of so many games is made with the full-size CLIP ViT-B/32 with random weights, its exported encoder as
embed_banners.py makes it, and embeddings grown from those of real banners; then one real gunicorn worker is asked.
`memory` is the largest resident size of that worker, all that it shares with its master included. Prints one JSON line
for each number of games. Example:

    bench_queries.py --banners ../shared/data/covers --games 29982 200000
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.build.export import export_queries
from banners.build.local_features import local_features
from banners.build.plan import Options, Part, Progress
from banners.catalogue import writer
from banners.catalogue.manifest import EncoderInfo, Manifest
from banners.catalogue.reader import neighbour_arrays
from banners.embedding import encode_with
from banners.encoders import Choice
from banners.games_csv import Banner, Game, list_banners
from banners.vectors.artwork import find_artwork
from banners.vectors.labels import VOCABULARY, read_vocabulary
from banners.vectors.nearest import Index, quantise
from banners.vectors.neighbours import Neighbours
from banners.vectors.regions import PAIRED_AT_MOST, SameArt, same_art
from benchmarks.random_clip import save_random_clip

PORT = 8766
WORDS = (
    "castle",
    "dark",
    "forest",
    "space",
    "knight",
    "red",
    "anime girl",
    "tank",
    "snow",
    "robot",
    "a cat",
    "city night",
)


def embed(model: Path | str, banners: list[Banner]) -> np.ndarray:
    """float32 (m, d)."""
    encode = encode_with(Choice(str(model), device="cpu").open())
    batches = tqdm(encode(banners, ("plain",)), "embedding", -(-len(banners) // 32))
    return np.concatenate([vectors["plain"][: len(results)] for results, vectors in batches])


def grow(embeddings: np.ndarray, count: int) -> np.ndarray:
    """`count` rows distributed as the given ones: first these, then such as lie between two of them, with noise."""
    random = np.random.default_rng(0)
    grown = np.empty((count, embeddings.shape[1]), np.float32)
    own = min(count, len(embeddings))
    grown[:own] = embeddings[:own]
    for start in range(own, count, 8192):
        many = min(8192, count - start)
        one, other = embeddings[random.integers(0, len(embeddings), (2, many))]
        share = random.uniform(0, 1, (many, 1)).astype(np.float32)
        noise = random.normal(0, embeddings.std(axis=0), (many, embeddings.shape[1]))
        rows = share * one + (1 - share) * other + 0.5 * noise
        grown[start : start + many] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return grown


def make(folder: Path, model: Path, covers: list[Banner], grown: np.ndarray) -> None:
    """Write the catalogue to `folder`, with made-up neighbours, tags and years."""
    n = len(grown)
    banners = [Banner(row + 1, covers[row % len(covers)].path) for row in range(n)]
    random = np.random.default_rng(3)
    games = [
        Game(row + 1, f"Game number {row + 1}", {"tags": f"Tag {random.integers(50)}", "year": 2000 + row % 20})
        for row in range(n)
    ]
    choice = Choice(str(model), device="cpu")
    encoder = choice.open()
    neighbours = np.stack([(np.arange(n, dtype=np.int32) + step) % n for step in range(1, 11)], axis=1)
    with tempfile.TemporaryDirectory() as scratch:
        export = export_queries(choice.name, encoder, banners, grown, read_vocabulary(VOCABULARY), Path(scratch))
        quantised = quantise(grown)
        similarities = np.full((n, 10), 0.5, np.float32)
        local = grow_parts(covers, n, Path(scratch))
        artwork = find_artwork(grown[:2000], np.arange(300), grown[300:600])
        arrays = {
            "embeddings": grown,
            "quantised": quantised.codes,
            "quantised_scales": quantised.scales,
            **export.arrays,
            **local.arrays,
            "artwork_mean": artwork.mean,
            "artwork_projection": artwork.projection,
            "artwork_lengths": artwork.lengths(grown),
            **neighbour_arrays({view: Neighbours(neighbours, similarities) for view in ("plain", "artwork")}),
        }
        about = Manifest(
            d=grown.shape[1],
            k=10,
            views=("plain", "artwork"),
            encoder=EncoderInfo("clip-b32 with random weights", "0"),
            preprocessing=encoder.preprocessing,
            queries=export.about["queries"],
            parts=local.about["parts"],
        )
        writer.save(folder, games, arrays, {**export.files, **local.files}, export.labels, about)


def parts_of(covers: list[Banner], scratch: Path) -> Part:
    """The local features of the covers."""
    scratch = scratch / "rows" / "parts"
    scratch.mkdir(parents=True)
    digests = [str(number).encode() for number in range(len(covers))]
    options = Options(Choice("packaged", device="cpu"))
    return local_features(covers, digests, scratch, options, Progress(print, lambda *_: tqdm(disable=True)))[0]


def grow_parts(covers: list[Banner], count: int, scratch: Path) -> Part:
    """The local features of the covers, and of as many games more with noise on them."""
    part = parts_of(covers, scratch)
    random = np.random.default_rng(4)
    codes = part.arrays["parts"][np.arange(count) % len(covers)]
    noise = random.integers(-12, 13, codes.shape, np.int8)
    noise[: len(covers)] = 0
    grown = np.clip(codes.astype(np.int16) + noise, -127, 127).astype(np.int8)
    none = SameArt.none()
    same = {"same_art": none.pairs, "same_art_nats": none.nats, "same_art_share": none.share}
    started = time.perf_counter()
    if count <= PAIRED_AT_MOST:
        same_art(grown)
    print(f"same art of {count} games: {time.perf_counter() - started:.0f} s")
    return Part({**part.arrays, "parts": grown, **same}, part.files, part.about)


def largest(pid: int) -> float:
    """The largest resident size that a process had, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def ask(connection: HTTPConnection, method: str, url: str, body: bytes | None = None) -> float:
    """Seconds until the whole answer is there."""
    started = time.perf_counter()
    headers = {"Content-Type": "image/jpeg"} if body else {}
    connection.request(method, url, body=body, headers=headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise SystemExit(f"{url[:80]}: {response.status} {answer[:200]!r}")
    return time.perf_counter() - started


def measure(folder: Path, covers: list[Banner], count: int) -> dict[str, float]:
    """Ask one worker `count` mixed queries."""
    environment = os.environ | {
        "CATALOGUE": str(folder),
        "BANNERS": "",
        "HOST": "127.0.0.1",
        "PORT": str(PORT),
        "WEB_CONCURRENCY": "1",
        "QUERIES_PER_MINUTE": "0",
    }
    server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--log-level", "error"], cwd=ROOT, env=environment)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        worker = int(children[0])
        connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        random = np.random.default_rng(1)
        kinds = ("text", "upload", "mix", "filtered", "filtered_artwork", "compare", "part", "picture_part")
        took: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in tqdm(range(count), desc="asking"):
            words = " ".join(random.choice(WORDS, 2)) + f" {number}"
            kind = tuple(took)[number % len(took)]
            if kind in ("compare", "part"):
                url = "games/{}/parts?box=0.3,0.3,0.42,0.42" if kind == "part" else "compare?a={}&b={}"
                took[kind].append(ask(connection, "GET", "/api/v1/" + url.format(number + 1, number + 2)))
                continue
            if kind in ("upload", "picture_part"):
                with Image.open(covers[int(random.integers(len(covers)))].path) as image:
                    file = io.BytesIO()
                    image.convert("RGB").save(file, "JPEG", quality=85)
                url = "/api/v1/pictures" + ("/parts?box=0.3,0.3,0.42,0.42" if kind == "picture_part" else "")
                took[kind].append(ask(connection, "POST", url, file.getvalue()))
                continue
            if kind.startswith("filtered"):
                # Of ten stored neighbours hardly any has the tag: all rows are searched.
                tag, view = int(random.integers(50)), "artwork" if kind == "filtered_artwork" else "plain"
                url = f"/api/v1/games/{number + 1}/neighbours?n=10&tag=Tag+{tag}&view={view}"
                took[kind].append(ask(connection, "GET", url))
                continue
            query = {"text": words} if kind == "text" else {"game": number + 1, "text": words, "not_game": number + 2}
            took[kind].append(ask(connection, "GET", f"/api/v1/similar?{urllib.parse.urlencode(query)}"))
        connection.close()
        figures = {f"first_{kind}_ms": round(1000 * times[0]) for kind, times in took.items()}
        for kind, times in took.items():
            figures[f"{kind}_p50_ms"] = round(1000 * float(np.percentile(times[1:], 50)))
            figures[f"{kind}_p95_ms"] = round(1000 * float(np.percentile(times[1:], 95)))
        figures["memory_mb"] = round(largest(worker))
        return figures
    finally:
        server.terminate()
        server.wait()


def recall(grown: np.ndarray, queries: int = 200) -> float:
    """Of the ten nearest rows by the whole matrix in float32, to rows with some noise."""
    random = np.random.default_rng(2)
    index = Index(grown, quantise(grown))
    recalls = []
    for row in random.integers(0, len(grown), queries):
        vector = grown[row] + random.normal(0, 0.01, grown.shape[1]).astype(np.float32)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        exact = np.sort(grown @ vector)[-10]
        rows = [row for row, _ in islice(index.nearest(vector, 10), 10)]
        recalls.append(float((grown[rows] @ vector >= exact - 1e-6).mean()))
    return float(np.mean(recalls))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banners", type=Path, required=True, metavar="DIR")
    parser.add_argument("--games", type=int, nargs="+", default=[29_982])
    parser.add_argument("--queries", type=int, default=500)
    options = parser.parse_args()
    covers = list_banners(options.banners)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "clip"
        save_random_clip(model)
        embeddings = embed(model, covers)
        for games in options.games:
            grown = grow(embeddings, games)
            folder = Path(scratch) / f"c{games}"
            make(folder, model, covers, grown)
            about = json.loads((folder / "manifest.json").read_text())["queries"]
            precision = {f"{side}_precision": about[side]["precision"] for side in ("image", "text")}
            recalls = {f"{side}_recall_at_10": about[side]["recall_at_10"] for side in ("image", "text")}
            figures = measure(folder, covers, options.queries)
            print(json.dumps({"games": games, **precision, **recalls, **figures, "search_recall_at_10": recall(grown)}))


if __name__ == "__main__":
    main()
