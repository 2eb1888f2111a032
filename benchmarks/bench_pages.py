"""Pages a second against a bare Flask route, in the same gunicorn setting, in turns in one run.

Loads `/render/<random appid>` and `/suggest?q=<beginning of a random name>` with wrk from this machine. Needs wrk. Each
round starts the servers anew, so the first requests are among those that count. Rates are taken at 32 connections: with
few, one worker may get them all while the other idles. The 99th percentile is taken at 8. All rounds are printed; the
best ones are compared, where both workers have work.

Prints one JSON line, the ratios last. Example: bench_pages.py --catalogue data/published
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from banners.catalogue.reader import open_catalogue

PORT = 8141
MANY, FEW = 32, 8  # connections
BARE = """
from flask import Flask
app = Flask(__name__)
@app.get("/")
def nothing():
    return "ok"
"""
SCRIPT = """
local paths = {}
for line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end
math.randomseed(os.time())
request = function() return wrk.format("GET", paths[math.random(#paths)]) end
"""


@contextmanager
def served(app: str, environment: dict[str, str], folder: Path) -> Iterator[str]:
    """A gunicorn with two workers, as in production."""
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "--log-level", "error", app]
    environment = os.environ | environment | {"PORT": str(PORT), "HOST": "127.0.0.1", "WEB_CONCURRENCY": "2"}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    url = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def load(url: str, paths: list[str], seconds: int, connections: int, folder: Path) -> tuple[float, float, int]:
    """Requests a second, the 99th percentile in milliseconds, and how many failed."""
    (folder / "paths").write_text("\n".join(paths) + "\n")
    (folder / "script.lua").write_text(SCRIPT)
    wrk = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(folder / "script.lua"), url]
    out = subprocess.run(
        wrk, env=os.environ | {"PATHS": str(folder / "paths")}, capture_output=True, text=True, check=True
    ).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", out))
    failed += sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", out))
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit], failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.exit(2, "bench_pages.py: error: wrk is not installed\n")
    catalogue = open_catalogue(options.catalogue)
    seeded = random.Random(0)
    names = [game.name for game in catalogue.games if len(game.name) > 3]
    typed = [name[: seeded.randint(2, len(name))] for name in names]
    paths = {
        "render": [f"/render/{appid}" for appid in catalogue.appids.tolist()],
        "suggest": [f"/suggest?q={quote(text)}" for text in typed],
    }
    ours = {"CATALOGUE": str(options.catalogue.resolve())}
    rates: dict[str, list[float]] = {"bare": [], "render": [], "suggest": []}
    slowest: dict[str, list[float]] = {name: [] for name in paths}
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bare.py").write_text(BARE)
        for _ in range(options.rounds):
            with served("bare:app", {}, folder) as url:
                results = {"bare": load(url, ["/"], options.seconds, MANY, folder)}
            with served("webapp.wsgi:app", ours, ROOT) as url:
                for what, asked in paths.items():
                    results[what] = load(url, asked, options.seconds, MANY, folder)
                    _, p99, errors = load(url, asked, options.seconds, FEW, folder)
                    slowest[what].append(p99)
                    failed += errors
            for what, (rate, _, errors) in results.items():
                rates[what].append(rate)
                failed += errors
    report: dict[str, object] = {"games": len(catalogue), "failed": failed}
    report |= {f"{what}_per_s": [round(rate) for rate in each] for what, each in rates.items()}
    report |= {f"{what}_p99_ms": each for what, each in slowest.items()}
    report |= {f"{what}_to_bare": round(max(rates[what]) / max(rates["bare"]), 3) for what in paths}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
