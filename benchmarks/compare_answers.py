"""Whether two versions of the program give the same answers: the arrays of two catalogues, and the JSON of addresses.

The catalogues are made of the same banners, each by its version. Both web apps are asked the same; differences are
printed, numbers that differ by less than 1e-5 are equal. Example, with the earlier version in a git worktree:

    compare_answers.py --trees ../earlier . --catalogues /tmp/earlier /tmp/now --banners ../shared/data/covers
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-5
# Asks the web app of the tree that it is run in for the addresses on stdin.
ASK = """
import json, sys
from webapp import create_app
client = create_app({"CATALOGUE": sys.argv[1], "BANNERS": sys.argv[2], "QUERIES_PER_MINUTE": "0"}).test_client()
answers = {}
for address in json.load(sys.stdin):
    method, _, url = address.partition(" ")
    if method == "POST":
        url, _, path = url.partition(" ")
        response = client.post(url, data=open(path, "rb").read(), content_type="image/jpeg")
    else:
        response = client.get(url)
    answers[address] = [response.status_code, response.get_json(silent=True), response.headers.get("Location")]
json.dump(answers, sys.stdout)
"""


def addresses(catalogue: Path, banners: Path) -> list[str]:
    """Some of each kind."""
    appids = np.load(catalogue / "appids.npy")
    chosen = np.random.default_rng(0).permutation(appids)[:24].tolist()
    pairs = list(pairwise(chosen))
    images = [path for appid in chosen[:6] for path in banners.glob(f"{appid}.*")]
    v1, walls = "/api/v1", ("unique", "hubs", "newest", "popular", "duplicates")
    filters = ("from=2010", "to=2012", "tag=puzzle", "developer=studio 1", "publisher=x", "lesser=1", "hide_series=1")
    urls = [
        *(f"{v1}/games/{appid}" for appid in chosen[:12]),
        *(f"{v1}/games/{appid}/neighbours?n=20" for appid in chosen[:12]),
        *(f"{v1}/games/{appid}/neighbours?view=artwork&n=100" for appid in chosen[:12]),
        *(
            f"{v1}/games/{appid}/neighbours?view={view}"
            for appid in chosen[:8]
            for view in ("mirror", "flip", "rotate")
        ),
        *(f"{v1}/games/{appid}/neighbours?hide_series=1&n=200&view=artwork" for appid in chosen[:8]),
        *(f"{v1}/games/{chosen[0]}/neighbours?n=50&{one}" for one in filters),
        *(f"{v1}/games/{chosen[1]}/neighbours?n=50&view=artwork&{one}" for one in filters),
        *(f"{v1}/similar?game={one}&game={other}" for one, other in pairs[:16]),
        *(f"{v1}/similar?game={one}&not_game={other}&view=artwork&n=50" for one, other in pairs[:16]),
        *(f"{v1}/similar?game={one}&hide_series=1&n=60" for one in chosen[:8]),
        *(f"{v1}/similar?game={chosen[0]}&n=50&{one}" for one in filters),
        *(f"{v1}/similar?text={word}&view={view}" for word in ("red", "blue picture") for view in ("plain", "artwork")),
        *(f"{v1}/similar?text=red&game={one}&not_text=green" for one in chosen[:4]),
        *(f"{v1}/{wall}?page={page}" for wall in walls for page in (1, 2)),
        *(f"{v1}/unique?{one}" for one in ("below=0.7", "below=0.9&from=2005", "tag=puzzle", "adult=1", *filters[:6])),
        *(f"{v1}/{path}" for path in ("labels", "label?name=red", "label?name=nothing", "catalogue")),
        *(f"{v1}/games?q={word}&page={page}" for word in ("super", "the", str(chosen[0]), "zzzz") for page in (1, 2)),
        *(f"/suggest?q={word}" for word in ("s", "su", "sup", "ball", "mario 2", "%20", "a" * 300)),
        *(f"/similar_apps_from_id?id={appid}&n=5&mirror=1" for appid in chosen[:4]),
        *(f"/matches?index={index}&n=4" for index in (0, 7, -1, 10**6)),
        *(f"{v1}/games/{appid}" for appid in (0, 1, 4294967295, 99999999999)),
        *(
            f"{v1}/games/{chosen[0]}/neighbours?{bad}"
            for bad in ("n=0", "n=x", "from=soon", "view=odd", "lesser=maybe")
        ),
        *(f"{v1}/similar{bad}" for bad in ("", "?game=0", "?game=1&game=1", "?picture=x", f"?text={'x' * 300}")),
    ]
    return [*(f"GET {url}" for url in urls), *(f"POST {v1}/pictures?n=30 {path}" for path in images)]


def ask(tree: Path, catalogue: Path, banners: Path, urls: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-c", ASK, str(catalogue.absolute()), str(banners.absolute())]
    answers = subprocess.run(command, cwd=tree, input=json.dumps(urls), capture_output=True, text=True, check=True)
    answered: dict[str, Any] = json.loads(answers.stdout)
    return answered


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from differences(one.get(key), other.get(key), f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{where}[{place}]")
    elif isinstance(one, float) and isinstance(other, float) and abs(one - other) < TOLERANCE:
        return
    elif one != other:
        yield f"{where}: {str(one)[:100]} -> {str(other)[:100]}"


def compare_arrays(before: Path, now: Path) -> None:
    for name in sorted({path.name for folder in (before, now) for path in folder.glob("*.npy")}):
        if not (before / name).exists() or not (now / name).exists():
            print(f"{name}: only in {before if (before / name).exists() else now}")
            continue
        one, other = np.load(before / name), np.load(now / name)
        if one.dtype != other.dtype or one.shape != other.shape:
            print(f"{name}: {one.dtype}{one.shape} -> {other.dtype}{other.shape}")
        elif (one != other).any():
            print(f"{name}: {(one != other).sum()} of {one.size} differ, by at most {np.abs(one - other).max():.2g}")
        else:
            print(f"{name}: equal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=Path, nargs=2, required=True, metavar="DIR")
    parser.add_argument("--catalogues", type=Path, nargs=2, required=True, metavar="DIR")
    parser.add_argument("--banners", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    compare_arrays(*options.catalogues)
    urls = addresses(options.catalogues[0], options.banners)
    before, now = (
        ask(tree, folder, options.banners, urls) for tree, folder in zip(options.trees, options.catalogues, strict=True)
    )
    differing = 0
    for url in urls:
        lines = list(differences(before[url], now[url]))
        differing += bool(lines)
        for line in lines[:3]:
            print(f"{url} {line}")
    print(json.dumps({"addresses": len(urls), "differing": differing}))


if __name__ == "__main__":
    main()
