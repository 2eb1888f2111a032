"""Fetching from Steam, against a server on loopback that misbehaves on purpose."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from banners.files import locked
from banners.games_csv import read_games
from banners.steam import download
from fetch_banners import main
from tests.conftest import ROOT
from tests.steam.steam_server import TROUBLES, Steam, animation, jpeg, serving


@pytest.fixture
def steam(monkeypatch):
    """A function that starts a server and points the program at it."""
    running = []

    def start(count: int, **options: object) -> Steam:
        context = serving(Steam(count, **options))
        steam = context.__enter__()
        running.append(context)
        for name, value in steam.environment.items():
            monkeypatch.setenv(name, value)
        return steam

    yield start
    for context in running:
        context.__exit__(None, None, None)


def banners_in(folder: Path) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in folder.glob("*.jpg")}


def listed(tmp_path: Path, appids: list[int]) -> str:
    (tmp_path / "appids.txt").write_text("".join(f"{appid}\n" for appid in appids))
    return str(tmp_path / "appids.txt")


def test_every_available_banner_arrives_whatever_the_server_does(tmp_path, steam, capsys):
    server = steam(120, always=frozenset({70, 200}))
    assert main(["--popular", "120", "--out", str(tmp_path / "b")]) == 1
    printed = capsys.readouterr()
    assert banners_in(tmp_path / "b") == server.available
    assert server.most_at_once <= 8
    assert server.too_early == []
    assert server.met.keys() == {*TROUBLES, "none"}
    assert "120 games; 78 fetched, 0 unchanged, 40 missing, 2 failed, 0 settled before" in printed.out
    assert printed.out.count("\n") == 1
    with (tmp_path / "b" / "fetch_failed.csv").open() as file:
        assert sorted((int(row["appid"]), row["reason"].endswith("status 500")) for row in csv.DictReader(file)) == [
            (70, True),
            (200, True),
        ]
    games = read_games(tmp_path / "b" / "games.csv")
    assert len(games) == 120
    assert games[10].name == "Game 10"
    assert games[10].known["image_path"] == "0000000a/library_capsule.jpg"
    assert games[20].known["image_path"] == "library_600x900.jpg"
    assert (games[10].known["year"], games[10].known["source"]) == (2020, "steam")
    assert games[110].is_adult
    assert not games[10].known.get("benchmark")
    assert games[1200].known["benchmark"] == "1"
    assert games[1200].popularity > games[10].popularity > games[30].popularity
    assert not list((tmp_path / "b").glob(".*.part"))


def test_a_rerun_asks_only_for_what_failed(tmp_path, steam, capsys):
    server = steam(30, always=frozenset({70}))
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]
    assert main(arguments) == 1
    before = server.requests.copy()
    server.always = frozenset()
    assert main(arguments) == 0
    assert "30 games; 1 fetched, 0 unchanged, 0 missing, 0 failed, 29 settled before" in capsys.readouterr().out
    asked = {path for path in server.requests - before if path.startswith("/cdn/")}
    assert {path.split("/")[2] for path in asked} == {"70"}
    assert not (tmp_path / "b" / "fetch_failed.csv").exists()
    assert banners_in(tmp_path / "b") == server.available


def test_after_a_while_banners_are_asked_for_by_etag_and_replaced_where_changed(tmp_path, steam, capsys):
    server = steam(30, troubles=False)
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b"), "--recheck", "0"]
    assert main(arguments) == 0
    server.etag_of[20] = '"new"'
    assert main(arguments) == 0
    assert "1 fetched, 19 unchanged, 10 missing, 0 failed, 0 settled before" in capsys.readouterr().out
    assert server.bodies[20] == 2
    assert sum(server.bodies.values()) == 21
    assert (tmp_path / "b" / "20.jpg").read_bytes() == jpeg(21)


def test_a_banner_whose_name_ends_in_capitals_is_settled_like_any_other(tmp_path, steam, capsys):
    server = steam(3, troubles=False)
    arguments = ["--appids", listed(tmp_path, [20]), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    (tmp_path / "b" / "20.jpg").rename(tmp_path / "b" / "20.JPG")
    assert main(arguments) == 0
    before = server.requests.copy()
    assert main(arguments) == 0
    assert server.requests == before
    assert "1 games; 0 fetched, 0 unchanged, 0 missing, 0 failed, 1 settled before" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "b").glob("20*")] == ["20.JPG"]


def test_demos_are_taken_on_request_with_the_games_they_belong_to(tmp_path, steam, capsys):
    steam(4, troubles=False, demos=True)
    arguments = ["--appids", listed(tmp_path, [10, 20, 30]), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    assert banners_in(tmp_path / "b").keys() == {10, 20}
    arguments += ["--include", "demos"]
    assert main(arguments) == 0
    assert banners_in(tmp_path / "b").keys() == {10, 11, 20, 21}
    assert "6 games; 2 fetched, 0 unchanged, 1 missing, 0 failed, 3 settled before" in capsys.readouterr().out
    assert read_games(tmp_path / "b" / "games.csv")[21].name == "Game 21"
    assert main([*arguments[:3], str(tmp_path / "c"), *arguments[4:]]) == 0
    assert banners_in(tmp_path / "c").keys() == {10, 11, 20, 21}


def test_dlc_and_the_like_are_taken_from_the_list_of_all_only(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--popular", "3", "--include", "dlc,demos"])
    assert exit.value.code == 2
    assert "list of --all" in capsys.readouterr().err


def test_an_animated_banner_arrives_and_is_not_asked_for_again_and_again(tmp_path, steam):
    server = steam(3, troubles=False, animated=frozenset({20}))
    assert main(["--appids", listed(tmp_path, [20]), "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "b" / "20.png").read_bytes() == animation()
    assert server.bodies[20] == 1


def test_a_file_without_a_line_in_the_journal_is_asked_for_by_its_date(tmp_path, steam, capsys):
    server = steam(3, troubles=False)
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    (tmp_path / "b" / ".fetch.jsonl").write_text('{"item": {"app\nnonsense\n')
    assert main(arguments) == 0
    assert "0 fetched, 2 unchanged, 1 missing" in capsys.readouterr().out
    assert sum(server.bodies.values()) == 2


def test_a_removed_file_is_fetched_again(tmp_path, steam):
    server = steam(3, troubles=False)
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    (tmp_path / "b" / "10.jpg").unlink()
    assert main(arguments) == 0
    assert banners_in(tmp_path / "b") == server.available


def test_all_games_come_by_pages_and_need_a_key(tmp_path, steam, capsys, monkeypatch):
    server = steam(200, troubles=False)
    monkeypatch.delenv("STEAM_API_KEY", raising=False)
    assert main(["--all", "--out", str(tmp_path / "b")]) == 2
    assert "STEAM_API_KEY" in capsys.readouterr().err
    monkeypatch.setenv("STEAM_API_KEY", "BADKEY")
    assert main(["--all", "--out", str(tmp_path / "b")]) == 2
    assert "status 403" in (err := capsys.readouterr().err)
    assert "BADKEY" not in err
    monkeypatch.setenv("STEAM_API_KEY", "GOODKEY")
    assert main(["--all", "--out", str(tmp_path / "b")]) == 0
    assert banners_in(tmp_path / "b") == server.available
    assert sum("GetAppList" in path for path in server.requests) == 3 + 1


def test_games_of_earlier_runs_stay_in_the_table(tmp_path, steam):
    steam(20, troubles=False)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "games.csv").write_text("appid,name,mine\n10,My name,kept\n5000,Other,too\n")
    assert main(["--appids", listed(tmp_path, [10, 20]), "--out", str(tmp_path / "b")]) == 0
    games = read_games(tmp_path / "b" / "games.csv")
    assert sorted(games) == [10, 20, 5000]
    assert games[10].known["mine"] == "kept"
    assert (games[10].name, games[5000].name) == ("Game 10", "Other")


def test_a_demo_set_is_not_mixed_with_real_banners(tmp_path, steam, capsys):
    steam(3)
    assert main(["--demo", "2", "--out", str(tmp_path / "b")]) == 0
    assert main(["--appids", listed(tmp_path, [10]), "--out", str(tmp_path / "b")]) == 2
    assert "holds a demo set" in capsys.readouterr().err


def test_an_unreachable_steam_is_one_line(tmp_path, monkeypatch, capsys):
    for name in ("STEAMSPY_URL", "STEAM_API_URL", "STEAM_CDN_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("FETCH_PAUSE", "0.01")
    assert main(["--popular", "5", "--out", str(tmp_path / "b")]) == 2
    printed = capsys.readouterr()
    assert "cannot get the list of games" in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_where_steam_cannot_be_reached_a_demo_set_may_be_drawn_instead_but_never_among_others(
    tmp_path, steam, monkeypatch, capsys
):
    steam(3)
    out = tmp_path / "b"
    assert main(["--popular", "2", "--or-demo", "--out", str(out)]) == 0
    assert {game.known["source"] for game in read_games(out / "games.csv").values()} == {"steam"}
    for name in ("STEAMSPY_URL", "STEAM_API_URL", "STEAM_CDN_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    before = sorted(out.iterdir())
    assert main(["--popular", "2", "--or-demo", "--out", str(out)]) == 2
    assert sorted(out.iterdir()) == before
    assert main(["--popular", "2", "--or-demo", "--out", str(tmp_path / "new")]) == 0
    assert "cannot get the list of games" in capsys.readouterr().err
    assert {game.known["source"] for game in read_games(tmp_path / "new" / "games.csv").values()} == {"demo"}


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--demo", "3", "--or-demo"],
        ["--popular", "0"],
        ["--popular", "x"],
        ["--all", "--popular", "3"],
        ["--all", "--include", "games"],
        ["--all", "--kind", "square"],
        ["--all", "--recheck", "-1"],
        ["--all", "--out", ""],
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(capsys, options):
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def killed_and_rerun(folder: Path, server: Steam, kills: int, longest: float) -> None:
    """Fetch with `kills` SIGKILLs at random moments and once to the end; what was on disk is never fetched again."""
    random = np.random.default_rng(0)
    command = [sys.executable, "fetch_banners.py", "--popular", str(server.count), "--out", str(folder)]
    for kill in range(kills + 1):
        on_disk, sent = set(banners_in(folder)), server.bodies.copy()
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if kill < kills:
            time.sleep(random.uniform(0.4, longest))
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert (folder / "games.csv").exists() == (folder / ".unfinished").exists()
        process.communicate(timeout=300)
        again = {appid for appid in server.bodies if server.bodies[appid] > sent[appid]} & on_disk
        assert again == set()
    assert process.returncode == 0
    assert not (folder / ".unfinished").exists()
    assert banners_in(folder) == server.available
    # A kill may lose what was on its way: no more than the connections each time.
    assert sum(server.bodies.values()) <= len(server.available) + 8 * kills
    assert server.most_at_once <= 2 * 8  # those of a killed run may still be answered while the next one asks
    assert server.too_early == []
    assert len(read_games(folder / "games.csv")) == server.count


def test_a_killed_run_goes_on_where_it_was(tmp_path, steam):
    server = steam(150, retry_after=0.0)
    killed_and_rerun(tmp_path / "b", server, kills=3, longest=1.2)


def test_a_second_run_on_the_same_folder_is_refused(tmp_path, steam, capsys):
    steam(3, troubles=False)
    (tmp_path / "b").mkdir()
    arguments = ["--appids", listed(tmp_path, [10]), "--out", str(tmp_path / "b")]
    with locked(tmp_path / "b") as is_free:
        assert is_free
        assert main(arguments) == 2
    assert "another run is writing into" in capsys.readouterr().err
    assert main(arguments) == 0


def test_the_key_is_never_printed(tmp_path, steam, capsys, monkeypatch):
    steam(3)
    monkeypatch.setenv("STEAM_API_KEY", "SECRETKEY")
    for url in ("127.0.0.1:1/a", "http://127.0.0.1:99999/a", "http://127.0.0.1:9/a", "http://[::1"):
        monkeypatch.setenv("STEAM_API_URL", url)
        assert main(["--all", "--out", str(tmp_path / "b")]) == 2
        printed = capsys.readouterr()
        assert "SECRETKEY" not in printed.out + printed.err
        assert printed.err.count("\n") == 1


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


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:99999/", "http://[::1", "file:///etc/passwd", "http://" + "a" * 70]
)
def test_one_bad_redirect_is_one_failed_banner(tmp_path, steam, capsys, address):
    server = steam(10, troubles=False, redirects_to=address)
    assert main(["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]) == 1
    assert "6 fetched, 0 unchanged, 3 missing, 1 failed" in capsys.readouterr().out


def test_what_a_server_says_never_makes_the_table_unreadable(tmp_path, steam):
    steam(3, troubles=False, name="x" * 200_000 + "\0{}", owners="9" * 5000)
    for _ in range(2):
        assert main(["--popular", "3", "--out", str(tmp_path / "b")]) == 0
    games = read_games(tmp_path / "b" / "games.csv")
    assert len(games[10].name) == 500
    assert games[10].popularity < 10**12


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
    assert (games[10].name, games[10].known["source"], games[20].name) == ("Mine", "local", "Game 20")


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


def test_a_server_that_forbids_everything_is_left_alone(tmp_path, steam, capsys):
    server = steam(300, troubles=False, forbids=True)
    assert main(["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]) == 2
    assert "status 403" in capsys.readouterr().err
    assert sum(path.startswith("/cdn/") for path in server.requests) < 30


@pytest.mark.parametrize("name", ["FETCH_PAUSE", "STEAMSPY_PAUSE"])
def test_a_pause_that_is_no_number_is_a_mistake(tmp_path, steam, capsys, monkeypatch, name):
    steam(3)
    monkeypatch.setenv(name, "abc")
    assert main(["--popular", "3", "--out", str(tmp_path / "b")]) == 2
    assert f"{name} is 'abc'" in capsys.readouterr().err


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
def test_two_thousand_games_arrive_within_the_allowed_connections(tmp_path, steam, capsys):
    server = steam(2000, always=frozenset({70}))
    assert main(["--popular", "2000", "--out", str(tmp_path / "b"), "--connections", "6"]) == 1
    assert "2000 games; 1333 fetched, 0 unchanged, 666 missing, 1 failed, 0 settled before" in capsys.readouterr().out
    assert banners_in(tmp_path / "b") == server.available
    assert max(server.bodies.values()) == 1
    assert server.most_at_once <= 6
    assert server.too_early == []


@pytest.mark.soak
def test_two_thousand_games_survive_ten_kills(tmp_path, steam):
    server = steam(2000)
    killed_and_rerun(tmp_path / "b", server, kills=10, longest=6.0)


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


@pytest.mark.parametrize("down", [True, False])
def test_a_present_banner_is_not_replaced_from_a_guessed_address(tmp_path, steam, down):
    server = steam(3, troubles=False)
    out = tmp_path / "b"
    arguments = ["--appids", listed(tmp_path, [10, 20]), "--out", str(out), "--recheck", "0"]
    assert main(arguments) == 0
    before = banners_in(out)
    server.items_down, server.items_empty = down, not down
    assert main(arguments) == 1
    assert banners_in(out) == before


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
    with locked(tmp_path / "b"):
        assert main(["--demo", "1", "--out", str(tmp_path / "b")]) == 2
    assert "another run is writing into" in capsys.readouterr().err


def test_a_list_that_repeats_itself_ends(tmp_path, steam, capsys):
    server = steam(150, troubles=False, repeats=True)
    assert main(["--popular", "5000", "--out", str(tmp_path / "b")]) == 0
    assert "150 games" in capsys.readouterr().out
    assert sum(count for path, count in server.requests.items() if path.startswith("/spy")) < 5


def test_an_address_that_is_none_is_a_mistake(tmp_path, monkeypatch, capsys):
    for value in ("ftp://x", "nonsense", "http://127.0.0.1/\udcff"):
        monkeypatch.setenv("STEAM_CDN_URL", value)
        assert main(["--popular", "3", "--out", str(tmp_path / "b")]) == 2
        assert "STEAM_CDN_URL is" in capsys.readouterr().err
