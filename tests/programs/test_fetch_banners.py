"""fetch_banners.py against a server that misbehaves."""

import csv

import pytest

from banners.games_csv import read_games
from fetch_banners import main
from tests.programs.fetching import banners_in, listed
from tests.steam.steam_server import TROUBLES, animation, jpeg


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
    assert games[10].columns["image_path"] == "0000000a/library_capsule.jpg?t=1"
    assert games[10].columns["image_path_2x"] == "0000000a/library_capsule_2x.jpg?t=1"
    assert games[20].columns["image_path"] == "library_600x900.jpg"
    assert (games[10].columns["year"], games[10].columns["source"]) == (2020, "steam")
    assert games[110].is_adult
    assert not games[10].columns.get("benchmark")
    assert games[1200].columns["benchmark"] == "1"
    assert games[10].popularity > games[30].popularity > games[1200].popularity == 1
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


@pytest.mark.parametrize("what", [["--popular", "3"], ["--all"]])
def test_other_kinds_than_games_are_filters_of_the_list(tmp_path, steam, what):
    server = steam(3, troubles=False)
    assert main([*what, "--include", "videos,demos", "--out", str(tmp_path / "b")]) == 0
    (question,) = server.questions
    assert question["query"]["filters"]["type_filters"] == {
        "include_games": True,
        "include_demos": True,
        "include_video": True,
    }


def test_country_and_language_are_those_that_are_asked_for(tmp_path, steam, capsys):
    server = steam(3, troubles=False)
    arguments = ["--country", "de", "--language", "german", "--out", str(tmp_path / "b")]
    assert main(["--all", *arguments]) == 0
    assert main(["--appids", listed(tmp_path, [10]), "--recheck", "0", *arguments]) == 0
    assert {(one["context"]["country_code"], one["context"]["language"]) for one in server.questions} == {
        ("DE", "german")
    }
    assert any("GetTagList/v1/?language=german" in path for path in server.requests)
    assert main(["--all", "--out", str(tmp_path / "b")]) == 2  # other names and art
    assert "vertical 1x german" in capsys.readouterr().err


def test_a_game_that_is_not_sold_here_is_named_and_asked_for_again(tmp_path, steam, capsys):
    server = steam(5, troubles=False, unsold=frozenset({20, 40}))
    arguments = ["--appids", listed(tmp_path, server.appids), "--out", str(tmp_path / "b")]
    assert main(arguments) == 1
    assert (tmp_path / "b" / "fetch_failed.csv").read_text() == "appid,reason\n20,not sold in US\n40,not sold in US\n"
    server.unsold = frozenset()
    assert main(arguments) == 0
    assert "2 fetched, 0 unchanged, 0 missing, 0 failed, 3 settled before" in capsys.readouterr().out


def test_an_animated_banner_arrives_and_is_not_asked_for_again_and_again(tmp_path, steam):
    server = steam(3, troubles=False, animated=frozenset({20}))
    assert main(["--appids", listed(tmp_path, [20]), "--out", str(tmp_path / "b")]) == 0
    assert (tmp_path / "b" / "20.png").read_bytes() == animation()
    assert server.bodies[20] == 1


@pytest.mark.parametrize(("what", "count"), [(["--popular", "700"], 700), (["--all"], 1300)])
def test_a_list_is_complete_named_and_tagged_by_few_requests_whatever_steamspy_does(tmp_path, steam, what, count):
    server = steam(1300, troubles=False, spy_throttled=1e9)
    assert main([*what, "--out", str(tmp_path / "b")]) == 0
    games = read_games(tmp_path / "b" / "games.csv")
    assert list(games) == server.appids[:count]
    assert all(game.name and game.listed("tags") for game in games.values())
    assert banners_in(tmp_path / "b") == {
        appid: server.available[appid] for appid in games if appid in server.available
    }
    assert sum(number for path, number in server.requests.items() if path.startswith("/api")) <= 6
    assert sum(path.startswith("/spy") for path in server.requests) == 1


@pytest.mark.parametrize(("what", "count"), [(["--popular", "700"], 700), (["--all"], 1300)])
def test_where_the_list_does_not_answer_that_of_steamspy_is_waited_for(
    tmp_path, steam, capsys, monkeypatch, what, count
):
    server = steam(1300, troubles=False, query_down=True, spy_throttled=1.0)
    monkeypatch.setenv("STEAMSPY_PAUSE", "0.5")
    assert main([*what, "--out", str(tmp_path / "b")]) == 0
    games = read_games(tmp_path / "b" / "games.csv")
    assert list(games) == server.appids[:count]
    assert all(game.name and game.listed("tags") for game in games.values())
    assert "asking again in 0 s (1 of 3)" in (err := capsys.readouterr().err)
    assert "the list is SteamSpy's" in err


