"""Kills, changes, two at once, and disks that are full: nothing is lost and nothing is half written."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from banners.catalogue.reader import open_catalogue
from banners.files import alone_in
from embed_banners import main
from tests.conftest import ROOT, picture, skip_or_fail


def draw(folder: Path, appids, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for appid in appids:
        picture(appid + seed, (30, 45)).save(folder / f"{appid}.png")


def arrays(folder: Path, with_tiles: bool = True) -> dict[str, bytes]:
    open_catalogue(folder, check_hashes=True)
    found = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    if with_tiles and (folder / "map.mbtiles").exists():
        with closing(sqlite3.connect(folder / "map.mbtiles")) as db:
            found |= dict(db.execute("SELECT tile_id, tile_data FROM images"))
    return found


def command(banners: Path, out: Path, model: Path, *more: str) -> list[str]:
    options = ["--encoder", str(model), "--views", "plain,mirror", "--batch-size", "16", "--neighbours", "20"]
    return [str(banners), "--out", str(out), *options, "--no-queries", *more]


def plain_rows(out: str) -> int:
    """How many rows of the plain view are on disk."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{out}.rows/rows.db?mode=ro", uri=True)) as db,
    ):
        return db.execute("SELECT count(*) FROM rows WHERE view = 'plain'").fetchone()[0]
    return 0


def start(arguments: list[str], stderr: Path) -> subprocess.Popen[bytes]:
    """The program, in a session of its own."""
    with stderr.open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "embed_banners.py", *arguments],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )


def kill(arguments: list[str], stderr: Path, after: float = 60.0, at_rows: int = 2**60) -> int:
    """Run the program and kill it after some seconds, or when so many plain rows are on disk, if it is still
    there; how many there are then."""
    process = start(arguments, stderr)
    started = time.monotonic()
    while process.poll() is None and time.monotonic() - started < after and plain_rows(arguments[2]) < at_rows:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)  # itself alone: its workers must notice
    process.wait()
    return plain_rows(arguments[2])


def survive(count: int, kills: int, longest: float, tmp_path: Path, model: Path, *more: str) -> None:
    banners, out = tmp_path / "banners", tmp_path / "c"
    draw(banners, range(1, count + 1))
    seeded = random.Random(0)
    stderr = tmp_path / "stderr"
    left = set()
    for number in range(kills):
        if number % 2:  # at any moment; and in the middle of embedding, however slow the machine is
            left.add(kill(command(banners, out, model, *more), stderr, after=seeded.uniform(0.5, longest)))
        else:
            at_rows = round(count * (number + 1) / (kills + 1))
            left.add(kill(command(banners, out, model, *more), stderr, at_rows=at_rows))
    assert main(command(banners, out, model, *more)) == 0
    assert main(command(banners, tmp_path / "at_once", model, *more)) == 0
    assert any(0 < rows < count for rows in left), left  # a kill met it in the middle
    assert arrays(out) == arrays(tmp_path / "at_once")
    # A tenth each added, changed and removed, and a kill in the middle of that too.
    part = count // 30
    for appid in range(1, part + 1):
        (banners / f"{appid}.png").unlink()
    draw(banners, range(part + 1, 2 * part + 1), seed=100_000)
    draw(banners, range(count + 1, count + part + 1))
    kill(command(banners, out, model, *more), stderr, after=longest / 2)
    assert main(command(banners, out, model, *more)) == 0
    assert main(command(banners, tmp_path / "changed", model, *more)) == 0
    # On the map games stay where they were.
    assert arrays(out, with_tiles=False) == arrays(tmp_path / "changed", with_tiles=False)
    assert arrays(out, with_tiles=False) != arrays(tmp_path / "at_once", with_tiles=False)
    assert not list(tmp_path.glob(".*"))
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == []


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(tmp_path, tiny_clip):
    survive(900, 2, 5.0, tmp_path, tiny_clip(), "--no-parts", "--no-map")


@pytest.mark.soak
def test_three_thousand_banners_survive_twenty_kills(tmp_path, tiny_clip):
    survive(3000, 20, 7.0, tmp_path, tiny_clip())


def test_only_new_and_changed_banners_are_embedded_again(tmp_path, tiny_clip, capsys):
    draw(tmp_path / "banners", range(1, 31))
    arguments = command(tmp_path / "banners", tmp_path / "c", tiny_clip(), "--no-parts", "--no-map")
    assert main(arguments) == 0
    assert "30 embedded now, 0 before" in capsys.readouterr().out
    draw(tmp_path / "banners", [5, 31], seed=1000)
    (tmp_path / "banners" / "7.png").unlink()
    assert main(arguments) == 0
    assert "30 games with 20 neighbours in 2 view(s), 2 embedded now, 28 before" in capsys.readouterr().out


