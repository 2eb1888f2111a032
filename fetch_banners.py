"""Get store banners and what is known of their games: from Steam, or a drawn demo set."""

import argparse
import csv
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from banners import demo, settings
from banners.errors import BadInput, Unavailable
from banners.files import locked, write_whole
from banners.games_csv import Game, games_table, list_banners, read_appids, read_games
from banners.processes import available_cores, begin_worker
from banners.steam import api as steam
from banners.steam import download
from banners.steam.http import Client, Unanswered
from console import Parser, run, say, tell, whole_number

PROGRAM = "fetch_banners.py"
FAILED = "fetch_failed.csv"
DEMO_MARK = ".demo"  # in a folder whose banners may be drawn anew and removed
UNFINISHED = ".unfinished"  # in a folder while banners are fetched into it, and after a run that was killed
INCLUDABLE = ("demos", "dlc", "software", "videos", "hardware")


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _get_banners(_parse(arguments)), "a rerun gets only what is missing")


def _get_banners(options: argparse.Namespace) -> int:
    if options.demo is None:
        try:
            return _fetch(options)
        except Unavailable as error:
            if not options.or_demo or (options.out / "games.csv").exists():
                raise
            say(PROGRAM, f"{error}; drawing the demo set instead")
    return _draw_demo(options.demo or min(options.popular, demo.MOST), options.out)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog="Exit status: 0 done, 1 some banners failed (listed in fetch_failed.csv; a rerun asks for them again),"
        " 2 it could not start or go on, 130 interrupted. Example: fetch_banners.py --popular 300 --out data/banners",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--popular", type=whole_number(500_000), metavar="N", help="the N most popular games, by SteamSpy"
    )
    what.add_argument("--all", action="store_true", help="every game of the store; needs a key in STEAM_API_KEY")
    what.add_argument("--appids", type=Path, metavar="FILE", help="the games of a file with one appid a line")
    what.add_argument(
        "--demo", type=whole_number(demo.MOST), metavar="N", help=f"draw N made-up banners (1 to {demo.MOST})"
    )
    parser.add_argument(
        "--or-demo",
        action="store_true",
        help="with --popular: draw as many where Steam cannot be reached and DIR has no games yet",
    )
    parser.add_argument("--out", type=_folder, default=Path("data/banners"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--kind", choices=steam.KINDS, default="vertical", help="default: %(default)s")
    parser.add_argument("--size", choices=steam.SIZES, default="1x", help="default: %(default)s")
    parser.add_argument(
        "--include",
        type=_include,
        default=(),
        metavar="KIND,...",
        help=f"take more than games: {', '.join(INCLUDABLE)}; all but demos need --all",
    )
    parser.add_argument(
        "--connections", type=whole_number(32), default=8, metavar="C", help="at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--recheck",
        type=_days,
        default=7.0,
        metavar="DAYS",
        help="ask again about banners, and about missing ones, after so long (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if set(options.include) - {"demos"} and not options.all:
        parser.error("--include takes all but demos from the list of --all")
    if options.or_demo and not options.popular:
        parser.error("--or-demo belongs to --popular")
    return options


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the folder has no name")
    return Path(text)


def _include(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if set(kinds) - set(INCLUDABLE):
        raise argparse.ArgumentTypeError(f"{text!r}: the kinds are {', '.join(INCLUDABLE)}")
    return kinds


def _days(text: str) -> float:
    try:
        return settings.decimal(text, "days")
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# -- from Steam -----------------------------------------------------------------------------------------------------


def _fetch(options: argparse.Namespace) -> int:
    """List the games, ask the store about those that are not settled, fetch their banners, and write `games.csv`."""
    where = steam.Addresses.from_environment()
    out: Path = options.out
    with _alone_in(out):
        if any(game.known.get("source") == demo.SOURCE for game in _read_games(out).values()):
            raise BadInput(f"{out} holds a demo set; remove it or name another folder with --out")
        apps = _list(options, where)
        if not apps:
            raise BadInput("the list has no games")
        return _fetch_banners(options, where, apps)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Hold the folder, made if need be, for this run; one that stays empty is removed."""
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    with locked(out) as is_free:
        if not is_free:
            raise BadInput(f"another run is writing into {out}")
        try:
            yield
        finally:
            if is_new:
                with suppress(OSError):
                    out.rmdir()


def _read_games(out: Path) -> dict[int, Game]:
    return dict(read_games(out / "games.csv")) if (out / "games.csv").exists() else {}


def _fetch_banners(options: argparse.Namespace, where: steam.Addresses, apps: Mapping[int, steam.App]) -> int:
    out: Path = options.out
    image = f"{options.kind} {options.size}"
    client = _client(options, options.connections)
    outcomes: list[download.Outcome] = []
    with download.Journal(out) as journal:
        files = download.files_in(out)
        others = {entry.image for entry in journal.settled.values()} - {image}
        if others:
            raise BadInput(f"{out} holds {', '.join(sorted(others))} banners; name another folder with --out")
        foreign = download.foreign(files, journal.settled, _read_games(out))
        if foreign & apps.keys():
            count = len(foreign & apps.keys())
            say(PROGRAM, f"warning: {count} banners were not fetched by this program and stay as they are")
        # Their rows stay too: a row that says "steam" would make their banners this program's in the next run.
        wanted = {appid: app for appid, app in apps.items() if appid not in foreign}
        if "demos" in options.include:
            wanted |= _demos((entry.item for entry in journal.settled.values()), wanted, foreign)
        (out / UNFINISHED).touch()
        # Written before too, so that a run after a killed one knows what is this program's.
        _write_games(out, wanted, journal)
        now = time.time()
        asked = download.to_ask(wanted, journal.settled, files, image, now, options.recheck)
        settled = len(wanted) - len(asked)
        try:
            with tqdm(total=len(asked), unit="img", desc="fetching", mininterval=0.5) as bar:

                def items() -> Iterator[Sequence[steam.Item]]:
                    demos: dict[int, steam.App] = {}
                    for batch in _items(client, where, asked, options):
                        if "demos" in options.include:
                            demos.update(_demos(batch, wanted, foreign))
                        yield batch
                    more = download.to_ask(demos, journal.settled, files, image, now, options.recheck)
                    wanted.update(demos)
                    bar.total += len(more)
                    yield from _items(client, where, more, options)

                for outcome in download.download(
                    client, where, out, files, items(), journal, image, options.connections
                ):
                    outcomes.append(outcome)
                    bar.update()
        finally:  # an interrupt too: what is known by now is kept
            _write_games(out, wanted, journal)
            failed = [outcome for outcome in outcomes if outcome.status == "failed"]
            _write_failed(out / FAILED, failed)
        (out / UNFINISHED).unlink(missing_ok=True)
    for outcome in failed:
        say(PROGRAM, f"failed: {outcome.settled.item.appid}: {outcome.detail}")
    counts = Counter(outcome.status for outcome in outcomes)
    games = len(wanted) + len(foreign & apps.keys())
    tell(
        PROGRAM,
        f"{out}: {games} games; {counts['fetched']} fetched, {counts['unchanged']} unchanged,"
        f" {counts['missing']} missing, {counts['failed']} failed, {settled} settled before",
    )
    return 1 if failed else 0


def _write_games(out: Path, wanted: Mapping[int, steam.App], journal: download.Journal) -> None:
    """Merge what is known into `games.csv` as it is now: somebody may have edited it meanwhile."""
    write_whole(out / "games.csv", games_table(download.games(_read_games(out), wanted, journal.settled)))


def _client(options: argparse.Namespace, connections: int, attempts: int = 6) -> Client:
    # The pause is set where a test stands in for Steam, so that a second's pause need not take one.
    return Client(
        connections,
        attempts=attempts,
        pause=_seconds("FETCH_PAUSE", 1),
        remember=options.out / ".fetch_wait",
        on_wait=lambda seconds: say(PROGRAM, f"the server asks to wait for {seconds:.0f} s"),
        secret=os.environ.get("STEAM_API_KEY", ""),
    )


def _demos(
    items: Iterable[steam.Item], wanted: Mapping[int, steam.App], foreign: Collection[int]
) -> dict[int, steam.App]:
    """The demos of those `items` that are wanted, without those that are wanted already or somebody else's."""
    demos = {demo for item in items if item.appid in wanted for demo in item.demos}
    return {demo: steam.App(demo) for demo in sorted(demos) if demo not in wanted and demo not in foreign}


def _seconds(name: str, default: float) -> float:
    return settings.decimal(os.environ.get(name) or str(default), "seconds", name)


def _list(options: argparse.Namespace, where: steam.Addresses) -> dict[int, steam.App]:
    # Few tries: where Steam cannot be reached at all, that should be known soon.
    client = _client(options, 1, attempts=3)
    try:
        if options.popular:
            pause = _seconds("STEAMSPY_PAUSE", 60)
            apps = steam.popular(
                client, where, options.popular, pause, on_gap=lambda text: say(PROGRAM, f"warning: {text}")
            )
        elif options.all:
            key = steam.read_key()
            apps = list(steam.all_apps(client, where, key, [kind for kind in options.include if kind != "demos"]))
        else:
            apps = [steam.App(appid) for appid in sorted(read_appids(options.appids))]
    except Unanswered as error:
        raise Unavailable(f"cannot get the list of games: {error}") from None
    return {app.appid: app for app in apps}


def _items(
    client: Client, where: steam.Addresses, appids: Sequence[int], options: argparse.Namespace
) -> Iterator[Sequence[steam.Item]]:
    for batch in steam.batches(appids):
        try:
            yield steam.items(client, where, batch, options.kind, options.size)
        except Unanswered as error:
            say(PROGRAM, f"warning: {error}; trying the plain addresses of {len(batch)} games")
            paths = steam.plain_paths(options.kind, options.size)
            yield [steam.Item(appid, paths=paths, is_known=False) for appid in batch]


def _write_failed(path: Path, failed: Sequence[download.Outcome]) -> None:
    if not failed:
        path.unlink(missing_ok=True)
        return
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("appid", "reason"))
    rows.writerows((outcome.settled.item.appid, outcome.detail) for outcome in failed)
    write_whole(path, table.getvalue().encode())


# -- the demo set ---------------------------------------------------------------------------------------------------


def _draw_demo(count: int, out: Path) -> int:
    """Draw what is missing of the demo set in `out`; `games.csv` is written last, so that it means 'complete'."""
    planned = {game.game.appid: game for game in demo.plan(count)}
    with _alone_in(out):
        _check_is_demo(out)
        (out / DEMO_MARK).touch()
        paths = {appid: out / f"{appid}.jpg" for appid in planned}
        missing = [appid for appid, path in paths.items() if not path.is_file() or not path.stat().st_size]
        with ProcessPoolExecutor(available_cores(), initializer=begin_worker) as pool:
            drawn = pool.map(_jpeg, (planned[appid] for appid in missing), chunksize=4)
            for appid, data in zip(missing, tqdm(drawn, total=len(missing), unit="img", desc="drawing"), strict=True):
                write_whole(paths[appid], data)
        for banner in list_banners(out)[0]:  # of a larger demo set before this one
            if banner.appid not in planned:
                banner.path.unlink()
        write_whole(out / "games.csv", games_table(planned_game.game for planned_game in planned.values()))
    tell(PROGRAM, f"{out}: {count} demo banners, {len(missing)} drawn now")
    return 0


def _check_is_demo(out: Path) -> None:
    """Raise `BadInput` if the folder holds anything but a demo set, whole or half drawn: nothing of it may be lost."""
    games = _read_games(out)
    is_ours = bool(games) or (out / DEMO_MARK).is_file()
    appids = {f"{demo.FIRST_APPID + 10 * row}.jpg" for row in range(demo.MOST)} if is_ours else set()
    others = {path.name for path in out.iterdir() if not path.name.startswith(".")} - appids - {"games.csv"}
    if others or any(game.known.get("source") != demo.SOURCE for game in games.values()):
        raise BadInput(f"{out} holds other things than a demo set; name another folder with --out")


def _jpeg(game: demo.DemoGame) -> bytes:
    file = io.BytesIO()
    demo.draw(game).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