def test_a_list_that_ends_early_is_said_kept_and_ended_by_the_next_run(tmp_path, steam, capsys):
    server = steam(1300, troubles=False, page_troubles={500: ["empty"] * 4})
    assert main(["--all", "--out", str(tmp_path / "b")]) == 1
    printed = capsys.readouterr()
    assert "500 games; " in printed.out
    assert "the list ends after 500 of 1300 games: " in printed.out
    assert printed.out.count("\n") == 1
    assert main(["--all", "--out", str(tmp_path / "b")]) == 0
    assert "500 settled before" in capsys.readouterr().out
    assert list(read_games(tmp_path / "b" / "games.csv")) == server.appids


def test_new_art_comes_with_the_next_list(tmp_path, steam, capsys):
    server = steam(6, troubles=False)
    assert main(["--all", "--out", str(tmp_path / "b")]) == 0
    server.art, server.etag_of[10] = 2, '"new"'
    assert main(["--all", "--out", str(tmp_path / "b")]) == 0
    assert "1 fetched, 1 unchanged, 0 missing, 0 failed, 4 settled before" in capsys.readouterr().out
    assert read_games(tmp_path / "b" / "games.csv")[10].columns["image_path"] == "0000000a/library_capsule.jpg?t=2"
    assert (tmp_path / "b" / "10.jpg").read_bytes() == jpeg(11)


@pytest.mark.parametrize("odd", [{"query_down": True, "spy_throttled": 1e9}, {"query_down": True, "owners": "x"}])
def test_a_demo_set_is_drawn_for_no_server_that_answers_oddly(tmp_path, steam, capsys, odd):
    server = steam(0, troubles=False, **odd)
    assert main(["--popular", "5", "--or-demo", "--out", str(tmp_path / "b")]) == 2
    assert "demo" not in capsys.readouterr().err
    assert not (tmp_path / "b" / "games.csv").exists()
    assert server.requests


def test_a_demo_set_is_drawn_only_where_no_server_can_be_reached_at_all(tmp_path, steam, capsys, monkeypatch):
    steam(3, troubles=False)
    monkeypatch.setenv("STEAM_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STEAMSPY_URL", "http://127.0.0.1:9")
    arguments = ["--popular", "2", "--or-demo", "--out", str(tmp_path / "b")]
    assert main(arguments) == 2
    assert "/cdn answers" in capsys.readouterr().err
    monkeypatch.setenv("STEAM_CDN_URL", "http://127.0.0.1:9")
    assert main(arguments) == 0
    assert "drawing the demo set instead" in capsys.readouterr().err
    assert len(banners_in(tmp_path / "b")) == 2


def test_an_unreachable_steam_is_one_line(tmp_path, monkeypatch, capsys):
    for name in ("STEAMSPY_URL", "STEAM_API_URL", "STEAM_CDN_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("FETCH_PAUSE", "0.01")
    assert main(["--popular", "5", "--out", str(tmp_path / "b")]) == 2
    printed = capsys.readouterr()
    assert "cannot get the list of games" in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "b").exists()


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
        ["--all", "--country", "Germany"],
        ["--all", "--language", "Deutsch!"],
        ["--appids", "x", "--include", "demos"],
        ["--all", "--out", ""],
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(capsys, options):
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


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


@pytest.mark.soak
def test_two_thousand_games_arrive_within_the_allowed_connections(tmp_path, steam, capsys, measured):
    server = steam(2000, always=frozenset({70}))
    assert main(["--popular", "2000", "--out", str(tmp_path / "b"), "--connections", "6"]) == 1
    assert "2000 games; 1333 fetched, 0 unchanged, 666 missing, 1 failed, 0 settled before" in capsys.readouterr().out
    assert banners_in(tmp_path / "b") == server.available
    assert max(server.bodies.values()) == 1
    measured(f"at most {server.most_at_once} connections of 6, no banner sent twice")
    assert server.most_at_once <= 6
    assert server.too_early == []


def test_an_address_that_is_none_is_a_mistake(tmp_path, monkeypatch, capsys):
    for value in ("ftp://x", "nonsense", "http://127.0.0.1/\udcff"):
        monkeypatch.setenv("STEAM_CDN_URL", value)
        assert main(["--popular", "3", "--out", str(tmp_path / "b")]) == 2
        assert "STEAM_CDN_URL is" in capsys.readouterr().err