@pytest.mark.parametrize("other", [["--fit", "crop"], ["--batch-size", "8"]])
def test_another_way_to_embed_never_mixes_with_what_there_is(tmp_path, tiny_clip, capsys, other):
    draw(tmp_path / "banners", range(1, 21))
    arguments = command(tmp_path / "banners", tmp_path / "c", tiny_clip(), "--no-parts", "--no-map")
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, *other]) == 0
    assert "20 embedded now, 0 before" in capsys.readouterr().out


def test_a_second_run_on_the_same_output_is_refused(tmp_path, tiny_clip, capsys):
    draw(tmp_path / "banners", range(1, 4))
    with alone_in(tmp_path / "c.rows"):
        assert main(command(tmp_path / "banners", tmp_path / "c", tiny_clip(), "--no-parts", "--no-map")) == 2
    assert "error: another run is writing" in capsys.readouterr().err


def test_a_full_disk_is_one_clear_line_and_leaves_the_old_catalogue(tmp_path, tiny_clip):
    draw(tmp_path / "banners", range(1, 61))
    arguments = command(tmp_path / "banners", tmp_path / "c", tiny_clip(), "--no-parts", "--no-map")
    assert main(arguments) == 0
    before = arrays(tmp_path / "c")
    shutil.rmtree(tmp_path / "c.rows")
    draw(tmp_path / "banners", range(61, 400))
    for limit in (9_000, 60_000):  # bytes of a file: while rows are kept; while the catalogue is written

        def no_larger_files(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        finished = subprocess.run(
            [sys.executable, "embed_banners.py", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": "/dev/shm", "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=no_larger_files,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert finished.returncode == 2, finished.stderr
        assert "error: cannot write" in finished.stderr
        assert "Traceback" not in finished.stderr
        assert arrays(tmp_path / "c") == before
    assert main(arguments) == 0
    assert len(open_catalogue(tmp_path / "c", check_hashes=True)) == 399


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, tiny_clip):
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        skip_or_fail("root may write anywhere, and there is no setpriv to take that away")
    draw(tmp_path / "banners", range(1, 4))
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o555)
    without = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    finished = subprocess.run(
        [*without, sys.executable, "embed_banners.py", *command(tmp_path / "banners", sealed / "c", tiny_clip())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 2, finished.stderr
    assert "error: cannot write" in finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr


@pytest.mark.soak
def test_memory_does_not_grow_with_the_number_of_banners(tmp_path, tiny_clip, measured):
    """Four times as many banners, after a first run that has allocated what any run needs."""
    program = (
        "import resource, sys\n"
        "from embed_banners import main\n"
        "for number in (1, 2):\n"
        "    status = main([sys.argv[number], '--out', f'{sys.argv[number]}.c', *sys.argv[3:]])\n"
        "    print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    folders = [tmp_path / "300", tmp_path / "1200"]
    for folder in folders:
        draw(folder, range(1, int(folder.name) + 1))
    options = command(tmp_path, tmp_path, tiny_clip())[3:]
    finished = subprocess.run(
        [sys.executable, "-c", program, *map(str, folders), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    (few, before), (many, after) = (map(int, line.split()) for line in finished.stdout.splitlines()[1::2])
    measured(f"{(after - before) / 1024:.0f} MB more for 900 more banners")
    assert (few, many) == (0, 0), finished.stderr
    assert (
        after - before < 20 * 1024
    )  # kilobytes; the decoded pictures alone would be 900 x 32 x 32 x 3 = 2.7 MB a view


def test_a_run_that_is_interrupted_says_that_it_can_go_on(tmp_path, tiny_clip):
    draw(tmp_path / "banners", range(1, 1500))
    process = start(
        command(tmp_path / "banners", tmp_path / "c", tiny_clip(), "--no-parts", "--no-map"), tmp_path / "stderr"
    )
    while not plain_rows(str(tmp_path / "c")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)  # while it tidies up
    process.wait(timeout=60)
    err = (tmp_path / "stderr").read_bytes()
    assert process.returncode == 130, err
    assert b"interrupted; a rerun goes on from here" in err
    assert b"Traceback" not in err, err[-3000:]
