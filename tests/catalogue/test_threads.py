"""A catalogue that many threads read at once, as gunicorn's do."""

import gc
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from banners.catalogue.reader import open_catalogue
from banners.games_csv import Game
from banners.vectors.neighbours import nearest
from tests.catalogues import save_catalogue
from tests.conftest import ROOT
from tests.servers import serving

THREADS = 8
GAMES = [Game(appid, f"Game number {appid}", {"tags": f"Tag {appid % 7}"}) for appid in range(1, 301)]


def save(folder: Path) -> Path:
    embeddings = np.random.default_rng(0).normal(size=(len(GAMES), 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    about = {"encoder": {"id": "test"}, "images": {"source": "", "width": 300, "height": 450}}
    save_catalogue(folder, games=GAMES, neighbours={"plain": nearest(embeddings, k=10)}, about=about)
    return folder


def open_files(path: Path) -> int:
    """How often this process has the file open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread has closed it meanwhile
            count += str(link.readlink()).removesuffix(" (deleted)") == str(path)
    return count


def at_once(threads: int, work: Callable[[int], object]) -> None:
    """Run `work` in so many threads, each with its number; an error in any of them is raised here."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def test_each_thread_has_its_own_connection_which_ends_with_it_and_with_the_catalogue(tmp_path):
    path = save(tmp_path / "c") / "games.db"
    opened = [open_catalogue(tmp_path / "c").games]
    before = open_files(path)
    everybody = threading.Barrier(THREADS)
    seen: list[int] = []

    def read(number: int) -> None:
        assert opened[0][number].name == f"Game number {number + 1}"
        everybody.wait()
        seen.append(open_files(path))
        everybody.wait()

    at_once(THREADS, read)
    assert set(seen) == {before + THREADS}
    gc.collect()
    assert open_files(path) == before
    opened.clear()
    gc.collect()
    assert open_files(path) == 0


def test_many_threads_get_each_their_own_answers(tmp_path):
    games = open_catalogue(save(tmp_path / "c")).games

    def read(number: int) -> None:
        for row in range(number, 3 * len(GAMES), 5):
            game = GAMES[row % len(GAMES)]
            assert games[row % len(GAMES)] == game
            assert next(games[row].appid for row in games.search(game.name).rows) == game.appid
            assert games.titled(game.name) == [row % len(GAMES)]
            assert len(games.rows_with("tag", "tag 3")) == 43

    at_once(THREADS, read)


def test_a_thread_that_begins_after_a_replacement_reads_the_catalogue_that_was_opened(tmp_path):
    games = open_catalogue(save(tmp_path / "c")).games
    shutil.rmtree(tmp_path / "c")
    save_catalogue(
        tmp_path / "c",
        games=[Game(1, "Another")],
        neighbours={"plain": nearest(np.ones((1, 2), np.float32), k=0)},
        about={"encoder": {"id": "test"}},
    )

    def read(number: int) -> None:
        assert games[number] == GAMES[number]
        assert games.search("number 7").rows[0] == 6

    at_once(2, read)


FORKS = """
import os, sys
from pathlib import Path
from banners.catalogue.database import Database
databases = [Database(Path(path)) for path in sys.argv[1:]]
before = [database.connection for database in databases]
assert [database.connection for database in databases] == before
if os.fork() == 0:
    after = [database.connection for database in databases]
    assert not set(map(id, after)) & set(map(id, before))
    assert [one.execute("SELECT count(*) FROM games").fetchone() for one in after] == [(300,)] * len(after)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_after_a_fork_every_database_is_opened_again(tmp_path):
    paths = [save(tmp_path / name) / "games.db" for name in ("one", "other")]
    subprocess.run([sys.executable, "-c", FORKS, *map(str, paths)], cwd=ROOT, check=True)


def ask_for(seconds: float, folder: Path) -> int:
    """Eight clients ask two workers with four threads each; every answer must be 200 and that of its own request.
    Returns their number."""
    with serving(folder) as server:
        end = time.monotonic() + seconds
        asked = []

        def ask(number: int) -> None:
            appid = number
            while time.monotonic() < end:
                appid = appid % len(GAMES) + 1
                name = f"Game number {appid}"
                for path, expected in (
                    (f"/render/{appid}", f"<title>{name}"),
                    (f"/suggest?q=game+number+{appid}", f'"name":"{name}"'),
                    (f"/api/v1/games/{appid}/neighbours", f'"name":"{name}"'),
                ):
                    status, body = server.get(path)
                    assert status == 200, (path, status, body[:300])
                    assert expected in body, (path, body[:300])
                    asked.append(path)

        at_once(THREADS, ask)
        assert len(asked) > 100
        return len(asked)


def test_eight_clients_get_no_error_and_each_their_own_answers(tmp_path):
    ask_for(3.0, save(tmp_path / "c"))


@pytest.mark.soak
def test_eight_clients_for_half_a_minute(tmp_path, measured):
    measured(f"{ask_for(30.0, save(tmp_path / 'c'))} requests")
