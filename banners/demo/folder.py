"""The demo set as a banners folder."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

from banners import demo
from banners.errors import BadInput
from banners.files import write_whole
from banners.games_csv import games_at, games_table, list_banners
from banners.processes import available_cores, begin_worker

MARK = ".demo"  # in a folder whose banners may be drawn anew and removed


def draw_folder(count: int, folder: Path, progress: Callable[[list[int]], Iterable[int]]) -> int:
    """Draw the missing ones of `count` banners in `folder` and return their number. `games.csv` is written last: it
    marks a complete set. `progress` is tqdm, which gets the missing appids and gives them back one by one.

    Raises `BadInput` if the folder holds anything but a demo set, whole or half drawn, and `OSError`.
    """
    planned = {game.game.appid: game for game in demo.plan(count)}
    _check_is_demo(folder)
    (folder / MARK).touch()
    paths = {appid: folder / f"{appid}.jpg" for appid in planned}
    missing = [appid for appid, path in paths.items() if not path.is_file() or not path.stat().st_size]
    with ProcessPoolExecutor(available_cores(), initializer=begin_worker) as pool:
        drawn = pool.map(_jpeg, (planned[appid] for appid in missing), chunksize=4)
        for appid, data in zip(progress(missing), drawn, strict=True):
            write_whole(paths[appid], data)
    for banner in list_banners(folder):  # of a larger demo set before this one
        if banner.appid not in planned:
            banner.path.unlink()
    write_whole(folder / "games.csv", games_table(game.game for game in planned.values()))
    return len(missing)


def _check_is_demo(folder: Path) -> None:
    games = games_at(folder)
    is_ours = bool(games) or (folder / MARK).is_file()
    appids = {f"{demo.FIRST_APPID + 10 * row}.jpg" for row in range(demo.MOST)} if is_ours else set()
    others = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - appids - {"games.csv"}
    if others or any(game.columns.get("source") != demo.SOURCE for game in games.values()):
        raise BadInput(f"{folder} holds other things than a demo set; name another folder with --out")


def _jpeg(game: demo.DemoGame) -> bytes:
    file = BytesIO()
    demo.draw(game).save(file, "JPEG", quality=90)
    return file.getvalue()
