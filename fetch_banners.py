"""Get store banners and what is known of their games. In this version: a drawn demo set."""

import argparse
import csv
import io
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from banners import demo
from banners.errors import BadInput, SteamClipError
from banners.records import read_games

COLUMNS = ("appid", "name", "popularity", "year", "series", "source")


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        if options.demo is None:
            raise BadInput("fetching from Steam is not part of this version; use --demo N for drawn banners")
        _draw_demo(options.demo, options.out)
    except SteamClipError as error:
        print(f"fetch_banners.py: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"fetch_banners.py: error: cannot write {options.out}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fetch_banners.py: interrupted; a rerun draws only what is missing", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fetch_banners.py", description=__doc__, epilog="Example: fetch_banners.py --demo 300 --out data/banners"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--popular", type=int, metavar="N", help="from Steam: not in this version yet")
    what.add_argument("--all", action="store_true", help="from Steam: not in this version yet")
    what.add_argument("--appids", type=Path, metavar="FILE", help="from Steam: not in this version yet")
    what.add_argument("--demo", type=_count, metavar="N", help=f"draw N made-up banners (1 to {demo.MOST})")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/banners"),
        metavar="DIR",
        help="the banners folder (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= demo.MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {demo.MOST}")
    return int(text)


def _draw_demo(count: int, out: Path) -> None:
    """Draw what is missing of the demo set in `out`; `games.csv` is written last, so that it means 'complete'."""
    planned = demo.plan(count)
    out.mkdir(parents=True, exist_ok=True)
    earlier = read_games(out / "games.csv") if (out / "games.csv").exists() else {}
    if any(game.known.get("source") != demo.SOURCE for game in earlier.values()):
        raise BadInput(f"{out} holds banners that are no demo set; name another folder with --out")
    missing = [game for game in planned if not (out / f"{game.game.appid}.jpg").exists()]
    paths = [out / f"{game.game.appid}.jpg" for game in missing]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        drawn = pool.map(_jpeg, missing, chunksize=4)
        for path, data in zip(paths, tqdm(drawn, total=len(missing), unit="img", desc="drawing"), strict=True):
            _write(path, data)
    for appid in earlier.keys() - {game.game.appid for game in planned}:  # of a larger demo set before this one
        (out / f"{appid}.jpg").unlink(missing_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for planned_game in planned:
        game = planned_game.game
        rows.writerow([game.appid, game.name, *(game.known.get(column, "") for column in COLUMNS[2:])])
    _write(out / "games.csv", table.getvalue().encode())
    print(f"{out}: {count} demo banners, {len(missing)} drawn now")


def _jpeg(game: demo.DemoGame) -> bytes:
    file = io.BytesIO()
    demo.draw(game).save(file, "JPEG", quality=90)
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write beside and rename: a killed run leaves no half file under a real name."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(data)
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
