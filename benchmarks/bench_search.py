"""Search by name at scale: how long one suggestion takes, and whether the game is among the first.

The names of a catalogue are grown to 200,000 with made-up ones of their words. `as_typed`: whole names and beginnings
of names. `typo`: names with one letter changed, left out, doubled or swapped, found among the first ten. `typed`:
`queries.txt`, as people type them, found among the first three. Then the time until a server with all of it is ready,
and what its two workers take. Prints one JSON line. Example: bench_search.py --catalogue data/published
"""

import argparse
import json
import os
import random
import re
import shutil
import string
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.catalogue.games_db import Games, write_games_db
from banners.catalogue.names import fold
from banners.catalogue.reader import open_catalogue
from banners.games_csv import Game
from banners.vectors.neighbours import Neighbours
from banners.views import View
from tests.catalogues import save_catalogue

PORT = 8142
MORE = ("2", "3", "Remastered", "VR", "Deluxe", "Online", "II", "Origins", "Prologue", "Zero", "Tactics", "Legends")


def grown(names: Sequence[str], count: int) -> list[str]:
    """`names` first, then made-up ones: an addition, or words exchanged for others."""
    seeded = random.Random(1)
    words = [word for name in names for word in name.split() if len(word) > 3]
    made = list(names)
    while len(made) < count:
        parts = seeded.choice(names).split() or ["Nameless"]
        if seeded.random() < 0.5:
            parts.append(seeded.choice(MORE))
        else:
            parts = [seeded.choice(words) if seeded.random() < 0.4 else word for word in parts]
        made.append(" ".join(parts))
    return made[:count]


def mistyped(name: str, seeded: random.Random) -> str:
    """`name` with one slip of the finger."""
    at = seeded.randrange(1, len(name) - 1)
    slip = seeded.randrange(4)
    if slip == 0:
        return name[:at] + seeded.choice(string.ascii_lowercase) + name[at + 1 :]
    if slip == 1:
        return name[:at] + name[at + 1 :]
    if slip == 2:
        return name[:at] + name[at] + name[at:]
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def timed(index: Games, queries: Sequence[str]) -> list[float]:
    """Milliseconds of each."""
    taken = []
    for query in queries:
        started = time.perf_counter()
        index.search(query)
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def typed_found(index: Games, names: Sequence[str]) -> tuple[int, int, list[str]]:
    """How many of the queries in `queries.txt` find their game among the first three, of how many, and those that do
    not."""
    missed, count = [], 0
    for line in (Path(__file__).parent / "queries.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        query, _, wanted = line.partition("\t")
        count += 1
        first = [names[row] for row in index.search(query).rows[:3]]
        if not any(name.startswith(one) for name in first for one in wanted.split("|")):
            missed.append(query)
    return count - len(missed), count, missed


def indexed(path: Path, games: Sequence[Game]) -> Games:
    write_games_db(path, games)
    return Games(path)


def save(folder: Path, games: Sequence[Game], k: int = 100) -> None:
    """A catalogue whose neighbours are anybody: a server treats them like any others."""
    n = len(games)
    rows = (np.arange(n)[:, None] + 1 + np.arange(k)[None]) % n
    similarities = np.linspace(0.9, 0.1, k, dtype=np.float32)[None].repeat(n, axis=0)
    neighbours: dict[View, Neighbours] = {"plain": Neighbours(rows.astype(np.int32), similarities)}
    embeddings = np.random.default_rng(0).standard_normal((n, 512), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    save_catalogue(folder, games, neighbours, embeddings, about={"images": {"source": "steam"}})


def served(folder: Path) -> tuple[float, float]:
    """Seconds until a server of `folder` is ready, and the proportional memory of all its processes in MB after use."""
    environment = os.environ | {"CATALOGUE": str(folder), "PORT": str(PORT), "HOST": "127.0.0.1"}
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "--log-level", "error"]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{PORT}"
    try:
        while True:
            with suppress(OSError):
                urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
                break
            if process.poll() is not None:
                sys.exit("bench_search.py: the server did not start")
            time.sleep(0.02)
        ready = time.perf_counter() - started
        for number in range(200):
            for path in (
                f"/suggest?q={string.ascii_lowercase[number % 26]}o",
                "/",
                "/hubs",
                "/unique",
                f"/search?q=th{number}",
            ):
                urllib.request.urlopen(url + path, timeout=10).close()
        pids = [process.pid, *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]
        assert len(pids) == 3, "a worker is missing"
        memory = sum(
            int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1])
            for pid in pids
        )
        return ready, memory / 1024
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--names", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=3000)
    options = parser.parse_args()
    real = [game.name for game in open_catalogue(options.catalogue).games]
    names = grown(real, options.names)
    games = [Game(10 + 10 * row, name) for row, name in enumerate(names)]
    scratch = Path(tempfile.mkdtemp())
    started = time.perf_counter()
    index = indexed(scratch / "games.db", games)
    built = time.perf_counter() - started
    seeded = random.Random(2)
    known = [row for row, name in enumerate(real) if len(" ".join(fold(name))) >= 5 and name.isascii()]
    chosen = seeded.sample(known, min(options.queries, len(known)))
    beginnings = [names[row][: seeded.randint(1, len(names[row]))] for row in chosen]
    typos = [(mistyped(names[row], seeded), row) for row in chosen]
    as_typed = timed(index, [names[row] for row in chosen] + beginnings)
    with_typo = timed(index, [query for query, _ in typos])
    hits = sum(fold(names[row]) in [fold(names[other]) for other in index.search(query).rows] for query, row in typos)
    real_games = games[: len(real)]
    found, count, missed = typed_found(indexed(scratch / "real.db", real_games), real)
    save(scratch / "catalogue", games)
    ready, memory = served(scratch / "catalogue")
    index_mb = (scratch / "games.db").stat().st_size / 1e6
    shutil.rmtree(scratch)
    for query in missed:
        print(f"not among the first three: {query}", file=sys.stderr)
    print(
        json.dumps(
            {
                "names": len(names),
                "build_s": round(built, 2),
                "games_db_mb": round(index_mb, 1),
                "as_typed_p50_ms": round(float(np.percentile(as_typed, 50)), 2),
                "as_typed_p95_ms": round(float(np.percentile(as_typed, 95)), 2),
                "typo_p50_ms": round(float(np.percentile(with_typo, 50)), 2),
                "typo_p95_ms": round(float(np.percentile(with_typo, 95)), 2),
                "typo_hit_at_10": round(hits / len(typos), 4),
                "typed_among_first_three": f"{found} of {count}",
                "ready_s": round(ready, 2),
                "memory_two_workers_mb": round(memory),
            }
        )
    )


if __name__ == "__main__":
    main()
