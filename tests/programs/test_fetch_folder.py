"""What a fetch does to a folder: nothing lost, whoever wrote it, whatever kills the program."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from banners.files import alone_in
from banners.games_csv import read_games
from banners.steam import download
from fetch_banners import main
from tests.conftest import ROOT
from tests.programs.fetching import banners_in, listed
from tests.steam.steam_server import Steam, jpeg


def test_a_removed_file_is_fetched_again(tmp_path, steam):
    server = steam(3, troubles=False)
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    (tmp_path / "b" / "10.jpg").unlink()
    assert main(arguments) == 0
    assert banners_in(tmp_path / "b") == server.available


def test_games_of_earlier_runs_stay_in_the_table(tmp_path, steam):
    steam(20, troubles=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "games.csv").write_text("appid,name,mine\n10,My name,kept\n5000,Other,too\n")
    assert main(["--appids", listed(tmp_path, [10, 20]), "--out", str(tmp_path / "b")]) == 0
    games = read_games(tmp_path / "b" / "games.csv")
    assert sorted(games) == [10, 20, 5000]
    assert games[10].columns["mine"] == "kept"
    assert (games[10].name, games[5000].name) == ("Game 10", "Other")


def test_a_demo_set_is_not_mixed_with_real_banners(tmp_path, steam, capsys):
    steam(3)
    assert main(["--demo", "2", "--out", str(tmp_path / "b")]) == 0
    assert main(["--appids", listed(tmp_path, [10]), "--out", str(tmp_path / "b")]) == 2
    assert "holds a demo set" in capsys.readouterr().err


def test_where_steam_cannot_be_reached_a_demo_set_may_be_drawn_instead_but_never_among_others(
    tmp_path, steam, monkeypatch, capsys
):
    steam(3)
    out = tmp_path / "b"
    assert main(["--popular", "2", "--or-demo", "--out", str(out)]) == 0
    assert {game.columns["source"] for game in read_games(out / "games.csv").values()} == {"steam"}
    for name in ("STEAMSPY_URL", "STEAM_API_URL", "STEAM_CDN_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    before = sorted(out.iterdir())
    assert main(["--popular", "2", "--or-demo", "--out", str(out)]) == 2
    assert sorted(out.iterdir()) == before
    assert main(["--popular", "2", "--or-demo", "--out", str(tmp_path / "new")]) == 0
    assert "cannot get the list of games" in capsys.readouterr().err
    assert {game.columns["source"] for game in read_games(tmp_path / "new" / "games.csv").values()} == {"demo"}


def killed_and_rerun(folder: Path, server: Steam, kills: int, longest: float) -> int:
    """Start `kills` fetches, kill each at a random moment, and let one more finish. None may fetch a banner that is on
    disk. Returns how many banners were sent again."""
    random = np.random.default_rng(0)
    command = [sys.executable, "fetch_banners.py", "--popular", str(server.count), "--out", str(folder)]
    for kill in range(kills + 1):
        on_disk, sent = set(banners_in(folder)), server.bodies.copy()
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if kill < kills:
            time.sleep(random.uniform(0.4, longest))
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert (folder / ".unfinished").exists() or not (folder / "games.csv").exists()
            assert (folder / "games.csv").exists() or not banners_in(folder)
        process.communicate(timeout=300)
        again = {appid for appid in server.bodies if server.bodies[appid] > sent[appid]} & on_disk
        assert again == set()
    assert process.returncode == 0
    assert not (folder / ".unfinished").exists()
    assert banners_in(folder) == server.available
    sent_again = sum(server.bodies.values()) - len(server.bodies)
    assert sent_again <= 8 * kills  # a kill loses at most one banner of each connection
    assert server.most_at_once <= 2 * 8  # those of a killed run may still be answered while the next one asks
    assert server.too_early == []
    assert len(read_games(folder / "games.csv")) == server.count
    return sent_again


def test_a_killed_run_goes_on_where_it_was(tmp_path, steam):
    server = steam(150, retry_after=0.0)
    killed_and_rerun(tmp_path / "b", server, kills=3, longest=1.2)


def test_a_second_run_on_the_same_folder_is_refused(tmp_path, steam, capsys):
    steam(3, troubles=False)
    (tmp_path / "b").mkdir()
    arguments = ["--appids", listed(tmp_path, [10]), "--out", str(tmp_path / "b")]
    with alone_in(tmp_path / "b"):
        assert main(arguments) == 2
    assert "another run is writing into" in capsys.readouterr().err
    assert main(arguments) == 0


def test_while_the_store_cannot_say_where_banners_are_nothing_guessed_is_settled(tmp_path, steam, capsys):
    server = steam(10, troubles=False, items_down=True)
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]
    assert main(arguments) == 1
    assert "4 fetched, 0 unchanged, 0 missing, 6 failed" in capsys.readouterr().out
    server.items_down = False
    assert main(arguments) == 0
    assert "3 fetched, 4 unchanged, 3 missing, 0 failed, 0 settled before" in capsys.readouterr().out
    assert banners_in(tmp_path / "b") == server.available
    assert read_games(tmp_path / "b" / "games.csv")[20].name == "Game 20"


def test_banners_of_somebody_else_stay_as_they_are(tmp_path, steam, capsys):
    steam(3, troubles=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "10.png").write_bytes(b"mine")
    (tmp_path / "b" / "games.csv").write_text("appid,name,source\n10,Mine,local\n")
    assert main(["--appids", listed(tmp_path, [10, 20]), "--out", str(tmp_path / "b")]) == 0
    assert "1 banners were not fetched by this program" in capsys.readouterr().err
    assert (tmp_path / "b" / "10.png").read_bytes() == b"mine"
    assert not (tmp_path / "b" / "10.jpg").exists()
    games = read_games(tmp_path / "b" / "games.csv")
    assert (games[10].name, games[10].columns["source"], games[20].name) == ("Mine", "local", "Game 20")


def test_banners_of_somebody_else_without_a_row_survive_every_further_run(tmp_path, steam, capsys):
    server = steam(3, troubles=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "10.jpg").write_bytes(jpeg(999))
    os.utime(tmp_path / "b" / "10.jpg", (0, 0))
    for _ in range(3):
        assert main(["--appids", listed(tmp_path, [10, 20]), "--out", str(tmp_path / "b"), "--recheck", "0"]) == 0
        assert "1 banners were not fetched by this program" in capsys.readouterr().err
        assert (tmp_path / "b" / "10.jpg").read_bytes() == jpeg(999)
    assert server.bodies.keys() == {20}
    assert 10 not in read_games(tmp_path / "b" / "games.csv")


def test_kinds_are_not_mixed_in_one_folder(tmp_path, steam, capsys):
    steam(3, troubles=False)
    arguments = ["--appids", listed(tmp_path, [10, 20]), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    assert main([*arguments, "--kind", "horizontal"]) == 2
    assert "holds vertical 1x banners" in capsys.readouterr().err


def test_an_interrupt_keeps_what_is_known(tmp_path, steam):
    server = steam(600, troubles=False)
    command = [sys.executable, "fetch_banners.py", "--popular", "600", "--out", str(tmp_path / "b")]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while len(banners_in(tmp_path / "b")) < 20:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted; a rerun gets only what is missing" in err
    assert b"Traceback" not in err
    assert len(read_games(tmp_path / "b" / "games.csv")) == 600
    assert set(banners_in(tmp_path / "b").values()) <= set(server.available.values())


@pytest.mark.soak
def test_two_thousand_games_survive_ten_kills(tmp_path, steam, measured):
    server = steam(2000)
    sent_again = killed_and_rerun(tmp_path / "b", server, kills=10, longest=6.0)
    measured(f"{sent_again} of {len(server.available)} banners sent again")


def test_a_banner_that_the_user_put_in_place_of_a_missing_one_stays(tmp_path, steam, capsys):
    steam(3, troubles=False)
    out = tmp_path / "b"
    arguments = ["--appids", listed(tmp_path, [20, 30]), "--out", str(out), "--recheck", "0"]
    assert main(arguments) == 0
    (out / "30.png").write_bytes(b"mine")  # was not on the server
    (out / "20.jpg").unlink()
    (out / "20.png").write_bytes(b"mine too")
    for _ in range(2):
        assert main(arguments) == 0
        assert "2 banners were not fetched by this program" in capsys.readouterr().err
    assert (out / "30.png").read_bytes() == b"mine"
    assert [path.name for path in out.glob("20*")] == ["20.png"]


def test_a_banner_said_to_be_from_elsewhere_is_never_asked_for(tmp_path, steam):
    server = steam(3, troubles=False)
    out = tmp_path / "b"
    arguments = ["--appids", listed(tmp_path, [20]), "--out", str(out), "--recheck", "0"]
    assert main(arguments) == 0
    (out / "20.jpg").write_bytes(b"mine")
    (out / "games.csv").write_text("appid,name,source\n20,Mine,local\n")
    before = server.requests.copy()
    assert main(arguments) == 0
    assert server.requests == before
    assert (out / "20.jpg").read_bytes() == b"mine"
    assert (out / "games.csv").read_text() == "appid,name,source\n20,Mine,local\n"


def test_a_damaged_file_is_fetched_again(tmp_path, steam):
    server = steam(3, troubles=False)
    arguments = ["--appids", listed(tmp_path, [20]), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    (tmp_path / "b" / "20.jpg").write_bytes(b"")
    assert main(arguments) == 0
    assert banners_in(tmp_path / "b") == {20: jpeg(20)}
    assert server.bodies[20] == 2


def test_what_another_run_or_the_user_wrote_into_the_table_meanwhile_is_kept(tmp_path, steam, monkeypatch):
    steam(3, troubles=False)
    out = tmp_path / "b"
    arguments = ["--appids", listed(tmp_path, [20]), "--out", str(out)]
    real = download.download

    def meanwhile(*given):
        path = out / "games.csv"
        path.write_text(path.read_text() + "77,Another,,,,,steam\n")
        yield from real(*given)

    monkeypatch.setattr(download, "download", meanwhile)
    header = "appid,name,popularity,year,descriptors,image_path,source\n"
    out.mkdir()
    (out / "games.csv").write_text(header + "5,Five,1,1999,3,p,steam\n")
    assert main(arguments) == 0
    assert read_games(out / "games.csv").keys() == {5, 20, 77}


@pytest.mark.parametrize("answer", ["", '{"response": {}}', '{"response": {"store_items": []}}'])
def test_a_present_banner_is_not_replaced_from_a_guessed_address(tmp_path, steam, answer):
    server = steam(3, troubles=False)
    out = tmp_path / "b"
    arguments = ["--appids", listed(tmp_path, [10, 20]), "--out", str(out), "--recheck", "0"]
    assert main(arguments) == 0
    before = banners_in(out)
    server.items_down, server.items_answer = not answer, answer
    assert main(arguments) == 1
    assert banners_in(out) == before


def test_a_full_disk_ends_the_run_at_once(tmp_path, steam, monkeypatch, capsys):
    server = steam(100, troubles=False)

    def write_whole(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "write_whole", write_whole)
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b"), "--connections", "1"]
    assert main(arguments) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert sum(path.startswith("/cdn") for path in server.requests) < 20


def test_a_demo_set_is_not_drawn_over_anything_else(tmp_path, capsys):
    for name in ("20240101.jpg", "9000010.jpg", "\N{SUPERSCRIPT TWO}.jpg"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(b"mine")
        assert main(["--demo", "1", "--out", str(folder)]) == 2
        assert "holds other things" in capsys.readouterr().err
        assert [path.name for path in folder.iterdir()] == [name]


def test_a_demo_set_waits_for_nobody_and_nobody_for_it(tmp_path, capsys):
    (tmp_path / "b").mkdir()
    with alone_in(tmp_path / "b"):
        assert main(["--demo", "1", "--out", str(tmp_path / "b")]) == 2
    assert "another run is writing into" in capsys.readouterr().err


def test_what_steam_says_of_games_is_in_the_table(tmp_path, steam):
    server = steam(4, troubles=False)
    assert main(["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]) == 0
    game = read_games(tmp_path / "b" / "games.csv")[20]
    assert game.listed("developer") == ("Studio 6", "A, B")
    assert game.listed("publisher") == ("House",)
    assert game.listed("franchise") == ("Saga",)
    assert game.listed("tags") == ("Action", "Adventure, Story")


def test_details_come_to_a_folder_of_an_earlier_version_without_its_banners(tmp_path, steam):
    server = steam(10, troubles=False)
    arguments = ["--all", "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    journal, table = tmp_path / "b" / download.JOURNAL, tmp_path / "b" / "games.csv"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for name in ("developers", "publishers", "franchises", "tags", "parent_appid", "popularity", "path_2x"):
            del line["item"][name]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    table.write_text("appid,name,source\n" + "".join(f"{appid},x,steam\n" for appid in server.appids))
    server.requests.clear()
    assert main(arguments) == 0
    assert not any(path.startswith("/cdn") for path in server.requests)
    assert read_games(table)[20].listed("tags") == ("Action", "Adventure, Story")
    assert read_games(table)[20].popularity == 9


def test_without_the_names_of_tags_they_come_with_the_next_list(tmp_path, steam, capsys):
    server = steam(4, troubles=False, has_tags=False)
    arguments = ["--all", "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    assert "GetTagList answers without tags" in capsys.readouterr().err
    server.has_tags = True
    assert main(arguments) == 0
    assert read_games(tmp_path / "b" / "games.csv")[20].listed("tags") == ("Action", "Adventure, Story")
