"""Exact neighbours of all rows: ours, `faiss.knn`, and the bare matrix product, in turns in one run.

Rows are drawn around centres, so that similarities are as uneven as those of banners. Prints one JSON line, the ratios
last. Memory is what each adds to the process at most, the result included. With --cluster, ours alone and ours by a
local Ray cluster, one worker of which is killed in the middle; their results must be the same bits. Example:
bench_neighbours.py --rows 29982
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from banners.embedding import cluster
from banners.encoders import Choice
from banners.vectors.neighbours import nearest

PAGE_MB = 4096 / 1e6


def clustered(n: int, d: int) -> np.ndarray:
    """float32 (n, d), rows L2-normalised."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((n // 100 + 1, d), dtype=np.float32)
    rows = centres[random.integers(0, len(centres), n)]
    for start in range(0, n, 10_000):
        part = rows[start : start + 10_000]
        part += 1.5 * random.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB


def measured(work: Callable[[], object]) -> tuple[float, float, object]:
    """Seconds, and the most that the process grew meanwhile, in MB."""
    before, most, done = resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    return seconds, max(most[0], resident_mb()) - before, result


def product(rows: np.ndarray) -> None:
    """All similarities in blocks of the size that suits BLAS, each thrown away."""
    block = np.empty((4096, len(rows)), np.float32)
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        np.matmul(part, rows.T, out=block[: len(part)])


def by_cluster(rows: np.ndarray, k: int) -> dict[str, object]:
    """Seconds alone and by the cluster, without its start. The worker is killed when half of the rows are done."""
    left = len(rows) // 2

    def kill(done: int) -> None:
        nonlocal left
        before, left = left, left - done
        if before > 0 >= left:
            processes = psutil.Process().children(recursive=True)
            worker = next(one.pid for one in processes if "ray::_Worker" in " ".join(one.cmdline()))
            os.kill(worker, signal.SIGKILL)

    started = time.perf_counter()
    alone = nearest(rows, k)
    alone_s = time.perf_counter() - started
    with cluster.connected("", Choice("packaged")) as workers:
        nearest(rows[:5000], 10, spread=workers.nearest_blocks)  # they are started before anything is timed
        started = time.perf_counter()
        together = nearest(rows, k, on_progress=kill, spread=workers.nearest_blocks)
        together_s = time.perf_counter() - started
        count = len(workers.workers)
    assert left <= 0
    return {
        "rows": len(rows),
        "dim": rows.shape[1],
        "neighbours": k,
        "alone_s": round(alone_s, 1),
        "cluster_s": round(together_s, 1),
        "workers": count,
        "same_rows": bool(np.array_equal(alone.rows, together.rows)),
        "same_bits": alone.similarities.tobytes() == together.similarities.tobytes(),
        "cluster_to_alone": round(together_s / alone_s, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=29_982)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--neighbours", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only-ours", action="store_true", help="time and memory of ours alone, for many rows")
    parser.add_argument("--cluster", action="store_true", help="by a local Ray cluster, one worker of which is killed")
    options = parser.parse_args()
    rows, k = clustered(options.rows, options.dim), options.neighbours
    if options.cluster:
        print(json.dumps(by_cluster(rows, k)))
        return
    contenders: dict[str, Callable[[], object]] = {"ours": lambda: nearest(rows, k, device=options.device)}
    if not options.only_ours:
        try:
            import faiss

            contenders["faiss_knn"] = lambda: faiss.knn(rows, rows, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
        except ImportError:
            print("faiss is not installed: without it", file=sys.stderr)
        contenders["product"] = lambda: product(rows)
    nearest(rows[:5000], 10, device=options.device)  # threads and a GPU are started before anything is timed
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    memory: dict[str, float] = {}
    results: dict[str, object] = {}
    for _ in range(options.rounds):
        for name, work in contenders.items():
            took, grew, results[name] = measured(work)
            seconds[name].append(took)
            memory[name] = max(memory.get(name, 0.0), grew)
            if len(seconds[name]) < options.rounds:
                results.pop(name)
    report: dict[str, object] = {"rows": options.rows, "dim": options.dim, "neighbours": k, "device": options.device}
    report |= {f"{name}_s": round(median(times), 2) for name, times in seconds.items()}
    report["ours_memory_mb"] = round(memory["ours"])
    if "faiss_knn" in contenders:
        theirs = results["faiss_knn"][0][:, 1:]
        report["similarities_differ_by"] = float(np.abs(results["ours"].similarities - theirs).max())
    # Of each round its own ratio: what else the machine does is then in both.
    for name in contenders:
        if name != "ours":
            ratios = [ours / other for ours, other in zip(seconds["ours"], seconds[name], strict=True)]
            report[f"ours_to_{name}"] = round(median(ratios), 3)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
