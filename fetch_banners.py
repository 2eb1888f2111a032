"""Get store banners and what is known of their games. In this version: a drawn demo set."""

import argparse
import csv
import io
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from banners import demo
from banners.errors import BadInput, SteamClipError
from banners.records import list_banners, read_games
from console import Parser, end_with_parent, say, use_any_encoding, whole_number

PROGRAM = "fetch_banners.py"
COLUMNS = ("appid", "name", "popularity", "year", "series", "source")


def main(arguments: list[str] | None = None) -> int:
    use_any_encoding()
    options = _parse(arguments)
    try:
        if options.demo is None:
            raise BadInput("fetching from Steam is not part of this version; use --demo N for drawn banners")
        _draw_demo(options.demo, options.out)
    except SteamClipError as error:
        say(PROGRAM, f"error: {error}")
        return 2
    except OSError as error:
        say(PROGRAM, f"error: cannot write {options.out}: {error.strerror or error}")
        return 2
    except BrokenProcessPool:
        say(PROGRAM, "error: a drawing process was killed; a rerun draws only what is missing")
        return 2
    except KeyboardInterrupt:
        say(PROGRAM, "interrupted; a rerun draws only what is missing")
        return 130
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog=PROGRAM, description=__doc__, epilog="Example: fetch_banners.py --demo 300 --out data/banners")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--popular", type=int, metavar="N", help="from Steam: not in this version yet")
    what.add_argument("--all", action="store_true", help="from Steam: not in this version yet")
    what.add_argument("--appids", type=Path, metavar="FILE", help="from Steam: not in this version yet")
    what.add_argument(
        "--demo",
        type=whole_number(demo.MOST),
        metavar="N",
        help=f"draw N made-up banners (1 to {demo.MOST})",
    )
    parser.add_argument(
        "--out",
        type=_folder,
        default=Path("data/banners"),
        metavar="DIR",
        help="default: %(default)s",
    )
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the folder has no name")
    return Path(text)


def _draw_demo(count: int, out: Path) -> None:
    """Draw what is missing of the demo set in `out`; `games.csv` is written last, so that it means 'complete'."""
    planned = {game.game.appid: game for game in demo.plan(count)}
    out.mkdir(parents=True, exist_ok=True)
    _check_is_demo(out)
    paths = {appid: out / f"{appid}.jpg" for appid in planned}
    missing = [appid for appid, path in paths.items() if not path.is_file() or not path.stat().st_size]
    with ProcessPoolExecutor(os.cpu_count(), initializer=end_with_parent) as pool:
        drawn = pool.map(_jpeg, (planned[appid] for appid in missing), chunksize=4)
        for appid, data in zip(missing, tqdm(drawn, total=len(missing), unit="img", desc="drawing"), strict=True):
            _write(paths[appid], data)
    for banner in list_banners(out)[0]:  # of a larger demo set before this one
        if banner.appid not in planned:
            banner.path.unlink()
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    for planned_game in planned.values():
        game = planned_game.game
        rows.writerow([game.appid, game.name, *(game.known.get(column, "") for column in COLUMNS[2:])])
    _write(out / "games.csv", table.getvalue().encode())
    print(f"{out}: {count} demo banners, {len(missing)} drawn now")


def _check_is_demo(out: Path) -> None:
    """Raise `BadInput` if the folder holds anything but a demo set, whole or half drawn: nothing of it may be lost."""
    games = read_games(out / "games.csv") if (out / "games.csv").exists() else {}
    ours = {f"{appid}.jpg" for appid in games} | {"games.csv"}
    ours |= {path.name for path in out.glob("*.jpg") if path.stem.isdigit() and int(path.stem) >= demo.FIRST_APPID}
    others = [path.name for path in out.iterdir() if path.name not in ours and not path.name.startswith(".")]
    if others or any(game.known.get("source") != demo.SOURCE for game in games.values()):
        raise BadInput(f"{out} holds other things than a demo set; name another folder with --out")


def _jpeg(game: demo.DemoGame) -> bytes:
    file = io.BytesIO()
    demo.draw(game).save(file, "JPEG", quality=90)
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write beside and rename: a killed run leaves no half file under a real name."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
