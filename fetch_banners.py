"""Get store banners and what is known of their games: from Steam, or a drawn demo set."""

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from console import Parser, importing, run, say, several, tell, whole_number, without

PROGRAM = "fetch_banners.py"

with importing(PROGRAM):
    import msgspec
    from tqdm import tqdm

    from banners import demo, settings
    from banners.demo.folder import draw_folder
    from banners.errors import BadInput, SteamClipError, Unavailable
    from banners.files import alone_in, csv_text, write_whole
    from banners.games_csv import games_at, read_appids
    from banners.steam import CDN, api, base_url, fetch, lists
    from banners.steam.download import Outcome
    from banners.steam.http import Client, Unanswered, Unreachable

FAILED = "fetch_failed.csv"
OPTIONS = ".fetch_options.json"


class _NoSteam(Unavailable):
    """None of Steam's servers can be reached."""


def main(arguments: list[str] | None = None) -> int:
    return run(PROGRAM, lambda: _get_banners(_parse(arguments), arguments), "a rerun gets only what is missing")


def _get_banners(options: argparse.Namespace, arguments: list[str] | None) -> int:
    if options.demo is None:
        try:
            return _fetch(options, without(arguments, "--out"))
        except _NoSteam as error:
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
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--popular", type=whole_number(500_000), metavar="N", help="the N most popular games")
    what.add_argument("--all", action="store_true", help="every game of the store")
    what.add_argument("--appids", type=Path, metavar="FILE", help="the games of a file with one appid a line")
    what.add_argument(
        "--demo", type=whole_number(demo.MOST), metavar="N", help=f"draw N made-up banners (1 to {demo.MOST})"
    )
    add(
        "--or-demo",
        action="store_true",
        help="with --popular: draw N demo banners if Steam cannot be reached and DIR has no games yet",
    )
    add("--out", type=_folder, default=Path("data/banners"), metavar="DIR", help="default: %(default)s")
    add("--kind", choices=api.KINDS, default="vertical", help="default: %(default)s")
    add("--size", choices=api.SIZES, default="1x", help="default: %(default)s")
    add(
        "--include",
        type=several(tuple(api.FILTERS)),
        default=(),
        metavar="KIND,...",
        help=f"list more than games: {', '.join(api.FILTERS)}",
    )
    add(
        "--country",
        type=_country,
        default="US",
        metavar="CODE",
        help="whose store is asked, two letters (default: %(default)s)",
    )
    add(
        "--language",
        type=_language,
        default="english",
        metavar="NAME",
        help="of names, tags and art, as Steam calls it: german, schinese (default: %(default)s)",
    )
    add("--connections", type=whole_number(32), default=8, metavar="C", help="at a time (default: %(default)s)")
    add(
        "--recheck",
        type=_days,
        default=7.0,
        metavar="DAYS",
        help="check banners, and missing ones, again after this many days (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.include and not (options.popular or options.all):
        parser.error("--include belongs to --popular and --all")
    if options.or_demo and not options.popular:
        parser.error("--or-demo belongs to --popular")
    return options


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the folder has no name")
    return Path(text)


def _country(text: str) -> str:
    if not re.fullmatch("[A-Za-z]{2}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a country's code of two letters, such as US or DE")
    return text.upper()


def _language(text: str) -> str:
    if not re.fullmatch("[a-z]{2,20}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a language's name, such as english or schinese")
    return text


def _days(text: str) -> float:
    try:
        return settings.decimal(text, "days")
    except BadInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def options_of(folder: Path) -> list[str] | None:
    """The options with which banners were last fetched or drawn into a folder; None if they were not."""
    try:
        return msgspec.json.decode((folder / OPTIONS).read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):
        return None


def _fetch(options: argparse.Namespace, arguments: list[str]) -> int:
    out, cdn = options.out, _address("STEAM_CDN_URL", CDN)
    with alone_in(out):
        if any(game.columns.get("source") == demo.SOURCE for game in games_at(out).values()):
            raise BadInput(f"{out} holds a demo set; remove it or name another folder with --out")
        # Few attempts: if Steam cannot be reached at all, that should be known soon.
        store = api.Store(
            _client(options, 1, attempts=4),
            _address("STEAM_API_URL", api.API),
            options.kind,
            options.size,
            options.language,
            options.country,
            on_warning=_warn,
        )
        client = _client(options, options.connections)
        listed = _list(options, store, cdn)
        if not listed.games:
            raise BadInput("the list has no games")
        with tqdm(total=0, unit="img", desc="fetching", mininterval=0.5) as bar:
            fetched = fetch.Run(
                store,
                client,
                cdn,
                out,
                recheck_days=options.recheck,
                connections=options.connections,
                on_total=lambda count: _lengthen(bar, count),
                on_outcome=bar.update,
                on_warning=_warn,
            )
            try:
                fetched.fetch(listed)
            finally:
                if fetched.games:  # else the folder holds other banners
                    write_whole(out / OPTIONS, msgspec.json.encode(arguments))
                _write_failed(out / FAILED, fetched.failed)
    for outcome in fetched.failed:
        say(PROGRAM, f"failed: {outcome.appid}: {outcome.detail}")
    counts = Counter(outcome.status for outcome in fetched.outcomes)
    tell(
        f"{out}: {fetched.games} games; {counts['fetched']} fetched, {counts['unchanged']} unchanged,"
        f" {counts['missing']} missing, {counts['failed']} failed, {fetched.settled} settled before"
        + (f"; {listed.gap}; run again for the rest" if listed.gap else ""),
    )
    return 1 if fetched.failed or listed.gap else 0


def _lengthen(bar: Any, count: int) -> None:
    bar.total += count
    bar.refresh()


def _warn(text: str) -> None:
    say(PROGRAM, f"warning: {text}")


def _list(options: argparse.Namespace, store: api.Store, cdn: str) -> lists.Listed:
    if options.appids:
        return lists.Listed({appid: api.Item(appid, is_known=False) for appid in sorted(read_appids(options.appids))})
    spy = lists.SteamSpy(
        Client(1, attempts=1), _address("STEAMSPY_URL", lists.SPY), _seconds("STEAMSPY_PAUSE", 60), _warn
    )
    with tqdm(total=0, unit="game", desc="listing", mininterval=0.5, delay=1) as bar:

        def on_page(count: int, total: int) -> None:
            bar.total = total
            bar.update(count - bar.n)

        try:
            return lists.list_games(store, spy, options.popular, options.include, on_page)
        except Unanswered as error:
            text = f"cannot get the list of games: {error}"
            if not isinstance(error, Unreachable):
                raise Unavailable(text) from None
            try:
                Client(1, attempts=1).get(cdn)
            except Unreachable:
                raise _NoSteam(text) from None
            except SteamClipError:
                pass
            raise Unavailable(f"{text}; but {cdn} answers") from None


def _client(options: argparse.Namespace, connections: int, attempts: int = 6) -> Client:
    return Client(
        connections,
        attempts=attempts,
        pause=_seconds("FETCH_PAUSE", 1),  # shorter in tests
        remember=options.out / ".fetch_wait",
        on_wait=lambda seconds: say(PROGRAM, f"the server asks to wait for {seconds:.0f} s"),
    )


def _address(name: str, default: str) -> str:
    """An environment variable lets another server stand in for one of Steam's."""
    return base_url(os.environ.get(name) or default, name)


def _seconds(name: str, default: float) -> float:
    return settings.decimal(os.environ.get(name) or str(default), "seconds", name)


def _write_failed(path: Path, failed: Sequence[Outcome]) -> None:
    if not failed:
        path.unlink(missing_ok=True)
        return
    rows = ((outcome.appid, outcome.detail) for outcome in failed)
    write_whole(path, csv_text(("appid", "reason"), rows).encode())


def _draw_demo(count: int, out: Path) -> int:
    with alone_in(out):
        drawn = draw_folder(count, out, lambda missing: tqdm(missing, "drawing", unit="img"))
        write_whole(out / OPTIONS, msgspec.json.encode(["--demo", str(count)]))
    tell(f"{out}: {count} demo banners, {drawn} drawn now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
